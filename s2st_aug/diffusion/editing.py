"""Published editing methods on a latent diffusion model, as functions of clean latents: DDIB, SDEdit, LEDITS++.

Each takes a batch of rows that know nothing of one another, and gives edited clean latents back. Prompts are embeddings
with one row, or as many as the latents.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from s2st_aug.diffusion.ddim import add_noise, ddim_move, half_log_snr, invert, predicted_x0
from s2st_aug.diffusion.denoiser import Context, Denoiser, Latent, guided, with_context
from s2st_aug.diffusion.schedule import NoiseSchedule


@dataclass(frozen=True, slots=True)
class EditPrompts:
    """Embeddings of the source's prompt, of the target's and of the empty prompt, as many rows as there are latents."""

    source: Context
    target: Context
    empty: Context


@torch.no_grad()
def ddib(
    denoise: Denoiser, schedule: NoiseSchedule, clean: Latent, prompts: EditPrompts, *, steps: int, guidance: float
) -> Latent:
    """Dual diffusion implicit bridges (arXiv 2203.08382): invert with the source's prompt, sample with the target's."""
    path = invert(with_context(denoise, prompts.source), clean, schedule, steps)
    return _down(denoise, schedule, path[-1], prompts, schedule.levels(steps), guidance)


@torch.no_grad()
def sdedit(
    denoise: Denoiser,
    schedule: NoiseSchedule,
    clean: Latent,
    noise: Latent,
    prompts: EditPrompts,
    *,
    strength: float,
    steps: int,
    guidance: float,
) -> Latent:
    """SDEdit (arXiv 2108.01073): noise up to a share of the path, then sample with the target's prompt."""
    start = sdedit_steps(strength, steps)
    levels = schedule.levels(steps)[: start + 1]
    return _down(denoise, schedule, add_noise(clean, noise, schedule.abar(levels[-1])), prompts, levels, guidance)


def sdedit_steps(strength: float, steps: int) -> int:
    """Sampling steps of SDEdit at this strength."""
    return max(1, round(strength * steps))


@torch.no_grad()
def ledits(
    denoise: Denoiser,
    schedule: NoiseSchedule,
    clean: Latent,
    noises: Latent,
    prompts: EditPrompts,
    *,
    steps: int,
    guidance: float,
    skip: float,
    threshold: float,
) -> Latent:
    """LEDITS++ (arXiv 2311.16711): edit-friendly inversion of the second-order SDE solver, then guidance towards the
    edit. `noises` are `levels b c h w`, one for each of the `ledits_steps` and one more.

    `threshold` is its mask of the edit's own noise (a quantile; at 0 it edits everywhere); the mask from
    cross-attention is not built: the small UNets attend at 1/16 of the image alone.
    """
    levels = schedule.levels(steps)[: ledits_steps(steps, skip) + 1]
    noisy = [clean, *(add_noise(clean, n, schedule.abar(t)) for n, t in zip(noises[1:], levels[1:], strict=True))]

    def edited(z: Latent, t: int) -> Latent:
        plain = denoise(z, t, prompts.empty)
        edit = denoise(z, t, prompts.target) - plain
        loud = edit.abs().sum(1, keepdim=True)
        return plain + guidance * edit * (loud >= torch.quantile(loud.flatten(1), threshold, 1).view(-1, 1, 1, 1))

    source, target = _SdePath(schedule, levels), _SdePath(schedule, levels)
    z = noisy[-1]
    for k in range(len(levels) - 1, 0, -1):
        mean, deviation = source.move(k, noisy[k], denoise(noisy[k], levels[k], prompts.empty))
        fresh = (noisy[k - 1] - mean) / deviation
        mean, deviation = target.move(k, z, edited(z, levels[k]))
        z = mean + deviation * fresh
    return z


def ledits_steps(steps: int, skip: float) -> int:
    """Steps of LEDITS++ where it skips the noisiest share of the path."""
    return round((1 - skip) * steps)


class _SdePath:
    """SDE-DPM-Solver++ 2M (arXiv 2211.01095), from the noisiest level down: the mean and the deviation of each move."""

    def __init__(self, schedule: NoiseSchedule, levels: list[int]):
        self.abars = [schedule.abar(t) for t in levels]
        self.lambdas = [half_log_snr(abar) for abar in self.abars]
        self.before: Latent | None = None

    def move(self, k: int, z: Latent, eps: Latent) -> tuple[Latent, float]:
        """From level k to the one below."""
        x0, h = predicted_x0(z, eps, self.abars[k]), self.lambdas[k - 1] - self.lambdas[k]
        held = (
            x0 if self.before is None else x0 + 0.5 * h / (self.lambdas[k] - self.lambdas[k + 1]) * (x0 - self.before)
        )
        self.before = x0
        sigma, sigma_to = (1 - self.abars[k]) ** 0.5, max(1 - self.abars[k - 1], 1e-8) ** 0.5
        lost = 1 - math.exp(-2 * h)
        return sigma_to / sigma * math.exp(-h) * z + self.abars[k - 1] ** 0.5 * lost * held, sigma_to * lost**0.5


def _down(
    denoise: Denoiser, schedule: NoiseSchedule, z: Latent, prompts: EditPrompts, levels: list[int], guidance: float
) -> Latent:
    predict = with_context(guided(denoise, prompts.empty, guidance), prompts.target)
    for k in range(len(levels) - 1, 0, -1):
        z = ddim_move(z, predict(z, levels[k]), schedule.abar(levels[k]), schedule.abar(levels[k - 1]))
    return z
