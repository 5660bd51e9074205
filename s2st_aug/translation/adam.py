"""Adam as a pure function: elementwise, so that no sample of a batch moves another."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Descent:
    """How a loop descends: at most so many iterations, Adam's step, and the loss at which a sample stops (0: never)."""

    iterations: int
    rate: float
    tolerance: float = 0.0


@dataclass(frozen=True, slots=True)
class AdamState:
    """First and second moments and the number of updates so far."""

    first: Tensor
    second: Tensor
    count: int

    def rows(self, index: Tensor) -> AdamState:
        """The state of some of the samples."""
        return AdamState(self.first[index], self.second[index], self.count)


def adam_start(x: Tensor) -> AdamState:
    """Zero moments for `x`."""
    return AdamState(torch.zeros_like(x), torch.zeros_like(x), 0)


def adam_step(x: Tensor, gradient: Tensor, state: AdamState, rate: float) -> tuple[Tensor, AdamState]:
    """One update (Kingma and Ba, algorithm 1; betas 0.9 and 0.999). The scale of a sample's loss does not matter."""
    count = state.count + 1
    first = torch.lerp(state.first, gradient, 0.1)
    second = torch.lerp(state.second, gradient.square(), 0.001)
    direction = (first / (1 - 0.9**count)) / ((second / (1 - 0.999**count)).sqrt() + 1e-12)
    return x - rate * direction, AdamState(first, second, count)
