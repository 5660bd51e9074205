"""Seed translation (ST): the seed is moved until it looks like the target domain's seeds and keeps the source's structure."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Int
from torch import Tensor

from s2st_aug.arrays import Latent
from s2st_aug.translation.adam import Descent, descend
from s2st_aug.translation.losses import Aim

Look = Callable[[Latent], Latent]  # where the losses look: the seed itself, or the clean latent predicted from it


def translate_seed(seed: Latent, aim: Aim, descent: Descent, look: Look | None = None) -> tuple[Latent, Int[Tensor, " b"]]:
    """S2ST's ST: Adam on the seed against structure and appearance; also the iterations that each sample used.

    Without `look` the losses are taken in seed space and no network runs.
    """
    return descend(seed, lambda z: aim.losses(look(z) if look else z), descent)
