"""The noise schedule of the model's own scheduler config: cumulative alphas in float64, and which steps to visit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from s2st_aug.errors import ModelError, did_you_mean

CLEAN = -1  # the level below the first step: the image's own latent
LEAST = 2.0**-20  # abar of a last step that holds no signal: the clean latent is found by dividing by its root


def _cosine(_start: float, _end: float, steps: int) -> np.ndarray:
    """Nichol and Dhariwal (arXiv 2102.09672), equation 17."""
    level = np.arange(steps + 1) / steps
    bar = np.cos((level + 0.008) / 1.008 * np.pi / 2) ** 2
    return np.minimum(1 - bar[1:] / bar[:-1], 0.999)


BETAS: dict[str, Callable[[float, float, int], np.ndarray]] = {
    "linear": np.linspace,
    "scaled_linear": lambda start, end, steps: np.linspace(start**0.5, end**0.5, steps) ** 2,
    "squaredcos_cap_v2": _cosine,
}


SPACINGS: dict[str, Callable[[int, int, int], np.ndarray]] = {
    "leading": lambda count, total, offset: np.arange(count) * (total // count) + offset,
    "linspace": lambda count, total, _: np.linspace(0, total - 1, count).round(),
    # float rounding makes arange one longer for some counts
    "trailing": lambda count, total, _: np.round(np.arange(total, 0, -total / count)[:count])[::-1] - 1,
}
"""Rising steps by the name that diffusers gives their spacing; from their count, the training steps, `steps_offset`."""
STABLE_DIFFUSION = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


@dataclass(frozen=True, eq=False)
class NoiseSchedule:
    """Cumulative alphas by training step, and the steps that n evaluations visit.

    `final_alpha` is abar of the clean level, below the first step: 1, or abar_0 (`set_alpha_to_one`).
    """

    alphas_cumprod: np.ndarray  # " steps", float64, falling
    final_alpha: float
    spacing: str = "leading"
    steps_offset: int = 0
    name: str = "own betas"  # for messages

    def abar(self, t: int) -> float:
        """Cumulative alpha at step t; at CLEAN (or below) the final alpha."""
        return self.final_alpha if t < 0 else float(self.alphas_cumprod[t])

    @cached_property
    def total(self) -> int:
        """Number of training steps."""
        return len(self.alphas_cumprod)

    def timesteps(self, count: int) -> list[int]:
        """The `count` steps that sampling visits, from the noisiest down."""
        if not 1 <= count <= self.total:
            raise ModelError(f"number of steps: expected 1 to {self.total}, got {count}")
        rising = SPACINGS[self.spacing](count, self.total, self.steps_offset).astype(int)
        return np.clip(rising, 0, self.total - 1)[::-1].tolist()

    def levels(self, count: int) -> list[int]:
        """Where the latents lie: CLEAN, then the visited steps, rising; `count + 1` levels."""
        return [CLEAN, *reversed(self.timesteps(count))]

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> NoiseSchedule:
        """The schedule of a scheduler_config.json; a key that is absent takes DDIMScheduler's default.

        Raises ModelError.
        """
        name, betas = _betas(config)
        bar = np.cumprod(1 - betas)
        if config.get("rescale_betas_zero_snr"):
            # the last step holds no signal (Lin et al., arXiv 2305.08891, algorithm 1); LEAST, so that v still gives x0
            name, root = f"{name}, rescale_betas_zero_snr", np.sqrt(bar)
            bar = np.maximum(((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2, LEAST)
        spacing = config.get("timestep_spacing", "leading")
        if spacing not in SPACINGS:
            raise ModelError(
                f"timestep_spacing {spacing!r} in the scheduler config is unknown{did_you_mean(spacing, SPACINGS)}"
            )
        final = 1.0 if config.get("set_alpha_to_one", True) else float(bar[0])
        return cls(bar, final, spacing, int(config.get("steps_offset", 0)), name)

    @classmethod
    def stable_diffusion(cls) -> NoiseSchedule:
        """Stable Diffusion's scaled-linear schedule, 0.00085 to 0.012 in 1000 steps."""
        return cls.from_config({**STABLE_DIFFUSION, "set_alpha_to_one": False, "steps_offset": 1})


def _betas(config: Mapping[str, Any]) -> tuple[str, np.ndarray]:
    """A name for messages, and the betas."""
    if config.get("trained_betas") is not None:
        return "trained_betas", np.asarray(config["trained_betas"], np.float64)
    kind = config.get("beta_schedule", "linear")
    if kind not in BETAS:
        raise ModelError(f"beta_schedule {kind!r} in the scheduler config is unknown{did_you_mean(kind, BETAS)}")
    start, end = config.get("beta_start", 0.0001), config.get("beta_end", 0.02)
    steps = config.get("num_train_timesteps", 1000)
    return f"{kind} {start:g} to {end:g} in {steps} steps", BETAS[kind](start, end, steps)
