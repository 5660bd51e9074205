"""Training of the light map: day renders of procedural streets, disguised as any photo, against their true nights."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from s2st_aug.lights.network import KINDS, LightNetwork
from s2st_aug.training.averages import update_average
from s2st_aug.training.checkpoints import adam_tensors, load_checkpoint, pack, restore_adam, save_checkpoint, unpack
from s2st_aug.training.data import Source
from s2st_aug.training.light_streets import LightStreetSettings


class LightMapSettings(BaseModel):
    """How the network is trained, and on what."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    streets: LightStreetSettings = LightStreetSettings()
    photos: Source | None = None
    """day photos whose colours streets may take; null: none"""
    batch: int = 4
    """samples of an update [samples]"""
    rate: float = 1.5e-3
    """learning rate of Adam [rate]"""
    decay_from: int | None = None
    """update from which the rate falls, to a twentieth at `steps`; null: it stays [updates]"""
    steps: int = 100_000
    """how many [updates]"""
    average: float = 0.998
    """decay of the averaged weights, which are the ones kept, at each update [factor]"""


WEIGHTS = {
    "head": 12.0, "tail": 12.0, "lamp": 12.0, "pane": 2.0, "signal": 6.0, "light": 2.0,
    "radiance": 0.03, "surfaces": 1.0,
}  # fmt: skip
SMALL = [0.0 if kind in ("pane", "light") else 3.0 for kind in KINDS]
"""By how much a pixel counts more where there is a light of a few pixels; windows keep a probability that is one."""


def light_losses(network: LightNetwork, batch: dict[str, Tensor]) -> dict[str, Float[Tensor, ""]]:
    """Cross entropy of the masks by kind, and absolute errors of radiance and of light on surfaces."""
    fine, coarse = network(batch["given"].contiguous(memory_format=torch.channels_last))
    n = len(KINDS)
    weight = batch["told"][:, :, None, None] * (1 + fine.new_tensor(SMALL)[:, None, None] * batch["masks"])
    entropy = F.binary_cross_entropy_with_logits(fine[:, :n], batch["masks"], weight=weight, reduction="none")
    losses = {k: entropy[:, i].mean() for i, k in enumerate(KINDS)}
    counts = batch["counts"][:, None]
    losses["radiance"] = (counts * (fine[:, n:] - batch["radiance"]).abs()).sum() / (3 * counts.sum() + 1)
    known = batch["known"][:, None]
    losses["surfaces"] = (known * F.smooth_l1_loss(coarse, batch["pools"], beta=0.05, reduction="none")).mean()
    return losses


class LightTraining:
    """The loop, with checkpoints that resume and a smoothed copy of the weights."""

    def __init__(self, settings: LightMapSettings, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        torch.manual_seed(0)
        self.network = LightNetwork()
        self.average = LightNetwork()
        self.average.load_state_dict(self.network.state_dict())
        self.optimizer = torch.optim.AdamW(self.network.parameters(), settings.rate, weight_decay=1e-2)
        self.step = 0
        self.seen: dict[str, float] = {}
        if self.path.is_file():
            self._resume()

    @property
    def path(self) -> Path:
        """The checkpoint."""
        return self.folder / "light_map.safetensors"

    def run(self, batches: Iterator[dict[str, Tensor]], stop: Callable[[], bool], *, every: float = 180.0) -> None:
        """Train until `stop` or `steps`, saving every so many seconds and at the end."""
        saved = time.monotonic()
        for batch in batches:
            if stop() or self.step >= self.settings.steps:
                break
            self.one_step(batch)
            if self.step % 20 == 0:
                self._log()
            if time.monotonic() - saved > every:
                self.save()
                saved = time.monotonic()
        self.save()

    def one_step(self, batch: dict[str, Tensor]) -> None:
        """One move of the weights and of their average."""
        s = self.settings
        for group in self.optimizer.param_groups:
            group["lr"] = s.rate * self._share()
        losses = light_losses(self.network, batch)
        total = torch.stack([WEIGHTS[k] * v for k, v in losses.items()]).sum()
        self.optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        update_average(self.average, self.network, min(s.average, self.step / (self.step + 10)))
        for k, v in losses.items():
            self.seen[k] = 0.98 * self.seen.get(k, v.item()) + 0.02 * v.item()

    def _share(self) -> float:
        s = self.settings
        warm = min(1.0, (self.step + 1) / 100)
        if s.decay_from is None or self.step < s.decay_from:
            return warm
        done = min(1.0, (self.step - s.decay_from) / max(s.steps - s.decay_from, 1))
        return 0.05 + 0.95 * 0.5 * (1 + float(np.cos(np.pi * done)))

    def _log(self) -> None:
        line = {"step": self.step, "time": round(time.time()), **{k: round(v, 5) for k, v in self.seen.items()}}
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def save(self) -> None:
        """Weights, their average, Adam and the step, in one file."""
        tensors = pack("network", self.network.state_dict()) | pack("average", self.average.state_dict())
        save_checkpoint(self.path, tensors | pack("adam", adam_tensors(self.optimizer)), {"step": self.step})

    def _resume(self) -> None:
        tensors, state = load_checkpoint(self.path)
        self.network.load_state_dict(unpack("network", tensors))
        self.average.load_state_dict(unpack("average", tensors))
        restore_adam(self.optimizer, unpack("adam", tensors))
        self.step = int(state["step"])
