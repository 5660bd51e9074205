"""Distance to the true render (METHOD, measures): scenes only, where the right answer of a translation is known."""

from __future__ import annotations

import cv2
import numpy as np

from s2st_aug.arrays import Image
from s2st_aug.images import to_lab


def colour_distance(a: Image, b: Image) -> float:
    """Mean CIELAB difference after a Gaussian of sigma = height / 45."""
    sigma = a.shape[0] / 45
    blurred = [cv2.GaussianBlur(to_lab(image), (0, 0), sigma) for image in (a, b)]
    return float(np.linalg.norm(blurred[0] - blurred[1], axis=-1).mean())


def render_distance(source: Image, variant: Image, truth: Image) -> float:
    """d(variant, T) / d(source, T): 1 is doing nothing, 0 perfect."""
    return colour_distance(variant, truth) / max(colour_distance(source, truth), 1e-6)
