"""Whether an object was there, as the source has it, before the detail step put the source's own pixels back.

Source and `raw` are compared at the scale that a small model paints at, so that nothing of the paste takes part: edges
that run the same way, both ways round; light and shade that rise and fall together; colours' edges; a place nearby that
fits better. One logistic regression makes a share of these measures (docs/validity.md#before-the-detail-step).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from s2st_aug.arrays import Box, Image
from s2st_aug.records.scene import SceneObject
from s2st_aug.validation.patches import LEAST_FREE
from s2st_aug.validation.structure import edge_field, edge_weights

PAINTED, WIDTH = 288, 640  # px: what a small model paints at, and what is compared
OUTLINE, REACH = 2, 8  # px at WIDTH: an object's outline, and how far around it is looked
FLOOR, HALF, CAP = 0.7, 0.5, 20.0  # |g| that counts, g squared that counts half, and |g| that counts no more
NEIGHBOURS = 9  # px: side of the window in which light and shade are compared
TYPICAL = 24.0  # px of the source: an object's shorter side
WEIGHTS = (0.046, -0.216, 0.716, 0.358, 0.972, -0.815, -0.656, -0.018, 0.514, 0.272, -1.913, 1.491)
MEANS = (0.259, 0.410, 0.304, 0.333, 0.527, 0.523, 0.125, 1.908, -0.748, 0.103, 0.738, 0.208)
SPREADS = (0.210, 0.181, 0.235, 0.277, 0.147, 0.151, 0.135, 0.366, 0.605, 0.143, 0.739, 0.337)
BIAS = -0.939
"""Fitted by `pipelines/fit_evidence.py`, each measure less its mean and over its spread."""


@dataclass(frozen=True, slots=True, eq=False)
class Coarse:
    """An image as a small model could paint it: edges of light, and of two colours, at WIDTH pixels across."""

    light: np.ndarray  # h w float32, levels
    edges: tuple[np.ndarray, np.ndarray]  # x and y gradients of light
    colours: tuple[tuple[np.ndarray, np.ndarray], ...]  # of red less green, and of yellow less blue


def coarse(image: Image) -> Coarse:
    """An RGB image of any size, brought down to PAINTED pixels across first."""
    h, w = image.shape[:2]
    small = cv2.resize(image, (PAINTED, max(4, round(h * PAINTED / w))), interpolation=cv2.INTER_AREA)
    large = cv2.resize(small, (WIDTH, max(4, round(h * WIDTH / w))), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    red, green, blue = cv2.split(large)
    light = cv2.cvtColor(large, cv2.COLOR_RGB2GRAY)
    return Coarse(light, _edges(light), (_edges(red - green), _edges((red + green) / 2 - blue)))


def _edges(plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    smooth = cv2.GaussianBlur(plane, (0, 0), 1.0)
    return cv2.Scharr(smooth, cv2.CV_32F, 1, 0, scale=1 / 32), cv2.Scharr(smooth, cv2.CV_32F, 0, 1, scale=1 / 32)


def evidence(item: SceneObject, front: Sequence[Box], source: Coarse, raw: Coarse, width: int) -> float | None:
    """How surely an object is in the raw picture what it is in the source, in [0, 1]; None where the source is flat.

    `width` is the images' own, in pixels; `front` the boxes of what hides parts of the object.
    """
    found = measures(item, front, source, raw, width)
    if found is None:
        return None
    score = BIAS + sum(w * (v - m) / s for w, v, m, s in zip(WEIGHTS, found, MEANS, SPREADS, strict=True))
    return 1 / (1 + math.exp(-min(max(score, -30.0), 30.0)))


def measures(
    item: SceneObject, front: Sequence[Box], source: Coarse, raw: Coarse, width: int
) -> tuple[float, ...] | None:
    """What WEIGHTS weigh, in their order; None where the source has no edges there."""
    found = _window(item.bbox, front, source.light.shape, WIDTH / width)
    if found is None:
        return None
    cut, mask = found
    sx, sy, vx, vy = (plane[cut] for plane in (*source.edges, *raw.edges))
    structure, around, gain, load = _along(sx, sy, vx, vy, mask)
    if load <= 0:
        return None
    back, _, _, load_back = _along(vx, vy, sx, sy, mask, floor=FLOOR / 2, place=False)
    together, alike, alike_back = _shading(source.light[cut], raw.light[cut], mask)
    hues = [(*(p[cut] for p in s), *(p[cut] for p in v)) for s, v in zip(source.colours, raw.colours, strict=True)]
    colour = _colour(hues, mask)
    side = min(item.bbox[2] - item.bbox[0], item.bbox[3] - item.bbox[1])
    size = math.log(max(side, 1.0) / TYPICAL)
    n = float(np.count_nonzero(mask))
    fuller = math.log((load_back / n + 0.3) / (load / n + 0.3))
    return (structure, around, back, together, alike, alike_back, min(gain, 1.0), math.log(load / n + 0.1), fuller,
            colour, size, structure * size)  # fmt: skip


def _window(
    box: Box, front: Sequence[Box], shape: tuple[int, ...], scale: float
) -> tuple[tuple[slice, slice], np.ndarray] | None:
    """The part of the coarse image around an object, and where in it the object and nothing before it is."""
    h, w = shape[:2]
    x1, y1, x2, y2 = (float(np.clip(np.nan_to_num(v), -1e6, 1e6)) * scale for v in box)
    left, top = math.floor(x1) - OUTLINE, math.floor(y1) - OUTLINE
    right, bottom = math.ceil(x2) + OUTLINE, math.ceil(y2) + OUTLINE
    x0, y0 = max(left - REACH, 0), max(top - REACH, 0)
    cut = slice(y0, min(bottom + REACH, h)), slice(x0, min(right + REACH, w))
    mask = np.zeros((max(cut[0].stop - y0, 0), max(cut[1].stop - x0, 0)), bool)
    mask[max(top, 0) - y0 : max(bottom - y0, 0), max(left, 0) - x0 : max(right - x0, 0)] = True
    if not mask.any():
        return None
    free = mask.copy()
    for other in np.clip(np.nan_to_num(np.array(front, float).reshape(-1, 4)), -1e6, 1e6) * scale:
        a, b, c, d = (max(round(float(v) - o), 0) for v, o in zip(other, (x0, y0, x0, y0), strict=True))
        free[b:d, a:c] = False
    return cut, free if free.sum() >= LEAST_FREE * mask.sum() else mask


def _along(
    sx: np.ndarray, sy: np.ndarray, vx: np.ndarray, vy: np.ndarray, mask: np.ndarray, *, floor: float = FLOOR,
    place: bool = True,
) -> tuple[float, float, float, float]:  # fmt: skip
    """Structure inside the mask and around it, how much better a place nearby fits, and what structure is over."""
    field, weight = edge_weights(sx, sy, floor, CAP, HALF)
    there = edge_field(vx, vy, HALF)
    dot = (field * there).sum(-1)
    load, rest = float(weight[mask].sum()), float(weight[~mask].sum())
    structure = float(dot[mask].sum()) / max(load, 1e-6)
    around = float(dot[~mask].sum()) / rest if rest > 1 else 0.45
    gain = 0.0
    if place and load > 0:
        core = np.ascontiguousarray(field * mask[..., None])
        wide = cv2.copyMakeBorder(there, REACH, REACH, REACH, REACH, cv2.BORDER_CONSTANT)
        gain = float(cv2.matchTemplate(wide, core, cv2.TM_CCORR).max()) / load - structure
    return structure, around, gain, load


def _shading(source: np.ndarray, raw: np.ndarray, mask: np.ndarray) -> tuple[float, float, float]:
    """Local correlation of light: signed and unsigned weighed by the source's contrast, unsigned by the picture's."""
    window = (NEIGHBOURS, NEIGHBOURS)
    mean_s, mean_v = cv2.blur(source, window), cv2.blur(raw, window)
    var_s = np.maximum(cv2.blur(source * source, window) - mean_s * mean_s, 0)
    var_v = np.maximum(cv2.blur(raw * raw, window) - mean_v * mean_v, 0)
    both = (cv2.blur(source * raw, window) - mean_s * mean_v) / np.sqrt(var_s * var_v + 1)
    both, a, b = both[mask], np.sqrt(var_s)[mask], np.sqrt(var_v)[mask]
    each = np.abs(both)
    total_a, total_b = max(float(a.sum()), 1e-6), max(float(b.sum()), 1e-6)
    return float(a @ both) / total_a, float(a @ each) / total_a, float(b @ each) / total_b


def _colour(hues: Sequence[tuple[np.ndarray, ...]], mask: np.ndarray) -> float:
    """Structure of the colours' edges, both planes together, pressed into [-1, 1]."""
    agreed = load = 0.0
    for sx, sy, vx, vy in hues:
        field, weight = edge_weights(sx, sy, FLOOR, CAP, HALF)
        agreed += float((field * edge_field(vx, vy, HALF)).sum(-1)[mask].sum())
        load += float(weight[mask].sum())
    return math.tanh(agreed / max(load, 1e-6))
