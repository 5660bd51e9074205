"""Trajectory optimisation (TO): while sampling, the source's structure is restored and the target's appearance kept. Three ways."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from s2st_aug.arrays import Context, Latent
from s2st_aug.diffusion.ddim import Solver, add_noise, curvature, predicted_x0
from s2st_aug.diffusion.denoiser import Denoiser
from s2st_aug.diffusion.schedule import NoiseSchedule
from s2st_aug.translation.adam import Descent, adam_start, adam_step, descend
from s2st_aug.translation.inversion import Inversion
from s2st_aug.translation.losses import Aim


def optimise_clean(x0: Latent, aim: Aim, descent: Descent) -> tuple[Latent, Int[Tensor, " b"]]:
    """TO on the latents: Adam on the predicted clean latent of one step; no network. Also the iterations by sample.

    Where each value belongs in the target's histograms is asked once a step, not once an iteration.
    """
    targets = aim.targets_of(x0)
    return descend(x0, lambda x: aim.losses(x, targets), descent)


def optimise_empty(
    denoise: Denoiser,
    z: Latent,
    t: int,
    *,
    abar: float,
    prompt: Context,
    empty: Context,
    scale: float,
    aim: Aim,
    descent: Descent,
) -> tuple[Context, Int[Tensor, " b"]]:
    """TO on the unconditional embedding of one step (null-text inversion, arXiv 2211.09794, algorithm 1, with S2ST's losses).

    Each iteration is a forward and a backward pass of the samples still moving: asking which they are is the loop's one
    synchronisation, and spares their passes.
    """
    state = adam_start(empty)
    used = torch.zeros(len(z), dtype=torch.int64, device=z.device)
    alive = torch.arange(len(z), device=z.device)
    empty, eps_prompt = empty.clone(), denoise(z, t, prompt)
    for _ in range(descent.iterations):
        with torch.enable_grad():
            free = empty[alive].requires_grad_()
            eps_empty = denoise(z[alive], t, free)
            eps = eps_empty + scale * (eps_prompt[alive] - eps_empty)
            losses = aim.rows(alive).losses(predicted_x0(z[alive], eps, abar))
            (gradient,) = torch.autograd.grad(losses.sum(), free)
        empty[alive], state = adam_step(free.detach(), gradient, state, descent.rate)
        used[alive] += 1
        if descent.tolerance:
            moving = losses.detach() > descent.tolerance
            alive, state = alive[moving], state.rows(moving)
            if not len(alive):
                break
    return empty, used


@torch.no_grad()
def source_offsets(
    denoise: Denoiser, schedule: NoiseSchedule, source: Inversion, context: Context, *, solver: Solver = "ddim"
) -> list[Latent]:
    """Direct inversion (arXiv 2310.01506, algorithm 1): by how much each sampling step, in this solver, misses the source's own path.

    One evaluation a step and image, for all domains; first the offset of the noisiest step.
    """
    levels = schedule.levels(len(source.path) - 1)
    offsets: list[Latent] = []
    before: Latent | None = None
    for k in range(len(levels) - 1, 0, -1):
        z, here, there = source.path[k], schedule.abar(levels[k]), schedule.abar(levels[k - 1])
        eps = denoise(z, levels[k], context)
        x0 = predicted_x0(z, eps, here)
        reached = add_noise(x0, eps, there)
        if solver == "dpm2m" and before is not None:
            reached = reached + curvature(x0, before, (schedule.abar(levels[k + 1]), here, there))
        offsets.append(source.path[k - 1] - reached)
        before = x0
    return offsets
