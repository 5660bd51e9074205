"""Linear light and sRGB, and how the network writes radiance down."""

from __future__ import annotations

import numpy as np

DARKEST = 0.01  # linear: what is added before the logarithm of a radiance
RATIO = 30.0  # how steep the scale of light on surfaces begins


def linear(image: np.ndarray) -> np.ndarray:
    """sRGB 0..255 to linear light 0..1, float32; uint8 by table."""
    if image.dtype == np.uint8:
        return _TABLE[image]
    x = np.asarray(image, np.float32) / 255
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4).astype(np.float32)


def shown(light: np.ndarray) -> np.ndarray:
    """Linear light to sRGB 0..255, float32; what is outside is clipped."""
    x = np.clip(np.asarray(light, np.float32), 0, 1)
    return 255 * np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** np.float32(1 / 2.4) - 0.055).astype(np.float32)


def encoded(ratio: np.ndarray) -> np.ndarray:
    """Light on a surface over what the day image shows there, as the network gives it: log(1 + 30 r) / 3."""
    return np.log1p(RATIO * ratio) / 3


def decoded(code: np.ndarray) -> np.ndarray:
    """The inverse of `encoded`, never below 0."""
    return np.expm1(3 * np.maximum(code, 0)) / np.float32(RATIO)


_TABLE = linear(np.arange(256, dtype=np.float32))
