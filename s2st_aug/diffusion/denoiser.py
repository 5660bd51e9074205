"""A model as a callable: latents, step and prompt embeddings in, predicted noise out, whatever the network predicts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from s2st_aug.diffusion.schedule import NoiseSchedule

Latent: TypeAlias = Float[Tensor, "b c h w"]  # at the model's own scale, about unit variance
Context: TypeAlias = Float[Tensor, "b n d"]  # prompt embeddings
Predict: TypeAlias = Callable[[Latent, int], Latent]  # a denoiser with its prompt filled in: what the DDIM loops take


class Denoiser(Protocol):
    """Predicted noise of `latents` (b c h w) at training step `t`, given prompt embeddings (b n d)."""

    def __call__(self, latents: Latent, t: int, context: Context, /) -> Latent:
        """Predicted noise eps, of the latents' shape and dtype."""
        ...


def eps_from_v(v: Latent, latents: Latent, abar: float) -> Latent:
    """eps = sqrt(abar) v + sqrt(1-abar) z, with the abar of the step that the network saw."""
    return abar**0.5 * v + (1 - abar) ** 0.5 * latents


def v_from_eps(eps: Latent, latents: Latent, abar: float) -> Latent:
    """The inverse of `eps_from_v`: v = (eps - sqrt(1-abar) z) / sqrt(abar)."""
    return (eps - (1 - abar) ** 0.5 * latents) / abar**0.5


def from_v_prediction(predict_v: Denoiser, schedule: NoiseSchedule) -> Denoiser:
    """A denoiser from a network that predicts v (arXiv 2202.00512, appendix D)."""

    def denoise(latents: Latent, t: int, context: Context) -> Latent:
        return eps_from_v(predict_v(latents, t, context), latents, schedule.abar(t))

    return denoise


def guide(eps_empty: Latent, eps: Latent, scale: float) -> Latent:
    """Classifier-free guidance (arXiv 2207.12598, equation 6): away from the empty prompt's noise, by `scale`."""
    return eps_empty + scale * (eps - eps_empty)


def guided(denoise: Denoiser, unconditional: Context, scale: float) -> Denoiser:
    """The denoiser under guidance, both prompts in one doubled batch; at scale 1 the condition alone.

    `unconditional` has one row, or as many as the latents.
    """
    if scale == 1:
        return denoise

    def both(latents: Latent, t: int, context: Context) -> Latent:
        empty = unconditional.expand(len(latents), -1, -1)
        eps_empty, eps = denoise(torch.cat([latents, latents]), t, torch.cat([empty, context])).chunk(2)
        return guide(eps_empty, eps, scale)

    return both


class CountedDenoiser:
    """A denoiser that counts: `evaluations` are the latents shown to the network (guidance shows each twice)."""

    def __init__(self, denoise: Denoiser):
        self.denoise = denoise
        self.calls = 0
        self.evaluations = 0

    def __call__(self, latents: Latent, t: int, context: Context) -> Latent:
        """Predicted noise, counted."""
        self.calls += 1
        self.evaluations += len(latents)
        return self.denoise(latents, t, context)


def in_dtype(denoise: Denoiser, device: torch.device, dtype: Literal["float32", "bfloat16", "float16"]) -> Denoiser:
    """The network under autocast where half precision is asked for; latents stay in float32."""
    if dtype == "float32":
        return denoise

    def half(latents: Latent, t: int, context: Context) -> Latent:
        with torch.autocast(device.type, getattr(torch, dtype)):
            return denoise(latents, t, context).float()

    return half


def with_context(denoise: Denoiser, context: Context) -> Predict:
    """The denoiser with its prompt filled in."""
    return lambda latents, t: denoise(latents, t, context)
