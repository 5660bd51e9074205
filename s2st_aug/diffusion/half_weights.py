"""Weights in half precision on their device, so that autocast has nothing to cast at each call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

CAST = (nn.Linear, nn.Conv2d)
"""what autocast runs in half precision; it keeps norms in float32"""


class HalfWeights:
    """Weights in `dtype` on their device; the float32 ones wait in the host's memory for `full`."""

    def __init__(self, weights: Iterable[Tensor], dtype: torch.dtype) -> None:
        self._weights, self._dtype = [*weights], dtype
        self._full = [w.detach().to("cpu", copy=True) for w in self._weights]
        self._halve()

    @contextmanager
    def full(self) -> Iterator[None]:
        """The float32 weights while the block runs."""
        self.undo()
        try:
            yield
        finally:
            self._halve()

    def undo(self) -> None:
        """The float32 weights for good."""
        for weight, data in zip(self._weights, self._full, strict=True):
            weight.data = data.to(weight.device)

    def _halve(self) -> None:
        for weight in self._weights:
            weight.data = weight.data.to(self._dtype)


def half_network(network: nn.Module, dtype: torch.dtype) -> HalfWeights:
    """Weights of matrix products and convolutions in `dtype`; those of norms stay in float32.

    Under autocast every result is bit for bit what float32 weights give, since autocast rounds the same weights, at
    every call.
    """
    layers = (module for module in network.modules() if isinstance(module, CAST))
    return HalfWeights((p for layer in layers for p in layer.parameters(recurse=False)), dtype)
