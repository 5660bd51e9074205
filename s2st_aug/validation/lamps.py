"""Whether the lamps of a traffic light shine before the detail step as they do in the source, these and no other.

A housing of 24 px is five pixels of a small model: the light of its lamp lies over two of its thirds, a second lamp is
pale, and rain lifts all of it. So its profile from top to bottom in both pictures is given to a small network
(docs/validity.md#before-the-detail-step).
"""

from __future__ import annotations

import math
from functools import cache
from importlib.resources import files

import cv2
import numpy as np
from safetensors.numpy import load

from s2st_aug.arrays import Box, Image

ROWS, COLUMNS = 24, 6  # px that a housing is brought to
STEPS = 12  # of its profile
SIDES = 0.15  # of its width that is left out on either side
LUMA = (0.299, 0.587, 0.114)
FAINT = 0.05  # of the range of levels, added to a profile's own range
NUMBERS = 2 * 3 * (STEPS + 1) + 1
MOST = 5.0  # spreads that a number may lie from its mean
FAR = 1e4  # px from which a box lies outside of any picture
TYPICAL = 20.0  # px at `evidence.WIDTH` of a housing's height


def lamps_kept(source: Image, raw: Image, box: Box) -> float:
    """How surely the lamps in an upright housing are those of the source, in [0, 1].

    Both pictures as `evidence.coarse` makes them, the box in their pixels.
    """
    value = float(logits(shipped(), numbers_of(source, raw, box)[None])[0])
    return 1 / (1 + math.exp(-min(max(value, -30.0), 30.0)))


def numbers_of(source: Image, raw: Image, box: Box) -> np.ndarray:
    """What the network sees, `NUMBERS` float32: the profiles of brightest channel, luma and chroma in both pictures,
    each from its least to its most, and how far that is; the housing's height.
    """
    found = [part for picture in (source, raw) for profile in _profiles(picture, box) for part in _stretched(profile)]
    high = math.log(min(max(box[3] - box[1], 1.0), FAR) / TYPICAL)
    return np.concatenate([*found, [high]]).astype(np.float32)


def logits(weights: dict[str, np.ndarray], numbers: np.ndarray) -> np.ndarray:
    """The network's output `n` for numbers `n NUMBERS`, weights named as `pipelines/fit_lamps.py` writes them."""
    z = np.clip((numbers - weights["numbers.mean"]) / weights["numbers.spread"], -MOST, MOST)
    hidden = np.maximum(z @ weights["hidden.weight"] + weights["hidden.bias"], 0)
    return np.asarray((hidden @ weights["out.weight"] + weights["out.bias"])[:, 0])


@cache
def shipped() -> dict[str, np.ndarray]:
    """The weights that `pipelines/fit_lamps.py` fitted."""
    return load(files("s2st_aug.validation").joinpath("lamps.safetensors").read_bytes())


def _profiles(picture: Image, box: Box) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Brightest channel, luma and chroma of a housing's middle from top to bottom, each `STEPS` values in [0, 1]."""
    x1, y1, x2, y2 = (min(max(v, -FAR), FAR) if math.isfinite(v) else 0.0 for v in box)
    wide, high = max(x2 - x1, 1.0), max(y2 - y1, 1.0)
    kx, ky = (1 - 2 * SIDES) * wide / COLUMNS, high / ROWS
    to_picture = np.array([[kx, 0, x1 + SIDES * wide + kx / 2 - 0.5], [0, ky, y1 + ky / 2 - 0.5]])
    patch = cv2.warpAffine(
        picture, to_picture, (COLUMNS, ROWS), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    rgb = patch.reshape(STEPS, -1, 3).mean(1, dtype=np.float32) / 255
    value = rgb.max(1)
    return value, rgb @ np.array(LUMA, np.float32), value - rgb.min(1)


def _stretched(profile: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    least, most = profile.min(), profile.max()
    return (profile - least) / (most - least + FAINT), np.array([most - least])
