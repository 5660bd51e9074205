"""Sampling: from the translated seed to a clean latent under the target's prompt, with trajectory optimisation at every step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from s2st_aug.arrays import Context, Latent
from s2st_aug.diffusion.ddim import add_noise, curvature, predicted_x0
from s2st_aug.diffusion.denoiser import Denoiser
from s2st_aug.diffusion.schedule import NoiseSchedule
from s2st_aug.translation.adam import Descent
from s2st_aug.translation.losses import Aim
from s2st_aug.translation.settings import MethodSettings
from s2st_aug.translation.trajectory import optimise_clean, optimise_empty


@dataclass(frozen=True, slots=True)
class Sampled:
    """Clean latents, and what each sample cost: TO iterations, forward and backward evaluations of the network."""

    latent: Latent
    iterations: Int[Tensor, " b"]
    forward: Int[Tensor, " b"]
    backward: Int[Tensor, " b"]


@torch.no_grad()
def sample(
    denoise: Denoiser,
    schedule: NoiseSchedule,
    seed: Latent,
    prompt: Context,
    empty: Context,
    aim: Aim,
    settings: MethodSettings,
    offsets: list[Latent] | None = None,
) -> Sampled:
    """The second half of S2ST: guided noise, predicted clean latent, its optimisation, the move to the next level.

    `prompt` and `empty` have one row per sample; `offsets` (direct inversion) are added to every step's result.
    """
    z, before, levels = seed, None, schedule.levels(settings.steps)[::-1]
    iterations, forward, backward = (torch.zeros(len(seed), dtype=torch.int64, device=seed.device) for _ in range(3))
    inner = Descent(settings.to_iterations, settings.to_rate, settings.to_tolerance)
    for k, t in enumerate(levels[:-1]):
        here, there, scale = schedule.abar(t), schedule.abar(levels[k + 1]), guidance_at(k, settings)
        method = settings.to_method if k >= settings.to_from * settings.steps else "none"
        if method == "null_text" and scale > 1:
            empty, used = optimise_empty(
                denoise, z, t, abar=here, prompt=prompt, empty=empty, scale=scale, aim=aim, descent=inner
            )
            iterations, forward, backward = iterations + used, forward + used + 1, backward + used
        eps = guided_noise(denoise, z, t, prompt, empty, scale)
        forward = forward + (2 if scale > 1 else 1)
        x0 = predicted_x0(z, eps, here)
        if method == "latents":
            x0, used = optimise_clean(x0, aim, inner)
            iterations = iterations + used
        z = add_noise(x0, eps, there)
        if settings.solver == "dpm2m" and before is not None:
            z = z + curvature(x0, before, (schedule.abar(levels[k - 1]), here, there))
        if offsets is not None:
            z = z + offsets[k]
        before = x0
    return Sampled(z, iterations, forward, backward)


def guided_noise(denoise: Denoiser, z: Latent, t: int, prompt: Context, empty: Context, scale: float) -> Latent:
    """Classifier-free guidance (arXiv 2207.12598, equation 6) in one doubled batch; at scale 1 the prompt alone."""
    if scale <= 1:
        return denoise(z, t, prompt)
    eps_empty, eps = denoise(torch.cat([z, z]), t, torch.cat([empty, prompt])).chunk(2)
    return eps_empty + scale * (eps - eps_empty)


def guidance_at(step: int, settings: MethodSettings) -> float:
    """The guidance scale of a step: outside of its interval the prompt alone, one evaluation instead of two."""
    return settings.guidance if settings.guidance_from <= step / settings.steps < settings.guidance_until else 1.0
