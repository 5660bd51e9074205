"""The size at which diffusion runs: the whole field of view, no crop, no letterbox (docs/method.md#working-size)."""

from __future__ import annotations

import math
from collections.abc import Iterator

AREA_SLACK = 0.12


def working_size(width: int, height: int, native: tuple[int, int], stride: int) -> tuple[int, int]:
    """(width, height): sides multiples of `stride`, area within 12 % of `native`'s; least aspect error, then nearest area."""
    area = native[0] * native[1]

    def badness(size: tuple[int, int]) -> tuple[float, float]:
        aspect_error = abs(math.log(size[0] / size[1]) - math.log(width / height))
        return round(aspect_error, 9), abs(size[0] * size[1] - area)

    return min(_candidates(area, stride), key=badness)


def _candidates(area: int, stride: int) -> Iterator[tuple[int, int]]:
    longest = math.floor(area * (1 + AREA_SLACK) / stride)
    for w in range(stride, longest + 1, stride):
        low, high = math.ceil(area * (1 - AREA_SLACK) / w / stride), math.floor(area * (1 + AREA_SLACK) / w / stride)
        yield from ((w, h * stride) for h in range(max(1, low), high + 1))
