"""A model as a callable: latents, step and prompt embeddings in, predicted noise out, whatever the network predicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeAlias

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from s2st_aug.diffusion.schedule import NoiseSchedule

Latent: TypeAlias = Float[Tensor, "b c h w"]  # at the model's own scale, about unit variance
Predict: TypeAlias = Callable[[Latent, int], Latent]  # a denoiser with its prompt filled in: what the DDIM loops take


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """Prompts as a network takes them, one row each."""

    tokens: Float[Tensor, "b n d"]
    pooled: Float[Tensor, "b p"] | None = None  # the whole prompt as one vector, where a network wants it too
    mask: Bool[Tensor, "b n"] | None = None  # which tokens are the prompt's own; None: all of them

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, rows: slice | Int[Tensor, " rows"]) -> Context:
        """Some of the rows."""
        return self._each(lambda t: t[rows], lambda m: m[rows])

    def expand(self, count: int) -> Context:
        """One row shown to `count` latents; as many rows as that stay."""
        return self._each(lambda t: t.expand(count, *t.shape[1:]), lambda m: m.expand(count, -1))

    def to(self, like: Tensor | torch.dtype) -> Context:
        """The embeddings in another dtype, and on the tensor's device."""
        return self._each(lambda t: t.to(like), lambda m: m.to(like.device) if isinstance(like, Tensor) else m)

    def detach(self) -> Context:
        """The same without a gradient."""
        return self._each(torch.Tensor.detach, lambda m: m)

    def with_tokens(self, tokens: Float[Tensor, "b n d"]) -> Context:
        """The same prompts with other token embeddings: those that an optimisation moves."""
        return replace(self, tokens=tokens)

    @classmethod
    def cat(cls, parts: Sequence[Context]) -> Context:
        """The rows of all parts; shorter prompts are padded, and masked there."""
        lengths = [part.tokens.shape[1] for part in parts]
        pooled = [part.pooled for part in parts if part.pooled is not None]
        tokens = [F.pad(part.tokens, (0, 0, 0, max(lengths) - n)) for part, n in zip(parts, lengths, strict=True)]
        if min(lengths) == max(lengths) and all(part.mask is None for part in parts):
            return cls(torch.cat(tokens), torch.cat(pooled) if pooled else None)
        own = [part._own() for part in parts]
        mask = torch.cat([F.pad(m, (0, max(lengths) - n)) for m, n in zip(own, lengths, strict=True)])
        return cls(torch.cat(tokens), torch.cat(pooled) if pooled else None, mask)

    def _each(self, change: Callable[[Tensor], Tensor], mask: Callable[[Tensor], Tensor]) -> Context:
        return Context(
            change(self.tokens),
            None if self.pooled is None else change(self.pooled),
            None if self.mask is None else mask(self.mask),
        )

    def _own(self) -> Bool[Tensor, "b n"]:
        return torch.ones_like(self.tokens[..., 0], dtype=torch.bool) if self.mask is None else self.mask


class Denoiser(Protocol):
    """Predicted noise of `latents` (b c h w) at training step `t`, given as many prompts."""

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
        prompts = Context.cat([unconditional.expand(len(latents)), context])
        eps_empty, eps = denoise(torch.cat([latents, latents]), t, prompts).chunk(2)
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
