"""Training the small autoencoder: L1 on colour, chroma and gradients at two scales (docs/training.md#small-models)."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict

from s2st_aug.training.checkpoints import adam_tensors, load_checkpoint, pack, restore_adam, save_checkpoint, unpack
from s2st_aug.training.data import TrainingSample, balanced_indices, to_pixels

log = logging.getLogger(__name__)


class AutoencoderSettings(BaseModel):
    """Shape and schedule of the autoencoder's training."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    channels: int = 48
    """width of the network [channels]"""
    blocks: tuple[int, ...] = (1, 2, 3)
    """residual blocks of its levels, from the finest [blocks]"""
    steps: int = 1500
    """updates of encoder and decoder [updates]"""
    decoder_steps: int = 0
    """updates more for the decoder alone, once the latents are normalised [updates]"""
    batch: int = 16
    """crops of an update [crops]"""
    crop: int = 96
    """side of a crop [px]"""
    lr: float = 1e-3
    """learning rate of Adam [rate]"""
    lr_floor: float = 0.02
    """share of `lr` that is left at the end of the cosine [share]"""
    latent_noise: float = 0.03
    """standard deviation of noise on the latents that the decoder learns from [latent units]"""
    moment_weight: float = 0.01
    """weight of the loss that keeps latents at mean 0 and variance 1 [factor]"""
    photo_share: float = 0.5
    """share of photos among the samples of a domain that has both photos and scenes [share]"""


def reconstruction_loss(out: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """L1 + L1 of chroma (difference from the grey) + L1 of gradients at two scales."""
    error = out - target
    chroma = error - error.mean(1, keepdim=True)
    half = F.avg_pool2d(error, 2)
    return error.abs().mean() + 0.5 * chroma.abs().mean() + _gradient_l1(error) + _gradient_l1(half)


def _gradient_l1(error: torch.Tensor) -> torch.Tensor:
    return error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()


def moment_loss(latents: torch.Tensor) -> torch.Tensor:
    """How far each channel is from zero mean and unit variance over the batch."""
    mean, var = latents.mean((0, 2, 3)), latents.var((0, 2, 3))
    return (mean.square() + (var.clamp_min(1e-4).log()).square()).mean()


def cosine(step: int, steps: int, floor: float, spent: float = 0.0) -> float:
    """Factor of the learning rate: 1 at the start, `floor` at the end, with 20 steps of warm-up.

    The end is that of the steps or of the time, whichever is nearer; `spent`: share of the time given.
    """
    done = min(max(step / max(steps, 1), spent), 1.0)
    return min(1.0, (step + 1) / 20) * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done)))


def draw_crops(
    images: Sequence[torch.Tensor],
    samples: Sequence[TrainingSample],
    settings: AutoencoderSettings,
    rng: np.random.Generator,
) -> torch.Tensor:
    """A balanced batch of random crops, mirrored at times, from the images at one of several sizes."""
    pool = images[int(rng.integers(len(images)))]
    crops = []
    for index in balanced_indices(samples, settings.batch, rng, photo_share=settings.photo_share):
        h, w = pool.shape[-2:]
        y, x = rng.integers(0, h - settings.crop + 1), rng.integers(0, w - settings.crop + 1)
        crop = pool[index, :, y : y + settings.crop, x : x + settings.crop]
        crops.append(crop.flip(-1) if rng.random() < 0.5 else crop)
    return to_pixels(torch.stack(crops))


