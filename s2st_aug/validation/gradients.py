"""Smoothed Scharr gradients and their polarity-blind direction: what every structure measure here is made of."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from s2st_aug.arrays import Grey, Image
from s2st_aug.images import luma

SMOOTHING = 1.5  # px
FLOOR = 2.0  # |g| at or below which a source pixel carries no weight
CAP = 20.0  # |g| above which a source pixel gains no more weight
HALF = 4.0  # m at which a gradient counts for half
STRIP, HALO = 120, 7  # rows at a time, and rows beside them that their gradients depend on


@dataclass(frozen=True, slots=True, eq=False)
class Gradients:
    """Scharr gradients / 32 of smoothed luma (0..255), in luma steps per pixel, and the luma itself."""

    luma: np.ndarray  # h w float32, unsmoothed
    x: np.ndarray  # h w float32
    y: np.ndarray  # h w float32


def gradients(grey: Grey) -> Gradients:
    """Gradients at the size of `grey`, smoothed by a Gaussian of 1.5 px first (docs/method.md#structure)."""
    smooth = cv2.GaussianBlur(grey, (0, 0), SMOOTHING)
    x = cv2.Scharr(smooth, cv2.CV_32F, 1, 0, scale=1 / 32)
    y = cv2.Scharr(smooth, cv2.CV_32F, 0, 1, scale=1 / 32)
    return Gradients(grey, x, y)


def source_weights(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """m and w of a source: w = min(|g|, 20) where |g| > 2, else 0."""
    squared = x * x
    squared += y * y
    weight = np.sqrt(squared)
    np.minimum(weight, CAP, out=weight)
    weight *= squared > FLOOR**2
    return squared, weight


def source_norm(squared: np.ndarray, weight: np.ndarray) -> float:
    """The sum of w m / (m + 4), what structure is divided by."""
    return float((weight * (squared / (squared + HALF))).sum())


def source_directions(
    x: np.ndarray, y: np.ndarray, squared: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """w cos 2theta and w sin 2theta of a source; m and w as `source_weights` gives them."""
    scale = weight / np.maximum(squared, 1e-6)
    cos = x * x
    cos -= y * y
    cos *= scale
    sin = x * y
    sin *= scale
    sin *= 2
    return cos, sin


def empty_gradients(shape: tuple[int, ...]) -> Gradients:
    """Room for the gradients of an image of `shape` (h, w, ...)."""
    return Gradients(*(np.empty(shape[:2], np.float32) for _ in range(3)))


def image_gradients(image: Image, out: Gradients | None = None) -> Gradients:
    """`gradients(luma(image))`, by strips that stay in the processor's cache; written into `out` where given."""
    h, out = image.shape[0], out or empty_gradients(image.shape)
    for top in range(0, h, STRIP):
        luma(image[top : top + STRIP], out.luma[top : top + STRIP])
    for top in range(0, h, STRIP):
        first, end = max(top - HALO, 0), min(top + STRIP, h)
        part, rows = gradients(out.luma[first : min(end + HALO, h)]), slice(top - first, end - first)
        out.x[top:end], out.y[top:end] = part.x[rows], part.y[rows]
    return out


def variant_directions(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """m / (m + 4) (cos 2theta, sin 2theta) of a variant, shape `h w 2`.

    Its dot product with the source's is the numerator of structure.
    """
    xx, yy = x * x, y * y
    scale = 1 / (xx + yy + HALF)
    return cv2.merge([(xx - yy) * scale, 2 * x * y * scale])
