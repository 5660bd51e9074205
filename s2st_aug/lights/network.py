"""The network of the light map: a small U-Net from a day image to what will shine at night and what that lights up."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

KINDS = ("head", "tail", "lamp", "pane", "signal", "light")
"""Masks at full size. `pane`: glass behind which a room may be lit; `light`: what is as bright as a light at night."""
GROUPS = ("vehicle", "signal", "person")
"""Labels that the network is told of, one channel of boxes each; all zero where there are none."""
WIDTHS = (24, 40, 72, 120, 160)  # at 1/2, 1/4, ... 1/32 of the image's size
COLOURS = 3
POOLS = 4  # pixels of the image that a pixel of `pools` and `wet` spans
STRIDE = 2 ** len(WIDTHS)  # the input's height and width are multiples of it


class Block(nn.Module):
    """Two 3x3 convolutions, each normalised, with a short cut."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(n, outside, 3, padding=1, bias=False) for n in (inside, outside))
        self.norm1, self.norm2 = (nn.GroupNorm(8, outside) for _ in range(2))
        self.skip = nn.Conv2d(inside, outside, 1) if inside != outside else nn.Identity()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        """The same size, `outside` channels."""
        y = F.silu(self.norm1(self.conv1(x)), inplace=True)
        return F.silu(self.norm2(self.conv2(y)) + self.skip(x), inplace=True)


class LightNetwork(nn.Module):
    """Day RGB in [-1, 1] and label channels in [0, 1] to logits, radiance and what the light falls on."""

    def __init__(self) -> None:
        super().__init__()
        a, b, c, d, e = WIDTHS
        self.enter = nn.Conv2d(4 * (COLOURS + len(GROUPS)), a, 3, padding=1)
        self.down = nn.ModuleList([Block(a, a), Block(a, b), Block(b, c), Block(c, d), Block(d, e)])
        self.up = nn.ModuleList([Block(e + d, d), Block(d + c, c), Block(c + b, b), Block(b + a, a)])
        self.fine = nn.Conv2d(a, 4 * (len(KINDS) + COLOURS), 3, padding=1)
        self.coarse = nn.Conv2d(b, 2 * COLOURS, 3, padding=1)

    def forward(self, x: Float[Tensor, "b 6 h w"]) -> tuple[Float[Tensor, "b 9 h w"], Float[Tensor, "b 6 y x"]]:
        """At full size logits of KINDS and log radiance; at a quarter light on surfaces, dry and wet (`encoded`)."""
        x = self.enter(F.pixel_unshuffle(x, 2))
        levels = []
        for n, block in enumerate(self.down):
            x = block(F.avg_pool2d(x, 2) if n else x)
            levels.append(x)
        coarse = x
        for n, block in enumerate(self.up, 2):
            x = block(torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), levels[-n]], 1))
            coarse = x if n == len(self.up) else coarse
        return F.pixel_shuffle(self.fine(x), 2), self.coarse(coarse)
