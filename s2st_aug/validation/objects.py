"""What is measured of one labelled object: structure, also before the detail step, visibility, shift, surroundings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from s2st_aug.arrays import Box
from s2st_aug.records.scene import LINES, SceneObject
from s2st_aug.validation import patches
from s2st_aug.validation.gradients import HALF, source_directions, source_weights, variant_directions
from s2st_aug.validation.patches import REACH, STRIP, Frame, Window

MIN_WEIGHT = 0.15  # mean of w a pixel below which the source shows too little of an object to judge it
L_PER_LEVEL = 100 / 255  # L* of one level of gamma-coded luma, nearly
NOISE_FLOOR = 1.0  # L* that noise is never taken to be below
NEAR = 3.0  # px of the patch
CORE = 0.7  # of a box's sides that count as its core
RING = np.ones((13, 13), np.uint8)  # how far around an object its surroundings reach


@dataclass(frozen=True, slots=True)
class Measures:
    """Measures of one object; None where the source gives nothing to measure.

    `around` is the structure of what surrounds it, `near` whether the best place is within three pixels of the patch.
    """

    structure: float | None = None
    structure_raw: float | None = None
    visibility: float | None = None
    shift_px: float | None = None
    shift_gain: float = 0.0
    near: bool = True
    around: float | None = None


def measure(item: SceneObject, source: Frame, variant: Frame, raw: Frame, front: Sequence[Box] = ()) -> Measures:
    """All measures of one object, `front` being the boxes of what hides parts of it; never raises on odd boxes."""
    if item.kind in LINES:
        return _measure_lines(item, source, variant, raw)
    at = patches.window(item, source.image.shape, front)
    field = _directions(*patches.patch_gradients(source, at))
    inside, load = field * at.mask[..., None], _load(field)
    seen = _visibility(variant, at, _core_and_ring(at, item))
    norm = float(load[at.mask].sum())
    if norm <= MIN_WEIGHT * at.mask.sum():
        return Measures(visibility=seen)
    moved = variant_directions(*patches.patch_gradients(variant, at))
    before = moved if raw is variant else variant_directions(*patches.patch_gradients(raw, at))
    h, w = at.mask.shape
    core = np.ascontiguousarray(inside[REACH : h - REACH, REACH : w - REACH])
    curve = (
        cv2.matchTemplate(np.ascontiguousarray(moved), core, cv2.TM_CCORR) / norm
    )  # structure at every place in reach
    here, shift, gain = _peak(curve, at.scale)
    return Measures(
        structure=here,
        structure_raw=here if before is moved else float(np.vdot(inside, before)) / norm,
        visibility=seen,
        shift_px=shift,
        shift_gain=gain,
        near=shift * at.scale <= NEAR,
        around=_around(field, moved, inside, load.sum() - norm),
    )


def _directions(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return cv2.merge(source_directions(x, y, *source_weights(x, y)))


def _load(field: np.ndarray) -> np.ndarray:
    """w m / (m + 4) of each pixel from w (cos, sin): w is capped at 20, where m / (m + 4) is 0.99 and more."""
    squared = np.einsum("hwc,hwc->hw", field, field)
    return squared * np.sqrt(squared) / (squared + HALF)


def _peak(curve: np.ndarray, scale: float) -> tuple[float, float, float]:
    """Structure in place, the distance of the best place (source pixels), and how much better that place fits."""
    cy, cx = curve.shape[0] // 2, curve.shape[1] // 2
    here = float(curve[cy, cx])
    y, x = divmod(int(np.argmax(curve)), curve.shape[1])
    dx, dy = x - cx + _vertex(curve[y, :], x), y - cy + _vertex(curve[:, x], y)
    return here, float(np.hypot(dx, dy)) / scale, float(curve[y, x]) - here


def _vertex(line: np.ndarray, at: int) -> float:
    """Offset of the vertex of the parabola through a maximum and its two neighbours, in [-0.5, 0.5]."""
    if at in (0, len(line) - 1):
        return 0.0
    a, b, c = (float(v) for v in line[at - 1 : at + 2])
    bend = a - 2 * b + c
    return float(np.clip(0.5 * (a - c) / bend, -0.5, 0.5)) if bend < 0 else 0.0


def _around(field: np.ndarray, moved: np.ndarray, inside: np.ndarray, norm: float) -> float | None:
    """Structure of the window outside the object; `norm` is what is divided by there."""
    if norm <= MIN_WEIGHT * field[..., 0].size:
        return None
    return float(np.vdot(field, moved) - np.vdot(inside, moved)) / norm


def _visibility(frame: Frame, at: Window, regions: tuple[np.ndarray, np.ndarray]) -> float:
    """CIE76 distance between the mean colours of core and ring, over the noise of L* in the ring."""
    part = patches.patch_image(frame, at)
    core, ring = (region.view(np.uint8) for region in regions)
    light = cv2.cvtColor(part, cv2.COLOR_RGB2GRAY)
    rough = cv2.mean(cv2.absdiff(light, cv2.blur(light, (3, 3))), ring)[0]
    noise = 1.2533 * rough * L_PER_LEVEL
    return math.dist(_lab(cv2.mean(part, core)), _lab(cv2.mean(part, ring))) / max(noise, NOISE_FLOOR)


def _lab(colour: Sequence[float]) -> tuple[float, float, float]:
    """CIELAB (D65) of one sRGB colour in 0..255. OpenCV takes 0.1 ms to build its tables for a single pixel."""
    r, g, b = ((c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4) for c in (v / 255 for v in colour[:3]))
    xyz = (
        (0.412453 * r + 0.357580 * g + 0.180423 * b) / 0.950456,
        0.212671 * r + 0.715160 * g + 0.072169 * b,
        (0.019334 * r + 0.119193 * g + 0.950227 * b) / 1.088754,
    )
    x, y, z = (math.cbrt(v) if v > 0.008856 else 7.787 * v + 16 / 116 for v in xyz)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def _core_and_ring(at: Window, item: SceneObject) -> tuple[np.ndarray, np.ndarray]:
    mask = at.mask.view(np.uint8)
    ring = cv2.dilate(mask, RING).view(bool) & ~at.mask
    core = at.mask
    if item.mask is None and item.kind == "box":
        core = np.zeros_like(at.mask)
        ys, xs = np.flatnonzero(at.mask.any(1)), np.flatnonzero(at.mask.any(0))
        cy, cx = (ys[0] + ys[-1]) / 2, (xs[0] + xs[-1]) / 2
        hy, hx = max(CORE * (ys[-1] - ys[0]) / 2, 1), max(CORE * (xs[-1] - xs[0]) / 2, 1)
        core[int(cy - hy) : int(cy + hy) + 1, int(cx - hx) : int(cx + hx) + 1] = True
    else:
        thin = cv2.erode(mask, np.ones((2 * patches.OUTLINE + 3,) * 2, np.uint8)).astype(bool)
        core = thin if thin.any() else core
    return core, ring if ring.any() else ~core


def _measure_lines(item: SceneObject, source: Frame, variant: Frame, raw: Frame) -> Measures:
    """Lanes, drivable edges and the borders of stuff: strips across the line, shift along the normal."""
    outlines = item.outlines
    if not outlines and item.mask is not None:
        borders, _ = cv2.findContours(item.mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        outlines = tuple(b[:, 0].astype(np.float64) for b in borders)
    found = patches.strip_points(outlines, source.image.shape, closed=item.kind == "stuff")
    if found is None:
        return Measures()
    field = _directions(*patches.strip_gradients(source, *found))
    core = np.zeros_like(field)
    core[:, REACH : REACH + STRIP] = field[:, REACH : REACH + STRIP]
    inside, load = np.ascontiguousarray(core[:, REACH : REACH + STRIP]), _load(field)
    norm = float(load[:, REACH : REACH + STRIP].sum())
    if norm <= MIN_WEIGHT * inside.shape[0] * STRIP:
        return Measures()
    moved = variant_directions(*patches.strip_gradients(variant, *found))
    before = moved if raw is variant else variant_directions(*patches.strip_gradients(raw, *found))
    curve = cv2.matchTemplate(np.ascontiguousarray(moved), inside, cv2.TM_CCORR) / norm
    here, shift, gain = _peak(curve, 1.0)
    in_place = float((inside * before[:, REACH : REACH + STRIP]).sum() / norm)
    return Measures(
        here,
        in_place,
        shift_px=shift,
        shift_gain=gain,
        near=shift <= NEAR,
        around=_around(field, moved, core, load.sum() - norm),
    )
