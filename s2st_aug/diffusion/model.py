"""What a loaded latent diffusion model is to everything above: callables and a few facts, never a pipeline object."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float

from s2st_aug.arrays import AnyImage
from s2st_aug.diffusion.denoiser import Context, Denoiser, Latent
from s2st_aug.diffusion.half_weights import HalfWeights
from s2st_aug.diffusion.schedule import NoiseSchedule
from s2st_aug.diffusion.vocabulary import Vocabulary
from s2st_aug.images import resize

Pixels: TypeAlias = Float[torch.Tensor, "b 3 H W"]  # RGB in [-1, 1] at a working size
AREA_SLACK = 0.12  # of the native area, by which a working size may differ


@dataclass(frozen=True, eq=False)
class LatentModel:
    """A latent diffusion model, ready to use.

    `encode` takes pixels, whose sides are multiples of `stride`, to latents at the model's own scale, without noise;
    `decode` takes them back (values may leave [-1, 1] a little); both keep gradients. `embed` gives one row (n d) per
    prompt.
    """

    name: str
    sha256: str  # over all weight files
    denoiser: Denoiser
    schedule: NoiseSchedule
    encode: Callable[[Pixels], Latent]
    decode: Callable[[Latent], Pixels]
    embed: Callable[[list[str]], Context]
    native_size: tuple[int, int]  # w, h in pixels
    stride: int  # a working size has sides that are multiples of it: the autoencoder's factor times the UNet's
    latent_channels: int
    latent_factor: int  # pixels per latent cell
    device: torch.device
    dtype: torch.dtype
    profiles: Path | None = None  # the folder with the model's own domain profiles
    prediction_type: str = "epsilon"
    checkpointing: Callable[[], None] | None = None  # turns gradient checkpointing of the network on
    compiling: Callable[[], None] | None = None  # has torch.compile compile the network at its next call
    halving: Callable[[torch.dtype], HalfWeights] | None = None  # keeps the network's weights in half precision
    halving_autoencoder: Callable[[torch.dtype], HalfWeights | None] | None = None  # where that is stable
    full_weights: Callable[[], AbstractContextManager[None]] = nullcontext  # float32 ones, while its block runs
    config_sha256: str = ""  # over the folder's config files
    vocabulary: Vocabulary | None = None  # the words that it knows

    def in_half(self, network: torch.dtype, autoencoder: torch.dtype) -> LatentModel:
        """The model with weights in these precisions; `full_weights` gives float32 ones back while its block runs.

        The autoencoder's stay in float32 where half precision is not stable, and what cannot be halved stays too.
        """
        halves: list[HalfWeights | None] = []
        if network != torch.float32 and self.halving is not None:
            halves.append(self.halving(network))
        if autoencoder != torch.float32 and self.halving_autoencoder is not None:
            halves.append(self.halving_autoencoder(autoencoder))
        made = [half for half in halves if half is not None]

        @contextmanager
        def full() -> Iterator[None]:
            with ExitStack() as stack:
                for half in made:
                    stack.enter_context(half.full())
                yield

        return replace(self, full_weights=full) if made else self

    def working_size(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) at which a photo of this size is diffused."""
        return working_size(width, height, self.native_size, self.stride)

    def encode_photos(self, photos: Sequence[AnyImage], size: tuple[int, int]) -> Latent:
        """Latents of photos (`h w 3` uint8, any size) at a working size (width, height)."""
        small = torch.from_numpy(np.stack([resize(photo, size) for photo in photos])).to(self.device)
        return self.encode(small.permute(0, 3, 1, 2).float() / 127.5 - 1).float()


def working_size(width: int, height: int, native: tuple[int, int], stride: int) -> tuple[int, int]:
    """(width, height) at which a photo is diffused: all that it shows, no letterbox (docs/method.md#working-size).

    Sides are multiples of `stride`, and the area is within 12 % of `native`'s; of these sizes it is the one of least
    aspect error, then of nearest area.
    """
    area = native[0] * native[1]

    def badness(size: tuple[int, int]) -> tuple[float, float]:
        aspect_error = abs(math.log(size[0] / size[1]) - math.log(width / height))
        return round(aspect_error, 9), abs(size[0] * size[1] - area)

    def candidates() -> Iterator[tuple[int, int]]:
        smallest, largest = area * (1 - AREA_SLACK), area * (1 + AREA_SLACK)
        for w in range(stride, math.floor(largest / stride) + 1, stride):
            low, high = math.ceil(smallest / w / stride), math.floor(largest / w / stride)
            yield from ((w, h * stride) for h in range(max(1, low), high + 1))

    return min(candidates(), key=badness)
