"""Distance to the true render (scenes only): 1 is doing nothing, 0 perfect (docs/method.md#render-distance)."""

from __future__ import annotations

import cv2
import numpy as np

from s2st_aug.arrays import Image
from s2st_aug.errors import UsageError


def render_distance(source: np.ndarray, variant: np.ndarray, truth: np.ndarray) -> float | None:
    """d(variant, truth) / d(source, truth) with d of `colour_distance`.

    None where source and truth are the same picture.
    """
    if not source.shape == variant.shape == truth.shape:
        raise UsageError(
            f"source, variant and true render must be of one size; got {source.shape}, {variant.shape}, {truth.shape}"
        )
    whole = colour_distance(source, truth)
    return colour_distance(variant, truth) / whole if whole > 1e-6 else None


def colour_distance(a: Image, b: Image) -> float:
    """Mean CIELAB difference (CIE76) after a Gaussian of sigma = height / 45."""
    return float(np.linalg.norm(_smooth_lab(a) - _smooth_lab(b), axis=-1).mean())


def _smooth_lab(image: Image) -> np.ndarray:
    smooth = cv2.GaussianBlur(image.astype(np.float32) / 255, (0, 0), image.shape[0] / 45)
    return cv2.cvtColor(smooth, cv2.COLOR_RGB2Lab)
