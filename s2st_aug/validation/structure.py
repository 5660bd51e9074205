"""Structure: do the variant's edges run where and as the source's do (docs/method.md#structure)?

In [-1, 1], identity 1.
"""

from __future__ import annotations

import numpy as np

from s2st_aug.arrays import Image
from s2st_aug.validation.gradients import (
    HALF,
    Gradients,
    image_gradients,
    source_directions,
    source_norm,
    source_weights,
)

MIN_WEIGHT = 1e-3  # mean weight a pixel below which an image has too little structure to judge
ROWS = 48  # rows at a time, so that the fields stay in the processor's cache


def structure(source: Image, variant: Image) -> float | None:
    """Structure of two images (docs/method.md#structure) of one size; None where the source is too flat to judge.

    >>> import numpy as np
    >>> structure(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.uint8)) is None
    True
    """
    return structures_of(image_gradients(source), [image_gradients(variant)])[0]


def structures_of(source: Gradients, variants: list[Gradients]) -> list[float | None]:
    """The same for several variants of one source, from gradients that are already there."""
    whole, agreed = 0.0, np.zeros(len(variants))
    for top in range(0, source.x.shape[0], ROWS):
        rows = slice(top, top + ROWS)
        x, y = source.x[rows], source.y[rows]
        weights = source_weights(x, y)
        field = source_directions(x, y, *weights)
        np.multiply(field[1], 2, out=field[1])
        whole += source_norm(*weights)
        agreed += [_agreement(field, v.x[rows], v.y[rows]) for v in variants]
    if whole <= MIN_WEIGHT * source.x.size:
        return [None] * len(variants)
    return [float(a / whole) for a in agreed]


def _agreement(field: tuple[np.ndarray, np.ndarray], x: np.ndarray, y: np.ndarray) -> float:
    """sum w cos 2(theta_s - theta_v) m_v / (m_v + 4); the source's field with its second half doubled."""
    xx, yy = x * x, y * y
    agreed = xx - yy
    agreed *= field[0]
    cross = x * y
    cross *= field[1]
    agreed += cross
    xx += yy
    xx += HALF
    agreed /= xx
    return float(agreed.sum())


def edge_weights(x: np.ndarray, y: np.ndarray, floor: float, cap: float, half: float) -> tuple[np.ndarray, np.ndarray]:
    """w (cos 2theta, sin 2theta) of a source's gradients, `h w 2`, and w m / (m + half), `h w`.

    w is |g| up to `cap` where it is above `floor`, else 0.
    """
    xx, yy = x * x, y * y
    m = xx + yy
    weight = np.minimum(np.sqrt(m), cap) * (m > floor * floor)
    scale = weight / np.maximum(m, 1e-6)
    return np.dstack([(xx - yy) * scale, 2 * x * y * scale]), weight * m / (m + half)


def edge_field(x: np.ndarray, y: np.ndarray, half: float) -> np.ndarray:
    """m / (m + half) (cos 2theta, sin 2theta) of a variant's gradients, `h w 2`."""
    xx, yy = x * x, y * y
    scale = 1 / (xx + yy + half)
    return np.dstack([(xx - yy) * scale, 2 * x * y * scale])
