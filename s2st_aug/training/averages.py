"""The moving mean of a network's weights that is kept beside a training, and shipped."""

from __future__ import annotations

import torch


@torch.no_grad()
def update_average(average: torch.nn.Module, network: torch.nn.Module, keep: float) -> None:
    """Move the mean towards the network; it keeps this share of itself.

    Buffers that are real numbers (statistics of batch norms) are averaged too, others copied.
    """
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - keep)
    for mean, now in zip(average.buffers(), network.buffers(), strict=True):
        if mean.dtype.is_floating_point:
            mean.lerp_(now, 1 - keep)
        else:
            mean.copy_(now)
