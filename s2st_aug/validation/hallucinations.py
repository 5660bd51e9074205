"""Lights in the variant that nothing in the source explains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from s2st_aug.arrays import Box
from s2st_aug.records.scene import SceneObject
from s2st_aug.records.verdicts import Hallucination
from s2st_aug.validation.gradients import source_directions, variant_directions
from s2st_aug.validation.lights import scores
from s2st_aug.validation.patches import Frame, clipped

WIDTH = 640  # px, nearly, that blobs are looked for at
HAT = 15  # px, side of the top-hat: larger bright areas are no lamps
RISE = 36  # levels by which a blob stands above its surroundings
FADE = 0.7  # share of that which the source may already have
MIN_AREA, MAX_AREA = 4, 450  # px at WIDTH
MAX_BLOBS = 48
LEAST_SCORE = 0.05  # blobs that are surely real are not listed
FEATURES = 16
PAD = 4  # px around a blob that its edges are looked for in


@dataclass(frozen=True, slots=True, eq=False)
class _Small:
    """A frame at WIDTH pixels: RGB, the brightest channel, and what a top-hat leaves of it or of chroma."""

    rgb: np.ndarray
    value: np.ndarray
    hat: np.ndarray
    scale: float


def made_up_lights(source: Frame, variant: Frame, objects: Sequence[SceneObject]) -> tuple[Hallucination, ...]:
    """Lamp-like blobs outside labelled objects with the score that the source does not explain them, highest first."""
    boxes, rows = blobs(source, variant, objects)
    found = [Hallucination(box, _kind(row), float(score)) for box, row, score in zip(boxes, rows, scores(rows), strict=True)]
    return tuple(sorted((h for h in found if h.score >= LEAST_SCORE), key=lambda h: -h.score))


def blobs(source: Frame, variant: Frame, objects: Sequence[SceneObject]) -> tuple[list[Box], np.ndarray]:
    """Fresh bright blobs of a variant, in source pixels, and their features, a row each."""
    small_s, small_v = _small(source), _small(variant)
    found = _blobs(small_s, small_v, objects)
    boxes = [_scaled((x, y, x + w, y + h), 1 / small_v.scale) for x, y, w, h in found[:, :4].astype(float).tolist()]
    rows = [blob_features(source, variant, small_s, small_v, blob) for blob in found]
    return boxes, np.stack(rows) if rows else np.empty((0, FEATURES))


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
    count, _, stats, _ = cv2.connectedComponentsWithStats(fresh.astype(np.uint8))
    stats = stats[1:count]
    area, w, h = stats[:, cv2.CC_STAT_AREA], stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]
    kept = stats[(area >= MIN_AREA) & (area <= MAX_AREA) & (area > 0.3 * w * h) & (np.maximum(w, h) < 3 * np.minimum(w, h))]
    return kept[np.argsort(-kept[:, 4])][:MAX_BLOBS]


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


def blob_features(source: Frame, variant: Frame, small_s: _Small, small_v: _Small, blob: np.ndarray) -> np.ndarray:
    """What tells a made-up light from a lamp, a lit window or a reflection; float64, about unit range.

    Unexplained edges, the source's own contrast there, shape, brightness, halo, colour, height in the image, light above.
    """
    x, y, w, h, area = (int(v) for v in blob)
    inner = (slice(y, y + h), slice(x, x + w))
    grown, far = _around(blob, 1, small_v), _around(blob, 2, small_v)
    core = small_v.rgb[inner].reshape(-1, 3).mean(0) / 255
    level, near, base = (float(small_v.value[s].mean()) / 255 for s in (inner, grown, far))
    hue, saturation = _hue(core)
    above = small_v.value[max(0, y - 8 * h) : max(1, y - h), x : x + w]
    before = small_s.value[grown].astype(np.float32)
    gap = unexplained(source, variant, _scaled((x, y, x + w, y + h), 1 / small_v.scale))
    return np.array([
        gap, np.clip(before.std() / 30, 0, 2), np.clip(float(small_s.hat[grown].max()) / 60, 0, 2),
        area / (w * h), abs(np.log(w / h)), np.log(area) / 5, level, float(small_v.hat[inner].max()) / 255,
        np.clip((near - base) / max(level - base, 0.05), 0, 1), base,
        saturation, saturation * _near(hue, 0), saturation * _near(hue, 140), saturation * _near(hue, 40),
        y / small_v.value.shape[0], (float(above.max()) / 255) if above.size else 0.0,
    ])  # fmt: skip


def _around(blob: np.ndarray, times: int, small: _Small) -> tuple[slice, slice]:
    x, y, w, h = (int(v) for v in blob[:4])
    dx, dy = times * w // 2 + 1, times * h // 2 + 1
    return slice(max(0, y - dy), y + h + dy), slice(max(0, x - dx), x + w + dx)


def _hue(colour: np.ndarray) -> tuple[float, float]:
    pixel = cv2.cvtColor(colour.astype(np.float32)[None, None], cv2.COLOR_RGB2HSV)[0, 0]
    return float(pixel[0]), float(pixel[1])


def _near(hue: float, centre: float) -> float:
    away = abs((hue - centre + 180) % 360 - 180)
    return float(np.exp(-((away / 25) ** 2)))


def unexplained(source: Frame, variant: Frame, box: Box) -> float:
    """1 - how well the source's edges run along the blob's own, in [0, 1]: a lit window had its frame by day, a false lamp nothing."""
    left, top, right, bottom = clipped((box[0] - PAD, box[1] - PAD, box[2] + PAD, box[3] + PAD), source.image.shape)
    cut = (slice(top, bottom), slice(left, right))
    (cos, sin), norm = source_directions(variant.gradients.x[cut], variant.gradients.y[cut])
    if norm <= 0:
        return 0.0
    there = variant_directions(source.gradients.x[cut], source.gradients.y[cut])
    return float(np.clip(1 - (cos * there[..., 0] + sin * there[..., 1]).sum() / norm, 0, 1))


def _kind(row: np.ndarray) -> str:
    """signal, tail_light or lamp, by colour and by height in the image."""
    saturation, red, green, height = row[10], row[11], row[12], row[14]
    if max(red, green) < 0.3 * max(saturation, 1e-6) or saturation < 0.3:
        return "lamp"
    return "tail_light" if red > green and height > 0.5 else "signal"
