"""Fitting the classifier of a traffic light's lamps before the detail step: `validation.lamps` computes it in numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save
from torch import nn

from s2st_aug.validation.lamps import MOST, NUMBERS

HIDDEN = 32
STEPS, BATCH, RATE, DECAY = 6000, 256, 3e-3, 0.05
DROP = 0.1
JITTER = 0.1  # spreads by which numbers are moved


class LampNet(nn.Module):
    """What `validation.lamps.logits` computes of numbers less their means and over their spreads."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(NUMBERS, HIDDEN), nn.Linear(HIDDEN, 1)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Logits `n` of numbers `n NUMBERS`."""
        return self.out(F.dropout(F.relu(self.hidden(z)), DROP, self.training))[:, 0]


def fit_lamps(numbers: np.ndarray, true: np.ndarray, *, steps: int = STEPS, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights in the form that `validation.lamps` reads; the same lessons give the same weights on one thread.

    `numbers` are `n NUMBERS`, `true` bool `n`; half of each batch is true.
    """
    torch.manual_seed(seed)
    net, rng = LampNet(), np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(net.parameters(), RATE, weight_decay=DECAY)
    mean, spread = numbers.mean(0), numbers.std(0) + 1e-3
    z = torch.from_numpy(np.clip((numbers - mean) / spread, -MOST, MOST).astype(np.float32))
    groups, wanted = (np.flatnonzero(true), np.flatnonzero(~true)), torch.from_numpy(true.astype(np.float32))
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * 0.5 * (1 + np.cos(np.pi * step / steps))
        chosen = np.concatenate([rng.choice(some, BATCH // 2) for some in groups])
        found = net(z[chosen] + JITTER * torch.randn(BATCH, NUMBERS))
        loss = F.binary_cross_entropy_with_logits(found, wanted[chosen] * 0.96 + 0.02)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    named = {"numbers.mean": mean, "numbers.spread": spread}
    for name, layer in (("hidden", net.hidden), ("out", net.out)):
        named |= {f"{name}.weight": layer.weight.detach().T.numpy(), f"{name}.bias": layer.bias.detach().numpy()}
    return {k: np.ascontiguousarray(v, np.float32) for k, v in named.items()}


def with_shares(
    weights: dict[str, np.ndarray], outputs: tuple[float, float], shares: tuple[float, float]
) -> dict[str, np.ndarray]:
    """The weights with their last layer scaled and moved so that two logits become two shares, both in rising order."""
    low, high = (float(np.log(s / (1 - s))) for s in shares)
    scale = (high - low) / (outputs[1] - outputs[0])
    bias = (weights["out.bias"] - outputs[0]) * scale + low
    return {**weights, "out.weight": np.float32(scale) * weights["out.weight"], "out.bias": bias.astype(np.float32)}


def write_lamps(weights: dict[str, np.ndarray], path: Path, fitted_on: str) -> None:
    """The weights as safetensors; one metadata key, so that the bytes are the same every time."""
    path.write_bytes(save(weights, metadata={"fitted_on": fitted_on}))
