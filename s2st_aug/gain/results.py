"""What one training measured on its test images, and what it would have measured on other draws of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from s2st_aug.randomness import numpy_generator

RESAMPLES = 200
"""draws of the test images with replacement, the same for every training"""
Measures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Measures in percent; of some of them, the value on each of `RESAMPLES` draws of the test images."""

    measures: Measures
    resampled: dict[str, list[float]] = field(default_factory=dict)


def draws(images: int) -> np.ndarray:
    """Which images each draw holds, `RESAMPLES images`: the same for all arms and keys, so that differences pair."""
    return numpy_generator(0, "test images", str(images)).integers(images, size=(RESAMPLES, images))
