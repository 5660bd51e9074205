"""Structure: do the variant's edges run where and as the source's do (METHOD, measures)? In [-1, 1], identity 1."""

from __future__ import annotations

import numpy as np

from s2st_aug.arrays import Image
from s2st_aug.validation.gradients import FLOOR, HALF, Gradients, gradients, luma, source_weight

MIN_WEIGHT = 1e-3  # mean weight a pixel below which an image has too little structure to judge


def structure(source: Image, variant: Image) -> float | None:
    """METHOD's structure of two images of one size; None where the source is too flat to judge.

    >>> import numpy as np
    >>> structure(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.uint8)) is None
    True
    """
    return structure_of(gradients(luma(source)), gradients(luma(variant)))


def structure_of(source: Gradients, variant: Gradients) -> float | None:
    """The same from gradients that are already there; only pixels that carry weight are visited."""
    squared = source.x * source.x + source.y * source.y
    at = np.flatnonzero(squared > FLOOR**2)
    m_s = squared.ravel()[at]
    weight = source_weight(m_s)
    if float(weight.sum()) <= MIN_WEIGHT * squared.size:
        return None
    dot, m_v = _agreement(source, variant, at)
    # cos 2(a - b) m_v / (m_v + 4), with cos 2d = 2 cos^2 d - 1 and dot = |g_s| |g_v| cos d
    agreement = (2 * dot * dot / m_s - m_v) / (m_v + HALF)
    return float(np.dot(weight, agreement) / np.dot(weight, m_s / (m_s + HALF)))


def _agreement(source: Gradients, variant: Gradients, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x_v, y_v = variant.x.ravel()[at], variant.y.ravel()[at]
    return source.x.ravel()[at] * x_v + source.y.ravel()[at] * y_v, x_v * x_v + y_v * y_v
