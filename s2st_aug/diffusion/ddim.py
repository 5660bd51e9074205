"""DDIM both ways as pure functions (arXiv 2010.02502, equation 12), and DPM-Solver++ 2M (arXiv 2211.01095).

The latents pass through *levels*: CLEAN, then the visited steps, rising. Between two neighbouring levels the network is
shown the noisier one's time, in inversion as in sampling (as null-text's code and diffusers' DDIMInverseScheduler do);
x0 takes the abar of the level where the latents are.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Literal

import torch

from s2st_aug.diffusion.denoiser import Latent, Predict
from s2st_aug.diffusion.schedule import NoiseSchedule

Solver = Literal["ddim", "dpm2m"]


def predicted_x0(latents: Latent, eps: Latent, abar: float) -> Latent:
    """x0 = (z - sqrt(1-abar) eps) / sqrt(abar)."""
    return (latents - (1 - abar) ** 0.5 * eps) / abar**0.5


def add_noise(x0: Latent, eps: Latent, abar: float) -> Latent:
    """z = sqrt(abar) x0 + sqrt(1-abar) eps."""
    return abar**0.5 * x0 + (1 - abar) ** 0.5 * eps


def ddim_move(latents: Latent, eps: Latent, abar_from: float, abar_to: float) -> Latent:
    """One deterministic DDIM move, either way, between two noise levels."""
    return add_noise(predicted_x0(latents, eps, abar_from), eps, abar_to)


def invert(
    predict: Predict, latents: Latent, schedule: NoiseSchedule, steps: int, *, refine: int = 0, solver: Solver = "ddim"
) -> list[Latent]:
    """DDIM run backwards: the latents at all `steps + 1` levels, from the image's own (first) to the seed (last).

    `refine`: extra evaluations per step that solve each step's implicit equation by fixed-point iteration (AIDI, arXiv
    2309.04907): the noise is taken anew at the latents that it led to, so that sampling goes back exactly.
    """
    levels = schedule.levels(steps)
    if solver == "dpm2m":
        return [latents, *_dpm2m(predict, latents, schedule, levels)]
    path = [latents]
    for below, above in itertools.pairwise(levels):
        here, there = schedule.abar(below), schedule.abar(above)
        moved = ddim_move(path[-1], predict(path[-1], above), here, there)
        for _ in range(refine):
            moved = ddim_move(path[-1], predict(moved, above), here, there)
        path.append(moved)
    return path


def sample(predict: Predict, seed: Latent, schedule: NoiseSchedule, steps: int, *, solver: Solver = "ddim") -> Latent:
    """DDIM sampling from the seed down to the clean level."""
    for latents in sampling_path(predict, seed, schedule, steps, solver=solver):
        clean = latents
    return clean


def sampling_path(
    predict: Predict, seed: Latent, schedule: NoiseSchedule, steps: int, *, solver: Solver = "ddim"
) -> Iterator[Latent]:
    """The latents after each of the `steps` moves of sampling, from the noisiest down."""
    levels = schedule.levels(steps)[::-1]
    if solver == "dpm2m":
        yield from _dpm2m(predict, seed, schedule, levels)
        return
    latents = seed
    for above, below in itertools.pairwise(levels):
        latents = ddim_move(latents, predict(latents, above), schedule.abar(above), schedule.abar(below))
        yield latents


def half_log_snr(abar: float) -> float:
    """lambda = log(alpha / sigma) = log(abar / (1-abar)) / 2, DPM-Solver's time; bounded at abar 0 and 1."""
    abar = min(max(abar, 1e-8), 1 - 1e-8)
    return 0.5 * math.log(abar / (1 - abar))


def dpm2m_move(
    latents: Latent,
    x0: Latent,
    x0_before: Latent | None,
    lambdas: tuple[float | None, float, float],
    abars: tuple[float, float],
) -> Latent:
    """One move of DPM-Solver++ 2M (algorithm 2), either way: z' = sigma'/sigma z + (alpha' - alpha sigma'/sigma) x0.

    It is of first order where no level was before, or the one before was the same.

    `lambdas`: before, here, there; `abars`: here, there.
    """
    before, here, there = lambdas
    if x0_before is not None and before is not None and before != here != there:
        ratio = (there - here) / (2 * (here - before))
        x0 = x0 + ratio * (x0 - x0_before)
    alpha, alpha_to = abars[0] ** 0.5, abars[1] ** 0.5
    shrink = ((1 - abars[1]) / max(1 - abars[0], 1e-12)) ** 0.5  # sigma' / sigma
    return shrink * latents + (alpha_to - alpha * shrink) * x0


def curvature(x0: Latent, x0_before: Latent, abars: tuple[float, float, float]) -> Latent:
    """What the second order adds to a DDIM move: DPM-Solver++ 2M less its own first order.

    `abars`: before, here, there.
    """
    before, here, there = abars
    lambdas = (half_log_snr(before), half_log_snr(here), half_log_snr(there))
    return dpm2m_move(x0, x0, x0_before, lambdas, (here, there)) - dpm2m_move(x0, x0, None, lambdas, (here, there))


def _dpm2m(predict: Predict, latents: Latent, schedule: NoiseSchedule, levels: list[int]) -> Iterator[Latent]:
    """The latents after each move along `levels`, rising or falling.

    The network is shown the level where the latents are.
    """
    x0_before: torch.Tensor | None = None
    before: float | None = None
    for at, to in itertools.pairwise(levels):
        abars = schedule.abar(at), schedule.abar(to)
        x0 = predicted_x0(latents, predict(latents, max(at, 0)), abars[0])
        here = half_log_snr(abars[0])
        latents = dpm2m_move(latents, x0, x0_before, (before, here, half_log_snr(abars[1])), abars)
        x0_before, before = x0, here
        yield latents
