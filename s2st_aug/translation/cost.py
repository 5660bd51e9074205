"""What a translation costs: evaluations counted beforehand, seconds from a short measurement (docs/method.md#cost)."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from s2st_aug.diffusion.model import LatentModel
from s2st_aug.translation.sampling import guidance_at
from s2st_aug.translation.settings import MethodSettings
from s2st_aug.translation.translator import DTYPES, Translator

BACKWARD = 2.0  # a backward pass costs about two forwards


@dataclass(frozen=True, slots=True)
class Cost:
    """Network evaluations per variant, at most (early stop may use fewer); a shared inversion booked in equal parts."""

    forward: float
    backward: float

    @property
    def evaluations(self) -> float:
        """In units of one forward pass."""
        return self.forward + BACKWARD * self.backward


def estimate(settings: MethodSettings, domains: int) -> Cost:
    """Inversion n/d, sampling n or 2 n, null-text m forward and backward and one more forward for each guided step."""
    s = settings
    guided = [k for k in range(s.steps) if guidance_at(k, s) > 1]
    inner = [k for k in guided if s.to_method == "null_text" and k >= s.to_from * s.steps]
    inversion = (
        s.steps * (1 + (s.inversion_refinements if s.solver == "ddim" else 0) + (s.to_method == "direct")) / domains
    )
    backward = s.to_iterations * len(inner) + (s.st_iterations if s.st_space == "x0" else 0)
    return Cost(inversion + s.steps + len(guided) + backward + len(inner), backward)


@torch.no_grad()
def seconds_per_evaluation(model: LatentModel, repeats: int = 2, dtype: torch.dtype = torch.float32) -> float:
    """Seconds of one forward pass of one latent at the native size, in `dtype` as a translation does, after one to warm up."""
    width, height = (side // model.latent_factor for side in model.native_size)
    z = torch.zeros(1, model.latent_channels, height, width, device=model.device, dtype=model.dtype)
    context = model.embed([""]).to(z)
    for i in range(repeats + 1):
        if i == 1:
            start = time.perf_counter()
        with torch.autocast(model.device.type, dtype, enabled=dtype != torch.float32):
            model.denoiser(z, model.schedule.timesteps(2)[0], context).sum().item()
    return (time.perf_counter() - start) / repeats


def cost_line(translator: Translator, *, images: int, domains: int) -> str:
    """One line for the terminal before a run."""
    cost = estimate(translator.settings, domains)
    each = seconds_per_evaluation(translator.model, dtype=DTYPES[translator.settings.dtype])
    seconds = each * cost.evaluations * images * domains
    passes = f"{cost.forward:g} forward" + (f" and {cost.backward:g} backward" if cost.backward else "")
    return f"{images * domains} variants at {passes} evaluations each; about {seconds:.0f} s in the network on this machine"
