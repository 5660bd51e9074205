"""Lights in the variant that nothing in the source explains."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from s2st_aug.arrays import Box
from s2st_aug.records.scene import SceneObject
from s2st_aug.records.verdicts import Hallucination
from s2st_aug.validation.gradients import source_directions, variant_directions
from s2st_aug.validation.patches import Frame, clipped

WIDTH = 640  # px that blobs are looked for at
HAT = 15  # px, side of the top-hat: larger bright areas are no lamps
RISE = 45  # levels by which a blob stands above its surroundings
FADE = 0.5  # share of that which the source may already have
MIN_AREA, MAX_AREA = 4, 150  # px at WIDTH
MAX_BLOBS = 40


def made_up_lights(source: Frame, variant: Frame, objects: Sequence[SceneObject]) -> tuple[Hallucination, ...]:
    """Lamp-like blobs outside labelled objects with the score that the source does not explain them, highest first."""
    scale = min(1.0, WIDTH / source.image.shape[1])
    found = []
    for x, y, w, h in _blobs(source, variant, objects, scale):
        box = (x / scale, y / scale, (x + w) / scale, (y + h) / scale)
        found.append(Hallucination(box, _kind(variant, box), unexplained(source, variant, box)))
    return tuple(sorted(found, key=lambda h: -h.score))


def _blobs(source: Frame, variant: Frame, objects: Sequence[SceneObject], scale: float) -> list[tuple[int, int, int, int]]:
    hat_s, hat_v = _hat(source, scale), _hat(variant, scale)
    earlier = cv2.dilate(hat_s, np.ones((5, 5), np.uint8))
    fresh = (hat_v > RISE) & (earlier < hat_v * FADE)
    fresh &= ~_labelled(objects, fresh.shape, scale)
    count, _, stats, _ = cv2.connectedComponentsWithStats(fresh.astype(np.uint8))
    stats = stats[1:count]
    area, w, h = stats[:, cv2.CC_STAT_AREA], stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]
    round_ones = (area >= MIN_AREA) & (area <= MAX_AREA) & (area > 0.4 * w * h) & (np.maximum(w, h) < 3 * np.minimum(w, h))
    kept = stats[round_ones]
    return [tuple(int(v) for v in row[:4]) for row in kept[np.argsort(-kept[:, 4])][:MAX_BLOBS]]


def _hat(frame: Frame, scale: float) -> np.ndarray:
    size = (max(1, round(frame.image.shape[1] * scale)), max(1, round(frame.image.shape[0] * scale)))
    small = cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA) if scale < 1 else frame.image
    light = small.max(axis=2)
    return cv2.morphologyEx(light, cv2.MORPH_TOPHAT, np.ones((HAT, HAT), np.uint8))


def _labelled(objects: Sequence[SceneObject], shape: tuple[int, int], scale: float) -> np.ndarray:
    """Where a labelled thing is, with a few pixels around it for its halo."""
    mask = np.zeros(shape, np.uint8)
    for item in objects:
        if item.kind in ("box", "polygon", "mask") and not item.crowd:
            left, top, right, bottom = clipped(_scaled(item.bbox, scale), shape)
            mask[max(top - 3, 0) : bottom + 3, max(left - 3, 0) : right + 3] = 1
    return mask.astype(bool)


def _scaled(box: Box, k: float) -> Box:
    return box[0] * k, box[1] * k, box[2] * k, box[3] * k


def unexplained(source: Frame, variant: Frame, box: Box) -> float:
    """1 - how well the source's edges run along the blob's own, in [0, 1]: a lit window had its frame by day, a false lamp nothing."""
    left, top, right, bottom = clipped((box[0] - 4, box[1] - 4, box[2] + 4, box[3] + 4), source.image.shape)
    cut = (slice(top, bottom), slice(left, right))
    (cos, sin), norm = source_directions(variant.gradients.x[cut], variant.gradients.y[cut])
    if norm <= 0:
        return 0.0
    there = variant_directions(source.gradients.x[cut], source.gradients.y[cut])
    return float(np.clip(1 - (cos * there[..., 0] + sin * there[..., 1]).sum() / norm, 0, 1))


def _kind(variant: Frame, box: Box) -> str:
    """signal, tail_light or lamp, by colour and by height in the image."""
    left, top, right, bottom = clipped(box, variant.image.shape)
    mean = variant.image[top:bottom, left:right].reshape(-1, 3).mean(0)
    hue, saturation, _ = cv2.cvtColor((mean / 255).astype(np.float32)[None, None], cv2.COLOR_RGB2HSV)[0, 0]
    if saturation < 0.35 or 25 <= hue < 75:
        return "lamp"
    low = bottom > 0.5 * variant.image.shape[0]
    return "tail_light" if low and (hue < 25 or hue > 335) else "signal"
