"""One training loop for every arm and task: the order of images and of replacements depends on the rng_key alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from s2st_aug.arrays import Image
from s2st_aug.gain.config import Training
from s2st_aug.randomness import numpy_generator, sample_key


def to_batch(images: list[Image]) -> Tensor:
    """uint8 photos of one size as a float batch in [-1, 1], channels_last."""
    batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return batch.contiguous(memory_format=torch.channels_last)


def fit(
    build: Callable[[], nn.Module],
    loss_of: Callable[[nn.Module, np.ndarray, np.ndarray, np.random.Generator], Tensor],
    count: int,
    settings: Training,
    rng_key: int,
) -> nn.Module:
    """Train for `settings.steps` updates; `loss_of(network, indices, replaced, rng)` draws and judges one batch.

    Indices and which of them are replaced come from a generator of their own, so that all arms of one rng_key see the
    same order.
    """
    torch.manual_seed(sample_key(rng_key, "weights") % 2**31)
    network = build().to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(network.parameters(), settings.learning_rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.learning_rate, total_steps=settings.steps)
    order, rng = numpy_generator(rng_key, "order"), numpy_generator(rng_key, "changes")
    for _ in range(settings.steps):
        indices = order.integers(count, size=settings.batch)
        replaced = order.random(settings.batch) < settings.replaced
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16):
            loss = loss_of(network, indices, replaced, rng)
        loss.backward()
        optimiser.step()
        schedule.step()
    return network.eval()
