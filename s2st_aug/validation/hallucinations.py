"""Lights in the variant that nothing in the source explains: lamps, streaks and lines that shine, wide glows.

Candidates are fresh bright or coloured parts at two scales; a small network scores each by its surroundings in both
images.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from s2st_aug.arrays import Box, Image, Mask
from s2st_aug.records.scene import SceneObject
from s2st_aug.records.verdicts import Hallucination
from s2st_aug.validation.gradients import gradients, source_directions, source_norm, source_weights, variant_directions
from s2st_aug.validation.lights import SIDE, scores
from s2st_aug.validation.patches import Frame, clipped

WIDTH = 640  # px, nearly, that blobs are looked for at
HAT = 15  # px, side of the top-hat: larger bright areas are no lamps
RISE = 36  # levels by which a blob stands above its surroundings
FADE = 0.7  # share of that which the source may already have
MIN_AREA, MAX_AREA = 4, 450  # px at WIDTH of a compact blob
COMPACT = 0.3, 3.0  # least share of its box that a compact blob fills, most of its longer side over its shorter one
PIECE = 24  # px at WIDTH, side of the squares that what is long or large is cut into, each judged by itself
SHRUNK = 4  # times smaller that wide glows are looked for
LEAST_WIDE = 30  # px of a glow there; smaller ones are lamps, which are judged at WIDTH
WIDE_RISE = 20  # levels by which a wide glow stands above its surroundings
MAX_BLOBS, MAX_PIECES, MAX_WIDE = 48, 24, 8
LEAST_SCORE = 0.1  # blobs that are surely real are not listed
CELLS = 40, 22  # across and down, that the sky's colour is averaged over
OPEN = 25.0  # variance of the source's luma within a cell, in levels squared: below it is sky, or as plain
AROUND = 11, 5  # cells that are averaged, of which half must be open
RED = 28.0, 68.0
"""Levels by which red rises over green and blue in the upper half: score 0 and 1. True dusks have up to 55."""
PAD, SMOOTHED = 4, 5  # px around a blob that its edges are looked for in, and beyond that their gradients depend on
EXPLAINED = 0.35, 0.55
"""Share of a blob's edges that the source does not have: below, half of its score is left, as of a lit window."""
STREAK = 1.6
"""Height over width from which a blob in the lower half is a reflection; of 79 pasted lamps none had so much."""
REFLECTED = 0.5  # what is left of its score


Shape = Literal["blob", "piece", "wide"]
SHAPES: tuple[Shape, ...] = ("blob", "piece", "wide")
_KINDS = {"piece": "smear", "wide": "glow"}


@dataclass(frozen=True, slots=True, eq=False)
class _Small:
    """A frame at WIDTH pixels: RGB, the brightest channel, and what a top-hat leaves of it or of chroma."""

    rgb: np.ndarray
    value: np.ndarray
    hat: np.ndarray
    scale: float


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """What may be a made-up light: `boxes` in source pixels, `shapes` (blob, piece or wide), and `patches`,
    `n 32 32 12` uint8: RGB of source and variant at WIDTH, then of both at a quarter of it, around the same point.
    """

    boxes: list[Box]
    shapes: list[Shape]
    patches: np.ndarray


def hallucinated_lights(source: Frame, variant: Frame, objects: Sequence[SceneObject]) -> tuple[Hallucination, ...]:
    """Lights outside labelled objects with the score that the source does not explain them, highest first."""
    seen = candidates(source, variant, objects)
    found = []
    for box, shape, patch, score in zip(
        seen.boxes, seen.shapes, seen.patches, scores(seen.patches).tolist(), strict=True
    ):
        if score >= LEAST_SCORE:
            weighed = score * unexplained_share(source, variant, box)
            kind = _kind(patch, box, source.image.shape[0]) if shape == "blob" else _KINDS[shape]
            found.append(Hallucination(box, kind, weighed))
    found += red_sky(source, variant)
    return tuple(sorted(found, key=lambda h: -h.score))


def unexplained_share(source: Frame, variant: Frame, box: Box) -> float:
    """What is left of a score: half where the source's edges run as the candidate's do, and of a streak on the road."""
    low, high = EXPLAINED
    gap = unexplained(source.image, variant.image, box)
    doubt = 0.5 + 0.5 * min(max((gap - low) / (high - low), 0.0), 1.0)
    # a streak on the road is a lamp's reflection on the wet, which has no label; the lamp itself is judged
    streak = box[1] > source.image.shape[0] / 2 and box[3] - box[1] >= STREAK * (box[2] - box[0])
    return doubt * (REFLECTED if streak else 1.0)


