"""Names for the arrays that cross a module border: shapes here, ranges in words.

numpy holds images (uint8, RGB, height first); torch holds latents. Checked in tests
(`pytest --jaxtyping-packages=s2st_aug,beartype.beartype`), free in production.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

if TYPE_CHECKING:
    from torch import Tensor

    Latent: TypeAlias = Float[Tensor, "b c h w"]  # at the model's own scale, about unit variance
    Pixels: TypeAlias = Float[Tensor, "b 3 H W"]  # RGB in [-1, 1] at the working size
    Context: TypeAlias = Float[Tensor, "b n d"]  # prompt embeddings

Image: TypeAlias = UInt8[np.ndarray, "h w 3"]  # RGB, 0..255
AnyImage: TypeAlias = UInt8[np.ndarray, "_ _ 3"]  # the same, in lists whose images differ in size
Grey: TypeAlias = Float32[np.ndarray, "h w"]  # luma, 0..255
Mask: TypeAlias = Bool[np.ndarray, "h w"]
Box: TypeAlias = tuple[float, float, float, float]  # x1 y1 x2 y2, source pixels; x2, y2 exclusive

_TORCH_SHAPES = {"Latent": "b c h w", "Pixels": "b 3 H W", "Context": "b n d"}


def __getattr__(name: str) -> Any:
    """The torch shapes at run time, made when first asked for: importing this module does not import torch."""
    if name not in _TORCH_SHAPES:
        raise AttributeError(f"module 's2st_aug.arrays' has no attribute {name!r}")
    from torch import Tensor

    return Float[Tensor, _TORCH_SHAPES[name]]
