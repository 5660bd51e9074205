"""The classifier of hallucinated lights: a small convolution network on their surroundings, in plain numpy."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import numpy as np
from safetensors.numpy import load

SIDE = 32  # px of the four pictures of a blob's surroundings
LAYERS = ("conv1", "conv2", "conv3")  # 3x3, stride 2, then a ReLU
CHANNELS = 12  # RGB of source and variant, then of both at a quarter of the size
AT_ONCE = 8  # blobs, so that the layers stay in the processor's cache


def scores(patches: np.ndarray) -> np.ndarray:
    """How likely each candidate is hallucinated, in [0, 1], with the shipped weights.

    `n 32 32 12` uint8: RGB of source and variant, then of both at a quarter of the size around the same point.
    """
    return 1 / (1 + np.exp(-np.clip(logits(shipped(), patches), -30, 30)))


def logits(weights: dict[str, np.ndarray], patches: np.ndarray) -> np.ndarray:
    """The network's output `n` with given weights, named as `pipelines/fit_lights.py` writes them."""
    parts = [_logits(weights, patches[n : n + AT_ONCE]) for n in range(0, len(patches), AT_ONCE)]
    return np.concatenate(parts) if parts else np.empty(0)


def _logits(weights: dict[str, np.ndarray], patches: np.ndarray) -> np.ndarray:
    x = patches.astype(np.float32) / 128 - 1
    for name in LAYERS:
        x = np.maximum(convolved(x, weights[f"{name}.weight"]) + weights[f"{name}.bias"], 0)
    hidden = np.maximum(x.reshape(len(x), -1) @ weights["hidden.weight"] + weights["hidden.bias"], 0)
    return np.asarray((hidden @ weights["out.weight"] + weights["out.bias"])[:, 0])


def convolved(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """3x3 convolution of `n h w c` by `9c k`, stride 2, a border of zeros."""
    n, h, w, c = x.shape
    wide = np.zeros((n, h + 2, w + 2, c), np.float32)
    wide[:, 1:-1, 1:-1] = x
    a, b, step, one = wide.strides
    runs = np.lib.stride_tricks.as_strided(
        wide, (n, h // 2, w // 2, 3, 3 * c), (a, 2 * b, 2 * step, b, one), writeable=False
    )
    return (runs.reshape(-1, 9 * c) @ weight).reshape(n, h // 2, w // 2, -1)


@cache
def shipped() -> dict[str, np.ndarray]:
    """The weights that `pipelines/fit_lights.py` fitted."""
    return load(files("s2st_aug.validation").joinpath("lights.safetensors").read_bytes())
