"""Photometric controls: what costs nothing and must be beaten (docs/method.md#controls).

They know the target's colours, not its content.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from s2st_aug.arrays import Image
from s2st_aug.images import from_lab, to_lab
from s2st_aug.methods.histogram import Colours, colours, faded, match_histograms

__all__ = ["CONTROLS", "Colours", "colours", "faded"]


def identity(image: Image, _target: Colours) -> Image:
    """The source itself."""
    return image


def gamma_desaturated(image: Image, target: Colours) -> Image:
    """One gamma that gives the target's mean lightness, and chroma scaled to the target's mean chroma."""
    lab = to_lab(image)
    light = np.clip(lab[..., 0] / 100, 1e-3, 1)
    goal = float(target.quantiles[:, 0].mean()) / 100
    lab[..., 0] = 100 * light ** _gamma(light, goal)
    wanted = np.abs(target.quantiles[:, 1:]).mean()
    lab[..., 1:] *= min(1.0, wanted / max(float(np.abs(lab[..., 1:]).mean()), 1e-3))
    return from_lab(lab)


def reinhard(image: Image, target: Colours) -> Image:
    """Reinhard et al. 2001: mean and deviation of each CIELAB channel are the target's."""
    lab = to_lab(image)
    mean, deviation = target.quantiles.mean((0, 2)), target.quantiles.std((0, 2))
    own_mean, own_deviation = lab.reshape(-1, 3).mean(0), lab.reshape(-1, 3).std(0) + 1e-3
    return from_lab((lab - own_mean) / own_deviation * deviation + mean)


CONTROLS: dict[str, Callable[[Image, Colours], Image]] = {
    "identity": identity,
    "histogram": match_histograms,
    "gamma": gamma_desaturated,
    "reinhard": reinhard,
}


def _gamma(light: np.ndarray, goal: float) -> float:
    low, high = 0.1, 12.0
    small = light[::4, ::4]
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if (small**middle).mean() > goal else (low, middle)
    return (low + high) / 2
