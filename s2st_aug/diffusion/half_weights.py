"""A network's weights in half precision on its device, so that autocast has nothing to cast at each call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

CAST = (nn.Linear, nn.Conv2d)
"""what autocast runs in half precision; it keeps norms in float32"""


class HalfWeights:
    """Weights of matrix products and convolutions in `dtype`; those of norms stay in float32.

    Under autocast every result is bit for bit what float32 weights give, since autocast rounds the same weights, at
    every call. The float32 ones wait in the host's memory for `full`.
    """

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        layers = (module for module in network.modules() if isinstance(module, CAST))
        self._weights = [p for layer in layers for p in layer.parameters(recurse=False)]
        self._full = [p.detach().to("cpu", copy=True) for p in self._weights]
        self._dtype = dtype
        self._halve()

    @contextmanager
    def full(self) -> Iterator[None]:
        """The network with its float32 weights while the block runs."""
        for parameter, weight in zip(self._weights, self._full, strict=True):
            parameter.data = weight.to(parameter.device)
        try:
            yield
        finally:
            self._halve()

    def _halve(self) -> None:
        for parameter in self._weights:
            parameter.data = parameter.data.to(self._dtype)
