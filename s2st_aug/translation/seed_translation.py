"""Seed translation (ST): the seed is moved until it looks like the target domain's seeds and keeps the source's structure."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Int
from torch import Tensor

from s2st_aug.arrays import Latent
from s2st_aug.translation.adam import Descent, adam_start, adam_step
from s2st_aug.translation.losses import Aim

Look = Callable[[Latent], Latent]  # where the losses look: the seed itself, or the clean latent predicted from it


def translate_seed(seed: Latent, aim: Aim, descent: Descent, look: Look | None = None) -> tuple[Latent, Int[Tensor, " b"]]:
    """S2ST's ST: Adam on the seed against structure and appearance; also the iterations that each sample used.

    Without `look` the losses are taken in seed space and no network runs. A sample whose loss is at most the descent's tolerance stays
    where it is.
    """
    z, state = seed, adam_start(seed)
    used = torch.zeros(len(seed), dtype=torch.int64, device=seed.device)
    for _ in range(descent.iterations):
        with torch.enable_grad():
            free = z.detach().requires_grad_()
            losses = aim.losses(look(free) if look else free)
            (gradient,) = torch.autograd.grad(losses.sum(), free)
        moving = losses.detach() > descent.tolerance
        moved, state = adam_step(z, gradient, state, descent.rate)
        z = torch.where(moving[:, None, None, None], moved, z)
        used += moving
    return z, used
