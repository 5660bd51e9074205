"""What no structure measure sees: unchanged, merely darkened, black or washed-out images."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from s2st_aug.arrays import Image
from s2st_aug.validation.patches import shrunk_to

WIDTH = 160  # px: fine detail and noise are no part of this question
SMALLEST = 1.5  # mean levels of change below which a variant is the source itself


@dataclass(frozen=True, slots=True)
class Appearance:
    """`change` mean absolute levels.

    `tone_explained` the share of the variant's luma that one rising tone curve of the source explains (1: merely
    brighter or darker); `contrast` and `light` the 5-95 % range and the mean of L*.
    """

    change: float
    tone_explained: float
    contrast: float
    light: float


def appearance(source: Image, variant: Image) -> Appearance:
    """The four figures of a pair of one size."""
    small_s, small_v = _small(source), _small(variant)
    light = cv2.cvtColor(small_v / 255, cv2.COLOR_RGB2Lab)[..., 0]
    low, high = np.quantile(light, [0.05, 0.95])
    change = float(np.abs(small_s - small_v).mean())
    return Appearance(change, tone_explained(small_s, small_v), float(high - low), float(light.mean()))


def _small(image: Image) -> np.ndarray:
    size = (WIDTH, max(4, round(image.shape[0] * WIDTH / image.shape[1])))
    return shrunk_to(image, size).astype(np.float32)


def tone_explained(source: np.ndarray, variant: np.ndarray) -> float:
    """R^2 of the variant's luma under the best rising curve of the source's luma (64 bins, pooled to be monotone)."""
    x, y = (cv2.cvtColor(i, cv2.COLOR_RGB2GRAY).ravel().astype(np.float64) for i in (source, variant))
    bins = np.clip(x / 4, 0, 63).astype(int)
    count = np.bincount(bins, minlength=64)
    mean = np.bincount(bins, y, minlength=64)[count > 0] / count[count > 0]
    curve = np.full(64, np.nan)
    curve[count > 0] = np.maximum.accumulate(mean)
    total = float(((y - y.mean()) ** 2).sum())
    at = np.flatnonzero(count > 0)
    fitted = np.interp(x / 4 - 0.5, at, curve[at])
    return 1 - float(((y - fitted) ** 2).sum()) / total if total > 1e-9 * len(y) else 1.0
