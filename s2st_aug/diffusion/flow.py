"""Rectified flows (arXiv 2209.03003) behind the noise predictor that everything here takes.

A flow's state is x = (1-s) x0 + s n, and its network predicts the velocity n - x0. Divided by sqrt((1-s)^2 + s^2), x
is a latent z of a diffusion at abar = (1-s)^2 / ((1-s)^2 + s^2), and an Euler step of the flow is our DDIM move:
inversion, seed translation, trajectory optimisation and sampling stay as they are (docs/backbones.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from s2st_aug.diffusion.denoiser import Context, Denoiser, Latent
from s2st_aug.diffusion.schedule import NoiseSchedule

Velocity: TypeAlias = Callable[[Latent, float, Context], Latent]
"""Predicted n - x0 of states x at time s in 0..1, as each architecture wants to be asked."""
SEED_ABAR = NoiseSchedule.stable_diffusion().abar(999)
"""Where the seed lies, at s of 0.936: at s = 1 nothing is left of the image, and its inversion would be any noise."""
DYNAMIC_STEPS = 50  # for which FLUX.2 chooses its levels


def flow_time(abar: float) -> float:
    """s of a level of the diffusion."""
    return (1 - abar) ** 0.5 / (abar**0.5 + (1 - abar) ** 0.5)


def flow_abar(s: float) -> float:
    """abar of a time of the flow; the inverse of `flow_time`."""
    return (1 - s) ** 2 / ((1 - s) ** 2 + s**2)


def eps_from_velocity(velocity: Latent, latents: Latent, abar: float) -> Latent:
    """eps = x + (1-s) v at x = z sqrt((1-s)^2 + s^2)."""
    s = flow_time(abar)
    return math.hypot(1 - s, s) * latents + (1 - s) * velocity


def velocity_from_eps(eps: Latent, latents: Latent, abar: float) -> Latent:
    """The inverse of `eps_from_velocity`."""
    s = flow_time(abar)
    return (eps - math.hypot(1 - s, s) * latents) / (1 - s)


def from_velocity(velocity: Velocity, schedule: NoiseSchedule) -> Denoiser:
    """A denoiser from a network that predicts velocity."""

    def denoise(latents: Latent, t: int, context: Context) -> Latent:
        abar = schedule.abar(t)
        s = flow_time(abar)
        return eps_from_velocity(velocity(math.hypot(1 - s, s) * latents, s, context), latents, abar)

    return denoise


def flow_schedule(config: Mapping[str, Any], mu: float) -> NoiseSchedule:
    """The levels that a FlowMatchEulerDiscreteScheduler's config trains at, from the clean end up to the seed's.

    `mu` is the shift where the config leaves it to the size of the image.
    """
    steps, shift = config.get("num_train_timesteps", 1000), flow_shift(config, mu)
    even = np.arange(1, steps + 1) / steps
    s = shift * even / (1 + (shift - 1) * even)
    abar = (1 - s) ** 2 / ((1 - s) ** 2 + s**2)
    return NoiseSchedule(abar[abar >= SEED_ABAR], 1.0, "trailing", name=f"rectified flow, shift {shift:.3g}")


def flow_shift(config: Mapping[str, Any], mu: float) -> float:
    """By how much the steps lean to the noisy end: s' = shift s / (1 + (shift - 1) s) (arXiv 2403.03206, 5.3.2)."""
    if not config.get("use_dynamic_shifting"):
        return float(config.get("shift", 1.0))
    return mu if config.get("time_shift_type") == "linear" else math.exp(mu)


def mu_of_tokens(config: Mapping[str, Any], tokens: int) -> float:
    """The shift of an image of so many tokens, on the line through the config's two ends."""
    low, high = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
    base, most = config.get("base_shift", 0.5), config.get("max_shift", 1.15)
    return base + (most - base) * (tokens - low) / (high - low)


def mu_of_flux2(tokens: int, steps: int = DYNAMIC_STEPS) -> float:
    """FLUX.2's own shift: between lines that were fitted at 10 and at 200 steps."""
    many = 0.00016927 * tokens + 0.45666666
    if tokens > 4300:
        return many
    few = 8.73809524e-05 * tokens + 1.89833333
    return many + (few - many) * (200 - steps) / 190