def red_sky(source: Frame, variant: Frame) -> list[Hallucination]:
    """The open places of the upper half that turned red, as one glow; none where they did not."""
    before, after = (
        cv2.resize(f.images[-1], CELLS, interpolation=cv2.INTER_AREA).astype(np.float32) for f in (source, variant)
    )
    luma = source.lumas[-1].astype(np.float32)
    mean, square = (cv2.resize(x, CELLS, interpolation=cv2.INTER_AREA) for x in (luma, luma * luma))
    half = CELLS[1] // 2
    is_open = (square - mean * mean < OPEN).astype(np.float32)[:half]
    red = [x[:half, :, 0] - (x[:half, :, 1] + x[:half, :, 2]) / 2 for x in (before, after)]
    share = cv2.blur(is_open, AROUND)
    rise = cv2.blur((red[1] - np.maximum(red[0], 0)) * is_open, AROUND) / np.maximum(share, 1e-3)
    rise = np.where(share >= 0.5, rise, 0)
    low, high = RED
    score = min((float(rise.max()) - low) / (high - low), 1.0)
    if score < LEAST_SCORE:
        return []
    x, y, w, h = cv2.boundingRect((rise > low).astype(np.uint8))
    kx, ky = source.image.shape[1] / CELLS[0], source.image.shape[0] / CELLS[1]
    return [Hallucination((x * kx, y * ky, (x + w) * kx, (y + h) * ky), "glow", score)]


def unexplained(source: Image, variant: Image, box: Box) -> float:
    """1 - how well the source's edges run along the blob's own in red, green and blue together, in [0, 1].

    A lit window had its frame by day, a false lamp had nothing. A light may be as bright as what is around it: in luma
    alone it would have no edges.
    """
    left, top, right, bottom = clipped((box[0] - PAD, box[1] - PAD, box[2] + PAD, box[3] + PAD), source.shape)
    x0, y0 = max(left - SMOOTHED, 0), max(top - SMOOTHED, 0)
    wide = slice(y0, bottom + SMOOTHED), slice(x0, right + SMOOTHED)
    cut = slice(top - y0, bottom - y0), slice(left - x0, right - x0)
    shared = norm = 0.0
    for there, here in zip(cv2.split(source[wide]), cv2.split(variant[wide]), strict=True):
        was, now = gradients(there.astype(np.float32)), gradients(here.astype(np.float32))
        x, y = now.x[cut], now.y[cut]
        weights = source_weights(x, y)
        (cos, sin), before = source_directions(x, y, *weights), variant_directions(was.x[cut], was.y[cut])
        shared += float((cos * before[..., 0] + sin * before[..., 1]).sum())
        norm += source_norm(*weights)
    return min(max(1 - shared / norm, 0.0), 1.0) if norm > 0 else 1.0


