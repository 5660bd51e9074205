"""Darkening with desaturation: the change that anybody makes first, at the target's own mean lightness and chroma."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from s2st_aug.arrays import Image
from s2st_aug.images import from_lab, to_lab
from s2st_aug.methods.photometric import Photometric

if TYPE_CHECKING:
    from s2st_aug.profiles.colours import Colours


class Gamma(Photometric):
    """One gamma to the domain's mean lightness, and chroma scaled down to its mean chroma."""

    version = "1"

    def change(self, image: Image, target: Colours) -> Image:
        """As `gamma_desaturated`."""
        return gamma_desaturated(image, target)


def gamma_desaturated(image: Image, target: Colours) -> Image:
    """One gamma that gives the target's mean lightness, and chroma scaled to the target's mean chroma."""
    lab = to_lab(image)
    light = np.clip(lab[..., 0] / 100, 1e-3, 1)
    goal = float(target.quantiles[:, 0].mean()) / 100
    lab[..., 0] = 100 * light ** _gamma(light, goal)
    wanted = np.abs(target.quantiles[:, 1:]).mean()
    lab[..., 1:] *= min(1.0, wanted / max(float(np.abs(lab[..., 1:]).mean()), 1e-3))
    return from_lab(lab)


def _gamma(light: np.ndarray, goal: float) -> float:
    low, high = 0.1, 12.0
    small = light[::4, ::4]
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if (small**middle).mean() > goal else (low, middle)
    return (low + high) / 2
