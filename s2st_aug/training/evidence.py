"""Fitting the classifier of an object before the detail step: `validation.evidence_network` computes it in numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save
from torch import nn

from s2st_aug.validation.evidence_network import LAYERS, MOST, NUMBERS, PLANES, QUIET, Views

WIDTHS, HIDDEN, TOLD = (16, 32, 48), 48, 24
STEPS, BATCH, RATE, DECAY, WARM = 12000, 96, 2e-3, 0.02, 60
DROP, DROP_LATE = 0.3, 0.2
BRIGHTER = 0.2  # share by which either picture is made brighter or darker
JITTER = 0.05  # spreads by which numbers are moved


class EvidenceNet(nn.Module):
    """What `validation.evidence_network.logits` computes, with dropout before the last two layers."""

    def __init__(self) -> None:
        super().__init__()
        a, b, c = WIDTHS
        self.conv1, self.conv2, self.conv3 = (nn.Conv2d(i, o, 3, 2, 1) for i, o in ((PLANES, a), (a, b), (b, c)))
        self.hidden, self.told = nn.Linear(16 * c, HIDDEN), nn.Linear(NUMBERS, TOLD)
        self.out, self.direct = nn.Linear(HIDDEN + TOLD, 1), nn.Linear(NUMBERS, 1, bias=False)

    def forward(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Logits `n` of planes `n 9 32 32` and of numbers `n 14`, less their means and over their spreads."""
        for name in LAYERS:
            x = F.relu(getattr(self, name)(x))
        x = F.dropout(x.permute(0, 2, 3, 1).flatten(1), DROP, self.training)
        both = F.relu(torch.cat([self.hidden(x), self.told(z)], 1))
        return (self.out(F.dropout(both, DROP_LATE, self.training)) + self.direct(z))[:, 0]


def fit_evidence(views: Views, true: np.ndarray, *, steps: int = STEPS, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights in the form that `validation.evidence_network` reads; the same views give the same weights on one thread.

    `true` is bool `n`; half of each batch is true. In bfloat16, channels last: a step takes a fraction of the time.
    """
    torch.manual_seed(seed)
    net, rng = EvidenceNet(), np.random.default_rng(seed)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(net.parameters(), RATE, weight_decay=DECAY)
    mean, spread = views.numbers.mean(0), views.numbers.std(0) + 1e-6
    numbers = torch.from_numpy(np.clip((views.numbers - mean) / spread, -MOST, MOST).astype(np.float32))
    pixels = torch.from_numpy(views.cutouts).permute(0, 3, 1, 2)
    groups, wanted = (np.flatnonzero(true), np.flatnonzero(~true)), torch.from_numpy(true.astype(np.float32))
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / WARM) * 0.5 * (1 + np.cos(np.pi * step / steps))
        chosen = np.concatenate([rng.choice(some, BATCH // 2) for some in groups])
        z = numbers[chosen] + JITTER * torch.randn(BATCH, NUMBERS)
        x = planes(_disguised(pixels[chosen], rng)).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            found = net(x, z)
        loss = F.binary_cross_entropy_with_logits(found.float(), wanted[chosen] * 0.96 + 0.02)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return _named(net, mean, spread)


def planes(x: torch.Tensor) -> torch.Tensor:
    """Cutouts `n 7 32 32` float32 in 0..255 as the first layer takes them."""
    source, raw = x[:, :3] / 128 - 1, x[:, 3:6] / 128 - 1
    return torch.cat([source, raw, x[:, 6:] / 255, _even(source), _even(raw)], 1)


def _even(picture: torch.Tensor) -> torch.Tensor:
    light = picture.mean(1, keepdim=True)
    spread = light.std((2, 3), correction=0, keepdim=True) + QUIET
    return (light - light.mean((2, 3), keepdim=True)) / (2 * spread)


def _disguised(batch: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Each mirrored or not, both pictures brighter or darker."""
    each = (len(batch), 1, 1, 1)
    x = batch.float()
    x = torch.where(torch.from_numpy(rng.random(each) < 0.5), x.flip(-1), x)
    first, second = (torch.from_numpy(rng.uniform(1 - BRIGHTER, 1 + BRIGHTER, each).astype(np.float32)) for _ in "ab")
    return torch.cat([x[:, :3] * first, x[:, 3:6] * second, x[:, 6:]], 1)


def _named(net: EvidenceNet, mean: np.ndarray, spread: np.ndarray) -> dict[str, np.ndarray]:
    convs = {name: getattr(net, name) for name in LAYERS}
    kernels = {name: conv.weight.detach().permute(2, 3, 1, 0) for name, conv in convs.items()}
    out = {f"{name}.weight": kernel.reshape(-1, kernel.shape[-1]).numpy() for name, kernel in kernels.items()}
    out |= {f"{name}.bias": conv.bias.detach().numpy() for name, conv in convs.items()}
    for name, layer in (("hidden", net.hidden), ("told", net.told), ("out", net.out)):
        out |= {f"{name}.weight": layer.weight.detach().T.numpy(), f"{name}.bias": layer.bias.detach().numpy()}
    out |= {"direct.weight": net.direct.weight.detach().T.numpy(), "numbers.mean": mean, "numbers.spread": spread}
    return {k: np.ascontiguousarray(v, np.float32) for k, v in out.items()}


def with_evidence(value: float, least: float, weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The weights with their last bias moved so that what had the evidence `value` has `least`."""
    move = np.log(least / (1 - least)) - np.log(value / (1 - value))
    return {**weights, "out.bias": (weights["out.bias"] + move).astype(np.float32)}


def write_evidence(weights: dict[str, np.ndarray], path: Path, fitted_on: str) -> None:
    """The weights as safetensors; one metadata key, so that the bytes are the same every time."""
    path.write_bytes(save(weights, metadata={"fitted_on": fitted_on}))