def candidates(source: Frame, variant: Frame, objects: Sequence[SceneObject]) -> Candidates:
    """Fresh bright parts of a variant outside the labels: lamps, pieces of what is long or large, wide glows."""
    small = _small(source), _small(variant)
    wide = _shrunk(small[0]), _shrunk(small[1])
    labelled = _labelled(objects, small[1].value.shape, small[1].scale)
    compact, rest = _split(_fresh(*small, labelled, RISE))
    glows = _parts(_fresh(*wide, _labelled(objects, wide[1].value.shape, wide[1].scale), WIDE_RISE))[0]
    glows = glows[glows[:, cv2.CC_STAT_AREA] >= LEAST_WIDE]
    found = compact[:MAX_BLOBS], _cut(rest)[:MAX_PIECES], SHRUNK * glows[:MAX_WIDE]
    at = np.concatenate(found)[:, :4].astype(int)
    shapes: list[Shape] = [shape for shape, rows in zip(SHAPES, found, strict=True) for _ in rows]
    k = 1 / small[1].scale
    boxes = [(x * k, y * k, (x + w) * k, (y + h) * k) for x, y, w, h in at.tolist()]
    return Candidates(boxes, shapes, _patches((*small, *wide), at[:, :2] + at[:, 2:] // 2))


def _patches(images: Sequence[_Small], middles: np.ndarray) -> np.ndarray:
    """SIDE pixels of each image around each point (x, y at WIDTH), edge pixels repeated outside."""
    half = SIDE // 2
    out = np.empty((len(middles), SIDE, SIDE, 3 * len(images)), np.uint8)
    for i, small in enumerate(images):
        padded = cv2.copyMakeBorder(small.rgb, half, half, half, half, cv2.BORDER_REPLICATE)
        at = middles // (SHRUNK if i >= 2 else 1)
        for n, (x, y) in enumerate(at.tolist()):
            x, y = min(x, small.rgb.shape[1]), min(y, small.rgb.shape[0])
            out[n, ..., 3 * i : 3 * i + 3] = padded[y : y + SIDE, x : x + SIDE]
    return out


def _small(frame: Frame) -> _Small:
    """The halved copy that is nearest to WIDTH, or the image itself where that is smaller."""
    rgb = min(frame.images, key=lambda level: abs(np.log(level.shape[1] / WIDTH)))
    return _hatted(rgb, rgb.shape[1] / frame.image.shape[1])


def _shrunk(small: _Small) -> _Small:
    """The same at a quarter of its size."""
    h, w = small.rgb.shape[:2]
    size = max(1, w // SHRUNK), max(1, h // SHRUNK)
    return _hatted(cv2.resize(small.rgb, size, interpolation=cv2.INTER_AREA), small.scale / SHRUNK)


def _hatted(rgb: np.ndarray, scale: float) -> _Small:
    red, green, blue = cv2.split(rgb)
    value = cv2.max(cv2.max(red, green), blue)
    chroma = cv2.subtract(value, cv2.min(cv2.min(red, green), blue))
    square = np.ones((HAT, HAT), np.uint8)
    hats = [cv2.morphologyEx(channel, cv2.MORPH_TOPHAT, square) for channel in (value, chroma)]
    return _Small(rgb, value, cv2.max(*hats), scale)


def _fresh(source: _Small, variant: _Small, labelled: Mask, rise: int) -> Mask:
    """Where the variant shines above its surroundings and the source does not, outside the labels."""
    earlier = cv2.dilate(source.hat, np.ones((3, 3), np.uint8))
    return (variant.hat > rise) & (earlier < variant.hat * FADE) & ~labelled


def _parts(mask: Mask) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Connected parts of MIN_AREA and more, largest first: rows of x, y, w, h, area; their numbers; the mask."""
    _, numbered, stats, _ = cv2.connectedComponentsWithStatsWithAlgorithm(
        mask.view(np.uint8), 8, cv2.CV_16U, cv2.CCL_SPAGHETTI
    )
    order = 1 + np.argsort(-stats[1:, cv2.CC_STAT_AREA], kind="stable")
    order = order[stats[order, cv2.CC_STAT_AREA] >= MIN_AREA]
    return stats[order], order, numbered


def _split(mask: Mask) -> tuple[np.ndarray, Mask]:
    """Compact parts, as rows, and the mask of those that are long, large or ragged."""
    stats, numbers, numbered = _parts(mask)
    w, h, area = stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT], stats[:, cv2.CC_STAT_AREA]
    fill, ratio = COMPACT
    compact = (area <= MAX_AREA) & (area > fill * w * h) & (np.maximum(w, h) < ratio * np.minimum(w, h))
    ragged = np.zeros(int(numbered.max()) + 1, bool)
    ragged[numbers[~compact]] = True
    return stats[compact], ragged[numbered]


def _cut(mask: Mask) -> np.ndarray:
    """What is long or large in pieces of at most PIECE pixels a side, rows as of `_parts`."""
    mask = mask.copy()
    mask[::PIECE] = False
    mask[:, ::PIECE] = False
    return _parts(mask)[0]


def _labelled(objects: Sequence[SceneObject], shape: tuple[int, int], scale: float) -> np.ndarray:
    """Where a labelled thing is, with a few pixels around it for its halo."""
    mask = np.zeros(shape, np.uint8)
    for item in objects:
        if item.kind in ("box", "polygon", "mask") and not item.crowd:
            x1, y1, x2, y2 = item.bbox
            left, top, right, bottom = clipped((x1 * scale, y1 * scale, x2 * scale, y2 * scale), shape)
            mask[max(top - 3, 0) : bottom + 3, max(left - 3, 0) : right + 3] = 1
    return mask.astype(bool)


def _kind(patch: np.ndarray, box: Box, height: int) -> str:
    """signal, tail_light or lamp, by the colour of the blob's middle and by its height in the image."""
    reach = SIDE // 2 - 3
    middle = patch[reach:-reach, reach:-reach, 3:6].reshape(-1, 3).mean(0) / 255
    hue, saturation, _ = colorsys.rgb_to_hsv(*middle.tolist())
    red, green = _near(360 * hue, 0), _near(360 * hue, 140)
    if max(red, green) < 0.3 or saturation < 0.3:
        return "lamp"
    return "tail_light" if red > green and box[1] > 0.5 * height else "signal"


def _near(hue: float, centre: float) -> float:
    away = abs((hue - centre + 180) % 360 - 180)
    return math.exp(-((away / 25) ** 2))
