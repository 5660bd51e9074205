"""Adam as a pure function: elementwise, so that no sample of a batch moves another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, slots=True)
class AdamSettings:
    """At most so many iterations, the step size, and the loss at which a sample stops (0: never)."""

    iterations: int
    rate: float
    tolerance: float = 0.0


@dataclass(frozen=True, slots=True)
class AdamState:
    """First and second moments and the number of updates so far."""

    first: Tensor
    second: Tensor
    count: int

    @classmethod
    def zeros_like(cls, x: Tensor) -> AdamState:
        """No update yet."""
        return cls(torch.zeros_like(x), torch.zeros_like(x), 0)

    def rows(self, index: Tensor) -> AdamState:
        """The state of some of the samples."""
        return AdamState(self.first[index], self.second[index], self.count)


def adam_step(x: Tensor, gradient: Tensor, state: AdamState, rate: float) -> tuple[Tensor, AdamState]:
    """One update (Kingma and Ba, algorithm 1; betas 0.9 and 0.999). The scale of a sample's loss does not matter."""
    count = state.count + 1
    first = torch.lerp(state.first, gradient, 0.1)
    second = torch.lerp(state.second, gradient.square(), 0.001)
    direction = (first / (1 - 0.9**count)) / ((second / (1 - 0.999**count)).sqrt() + 1e-12)
    return x - rate * direction, AdamState(first, second, count)


def adam_minimise(
    start: Tensor,
    losses: Callable[[Tensor, Tensor], Float[Tensor, " rows"]],
    adam: AdamSettings,
    *,
    network: bool = False,
    last_step: bool = False,
) -> tuple[Tensor, Int[Tensor, " b"]]:
    """Minimise each sample's own loss; also how many iterations each sample used.

    `losses(x, rows)` gives one loss for each of some samples, `rows` being their indices in the batch. A sample whose
    loss is at most the tolerance stays where it is; with `last_step` it takes this one step more, as null-text
    inversion does.

    With `network` the losses run the denoiser: samples that are done are left out of the further passes (asking which
    they are waits for the device, once an iteration, only where there is a tolerance), and the pass that finds the
    tolerance met counts as used. Without it nothing waits, and only steps count.
    """
    x, state = start.detach().clone(), AdamState.zeros_like(start)
    used = torch.zeros(len(x), dtype=torch.int64, device=x.device)
    rows = torch.arange(len(x), device=x.device)
    for _ in range(adam.iterations):
        with torch.enable_grad():
            free = x[rows].requires_grad_()
            found = losses(free, rows)
            if not found.requires_grad:  # losses that weigh nothing pull nowhere
                used[rows] += int(network)
                break
            (gradient,) = torch.autograd.grad(found.sum(), free)
        moving = found.detach() > adam.tolerance
        moved, state = adam_step(free.detach(), gradient, state, adam.rate)
        x[rows] = moved if last_step else torch.where(moving.view(-1, *[1] * (x.ndim - 1)), moved, free.detach())
        used[rows] += 1 if network else moving
        if network and adam.tolerance:
            rows, state = rows[moving], state.rows(moving)
            if not len(rows):
                break
    return x, used
