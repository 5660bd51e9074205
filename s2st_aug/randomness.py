"""Randomness belongs to the sample, not to the worker (docs/reference/promises.md#same-result)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def sample_key(rng_key: int, *parts: str) -> int:
    """63-bit key of a sample: the same for any worker, order or batch.

    >>> sample_key(0, "a", "night") == sample_key(0, "a", "night")
    True
    """
    text = "\x1f".join([str(rng_key), *parts])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_generator(rng_key: int, *parts: str) -> np.random.Generator:
    """A numpy generator that belongs to one sample."""
    return np.random.default_rng(sample_key(rng_key, *parts))


def torch_generator(rng_key: int, *parts: str) -> torch.Generator:
    """A CPU torch generator that belongs to one sample; draw there, then move to the device."""
    import torch

    return torch.Generator("cpu").manual_seed(sample_key(rng_key, *parts))


def drawn_noise(like: torch.Tensor, draws: Sequence[tuple[int, str]], *, levels: int = 0) -> torch.Tensor:
    """Unit-Gaussian noise in the shape of `b c h w`, each row from its own key and name; `levels` of it first."""
    import torch

    shape = (levels, *like.shape[1:]) if levels else tuple(like.shape[1:])
    rows = [torch.randn(shape, generator=torch_generator(key, name)) for key, name in draws]
    return torch.stack(rows, 1 if levels else 0).to(like)
