"""The two losses: structure (normalised Sobel gradients) and appearance (1-D Wasserstein by channel and band).

Every loss is one number per sample; callers sum over the batch, never average across it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from s2st_aug.diffusion.denoiser import Latent

CONTRAST_WINDOW = 5  # latent cells
CONTRAST_FLOOR = 0.15  # in units of a latent's standard deviation: below it a gradient is noise


@dataclass(frozen=True, slots=True)
class LossTarget:
    """What a batch of latents is pulled towards, and how strongly; rows belong to samples.

    `windows` are the bands (0: the whole image) times the appearance weights; `views` the directions
    in which latents are measured. `quantiles` is the target's quantile function on an even grid over [0, 1].

    `tail` is the share of the target's quantiles at either end that is not asked for: rank matching would make the
    brightest cells of the source (clouds, lane paint) as bright as the target's lamps. `one_sided`: structure that is
    missing costs, new structure is free.
    """

    gradients: Float[Tensor, "b c2 h w"]  # of the source
    structure_map: Float[Tensor, "b 1 h w"]
    windows: Float[Tensor, "b k h w"]
    views: Float[Tensor, "b v c"]
    quantiles: Float[Tensor, "b k v q"]
    eta: Float[Tensor, "b k v"]
    structure: float
    appearance: float
    tail: float = 0.0
    one_sided: bool = False

    def losses(self, z: Latent, transported: Float[Tensor, "b k v h w"] | None = None) -> Float[Tensor, " b"]:
        """Weighted sum of both losses, one per sample.

        What `transported` gave before may be held, which spares the sorting.
        """
        total = z.new_zeros(len(z))
        if self.structure:
            distance = missing_structure if self.one_sided else structure_loss
            total = total + self.structure * distance(normalised_gradients(z), self.gradients, self.structure_map)
        if self.appearance:
            wanted = self.transported(z) if transported is None else transported
            total = total + self.appearance * appearance_loss(self.in_views(z), self.windows, wanted, self.eta)
        return total

    def in_views(self, z: Latent) -> Float[Tensor, "b v h w"]:
        """Latents in the views of the profile."""
        return torch.einsum("bvc,bchw->bvhw", self.views, z)

    def transported(self, z: Latent) -> Float[Tensor, "b k v h w"]:
        """Where each cell's value belongs in the target's quantile function of each band."""
        return transport_targets(self.in_views(z), self.windows, self.quantiles, self.tail)

    def rows(self, index: Tensor) -> LossTarget:
        """The target of some of the samples."""
        tensors = ("gradients", "structure_map", "windows", "views", "quantiles", "eta")
        return replace(self, **{name: getattr(self, name)[index] for name in tensors})


def normalised_gradients(z: Latent) -> Float[Tensor, "b c2 h w"]:
    """S(z): Sobel gradients per channel over the local contrast, so that darkening alone is no loss of structure."""
    channels = z.shape[1]
    padded = F.pad(z, (1, 1, 1, 1), mode="replicate")
    gradients = F.conv2d(padded, _sobel(channels, z.dtype, z.device), groups=channels)
    energy = gradients.square().unflatten(1, (channels, 2)).sum(2)
    local = F.avg_pool2d(energy, CONTRAST_WINDOW, 1, CONTRAST_WINDOW // 2, count_include_pad=False)
    return gradients / (local + CONTRAST_FLOOR**2).sqrt().repeat_interleave(2, 1)


@cache
def _sobel(channels: int, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "c2 1 3 3"]:
    """Sobel's kernels along x and y for each channel; made once, as copying them to a CUDA device waits for it."""
    x, y = [[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], [[-1.0, -2, -1], [0, 0, 0], [1, 2, 1]]
    return (torch.tensor([x, y], dtype=dtype, device=device) / 8).repeat(channels, 1, 1)[:, None]


def structure_loss(
    gradients: Float[Tensor, "b c2 h w"], source: Float[Tensor, "b c2 h w"], weights: Float[Tensor, "b 1 h w"]
) -> Float[Tensor, " b"]:
    """L_str = weighted mean of |S(z) - S(z_source)|."""
    distance = (gradients - source).abs().mean(1, keepdim=True)
    return (distance * weights).sum((1, 2, 3)) / weights.sum((1, 2, 3)).clamp_min(1e-12)


def missing_structure(
    gradients: Float[Tensor, "b c2 h w"], source: Float[Tensor, "b c2 h w"], weights: Float[Tensor, "b 1 h w"]
) -> Float[Tensor, " b"]:
    """Weighted mean of relu(|g_s| - |<g, g_s>| / |g_s|): how much of the source's edges is missing.

    A light where the source has none is free, and so is an edge whose sides swap their brightness (a lit window).
    """
    own, wanted = (g.unflatten(1, (-1, 2)) for g in (gradients, source))
    length = wanted.square().sum(2).add(1e-12).sqrt()
    kept = (own * wanted).sum(2).abs() / length
    distance = (length - kept).relu().mean(1, keepdim=True)
    return (distance * weights).sum((1, 2, 3)) / weights.sum((1, 2, 3)).clamp_min(1e-12)


def appearance_loss(
    seen: Float[Tensor, "b v h w"],
    windows: Float[Tensor, "b k h w"],
    targets: Float[Tensor, "b k v h w"],
    eta: Float[Tensor, "b k v"],
) -> Float[Tensor, " b"]:
    """L_app = mean over bands and views of eta W1(h, H), with W1 the distance of every value to where it belongs."""
    share = windows / windows.sum((2, 3), keepdim=True).clamp_min(1e-12)
    distance = ((seen[:, None] - targets).abs() * share[:, :, None]).sum((3, 4))
    return (eta * distance).mean((1, 2))


@torch.no_grad()
def transport_targets(
    seen: Float[Tensor, "b v h w"],
    windows: Float[Tensor, "b k h w"],
    quantiles: Float[Tensor, "b k v q"],
    tail: float = 0.0,
) -> Float[Tensor, "b k v h w"]:
    """1-D optimal transport: a value's level in its own (weighted) histogram, read off the target's quantile function.

    Values in the outer `tail` of their histogram are asked for no more than the quantile where the tail begins.
    """
    order = seen.flatten(2).sort(-1)[1]
    weight = _sorted_weights(windows, order)
    target = quantile_at(quantiles, (weight.cumsum(-1) - weight / 2).clamp(tail, 1 - tail))
    places = order[:, None].expand_as(target)
    return torch.empty_like(target).scatter_(-1, places, target).unflatten(-1, seen.shape[2:])


def weighted_quantiles(z: Latent, windows: Float[Tensor, "b k h w"], count: int) -> Float[Tensor, "b k c {count}"]:
    """Quantile functions of each channel in each window, on `count` even points of [0, 1]."""
    values, order = z.flatten(2).sort(-1)
    weight = _sorted_weights(windows, order)
    reached = weight.cumsum(-1) - weight / 2
    wanted = torch.linspace(0, 1, count, device=z.device, dtype=z.dtype).expand(*reached.shape[:-1], count).contiguous()
    index = torch.searchsorted(reached.contiguous(), wanted).clamp(1, values.shape[-1] - 1)
    values = values[:, None].expand_as(reached)
    low, high = values.gather(-1, index - 1), values.gather(-1, index)
    start, stop = reached.gather(-1, index - 1), reached.gather(-1, index)
    return torch.lerp(low, high, ((wanted - start) / (stop - start).clamp_min(1e-12)).clamp(0, 1))


def quantile_at(quantiles: Float[Tensor, "*a q"], levels: Float[Tensor, "*a n"]) -> Float[Tensor, "*a n"]:
    """A quantile function on an even grid, read at `levels` in [0, 1] by linear interpolation."""
    last = quantiles.shape[-1] - 1
    place = (levels * last).clamp(0, last)
    index = place.floor().long().clamp(0, last - 1)
    return torch.lerp(quantiles.gather(-1, index), quantiles.gather(-1, index + 1), place - index)


def band_windows(height: int, width: int, bands: int) -> Float[Tensor, "k h w"]:
    """Window 0 is the whole image; behind it stand `bands` horizontal ones from the top.

    The bands overlap softly and sum to 1, so that there are no seams.
    """
    centre = (torch.arange(height) + 0.5) / height * bands - 0.5  # in units of bands
    soft = (1 - (centre.clamp(0, bands - 1)[None] - torch.arange(bands)[:, None]).abs()).clamp_min(0)
    return torch.cat([torch.ones(1, height), soft])[:, :, None].repeat(1, 1, width)


def _sorted_weights(windows: Float[Tensor, "b k h w"], order: Tensor) -> Float[Tensor, "b k c n"]:
    """Each window's weights in every channel's own order, summing to 1."""
    flat = windows.flatten(2)[:, :, None].expand(-1, -1, order.shape[1], -1)
    weight = flat.gather(-1, order[:, None].expand(-1, windows.shape[1], -1, -1))
    return weight / weight.sum(-1, keepdim=True).clamp_min(1e-12)
