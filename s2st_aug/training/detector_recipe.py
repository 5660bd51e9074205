"""The detector's training from examples on disk to its file: checkpoints, averaged weights, the ONNX file."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from s2st_aug.training.averages import update_average
from s2st_aug.training.checkpoints import adam_tensors, load_checkpoint, pack, restore_adam, save_checkpoint, unpack
from s2st_aug.training.detector import StreetDetector, detection_loss, write_onnx
from s2st_aug.training.detector_data import Example, read_examples, worn

log = logging.getLogger(__name__)
BATCH, RATE, FLOOR, WARM_UP = 16, 3e-3, 0.02, 50
AVERAGED = 0.998  # of the averaged weights that each update keeps
SAVED = 200  # updates between two checkpoints


@dataclass(slots=True)
class DetectorRecipe:
    """A folder with files of examples (`examples-*.npz`) and the checkpoint, and the updates of the whole training."""

    work: Path
    steps: int

    def train(self, seconds: float) -> bool:
        """Train from the last checkpoint for at most so many seconds; True after the last update."""
        examples = [e for path in sorted(self.work.glob("examples-*.npz")) for e in read_examples(path)]
        net, averaged, optimizer, step = self._resume()
        start, losses = time.monotonic(), []
        while step < self.steps and time.monotonic() - start < seconds:
            rng = np.random.default_rng([3, step])
            chosen = [examples[i] for i in rng.integers(0, len(examples), BATCH)]
            losses.append(_update(net, optimizer, chosen, rng, self._rate(step)))
            step += 1
            update_average(averaged, net, min(AVERAGED, (1 + step) / (10 + step)))
            if step % SAVED == 0 or step == self.steps:
                self._save(net, averaged, optimizer, step)
                log.info("update %d of %d: loss %.3f", step, self.steps, np.mean(losses[-SAVED:]))
        self._save(net, averaged, optimizer, step)
        return step >= self.steps

    def write(self, path: Path, about: str, lift: float = 0.0) -> Path:
        """The ONNX file of the averaged weights; `lift` is added to the logit of every class."""
        averaged = self._resume()[1]
        with torch.no_grad():
            for head in averaged.heads:
                head.bias[4:] += lift  # type: ignore[index, operator]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_onnx(averaged, path, about)
        return path

    def _rate(self, step: int) -> float:
        fall = 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return RATE * min(1.0, (step + 1) / WARM_UP) * (FLOOR + (1 - FLOOR) * fall)

    @property
    def _checkpoint(self) -> Path:
        return self.work / "detector.safetensors"

    def _save(self, net: StreetDetector, averaged: StreetDetector, optimizer: torch.optim.Optimizer, step: int) -> None:
        state = {
            **pack("net", net.state_dict()),
            **pack("averaged", averaged.state_dict()),
            **pack("adam", adam_tensors(optimizer)),
        }
        save_checkpoint(self._checkpoint, state, {"step": step})

    def _resume(self) -> tuple[StreetDetector, StreetDetector, torch.optim.Optimizer, int]:
        torch.manual_seed(0)
        net, averaged = StreetDetector(), StreetDetector()
        averaged.load_state_dict(net.state_dict())
        net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=1e-3)
        if not self._checkpoint.exists():
            return net, averaged, optimizer, 0
        tensors, state = load_checkpoint(self._checkpoint)
        net.load_state_dict(unpack("net", tensors))
        averaged.load_state_dict(unpack("averaged", tensors))
        restore_adam(optimizer, unpack("adam", tensors))
        return net, averaged, optimizer, int(state["step"])


def _update(
    net: StreetDetector, optimizer: torch.optim.Optimizer, chosen: Sequence[Example], rng: np.random.Generator,
    rate: float,
) -> float:  # fmt: skip
    inputs, batch = zip(*(worn(e, rng) for e in chosen), strict=True)
    for group in optimizer.param_groups:
        group["lr"] = rate
    pixels = torch.from_numpy(np.stack(inputs)).permute(0, 3, 1, 2).to(memory_format=torch.channels_last)
    net.train()
    with torch.autocast("cpu", torch.bfloat16):
        raw = net(pixels.float() / 255)
    loss = detection_loss(raw.float(), [(e.boxes, e.classes, e.sure, e.new) for e in batch])
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 10.0)
    optimizer.step()
    return float(loss.detach())
