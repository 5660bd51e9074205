"""Names for the arrays of images that cross a module border: shapes here, ranges in words.

numpy holds images (uint8, RGB, height first); the tensors of latents have their names in `diffusion/denoiser.py`.
Shapes are checked in tests (`pytest --jaxtyping-packages=s2st_aug,beartype.beartype`) and free in production.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float32, UInt8

Image: TypeAlias = UInt8[np.ndarray, "h w 3"]  # RGB, 0..255
AnyImage: TypeAlias = UInt8[np.ndarray, "_ _ 3"]  # the same, in lists whose images differ in size
Grey: TypeAlias = Float32[np.ndarray, "h w"]  # luma, 0..255
Mask: TypeAlias = Bool[np.ndarray, "h w"]
Box: TypeAlias = tuple[float, float, float, float]  # x1 y1 x2 y2, source pixels; x2, y2 exclusive
