"""What a network learns to say of a noisy latent: v of a diffusion, or the velocity of a rectified flow."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch

from s2st_aug.diffusion.flow_models import sd3_context
from s2st_aug.diffusion.schedule import NoiseSchedule

TOWARDS_NOISE = 0.9  # 1: uniform
Objective: TypeAlias = Callable[[torch.nn.ModuleDict, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""Networks by component, clean latents and noise `b c h w`, prompts as tokens `b n` -> squared error `b c h w`, each
sample at a level drawn for it."""


def v_prediction(schedule: NoiseSchedule, device: torch.device) -> Objective:
    """A UNet's v (arXiv 2202.00512, appendix D)."""
    alphas = torch.from_numpy(schedule.alphas_cumprod).float().to(device)

    def error(
        networks: torch.nn.ModuleDict, clean: torch.Tensor, noise: torch.Tensor, tokens: torch.Tensor
    ) -> torch.Tensor:
        steps = stratified_steps(len(clean), len(alphas)).to(device)
        abar = alphas[steps].view(-1, 1, 1, 1)
        noisy = (abar.sqrt() * clean + (1 - abar).sqrt() * noise).to(memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16):
            context = networks["text_encoder"](tokens)[0]
            predicted = networks["unet"](noisy, steps, encoder_hidden_states=context).sample
        return (predicted.float() - (abar.sqrt() * noise - (1 - abar).sqrt() * clean)).square()

    return error


def sd3_velocity(width: int) -> Objective:
    """The velocity n - x0 of a Stable Diffusion 3 without T5 (arXiv 2403.03206), both CLIPs given the same tokens.

    `width`: of its prompts' tokens.
    """

    def error(
        networks: torch.nn.ModuleDict, clean: torch.Tensor, noise: torch.Tensor, tokens: torch.Tensor
    ) -> torch.Tensor:
        s = stratified_times(len(clean)).to(clean.device)
        at = s.view(-1, 1, 1, 1)
        with torch.autocast(clean.device.type, torch.bfloat16):
            clips = [networks["text_encoder"], networks["text_encoder_2"]]
            context = sd3_context(clips, [tokens, tokens], width)
            asked = {"encoder_hidden_states": context.tokens, "pooled_projections": context.pooled}
            state = (1 - at) * clean + at * noise
            predicted = networks["transformer"](state, timestep=1000 * s, **asked).sample
        return (predicted.float() - (noise - clean)).square()

    return error


def stratified_times(count: int) -> torch.Tensor:
    """A time of the flow, in 0..1, out of each of `count` strata, which crowd a little towards noise."""
    uniform = (torch.arange(count) + torch.rand(count)) / count
    return (uniform**TOWARDS_NOISE)[torch.randperm(count)]


def stratified_steps(count: int, total: int) -> torch.Tensor:
    """The same as training steps, 0 to `total - 1`: towards noise the prompt decides."""
    return (stratified_times(count) * total).long().clamp_max(total - 1)
