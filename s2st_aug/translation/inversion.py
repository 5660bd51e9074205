"""Inversion: images' latents back to their seeds, at guidance 1 with the source's prompt; one inversion serves all domains."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from s2st_aug.arrays import Context, Latent
from s2st_aug.diffusion import ddim
from s2st_aug.diffusion.denoiser import Denoiser, with_context
from s2st_aug.diffusion.schedule import NoiseSchedule


@dataclass(frozen=True, slots=True)
class Inversion:
    """The path of a batch of images: latents at every level, from the clean one to the seed."""

    path: tuple[Latent, ...]
    evaluations: int  # of the network, per image

    @property
    def clean(self) -> Latent:
        """The images' own latents."""
        return self.path[0]

    @property
    def seed(self) -> Latent:
        """The latents z_T."""
        return self.path[-1]


@torch.no_grad()
def invert(
    denoise: Denoiser,
    schedule: NoiseSchedule,
    clean: Latent,
    context: Context,
    *,
    steps: int,
    refinements: int = 0,
    solver: ddim.Solver = "ddim",
) -> Inversion:
    """The path of clean latents to their seeds; `context` is the source's prompt, one row per image."""
    path = ddim.invert(with_context(denoise, context), clean, schedule, steps, refine=refinements, solver=solver)
    return Inversion(tuple(path), steps * (1 + (refinements if solver == "ddim" else 0)))
