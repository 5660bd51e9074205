"""The classifier of an object before the detail step: a small convolution network on its place in both pictures, and on
numbers measured there, in plain numpy.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from safetensors.numpy import load

from s2st_aug.validation.lights import convolved

SIDE = 32  # px of the cutouts
NUMBERS = 14
LAYERS = ("conv1", "conv2", "conv3")  # 3x3, stride 2, then a ReLU
PLANES = 9  # RGB of source and raw, the object's place, and the light of both, each less its mean and over its spread
QUIET = 0.03  # of the range of levels, added to a spread
MOST = 4.0  # spreads that a number may lie from its mean
AT_ONCE = 8  # objects, so that the layers stay in the processor's cache


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """What the network sees of some objects: `cutouts`, `n 32 32 7` uint8 (RGB of source and raw picture, and 255 where
    the object is), and `numbers`, `n NUMBERS` float32.
    """

    cutouts: np.ndarray
    numbers: np.ndarray


def logits(weights: dict[str, np.ndarray], views: Views) -> np.ndarray:
    """The network's output `n` with given weights, named as `pipelines/fit_evidence.py` writes them."""
    parts = [
        _logits(weights, views.cutouts[n : n + AT_ONCE], views.numbers[n : n + AT_ONCE])
        for n in range(0, len(views.cutouts), AT_ONCE)
    ]
    return np.concatenate(parts) if parts else np.empty(0)


def _logits(weights: dict[str, np.ndarray], cutouts: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    x = planes(cutouts)
    for name in LAYERS:
        x = np.maximum(convolved(x, weights[f"{name}.weight"]) + weights[f"{name}.bias"], 0)
    z = np.clip((numbers - weights["numbers.mean"]) / weights["numbers.spread"], -MOST, MOST)
    seen = x.reshape(len(x), -1) @ weights["hidden.weight"] + weights["hidden.bias"]
    told = z @ weights["told.weight"] + weights["told.bias"]
    both = np.maximum(np.concatenate([seen, told], 1), 0)
    return np.asarray((both @ weights["out.weight"] + z @ weights["direct.weight"] + weights["out.bias"])[:, 0])


def planes(cutouts: np.ndarray) -> np.ndarray:
    """Cutouts as the first layer takes them, `n 32 32 PLANES` float32."""
    x = cutouts.astype(np.float32)
    source, raw = x[..., :3] / 128 - 1, x[..., 3:6] / 128 - 1
    return np.concatenate([source, raw, x[..., 6:] / 255, _even(source), _even(raw)], -1)


def _even(picture: np.ndarray) -> np.ndarray:
    light = picture.mean(-1, keepdims=True)
    spread = light.std((1, 2), keepdims=True) + np.float32(QUIET)
    return np.asarray((light - light.mean((1, 2), keepdims=True)) / (2 * spread))


@cache
def shipped() -> dict[str, np.ndarray]:
    """The weights that `pipelines/fit_evidence.py` fitted."""
    return load(files("s2st_aug.validation").joinpath("evidence.safetensors").read_bytes())
