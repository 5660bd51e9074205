"""What a small model can do, as numbers: its autoencoder, its round trip
through the seed, and whether it heeds its prompts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import torch

from s2st_aug.arrays import Image
from s2st_aug.diffusion import ddim
from s2st_aug.diffusion.denoiser import guided, with_context
from s2st_aug.diffusion.model import LatentModel


def to_batch(image: Image, size: tuple[int, int]) -> torch.Tensor:
    """One image at a working size (w, h), pixels in [-1, 1]: `1 3 h w`."""
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return torch.from_numpy(small).permute(2, 0, 1)[None].float() / 127.5 - 1


def to_images(pixels: torch.Tensor) -> np.ndarray:
    """Pixels in [-1, 1] as uint8 `b h w 3`."""
    return pixels.clamp(-1, 1).add(1).mul(127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """Peak signal to noise ratio of two uint8 images, in dB."""
    error = np.square(one.astype(np.float64) - other).mean()
    return 10 * math.log10(255**2 / max(error, 1e-9))


@torch.no_grad()
def autoencoder_psnr(model: LatentModel, image: Image, size: tuple[int, int]) -> float:
    """Encode and decode at a working size, against the image at that size."""
    pixels = to_batch(image, size).to(model.device)
    return psnr(to_images(model.decode(model.encode(pixels)))[0], to_images(pixels)[0])


@torch.no_grad()
def round_trip_psnr(
    model: LatentModel, image: Image, size: tuple[int, int], *, steps: int = 50, prompt: str = ""
) -> float:
    """Encode, invert to the seed, sample back at guidance 1, decode."""
    pixels = to_batch(image, size).to(model.device)
    predict = with_context(model.denoiser, model.embed([prompt]))
    seed = ddim.invert(predict, model.encode(pixels), model.schedule, steps)[-1]
    return psnr(to_images(model.decode(ddim.sample(predict, seed, model.schedule, steps)))[0], to_images(pixels)[0])


@torch.no_grad()
def generate(
    model: LatentModel, prompt: str, rng_keys: Sequence[int], *, guidance: float = 3.0, steps: int = 30
) -> Iterator[Image]:
    """Images from plain noise at the native size, one per rng_key."""
    w, h = (side // model.latent_factor for side in model.native_size)
    predict = with_context(guided(model.denoiser, model.embed([""]), guidance), model.embed([prompt]))
    for key in rng_keys:
        seed = torch.randn(1, model.latent_channels, h, w, generator=torch.Generator().manual_seed(key)).to(
            model.device
        )
        yield to_images(model.decode(ddim.sample(predict, seed, model.schedule, steps)))[0]
