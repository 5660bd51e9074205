"""Training the UNet and the text encoder together: v-prediction on
cached latents, balanced over the domains, with EMA.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict

from s2st_aug.diffusion.schedule import NoiseSchedule
from s2st_aug.training.autoencoder import cosine
from s2st_aug.training.averages import update_average
from s2st_aug.training.checkpoints import adam_tensors, load_checkpoint, pack, restore_adam, save_checkpoint, unpack
from s2st_aug.training.data import TrainingSample, balanced_indices, to_pixels
from s2st_aug.training.objectives import v_prediction
from s2st_aug.training.prompts import write_prompt

log = logging.getLogger(__name__)


class DenoiserSettings(BaseModel):
    """Shape and schedule of the UNet's and the text encoder's training."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    channels: tuple[int, ...] = (64, 128, 192)
    """channels of the UNet's levels, from the finest [channels]"""
    text_width: int = 128
    """width of the text encoder [channels]"""
    text_layers: int = 2
    """its layers [layers]"""
    max_tokens: int = 18
    """longest prompt [tokens]"""
    vocabulary: int = 1024
    """size of the tokenizer's vocabulary [tokens]"""
    steps: int = 2000
    """how many [updates]"""
    batch: int = 8
    """samples of an update [samples]"""
    lr: float = 5e-4
    """learning rate of Adam [rate]"""
    lr_floor: float = 0.05
    """share of `lr` that is left at the end of the cosine [share]"""
    ema: float = 0.998
    """decay of the averaged weights at each update [factor]"""
    prompt_dropout: float = 0.12
    """share of samples without a prompt, for classifier-free guidance [share]"""
    # of a random constant per channel in the noise: without it, its mean tells the brightness and no prompt is heeded
    offset_noise: float = 0.1
    """size of a random constant for each channel in the noise: without it, the noise's mean tells the brightness
    and no prompt is heeded [latent units]"""
    photo_share: float = 0.5
    """share of photos among the samples of a domain that has both photos and scenes [share]"""


@dataclass(eq=False)
class DenoiserTraining:
    """The networks under training, their averages, and where they are: what a checkpoint holds."""

    networks: torch.nn.ModuleDict  # by component: unet and text_encoder, or those of a flow
    average: torch.nn.ModuleDict
    optimizer: torch.optim.Optimizer
    step: int = 0
    curve: list[tuple[int, float]] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write the checkpoint whole."""
        tensors = pack("network", self.networks.state_dict()) | pack("average", self.average.state_dict())
        save_checkpoint(
            path, tensors | pack("adam", adam_tensors(self.optimizer)), {"step": self.step, "curve": self.curve}
        )

    def update(self, loss: torch.Tensor, rate: float, ema: float) -> None:
        """One step of Adam along the clipped gradient of `loss`, and of the average, which is young at first."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.networks.parameters(), 1.0)
        self.optimizer.step()
        update_average(self.average, self.networks, min(ema, (self.step + 1) / (self.step + 10)))
        self.step += 1

    def resume(self, path: Path) -> None:
        """Take up a checkpoint where it exists."""
        if not path.is_file():
            return
        tensors, state = load_checkpoint(path)
        self.networks.load_state_dict(unpack("network", tensors))
        self.average.load_state_dict(unpack("average", tensors))
        restore_adam(self.optimizer, unpack("adam", tensors))
        self.step, self.curve = state["step"], [tuple(point) for point in state["curve"]]


def start_training(parts: Mapping[str, torch.nn.Module], lr: float, device: str = "cpu") -> DenoiserTraining:
    """Networks by component on their device, an average that begins as a copy, and Adam."""
    networks = torch.nn.ModuleDict(dict(parts)).to(device).float().train().requires_grad_(True)
    for network in networks.values():
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # its stubs lack it
    average = copy.deepcopy(networks).eval().requires_grad_(False)
    fused = device.startswith("cuda")
    adam = torch.optim.Adam(networks.parameters(), lr=lr, betas=(0.9, 0.99), fused=fused)
    return DenoiserTraining(networks, average, adam)


@torch.no_grad()
def encode_all(
    encode: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor, *, batch: int = 16, device: str = "cpu"
) -> torch.Tensor:
    """Latents of all images and of their mirror images: float16 `2n c h w`, the mirrored ones last."""
    both = torch.cat([images, images.flip(-1)])
    with torch.autocast(torch.device(device).type, torch.bfloat16):
        parts = [
            encode(to_pixels(chunk).to(device, memory_format=torch.channels_last)).half().cpu()
            for chunk in both.split(batch)
        ]
    return torch.cat(parts)


def train_denoiser(
    training: DenoiserTraining,
    tokenize: Callable[[list[str]], torch.Tensor],
    latents: Sequence[torch.Tensor],
    samples: Sequence[TrainingSample],
    settings: DenoiserSettings,
    checkpoint: Path,
    *,
    rng_key: int = 0,
    device: str = "cpu",
    every: float = 120.0,
) -> DenoiserTraining:
    """Train until `settings.steps`, resuming from `checkpoint` and saving it every `every` seconds.

    `latents`: per working size, `2n c h w` as `encode_all` gives them, in the order of `samples`.
    """
    training.resume(checkpoint)
    objective = v_prediction(NoiseSchedule.stable_diffusion(), torch.device(device))
    rng, saved, running = np.random.default_rng([rng_key, training.step]), time.monotonic(), []
    torch.manual_seed(rng_key + training.step)
    while training.step < settings.steps:
        latent, prompts = _draw(latents, samples, settings, rng)
        clean, rate = latent.to(device), settings.lr * cosine(training.step, settings.steps, settings.lr_floor)
        noise = torch.randn_like(clean) + settings.offset_noise * torch.randn_like(clean[:, :, :1, :1])
        loss = objective(training.networks, clean, noise, tokenize(prompts).to(device)).mean()
        training.update(loss, rate, settings.ema)
        running.append(loss.item())
        if training.step % 25 == 0:
            training.curve.append((training.step, float(np.mean(running))))
            log.info("denoiser step %d of %d loss %.4f", training.step, settings.steps, training.curve[-1][1])
            running = []
        if time.monotonic() - saved > every or training.step == settings.steps:
            training.save(checkpoint)
            saved = time.monotonic()
    return training


def _draw(
    latents: Sequence[torch.Tensor],
    samples: Sequence[TrainingSample],
    settings: DenoiserSettings,
    rng: np.random.Generator,
) -> tuple[torch.Tensor, list[str]]:
    pool = latents[int(rng.integers(len(latents)))]
    indices = balanced_indices(samples, settings.batch, rng, photo_share=settings.photo_share)
    mirrored = rng.integers(0, 2, len(indices)) * len(samples)
    prompts = [write_prompt(samples[i].domain, samples[i].medium, rng) for i in indices]
    kept = [prompt if rng.random() >= settings.prompt_dropout else "" for prompt in prompts]
    return pool[torch.from_numpy(indices + mirrored)].float(), kept
