"""The detector's training from start to file: rendered examples on
disk, checkpoints, the ONNX file, and its figures.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from s2st_aug.records.domains import ConditionName
from s2st_aug.training.checkpoints import adam_tensors, load_checkpoint, pack, restore_adam, save_checkpoint, unpack
from s2st_aug.training.detector import StreetDetector, detection_loss, write_onnx
from s2st_aug.training.detector_data import NAMES, Example, padded, render_examples, with_pasted, worn
from s2st_aug.validation.detectors import Detection, load_detector, overlap

log = logging.getLogger(__name__)
TRAIN_KEY, HELD_KEY = 8, 9
CONDITIONS: tuple[tuple[ConditionName, ...], ...] = (
    ("day", "night"),
    ("day", "rain"),
    ("night", "dusk"),
    ("day", "night"),
    ("fog", "night_rain"),
)
BATCH, RATE, FLOOR = 8, 3e-3, 0.03
SHARD = 20  # streets a file
LEAST = (0.25, 0.5)  # scores that recall and precision are given at
MATCH = 0.4  # IoU from which a detection is the object


@dataclass(slots=True)
class DetectorRecipe:
    """Work folder, number of streets, and the epochs of the whole training."""

    work: Path
    streets: int
    epochs: int

    def render(self, seconds: float) -> bool:
        """Render what is missing for at most so many seconds of processor time; True when all is there."""
        self.work.mkdir(parents=True, exist_ok=True)
        start = time.process_time()
        for shard in range(0, self.streets, SHARD):
            path = self.work / f"examples-{shard:04d}.npz"
            if path.exists():
                continue
            if time.process_time() - start > seconds:
                return False
            _store(path, list(render_examples(TRAIN_KEY, range(shard, min(shard + SHARD, self.streets)), CONDITIONS)))
            log.info("rendered %s", path.name)
        return True

    def train(self, seconds: float) -> bool:
        """Train from the last checkpoint for at most so many seconds of processor time.

        True at the end of the last epoch.
        """
        examples = [e for path in sorted(self.work.glob("examples-*.npz")) for e in _load(path)]
        net, optimizer, step = self._resume()
        per_epoch = len(examples) // BATCH
        steps, start = self.epochs * per_epoch, time.process_time()
        while step < steps and time.process_time() - start < seconds:
            order = np.random.default_rng([1, step // per_epoch]).permutation(len(examples))
            loss = _train_step(
                net, optimizer, [examples[i] for i in order[step % per_epoch :: per_epoch][:BATCH]], step, steps
            )
            step += 1
            if step % 20 == 0:
                log.info("step %d of %d: loss %.3f", step, steps, loss)
        state = {**pack("net", net.state_dict()), **pack("adam", adam_tensors(optimizer))}
        save_checkpoint(self.work / "detector.safetensors", state, {"step": step})
        return step >= steps

    def write(self, path: Path) -> Path:
        """The ONNX file of the last checkpoint."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_onnx(
            self._resume()[0], path, f"{self.streets} rendered streets of rng_key {TRAIN_KEY}, {self.epochs} epochs"
        )
        return path

    def _resume(self) -> tuple[StreetDetector, torch.optim.Optimizer, int]:
        torch.manual_seed(0)
        net = StreetDetector()
        net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=1e-3)
        path = self.work / "detector.safetensors"
        if not path.exists():
            return net, optimizer, 0
        tensors, state = load_checkpoint(path)
        net.load_state_dict(unpack("net", tensors))
        restore_adam(optimizer, unpack("adam", tensors))
        return net, optimizer, int(state["step"])


def _train_step(
    net: StreetDetector, optimizer: torch.optim.Optimizer, chosen: list[Example], step: int, steps: int
) -> float:
    rng = np.random.default_rng([2, step])
    cuts = [cut for e in chosen for cut in e.cuts]
    batch = [worn(with_pasted(e, cuts, rng), rng) for e in chosen]
    for group in optimizer.param_groups:
        done = step / steps
        group["lr"] = RATE * min(1.0, (step + 1) / 50) * (FLOOR + (1 - FLOOR) * 0.5 * (1 + np.cos(np.pi * done)))
    pixels = (
        torch.from_numpy(np.stack([padded(e.image) for e in batch]))
        .permute(0, 3, 1, 2)
        .to(memory_format=torch.channels_last)
    )
    net.train()
    with torch.autocast("cpu", torch.bfloat16):
        raw = net(pixels.float() / 255)
    loss = detection_loss(raw.float(), [(e.boxes, e.classes, e.sure) for e in batch])
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 10.0)
    optimizer.step()
    return float(loss.detach())


