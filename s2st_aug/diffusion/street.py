"""A drawn street to try networks on, where no photo is at hand."""

from __future__ import annotations

import torch
from torch import Tensor


def street_picture(size: tuple[int, int]) -> Tensor:
    """A street of smooth areas with some grain, `1 3 h w` in [-1, 1]: sky, two rows of houses, a road with a line."""
    w, h = size
    y, x = torch.meshgrid(torch.linspace(0, 1, h), torch.linspace(-1, 1, w), indexing="ij")
    picture = torch.stack([0.1 + 0.5 * y, 0.3 + 0.4 * y, 0.8 - 0.1 * y])  # sky
    houses = ((x.abs() > 0.25 + 0.2 * torch.cos(7 * x)) & (y > 0.25)).float()
    road = ((y > 0.55) & (x.abs() < 1.6 * (y - 0.5))).float()
    line = road * (x.abs() < 0.03 * (0.5 + y)).float()
    for mask, colour in (
        (y > 0.55, (-0.3, -0.2, -0.35)),
        (houses > 0, (-0.1, -0.25, -0.3)),
        (road > 0, (-0.45, -0.45, -0.42)),
        (line > 0, (0.7, 0.7, 0.6)),
    ):
        picture = torch.where(mask, torch.tensor(colour)[:, None, None], picture)
    grain = torch.randn(3, h, w, generator=torch.Generator().manual_seed(0)) * 0.03
    return (picture + grain).clamp(-1, 1)[None]
