"""Photometric controls: what costs nothing and must be beaten (docs/method.md#controls).

They know the target's colours, not its content. They are the product's own photometric methods.
"""

from __future__ import annotations

from collections.abc import Callable

from s2st_aug.arrays import Image
from s2st_aug.methods.gamma import gamma_desaturated
from s2st_aug.methods.histogram import match_histograms
from s2st_aug.methods.reinhard import reinhard
from s2st_aug.profiles.colours import Colours

__all__ = ["CONTROLS"]


def identity(image: Image, _target: Colours) -> Image:
    """The source itself."""
    return image


CONTROLS: dict[str, Callable[[Image, Colours], Image]] = {
    "identity": identity,
    "histogram": match_histograms,
    "gamma": gamma_desaturated,
    "reinhard": reinhard,
}
