"""Seed translation (ST): the seed is moved until it looks like the target domain's seeds and keeps the source's structure."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Int
from torch import Tensor

from s2st_aug.arrays import Latent
from s2st_aug.translation.adam import Descent, descend, descend_looking
from s2st_aug.translation.losses import Aim

Look = Callable[
    [Latent, Tensor], Latent
]  # where the losses look: the clean latent predicted from the seeds of some rows


def translate_seed(
    seed: Latent, aim: Aim, descent: Descent, look: Look | None = None
) -> tuple[Latent, Int[Tensor, " b"]]:
    """S2ST's ST: Adam on the seed against structure and appearance; also the iterations (or looks) that each sample used.

    Without `look` the losses are taken in seed space and no network runs.
    """
    if look is None:
        return descend(seed, aim.losses, descent)
    return descend_looking(seed, lambda z, rows: aim.rows(rows).losses(look(z, rows)), descent)
