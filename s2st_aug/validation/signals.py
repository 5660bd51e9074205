"""Which lamp of a traffic light is lit: red, amber and green must survive a translation."""

from __future__ import annotations

import cv2
import numpy as np

from s2st_aug.arrays import Box, Image
from s2st_aug.records.scene import SignalState
from s2st_aug.validation.patches import SIDE, clipped

STATES: tuple[SignalState, ...] = ("red", "amber", "green")
HUES = {"red": (335.0, 382.0), "amber": (24.0, 68.0), "green": (90.0, 205.0)}  # degrees; red runs over 360
PLACE = {"red": 1 / 6, "amber": 1 / 2, "green": 5 / 6}  # of the housing's height
UPRIGHT = 1.5  # height over width from which a housing is upright
MIN_SHARE = 0.6  # of the colour evidence that one state must hold
LIT_IN_SOURCE = 0.01  # saturation x value above the middle's, means of three thirds added, from which a lamp is lit
MIN_EVIDENCE = 0.003  # mean of saturation^2 x value above the housing's own; green in true rain shows 0.006 to 0.010


def signal_state(image: Image, box: Box) -> SignalState | None:
    """The lit lamp's colour inside a traffic light's box; None where none can be told."""
    evidence = signal_evidence(image, box)
    total = sum(evidence.values())
    if total <= 0:
        return None
    best = max(STATES, key=lambda s: evidence[s])
    return best if evidence[best] >= MIN_SHARE * total and evidence[best] >= MIN_EVIDENCE else None


def signal_evidence(image: Image, box: Box) -> dict[SignalState, float]:
    """Mean of saturation^2 x brightness above the median over each state's hues, favouring a lamp's usual place."""
    left, top, right, bottom = clipped(box, image.shape)
    patch = image[top:bottom, left:right]
    scale = min(1.0, SIDE / max(patch.shape[:2]))
    if scale < 1:
        patch = cv2.resize(patch, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    hue, saturation, value = cv2.split(cv2.cvtColor(patch.astype(np.float32) / 255, cv2.COLOR_RGB2HSV))
    lit = saturation**2 * np.maximum(value - np.median(value), 0) * (value > 0.25)
    rows, upright = (np.arange(len(patch)) + 0.5) / len(patch), patch.shape[0] >= UPRIGHT * patch.shape[1]
    evidence: dict[SignalState, float] = {}
    for state in STATES:
        low, high = HUES[state]
        of_hue = ((hue >= low) & (hue <= high)) | (hue + 360 <= high)
        # 1 at the lamp's usual height in an upright housing, 0.5 far from it; 1 everywhere in a lying one
        place = 1 - 0.5 * np.minimum(np.abs(rows - PLACE[state]) * 3, 1) if upright else np.ones(len(rows))
        evidence[state] = float((lit * of_hue * place[:, None]).mean())
    return evidence


def is_lit(source: Image, box: Box) -> bool:
    """Whether a lamp shines in an upright housing, so that it can be told whether it still does."""
    left, top, right, bottom = clipped(box, source.shape)
    if bottom - top < UPRIGHT * (right - left) or bottom - top < len(STATES):
        return False
    patch = source[top:bottom, left:right].astype(np.float32) / 255
    _, saturation, value = cv2.split(cv2.cvtColor(patch, cv2.COLOR_RGB2HSV))
    light = np.maximum(value - np.median(value), 0) * saturation
    return sum(float(part.mean()) for part in np.array_split(light, len(STATES))) >= LIT_IN_SOURCE
