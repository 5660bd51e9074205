"""Lights in the variant that nothing in the source explains."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from s2st_aug.arrays import Box
from s2st_aug.records.scene import SceneObject
from s2st_aug.records.verdicts import Hallucination
from s2st_aug.validation.gradients import source_directions, source_norm, source_weights, variant_directions
from s2st_aug.validation.lights import SIDE, scores
from s2st_aug.validation.patches import Frame, clipped

WIDTH = 640  # px, nearly, that blobs are looked for at
HAT = 15  # px, side of the top-hat: larger bright areas are no lamps
RISE = 36  # levels by which a blob stands above its surroundings
FADE = 0.7  # share of that which the source may already have
MIN_AREA, MAX_AREA = 4, 450  # px at WIDTH
MAX_BLOBS = 48
LEAST_SCORE = 0.1  # blobs that are surely real are not listed
PAD = 4  # px around a blob that its edges are looked for in
EXPLAINED = 0.2, 0.4
"""Share of a blob's edges that the source does not have: below, half of its score is left, as of a lit window."""
STREAK = 1.6
"""Height over width from which a blob in the lower half is a reflection; of 79 pasted lamps none had so much."""
REFLECTED = 0.5  # what is left of its score


@dataclass(frozen=True, slots=True, eq=False)
class _Small:
    """A frame at WIDTH pixels: RGB, the brightest channel, and what a top-hat leaves of it or of chroma."""

    rgb: np.ndarray
    value: np.ndarray
    hat: np.ndarray
    scale: float


def hallucinated_lights(source: Frame, variant: Frame, objects: Sequence[SceneObject]) -> tuple[Hallucination, ...]:
    """Lamp-like blobs outside labelled objects with the score that the source does not explain them, highest first."""
    boxes, patches = blob_patches(source, variant, objects)
    height = source.image.shape[0]
    found = []
    for box, patch, score in zip(boxes, patches, scores(patches).tolist(), strict=True):
        if score >= LEAST_SCORE:
            low, high = EXPLAINED
            gap = unexplained(source, variant, box)
            doubt = 0.5 + 0.5 * min(max((gap - low) / (high - low), 0.0), 1.0)
            # a streak on the road is a lamp's reflection on the wet, which has no label; the lamp itself is judged
            streak = box[1] > height / 2 and box[3] - box[1] >= STREAK * (box[2] - box[0])
            weighed = score * doubt * (REFLECTED if streak else 1.0)
            found.append(Hallucination(box, _kind(patch, box, height), weighed))
    return tuple(sorted(found, key=lambda h: -h.score))


def unexplained(source: Frame, variant: Frame, box: Box) -> float:
    """1 - how well the source's edges run along the blob's own, in [0, 1].

    A lit window had its frame by day, a false lamp had nothing.
    """
    left, top, right, bottom = clipped((box[0] - PAD, box[1] - PAD, box[2] + PAD, box[3] + PAD), source.image.shape)
    cut = (slice(top, bottom), slice(left, right))
    x, y = variant.gradients.x[cut], variant.gradients.y[cut]
    weights = source_weights(x, y)
    (cos, sin), norm = source_directions(x, y, *weights), source_norm(*weights)
    if norm <= 0:
        return 0.0
    there = variant_directions(source.gradients.x[cut], source.gradients.y[cut])
    return min(max(1 - float((cos * there[..., 0] + sin * there[..., 1]).sum() / norm), 0.0), 1.0)


def blob_patches(source: Frame, variant: Frame, objects: Sequence[SceneObject]) -> tuple[list[Box], np.ndarray]:
    """Fresh bright blobs of a variant, in source pixels, and their surroundings in both images, `n 32 32 6` uint8."""
    small_s, small_v = _small(source), _small(variant)
    found = _blobs(small_s, small_v, objects)
    half, scale = SIDE // 2, 1 / small_v.scale
    wide = [cv2.copyMakeBorder(small.rgb, half, half, half, half, cv2.BORDER_REPLICATE) for small in (small_s, small_v)]
    boxes, patches = [], np.empty((len(found), SIDE, SIDE, 6), np.uint8)
    for n, (x, y, w, h) in enumerate(found[:, :4].tolist()):
        boxes.append((x * scale, y * scale, (x + w) * scale, (y + h) * scale))
        left, top = x + w // 2, y + h // 2
        for i, image in enumerate(wide):
            patches[n, ..., 3 * i : 3 * i + 3] = image[top : top + SIDE, left : left + SIDE]
    return boxes, patches


def _small(frame: Frame) -> _Small:
    """The halved copy that is nearest to WIDTH, or the image itself where that is smaller."""
    rgb = min(frame.images, key=lambda level: abs(np.log(level.shape[1] / WIDTH)))
    scale = rgb.shape[1] / frame.image.shape[1]
    red, green, blue = cv2.split(rgb)
    value = cv2.max(cv2.max(red, green), blue)
    chroma = cv2.subtract(value, cv2.min(cv2.min(red, green), blue))
    square = np.ones((HAT, HAT), np.uint8)
    hats = [cv2.morphologyEx(channel, cv2.MORPH_TOPHAT, square) for channel in (value, chroma)]
    return _Small(rgb, value, cv2.max(*hats), scale)


def _blobs(source: _Small, variant: _Small, objects: Sequence[SceneObject]) -> np.ndarray:
    """Fresh bright blobs, a row of x, y, w, h, area each, largest first."""
    earlier = cv2.dilate(source.hat, np.ones((3, 3), np.uint8))
    fresh = (variant.hat > RISE) & (earlier < variant.hat * FADE)
    fresh &= ~_labelled(objects, fresh.shape, variant.scale)
    count, _, stats, _ = cv2.connectedComponentsWithStatsWithAlgorithm(
        fresh.view(np.uint8), 8, cv2.CV_16U, cv2.CCL_SPAGHETTI
    )
    stats = stats[1:count]
    area, w, h = stats[:, cv2.CC_STAT_AREA], stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]
    kept = stats[
        (area >= MIN_AREA) & (area <= MAX_AREA) & (area > 0.3 * w * h) & (np.maximum(w, h) < 3 * np.minimum(w, h))
    ]
    return kept[np.argsort(-kept[:, 4])][:MAX_BLOBS]


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
    middle = patch[reach:-reach, reach:-reach, 3:].reshape(-1, 3).mean(0) / 255
    hue, saturation, _ = colorsys.rgb_to_hsv(*middle.tolist())
    red, green = _near(360 * hue, 0), _near(360 * hue, 140)
    if max(red, green) < 0.3 or saturation < 0.3:
        return "lamp"
    return "tail_light" if red > green and box[1] > 0.5 * height else "signal"


def _near(hue: float, centre: float) -> float:
    away = abs((hue - centre + 180) % 360 - 180)
    return math.exp(-((away / 25) ** 2))
