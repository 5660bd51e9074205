"""Colour that carries meaning is held: lit lamps of traffic lights, brake lights, the hue of signs.

Only where labels say so.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import cv2
import numpy as np

from s2st_aug.arrays import Image
from s2st_aug.images import from_lab, to_lab
from s2st_aug.records.classes import canonical_category
from s2st_aug.records.scene import SceneObject

HUES = {"red": (10.0, 75.0), "amber": (45.0, 105.0), "green": (125.0, 235.0)}  # degrees in the a-b plane of CIELAB
RED = HUES["red"]
LIT_CHROMA, LIT_LIGHT = 28.0, 35.0  # CIELAB: above both a pixel of a traffic light counts as lit
BRAKE_CHROMA, BRAKE_SHARE = 45.0, 0.12  # a brake light is redder, and a small part of its vehicle
SIGN_CHROMA = 15.0
VEHICLES = ("car", "truck", "bus", "motorcycle", "train")
LAMP_SIDES, LAMP_FILL, LAMP_SHARE = 2.5, 0.3, 0.5
"""A lamp is about as wide as high, fills its own box, and leaves room for its housing."""
TINY = 8  # pixels: of a smaller signal nothing but the colour can be told


def hold_signals(source: Image, variant: Image, objects: Sequence[SceneObject]) -> Image:
    """The variant with lamps as lit and as coloured as in the source, and signs in their hue; the rest untouched.

    Only what lies inside of an outline or a mask is touched; in a box, and where the state is unknown, only what looks
    like a lamp.
    """
    out = variant
    for label in itertools.chain.from_iterable(map(_parted, objects)):
        x1, y1, x2, y2 = label.bbox
        rows = slice(max(0, int(np.floor(y1))), min(source.shape[0], int(np.ceil(y2))))
        columns = slice(max(0, int(np.floor(x1))), min(source.shape[1], int(np.ceil(x2))))
        pick = _picker(label)
        if pick is not None and rows.stop - rows.start > 1 and columns.stop - columns.start > 1:
            out, window = out.copy() if out is variant else out, (rows, columns)
            held = pick(source[window], out[window], label)
            out[window] = np.where(_inside(label, window)[..., None], held, out[window])
    return out


def _parted(label: SceneObject) -> Iterator[SceneObject]:
    """The connected parts of a class's mask, each a signal or sign of its own; any other label itself."""
    if (
        label.kind != "stuff"
        or label.mask is None
        or canonical_category(label.category) not in ("traffic light", "traffic sign")
    ):
        yield label
        return
    count, parts, boxes, _ = cv2.connectedComponentsWithStats(label.mask.astype(np.uint8))
    for part, (x, y, w, h, _area) in zip(range(1, count), boxes[1:].tolist(), strict=True):
        yield replace(label, kind="mask", bbox=(x, y, x + w, y + h), mask=parts == part)


def _picker(label: SceneObject) -> Callable[[Image, Image, SceneObject], Image] | None:
    """What keeps the colours of such a label: (source, variant, label) -> variant, all in the label's window."""
    known = canonical_category(label.category)
    if label.crowd or label.kind in ("stuff", "polyline"):
        return None
    if known == "traffic light":
        return _hold_lamp
    if known == "traffic sign":
        return _hold_hue
    return _hold_brake if known in VEHICLES else None


def _inside(label: SceneObject, window: tuple[slice, slice]) -> np.ndarray:
    """Where in its window a label is: its mask, its outline, or all of its box."""
    rows, columns = window
    if label.mask is not None and label.kind != "box":
        return np.asarray(label.mask[window], bool)
    canvas = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
    outlines = [
        np.rint(np.asarray(o) - (columns.start, rows.start)).astype(np.int32) for o in label.outlines if len(o) > 2
    ]
    if label.kind == "box" or not outlines:
        return canvas == 0
    return cv2.fillPoly(canvas, outlines, 1) > 0


def _hold_lamp(source: Image, variant: Image, label: SceneObject) -> Image:
    lab = to_lab(source)
    lit = _ramp(_chroma(lab), LIT_CHROMA, 10) * _ramp(lab[..., 0], LIT_LIGHT, 10)
    hues = [HUES[label.signal]] if label.signal else HUES.values()
    lit *= np.max([_of_hue(lab, hue) for hue in hues], axis=0)
    return _lamps_from(lab, variant, _soft(_lamps(lit)))


def _lamps(lit: np.ndarray) -> np.ndarray:
    """What is lit and shaped like a lamp, with its pale middle: not the trees or bricks beside a signal's housing."""
    height, width = lit.shape
    if min(height, width) < TINY:
        return lit
    count, parts, boxes, _ = cv2.connectedComponentsWithStats((lit > 0.5).astype(np.uint8))
    kept = np.zeros((height, width), np.uint8)
    for part, (x, y, w, h, area) in zip(range(1, count), boxes[1:].tolist(), strict=True):
        cornered = (x == 0 or x + w == width) and (y == 0 or y + h == height)
        lamp = (
            1 / LAMP_SIDES <= w / h <= LAMP_SIDES and area >= LAMP_FILL * w * h and w * h <= LAMP_SHARE * width * height
        )
        if lamp and not cornered:
            around, _ = cv2.findContours((parts == part).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(kept, around, -1, 1, cv2.FILLED)
    edge = cv2.dilate(kept, np.ones((3, 3), np.uint8))
    return np.maximum(lit * edge, kept)


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
