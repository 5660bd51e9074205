"""Adam as a pure function: elementwise, so that no sample of a batch moves another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from s2st_aug.arrays import Latent


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


def descend(start: Latent, losses: Callable[[Latent], Tensor], descent: Descent) -> tuple[Latent, Int[Tensor, " b"]]:
    """Adam on each sample's own loss (`losses` gives one a sample); also the iterations that each used.

    A sample whose loss is at most the descent's tolerance stays where it is; no iteration waits for the device to ask.
    """
    z, state = start, adam_start(start)
    used = torch.zeros(len(start), dtype=torch.int64, device=start.device)
    for _ in range(descent.iterations):
        with torch.enable_grad():
            free = z.detach().requires_grad_()
            found = losses(free)
            (gradient,) = torch.autograd.grad(found.sum(), free)
        moving = found.detach() > descent.tolerance
        moved, state = adam_step(z, gradient, state, descent.rate)
        z = torch.where(moving[:, None, None, None], moved, z)
        used += moving
    return z, used


def descend_looking(
    start: Latent, losses: Callable[[Latent, Tensor], Tensor], descent: Descent
) -> tuple[Latent, Int[Tensor, " b"]]:
    """The same where `losses` (of latents and the rows that they are) ask the network; also the looks that each sample used.

    Rows that are done are not looked at again: asking which costs one synchronisation an iteration, where there is a tolerance.
    The look that finds the loss met is counted; it moves nothing.
    """
    z, state = start.detach().clone(), adam_start(start)
    used = torch.zeros(len(start), dtype=torch.int64, device=start.device)
    alive = torch.arange(len(start), device=start.device)
    for _ in range(descent.iterations):
        with torch.enable_grad():
            free = z[alive].requires_grad_()
            found = losses(free, alive)
            (gradient,) = torch.autograd.grad(found.sum(), free)
        used[alive] += 1
        if descent.tolerance:
            moving = found.detach() > descent.tolerance
            alive, gradient, state = alive[moving], gradient[moving], state.rows(moving)
            if not len(alive):
                break
        z[alive], state = adam_step(z[alive], gradient, state, descent.rate)
    return z, used
