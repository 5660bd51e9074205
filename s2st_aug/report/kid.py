"""A KID-style distance between two sets of photos, on a fixed random network: no download, nothing that was optimised.

Kernel distance as in arXiv 1801.01401 (unbiased MMD^2, kernel (x.y / d + 1)^3), but its Inception features are replaced
by a four-layer convolutional network with fixed random weights. They are not standardised: the dark photos of a night
have so little spread that whatever is brighter would be infinitely far. Values compare within one report only; the
distance of the untranslated sources and of the references' own halves stand beside every value.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from s2st_aug.arrays import Image
from s2st_aug.images import resize

if TYPE_CHECKING:
    import torch

NETWORK = (
    "four 3x3 convolutions of stride 2 (32, 64, 128, 128 channels) with fixed random weights, "
    "channel means and deviations, at 192x112"
)
ENOUGH = 500  # images a side; below it the estimate is noisy and biased in its spread
SIZE, CHANNELS, SUBSETS = (192, 112), (3, 32, 64, 128, 128), 50


@dataclass(frozen=True, slots=True)
class Distance:
    """MMD^2 (mean and standard deviation over subsets) of `n` images against `references` images."""

    value: float
    spread: float
    n: int
    references: int

    @property
    def warning(self) -> str | None:
        """Why the number should not be leaned on, or None."""
        least = min(self.n, self.references)
        return (
            None if least >= ENOUGH else f"only {least} images; below {ENOUGH} this distance is an indication at best"
        )


def features(images: Sequence[Image]) -> np.ndarray:
    """`n d` random convolutional features; d = 2 x the sum of the channels."""
    import torch

    weights = _weights()
    rows = []
    for image in images:
        x = torch.from_numpy(resize(image, SIZE).copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
        pooled = []
        for weight in weights:
            x = torch.relu(torch.nn.functional.conv2d(x, weight, stride=2, padding=1))
            pooled += [x.mean((2, 3)), x.std((2, 3))]
        rows.append(torch.cat(pooled, 1)[0].numpy())
    return np.array(rows, dtype=np.float64)


def distance(sample: np.ndarray, references: np.ndarray, *, rng_key: int = 0) -> Distance:
    """KID-style distance between two feature sets; needs at least four rows in each."""
    rng, size = np.random.default_rng(rng_key), min(100, len(sample) - 1, len(references) - 1)
    draws = [_mmd2(_drawn(sample, size, rng), _drawn(references, size, rng)) for _ in range(SUBSETS)]
    return Distance(_mmd2(sample, references), float(np.std(draws)), len(sample), len(references))


def _drawn(rows: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """`size` of the rows, without replacement."""
    return rows[rng.permutation(len(rows))[:size]]


def _mmd2(a: np.ndarray, b: np.ndarray) -> float:
    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (x @ y.T / x.shape[1] + 1) ** 3

    aa, bb, n, m = kernel(a, a), kernel(b, b), len(a), len(b)
    within = (aa.sum() - np.trace(aa)) / (n * (n - 1)) + (bb.sum() - np.trace(bb)) / (m * (m - 1))
    return float(within - 2 * kernel(a, b).mean())


def _weights() -> list[torch.Tensor]:
    import torch

    generator = torch.Generator().manual_seed(20231130)
    pairs = itertools.pairwise(CHANNELS)
    return [torch.randn(o, i, 3, 3, generator=generator) * (2 / (9 * i)) ** 0.5 for i, o in pairs]
