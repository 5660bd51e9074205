"""Public fakes at the model seam, for tests of what stands above it: no files, no network, a few milliseconds."""

from __future__ import annotations

import hashlib

import torch
import torch.nn.functional as F

from s2st_aug.diffusion.denoiser import Context, Denoiser, Latent
from s2st_aug.diffusion.model import LatentModel
from s2st_aug.diffusion.schedule import NoiseSchedule

CONTEXT_LENGTH, CONTEXT_DIM = 4, 8


def unit_gaussian_denoiser(schedule: NoiseSchedule) -> Denoiser:
    """The exact denoiser of unit-Gaussian data: eps = sqrt(1-abar) z ."""

    def denoise(latents: Latent, t: int, _context: Context) -> Latent:
        return (1 - schedule.abar(t)) ** 0.5 * latents

    return denoise


def tiny_latent_model(*, rng_key: int = 0, latent_channels: int = 4, factor: int = 4) -> LatentModel:
    """A LatentModel without weights: a linear autoencoder, a smooth random denoiser that listens to its prompt.

    Encoding is area pooling of the colours (and their grey, as fourth channel), decoding is its bilinear inverse; the
    noise predictor is the exact one of unit-Gaussian data plus a small, fixed, random convolution shifted by the
    prompt. It has a gradient everywhere, and gives the same result on any machine to float rounding.
    """
    schedule = NoiseSchedule.stable_diffusion()
    return LatentModel(
        name=f"tiny-{rng_key}",
        sha256=hashlib.sha256(f"tiny {rng_key} {latent_channels} {factor}".encode()).hexdigest(),
        denoiser=_random_denoiser(schedule, rng_key, latent_channels),
        schedule=schedule,
        encode=lambda pixels: _pooled(pixels, factor, latent_channels),
        decode=lambda latents: F.interpolate(latents[:, :3], scale_factor=float(factor), mode="bilinear") / 2,
        embed=_hashed_prompts,
        native_size=(64, 48),
        stride=4 * factor,
        latent_channels=latent_channels,
        latent_factor=factor,
        device=torch.device("cpu"),
        dtype=torch.float32,
    )


def _pooled(pixels: torch.Tensor, factor: int, channels: int) -> Latent:
    small = F.avg_pool2d(pixels, factor) * 2
    grey = small.mean(1, keepdim=True).expand(-1, max(channels - 3, 0), -1, -1)
    return torch.cat([small, grey], dim=1)[:, :channels]


def _hashed_prompts(prompts: list[str]) -> Context:
    rows = []
    for prompt in prompts:
        key = int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:4], "big")
        rows.append(torch.randn(CONTEXT_LENGTH, CONTEXT_DIM, generator=torch.Generator().manual_seed(key)))
    return Context(torch.stack(rows))


def _random_denoiser(schedule: NoiseSchedule, rng_key: int, channels: int) -> Denoiser:
    generator = torch.Generator().manual_seed(rng_key)
    kernel = torch.randn(channels, channels, 3, 3, generator=generator) * 0.02
    tint = torch.randn(CONTEXT_DIM, channels, generator=generator) * 0.05
    exact = unit_gaussian_denoiser(schedule)

    def denoise(latents: Latent, t: int, context: Context) -> Latent:
        shift = (context.tokens.mean(1) @ tint.to(latents))[:, :, None, None]
        wobble = torch.tanh(F.conv2d(latents, kernel.to(latents), padding=1) + shift)
        return exact(latents, t, context) + schedule.abar(t) ** 0.5 * wobble

    return denoise
