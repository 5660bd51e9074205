"""Whether an object was there, as the source has it, before the detail step put the source's own pixels back.

Source and `raw` are compared at the scale that a small model paints at, so that nothing of the paste takes part: edges
that run the same way, both ways round; light and shade that rise and fall together; colours' edges; a place nearby that
fits better; and the look of the place in both pictures. A small network makes a share of all this
(docs/validity.md#before-the-detail-step).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from s2st_aug.arrays import Box, Image
from s2st_aug.records.scene import SceneObject
from s2st_aug.validation.evidence_network import SIDE, Views, logits, shipped
from s2st_aug.validation.patches import LEAST_FREE
from s2st_aug.validation.structure import edge_field, edge_weights

PAINTED, WIDTH = 288, 640  # px: what a small model paints at, and what is compared
OUTLINE, REACH = 2, 8  # px at WIDTH: an object's outline, and how far around it is looked
FLOOR, HALF, CAP = 0.7, 0.5, 20.0  # |g| that counts, g squared that counts half, and |g| that counts no more
NEIGHBOURS = 9  # px: side of the window in which light and shade are compared
TYPICAL = 12.0  # px at WIDTH of an object's side
MARGIN, LEAST_MARGIN = 0.5, 6.0  # around an object in its cutout: a share of its size, and px at WIDTH
FINE = 1.5  # px of the cutout's source that one of its own may leap over; beyond, it is smoothed first
LOAD, FULLER = 5, 6  # of the numbers that the network sees
BLANK = 0.02  # of the source's weight of edges, below which a picture shows nothing at a place
NEAR = 2  # px at WIDTH around an object's place that still are its place


@dataclass(frozen=True, slots=True, eq=False)
class Coarse:
    """An image as a small model could paint it: edges of light, and of two colours, at WIDTH pixels across."""

    rgb: Image  # h w 3 uint8
    light: np.ndarray  # h w float32, levels
    edges: tuple[np.ndarray, np.ndarray]  # x and y gradients of light
    colours: tuple[tuple[np.ndarray, np.ndarray], ...]  # of red less green, and of yellow less blue


def coarse(image: Image) -> Coarse:
    """An RGB image of any size, brought down to PAINTED pixels across first."""
    rgb = coarse_rgb(image)
    large = rgb.astype(np.float32)
    red, green, blue = cv2.split(large)
    light = cv2.cvtColor(large, cv2.COLOR_RGB2GRAY)
    return Coarse(rgb, light, _edges(light), (_edges(red - green), _edges((red + green) / 2 - blue)))


def coarse_rgb(image: Image) -> np.ndarray:
    """An image at WIDTH pixels across (`y x 3` uint8), with no more detail than PAINTED pixels hold."""
    h, w = image.shape[:2]
    small = cv2.resize(image, (PAINTED, max(4, round(h * PAINTED / w))), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (WIDTH, max(4, round(h * WIDTH / w))), interpolation=cv2.INTER_CUBIC))


def _edges(plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    smooth = cv2.GaussianBlur(plane, (0, 0), 1.0)
    return cv2.Scharr(smooth, cv2.CV_32F, 1, 0, scale=1 / 32), cv2.Scharr(smooth, cv2.CV_32F, 0, 1, scale=1 / 32)


def evidence(
    items: Sequence[SceneObject], fronts: Sequence[Sequence[Box]], source: Coarse, raw: Coarse, width: int
) -> list[float | None]:
    """How surely each object is in the raw picture what it is in the source, in [0, 1]; None where the source is flat.

    `width` is the images' own, in pixels; `fronts` the boxes of what hides parts of each object.
    """
    found = [measures(item, front, source, raw, width) for item, front in zip(items, fronts, strict=True)]
    seen = [n for n, values in enumerate(found) if values is not None]
    sure: list[float | None] = [None] * len(items)
    if seen:
        cut = np.stack([cutout(items[n].bbox, fronts[n], source.rgb, raw.rgb, WIDTH / width) for n in seen])
        outputs = logits(shipped(), Views(cut, np.array([found[n] for n in seen], np.float32)))
        for n, value in zip(seen, outputs.tolist(), strict=True):
            shown = 1 / (1 + math.exp(-min(max(value, -30.0), 30.0)))
            sure[n] = 0.0 if _is_blank(found[n]) else shown
    return sure


def _is_blank(numbers: tuple[float, ...] | None) -> bool:
    """Whether the raw picture has next to no edges where the source has some: a network that never saw that guesses."""
    if numbers is None:
        return False
    load = math.exp(numbers[LOAD]) - 0.1
    return math.exp(numbers[FULLER]) * (load + 0.3) - 0.3 < BLANK * load


def measures(
    item: SceneObject, front: Sequence[Box], source: Coarse, raw: Coarse, width: int
) -> tuple[float, ...] | None:
    """The numbers that the network sees; None where the source has no edges there."""
    found = _window(item.bbox, front, source.light.shape, WIDTH / width)
    if found is None:
        return None
    cut, mask = found
    sx, sy, vx, vy = (plane[cut] for plane in (*source.edges, *raw.edges))
    agreed = _along(sx, sy, vx, vy, mask)
    if agreed.load <= 0:
        return None
    back = _along(vx, vy, sx, sy, mask, floor=FLOOR / 2)
    hues = [(*(p[cut] for p in s), *(p[cut] for p in v)) for s, v in zip(source.colours, raw.colours, strict=True)]
    n = float(np.count_nonzero(mask))
    wide, high = ((item.bbox[i + 2] - item.bbox[i]) * WIDTH / width for i in (0, 1))
    away, near, far = _elsewhere(agreed, vx, vy)
    return (
        agreed.structure, agreed.around, back.structure, _together(source.light[cut], raw.light[cut], mask),
        min(far + near, 1.0), math.log(agreed.load / n + 0.1),
        math.log((back.load / n + 0.3) / (agreed.load / n + 0.3)), _colour(hues, mask),
        away / REACH, min(away / max(min(wide, high), 4.0), 2.0), near, far,
        math.log(max(wide, 0.5) / TYPICAL), math.log(max(high, 0.5) / TYPICAL),
    )  # fmt: skip


def cutout(box: Box, front: Sequence[Box], source: Image, raw: Image, scale: float) -> np.ndarray:
    """An object's place in both pictures, `SIDE SIDE 7` uint8; `scale` of the boxes to the pictures' pixels."""
    x1, y1, x2, y2 = (float(np.clip(np.nan_to_num(v), -1e4, 1e4)) * scale for v in box)
    across, down = (max(MARGIN * size, LEAST_MARGIN) for size in (x2 - x1, y2 - y1))
    left, top, kx, ky = x1 - across, y1 - down, (x2 - x1 + 2 * across) / SIDE, (y2 - y1 + 2 * down) / SIDE
    out = np.empty((SIDE, SIDE, 7), np.uint8)
    for i, picture in enumerate((source, raw)):
        out[..., 3 * i : 3 * i + 3] = _shrunk(picture, left, top, kx, ky)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    for value, other in ((255, box), *((0, other) for other in front)):
        a, b, c, d = (
            max(round((float(np.clip(np.nan_to_num(v), -1e4, 1e4)) * scale - o) / k), 0)
            for v, o, k in zip(other, (left, top) * 2, (kx, ky) * 2, strict=True)
        )
        mask[b : max(d, b + (value > 0)), a : max(c, a + (value > 0))] = value
    out[..., 6] = mask
    return out


def _shrunk(picture: Image, left: float, top: float, kx: float, ky: float) -> np.ndarray:
    """SIDE pixels of a picture, each kx x ky of its own, from a corner on; edge pixels repeated outside."""
    if max(kx, ky) > FINE:
        x, y = max(int(left) - 4, 0), max(int(top) - 4, 0)
        part = picture[y : max(int(top + SIDE * ky) + 5, y + 1), x : max(int(left + SIDE * kx) + 5, x + 1)]
        if part.size:
            picture, left, top = cv2.blur(part, (max(round(kx), 1), max(round(ky), 1))), left - x, top - y
    to_picture = np.array([[kx, 0, left + kx / 2 - 0.5], [0, ky, top + ky / 2 - 0.5]])
    return cv2.warpAffine(
        picture, to_picture, (SIDE, SIDE), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip


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


@dataclass(frozen=True, slots=True, eq=False)
class _Along:
    """How edges of one picture run along those of another: inside a mask and around it, and the weight inside it."""

    structure: float
    around: float
    load: float
    core: np.ndarray  # h w 2, the weighted directions inside the mask


def _along(
    sx: np.ndarray, sy: np.ndarray, vx: np.ndarray, vy: np.ndarray, mask: np.ndarray, *, floor: float = FLOOR
) -> _Along:
    field, weight = edge_weights(sx, sy, floor, CAP, HALF)
    dot = (field * edge_field(vx, vy, HALF)).sum(-1)
    load, rest = float(weight[mask].sum()), float(weight[~mask].sum())
    around = float(dot[~mask].sum()) / rest if rest > 1 else 0.45
    return _Along(float(dot[mask].sum()) / max(load, 1e-6), around, load, field * mask[..., None])


def _elsewhere(agreed: _Along, vx: np.ndarray, vy: np.ndarray) -> tuple[float, float, float]:
    """How far away (px at WIDTH) the object's edges fit best, how much better a place within NEAR fits than its own,
    and how much better than that the best one.
    """
    wide = cv2.copyMakeBorder(edge_field(vx, vy, HALF), REACH, REACH, REACH, REACH, cv2.BORDER_CONSTANT)
    fits = cv2.matchTemplate(wide, np.ascontiguousarray(agreed.core), cv2.TM_CCORR) / agreed.load
    y, x = divmod(int(np.argmax(fits)), fits.shape[1])
    beside = slice(REACH - NEAR, REACH + NEAR + 1)
    near = float(fits[beside, beside].max())
    return math.hypot(x - REACH, y - REACH), near - float(fits[REACH, REACH]), float(fits[y, x]) - near


def _together(source: np.ndarray, raw: np.ndarray, mask: np.ndarray) -> float:
    """Local correlation of light, weighed by the source's contrast."""
    window = (NEIGHBOURS, NEIGHBOURS)
    mean_s, mean_v = cv2.blur(source, window), cv2.blur(raw, window)
    var_s = np.maximum(cv2.blur(source * source, window) - mean_s * mean_s, 0)
    var_v = np.maximum(cv2.blur(raw * raw, window) - mean_v * mean_v, 0)
    both = (cv2.blur(source * raw, window) - mean_s * mean_v) / np.sqrt(var_s * var_v + 1)
    weight = np.sqrt(var_s)[mask]
    return float(weight @ both[mask]) / max(float(weight.sum()), 1e-6)


def _colour(hues: Sequence[tuple[np.ndarray, ...]], mask: np.ndarray) -> float:
    """Structure of the colours' edges, both planes together, pressed into [-1, 1]."""
    agreed = load = 0.0
    for sx, sy, vx, vy in hues:
        field, weight = edge_weights(sx, sy, FLOOR, CAP, HALF)
        agreed += float((field * edge_field(vx, vy, HALF)).sum(-1)[mask].sum())
        load += float(weight[mask].sum())
    return math.tanh(agreed / max(load, 1e-6))
