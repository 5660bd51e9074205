"""Colour that carries meaning is held: lit lamps of traffic lights, brake lights, the hue of signs. Only where labels say so."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from s2st_aug.arrays import Image
from s2st_aug.images import from_lab, to_lab
from s2st_aug.records.scene import SceneObject

HUES = {"red": (10.0, 75.0), "amber": (45.0, 105.0), "green": (125.0, 235.0)}  # degrees in the a-b plane of CIELAB
RED = HUES["red"]
LIT_CHROMA, LIT_LIGHT = 28.0, 35.0  # CIELAB: above both a pixel of a traffic light counts as lit
BRAKE_CHROMA, BRAKE_SHARE = 45.0, 0.12  # a brake light is redder, and a small part of its vehicle
SIGN_CHROMA = 15.0
VEHICLES = ("car", "truck", "bus", "motor", "train", "van")


def hold_signals(source: Image, variant: Image, objects: Sequence[SceneObject]) -> Image:
    """The variant with lamps as lit and as coloured as in the source, and signs in their hue; the rest untouched."""
    out = variant
    for label in objects:
        window = _window(label, source.shape)
        if window is not None and (pick := _picker(label)) is not None:
            out = out.copy() if out is variant else out
            out[window] = pick(source[window], out[window], label)
    return out


def _picker(label: SceneObject):
    name = label.category.lower()
    if label.crowd or label.kind in ("stuff", "polyline"):
        return None
    if "light" in name:
        return _hold_lamp
    if "sign" in name:
        return _hold_hue
    return _hold_brake if any(v in name for v in VEHICLES) else None


def _window(label: SceneObject, shape: tuple[int, ...]) -> tuple[slice, slice] | None:
    x1, y1, x2, y2 = label.bbox
    rows = slice(max(0, int(np.floor(y1))), min(shape[0], int(np.ceil(y2))))
    columns = slice(max(0, int(np.floor(x1))), min(shape[1], int(np.ceil(x2))))
    return (rows, columns) if rows.stop - rows.start > 1 and columns.stop - columns.start > 1 else None


def _hold_lamp(source: Image, variant: Image, label: SceneObject) -> Image:
    lab = to_lab(source)
    lit = _ramp(_chroma(lab), LIT_CHROMA, 10) * _ramp(lab[..., 0], LIT_LIGHT, 10)
    if label.signal:
        lit *= _of_hue(lab, HUES[label.signal])
    return _lamps_from(lab, variant, _soft(lit))


def _hold_brake(source: Image, variant: Image, _label: SceneObject) -> Image:
    lab = to_lab(source)
    lit = _ramp(_chroma(lab), BRAKE_CHROMA, 10) * _ramp(lab[..., 0], LIT_LIGHT, 10) * _of_hue(lab, RED)
    return _lamps_from(lab, variant, _soft(lit)) if 0 < lit.mean() < BRAKE_SHARE else variant


def _hold_hue(source: Image, variant: Image, _label: SceneObject) -> Image:
    """A sign keeps its hue; its lightness follows the variant, and its chroma in proportion."""
    lab, out = to_lab(source), to_lab(variant)
    share = _ramp(_chroma(lab), SIGN_CHROMA, 10)[..., None]
    shade = np.clip((out[..., :1] + 10) / (lab[..., :1] + 10), 0.35, 1)
    out[..., 1:] += share * (lab[..., 1:] * shade - out[..., 1:])
    return from_lab(out)


def _lamps_from(lab: np.ndarray, variant: Image, share: np.ndarray) -> Image:
    out = to_lab(variant)
    held = np.dstack([np.maximum(out[..., 0], lab[..., 0]), lab[..., 1:]])
    return np.where(share[..., None] > 0, from_lab(out + share[..., None] * (held - out)), variant)


def _ramp(values: np.ndarray, start: float, width: float) -> np.ndarray:
    return np.clip((values - start) / width + 0.5, 0, 1)


def _chroma(lab: np.ndarray) -> np.ndarray:
    return np.hypot(lab[..., 1], lab[..., 2])


def _of_hue(lab: np.ndarray, between: tuple[float, float]) -> np.ndarray:
    hue = np.degrees(np.arctan2(lab[..., 2], lab[..., 1])) % 360
    return ((hue >= between[0]) & (hue <= between[1])).astype(np.float32)


def _soft(mask: np.ndarray) -> np.ndarray:
    """Edges softened by half a pixel; nothing leaks out of the object's window."""
    return cv2.GaussianBlur(mask.astype(np.float32), (3, 3), 0.6)
