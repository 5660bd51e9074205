"""Colour transfer (Reinhard et al. 2001): mean and deviation of each CIELAB channel become the target's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s2st_aug.arrays import Image
from s2st_aug.images import from_lab, to_lab
from s2st_aug.methods.photometric import Photometric

if TYPE_CHECKING:
    from s2st_aug.profiles.colours import Colours


class Reinhard(Photometric):
    """Mean and deviation of each CIELAB channel become the domain's."""

    version = "1"

    def change(self, image: Image, target: Colours) -> Image:
        """As `reinhard`."""
        return reinhard(image, target)


def reinhard(image: Image, target: Colours) -> Image:
    """Reinhard et al. 2001, over the whole image, in CIELAB."""
    lab = to_lab(image)
    mean, deviation = target.quantiles.mean((0, 2)), target.quantiles.std((0, 2))
    own_mean, own_deviation = lab.reshape(-1, 3).mean(0), lab.reshape(-1, 3).std(0) + 1e-3
    return from_lab((lab - own_mean) / own_deviation * deviation + mean)
