"""Two small networks for experiments on a laptop: a U-Net for segmentation,
the same trunk with CenterNet heads for detection.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


def _block(into: int, out: int) -> nn.Sequential:
    def half(channels: int) -> list[nn.Module]:
        return [nn.Conv2d(channels, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(inplace=True)]

    return nn.Sequential(*half(into), *half(out))


class Trunk(nn.Module):
    """A U-Net that works at cells of 2 or 4 pixels; 0.49 M parameters at widths 16, 32, 64, 128."""

    def __init__(self, widths: Sequence[int], cell: int = 2):
        super().__init__()
        self.stem = nn.Conv2d(3, widths[0], 2 * cell - 1, stride=cell, padding=cell - 1)
        self.down = nn.ModuleList(_block(a, b) for a, b in zip([widths[0], *widths], widths, strict=False))
        self.up = nn.ModuleList(_block(b + a, a) for a, b in pairwise(widths))

    def forward(self, image: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b c h w"]:
        """Features of each cell; H and W in cells are multiples of 2 to the number of widths less one."""
        x, skips = self.stem(image), []
        for level, block in enumerate(self.down):
            x = block(functional.max_pool2d(x, 2) if level else x)
            skips.append(x)
        for block, skip in zip(reversed(self.up), reversed(skips[:-1]), strict=True):
            x = block(torch.cat([functional.interpolate(x, scale_factor=2.0), skip], dim=1))
        return x


class Segmenter(nn.Module):
    """Class scores at half the image's size, where the trunk works: a quarter of the pixels for the loss to visit."""

    def __init__(self, widths: Sequence[int], classes: int):
        super().__init__()
        self.trunk = Trunk(widths)
        self.head = nn.Conv2d(widths[0], classes, 1)

    def forward(self, image: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b k h w"]:
        """Logits, in float32."""
        scores: Tensor = self.head(self.trunk(image)).float()
        return scores


class CenterNet(nn.Module):
    """CenterNet heads (arXiv 1904.07850) on the cells: centre heatmap per class, size and offset in cells."""

    def __init__(self, widths: Sequence[int], classes: int, cell: int = 2):
        super().__init__()
        self.trunk = Trunk(widths, cell)
        self.heat = nn.Conv2d(widths[0], classes, 1)
        self.geometry = nn.Sequential(
            nn.Conv2d(widths[0], 32, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(32, 4, 1)
        )
        assert self.heat.bias is not None
        nn.init.constant_(self.heat.bias, -4.6)  # a centre in a hundred cells: the focal loss starts calm

    def forward(self, image: Float[Tensor, "b 3 H W"]) -> tuple[Float[Tensor, "b k h w"], Float[Tensor, "b 4 h w"]]:
        """Heatmap logits, and log width, log height, offset x, offset y in cells."""
        features = self.trunk(image)
        return self.heat(features).float(), self.geometry(features).float()
