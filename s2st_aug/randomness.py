"""Randomness belongs to the sample, not to the worker (docs/reference/promises.md#same-result)."""

from __future__ import annotations

import hashlib
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
