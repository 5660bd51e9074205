"""What a loaded latent diffusion model is to everything above: callables and a few facts, never a pipeline object."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from s2st_aug.diffusion.denoiser import Context, Denoiser, Latent
from s2st_aug.diffusion.schedule import NoiseSchedule


@dataclass(frozen=True, eq=False)
class LatentModel:
    """A latent diffusion model, ready to use.

    `encode` takes pixels (b 3 H W, in [-1, 1], sides multiples of `stride`) to latents (b c h w) at the model's own scale, without
    noise; `decode` takes them back (values may leave [-1, 1] a little); both keep gradients. `embed` gives one row (n d) per prompt.
    """

    name: str
    sha256: str  # over all weight files
    denoiser: Denoiser
    schedule: NoiseSchedule
    encode: Callable[[torch.Tensor], Latent]
    decode: Callable[[Latent], torch.Tensor]
    embed: Callable[[list[str]], Context]
    native_size: tuple[int, int]  # w, h in pixels
    stride: int  # a working size has sides that are multiples of it: the autoencoder's factor times the UNet's
    latent_channels: int
    latent_factor: int  # pixels per latent cell
    device: torch.device
    dtype: torch.dtype
    profiles: Path | None = None  # the folder with the model's own domain profiles
    prediction_type: str = "epsilon"
    checkpointing: Callable[[], None] | None = None  # turns gradient checkpointing of the network on
    compiling: Callable[[], None] | None = None  # has torch.compile compile the network at its next call
    config_sha256: str = ""  # over the folder's config files