def train_autoencoder(
    network: Any,
    images: Sequence[torch.Tensor],
    samples: Sequence[TrainingSample],
    settings: AutoencoderSettings,
    checkpoint: Path,
    *,
    rng_key: int = 0,
    device: str = "cpu",
    part: str = "whole",
    seconds: float = math.inf,
) -> list[tuple[int, float]]:
    """Train `network` (an AutoencoderTiny) in place, resuming from `checkpoint`; gives the curve (step, loss).

    `part`: whole, or decoder (the encoder keeps its latents, so that a UNet trained on them stays right). Ends after
    the settings' steps or `seconds`, whichever comes first, and the learning rate falls towards that end.
    """
    steps = settings.steps if part == "whole" else settings.decoder_steps
    network.to(device, memory_format=torch.channels_last)
    parameters = list((network if part == "whole" else network.decoder).parameters())
    optimizer = torch.optim.Adam(parameters, lr=settings.lr, betas=(0.9, 0.99))
    step, curve = _resume(network, optimizer, checkpoint)
    rng = np.random.default_rng([rng_key, step])
    saved, losses = (began := time.monotonic()), list[float]()
    while step < steps and (spent := time.monotonic() - began) < seconds:
        for group in optimizer.param_groups:
            group["lr"] = settings.lr * cosine(step, steps, settings.lr_floor, spent / seconds)
        pixels = draw_crops(images, samples, settings, rng).to(device, memory_format=torch.channels_last)
        loss = _loss(network, pixels, settings, part)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        step += 1
        losses.append(loss.item())
        if step % 25 == 0:
            curve.append((step, float(np.mean(losses))))
            log.info("autoencoder (%s) step %d of %d loss %.4f", part, step, steps, curve[-1][1])
            losses.clear()
        if time.monotonic() - saved > 120:
            _save(network, optimizer, checkpoint, step, curve)
            saved = time.monotonic()
    _save(network, optimizer, checkpoint, step, curve)
    return curve


def _save(network: Any, optimizer: torch.optim.Optimizer, checkpoint: Path, step: int, curve: list) -> None:
    tensors = pack("network", network.state_dict()) | pack("adam", adam_tensors(optimizer))
    save_checkpoint(checkpoint, tensors, {"step": step, "curve": curve})


def _loss(network: Any, pixels: torch.Tensor, settings: AutoencoderSettings, part: str) -> torch.Tensor:
    with torch.autocast(pixels.device.type, torch.bfloat16), torch.set_grad_enabled(part == "whole"):
        latents = network.encoder(pixels).float()
    with torch.autocast(pixels.device.type, torch.bfloat16):
        out = network.decoder(latents + settings.latent_noise * torch.randn_like(latents))
    loss = reconstruction_loss(out.float(), pixels)
    return loss + settings.moment_weight * moment_loss(latents) if part == "whole" else loss


def _resume(network: Any, optimizer: torch.optim.Optimizer, checkpoint: Path) -> tuple[int, list[tuple[int, float]]]:
    if not checkpoint.is_file():
        return 0, []
    tensors, state = load_checkpoint(checkpoint)
    network.load_state_dict(unpack("network", tensors))
    restore_adam(optimizer, unpack("adam", tensors))
    return state["step"], [tuple(point) for point in state["curve"]]


@torch.no_grad()
def fold_normalisation(network: Any, pixels: Sequence[torch.Tensor]) -> None:
    """Fold per-channel normalisation of the latents over `pixels` into the
    encoder's last and the decoder's first convolution.
    """
    latents = torch.cat([network.encoder(p).permute(1, 0, 2, 3).flatten(1) for p in pixels], dim=1).float()
    mean, std = latents.mean(1), latents.std(1)
    last, first = network.encoder.layers[-1], network.decoder.layers[0]
    last.bias.copy_((last.bias - mean) / std)
    last.weight.div_(std[:, None, None, None])
    first.bias.add_((first.weight.sum((2, 3)) * mean).sum(1))
    first.weight.mul_(std[None, :, None, None])


@torch.no_grad()
def autoencoder_psnr(network: Any, images: torch.Tensor) -> list[float]:
    """PSNR of each uint8 image through the autoencoder, in dB, on 8-bit pixels."""
    device = next(network.parameters()).device
    values = []
    for image in images:
        pixels = to_pixels(image[None]).to(device, memory_format=torch.channels_last)
        out = network.decoder(network.encoder(pixels)).clamp(-1, 1).add(1).mul(127.5).round()
        values.append(10 * math.log10(255**2 / max((out.cpu() - image).square().mean().item(), 1e-9)))
    return values