def _store(path: Path, examples: list[Example]) -> None:
    """Examples in one file, without pickling: pictures, then the numbers of each in flat arrays."""
    cuts = [(n, cut) for n, e in enumerate(examples) for cut in e.cuts]
    flat: dict[str, Any] = {
        f"cut{i}": np.dstack([pixels, mask.astype(np.uint8)]) for i, (_, (pixels, mask, _)) in enumerate(cuts)
    }
    np.savez(
        path,
        images=np.stack([e.image for e in examples]),
        boxes=np.concatenate([e.boxes for e in examples]),
        classes=np.concatenate([e.classes for e in examples]),
        sure=np.concatenate([e.sure for e in examples]),
        counts=np.array([len(e.classes) for e in examples]),
        cut_of=np.array([(n, c) for n, (_, _, c) in cuts]).reshape(-1, 2),
        **flat,
    )


def _load(path: Path) -> Iterator[Example]:
    with np.load(path) as file:
        images, ends, cut_of = file["images"], np.cumsum(file["counts"])[:-1], file["cut_of"]
        parts = zip(*(np.split(file[name], ends) for name in ("boxes", "classes", "sure")), strict=True)
        cuts: list[list] = [[] for _ in images]
        for i, (n, c) in enumerate(cut_of.tolist()):
            layers = file[f"cut{i}"]
            cuts[n].append((layers[..., :3], layers[..., 3] > 0, c))
        for image, (boxes, classes, sure), cut in zip(images, parts, cuts, strict=True):
            yield Example(image, boxes, classes, sure, tuple(cut))


def measure_detector(path: Path, streets: int) -> list[str]:
    """Recall and precision on held-out streets as a Markdown table.

    Objects that need not be found count for nothing.
    """
    detector = load_detector(str(path), min(LEAST))
    conditions: tuple[ConditionName, ...] = ("day", "night", "rain")
    found: dict[tuple[str, str, float], list[int]] = {}
    for n, example in enumerate(render_examples(HELD_KEY, range(streets), [conditions])):
        seen = detector.detect(example.image)
        for least in LEAST:
            for name, counts in scored(tuple(d for d in seen if d.score >= least), example).items():
                for key in ((conditions[n % 3], name, least), (conditions[n % 3], "all", least)):
                    found[key] = [a + b for a, b in zip(found.get(key, [0, 0, 0]), counts, strict=True)]
    rows = [_measured(*key, *counts) for key, counts in sorted(found.items())]
    return ["| condition | class | score from | recall | precision |", "|---|---|---|---|---|", *rows]


def _measured(condition: str, name: str, least: float, hits: int, objects: int, wrong: int) -> str:
    recall, precision = hits / max(objects, 1), hits / max(hits + wrong, 1)
    found, true = f"{recall:.2f} ({hits} of {objects})", f"{precision:.2f} ({hits} of {hits + wrong})"
    return f"| {condition} | {name} | {least:g} | {found} | {true} |"


def scored(found: tuple[Detection, ...], example: Example) -> dict[str, tuple[int, int, int]]:
    """Class to objects found, objects that must be found, and detections of nothing."""
    boxes = [tuple(b) for b in example.boxes.tolist()]
    taken: set[int] = set()
    out = {name: [0, int((example.sure & (example.classes == n)).sum()), 0] for n, name in enumerate(NAMES)}
    for item in found:
        number = NAMES.index(item.category)
        ranked = sorted((n for n in range(len(boxes)) if n not in taken), key=lambda n: -overlap(item.bbox, boxes[n]))
        best = next((n for n in ranked if example.classes[n] == number), None)
        if best is not None and overlap(item.bbox, boxes[best]) >= MATCH:
            taken.add(best)
            out[item.category][0] += int(example.sure[best])
        elif not any(overlap(item.bbox, b) >= 0.2 for n, b in enumerate(boxes) if not example.sure[n]):
            out[item.category][2] += 1
    return {name: (a, b, c) for name, (a, b, c) in out.items()}
