"""Streets under all six conditions at the same pixels, rendered by processes into a folder that a training reads."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict

from s2st_aug.images import resize
from s2st_aug.procedural.drawing import draw_street
from s2st_aug.procedural.render import render_drawn
from s2st_aug.procedural.sampling import sample_street
from s2st_aug.procedural.surfaces import surfaces
from s2st_aug.records.domains import CONDITIONS
from s2st_aug.training.checkpoints import load_checkpoint, save_checkpoint

DAY = CONDITIONS.index("day")


class StreetSettings(BaseModel):
    """Which streets a training sees, and at which size."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    rng_key: int = 820_016
    """which streets; 820017 is held out for tuning, 313370 for the suites [no unit]"""
    size: tuple[int, int] = (288, 160)
    """width and height of images that the autoencoder is given [px]"""
    rendered: tuple[int, int] = (640, 360)
    """width and height at which they are rendered; then shrunk by area, as a photo is [px]"""
    first: int = 100
    """streets rendered before the training begins [streets]"""
    most: int = 1500
    """most streets [streets]"""


@dataclass(frozen=True)
class StreetFolder:
    """Rendered streets on disk, one file each: uint8 `6 3 h w` in the order of CONDITIONS."""

    folder: Path
    settings: StreetSettings

    def path(self, index: int) -> Path:
        """Where street `index` lies once it is rendered; another key, size or resolution is another file."""
        s = self.settings
        (w, h), (rw, rh) = s.size, s.rendered
        return self.folder / f"street-{s.rng_key}-{index:05d}-{w}x{h}-of-{rw}x{rh}.safetensors"

    def render(self, index: int) -> torch.Tensor:
        """Street `index` under all conditions, uint8 `6 3 h w`, from its file or rendered into it."""
        path = self.path(index)
        if not path.is_file():
            drawn = draw_street(sample_street(self.settings.rng_key, index, self.settings.rendered))
            surface = surfaces(drawn)
            images = np.stack([resize(render_drawn(drawn, surface, c), self.settings.size) for c in CONDITIONS])
            pixels = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
            save_checkpoint(path, {"images": pixels}, {"conditions": list(CONDITIONS)})
        return load_checkpoint(path)[0]["images"]

    def render_share(self, worker: int, workers: int, stopped: Callable[[], bool] = lambda: False) -> int:
        """Render every `workers`-th street from `worker` on, until `most` or `stopped`; gives how many."""
        done = 0
        for index in range(worker, self.settings.most, workers):
            if stopped():
                break
            self.render(index)
            done += 1
        return done


def end_with_parent() -> Callable[[], bool]:
    """Whether the process that started this one is gone: a renderer must not outlive the training."""
    parent = os.getppid()
    return lambda: os.getppid() != parent


@dataclass(eq=False)
class StreetLoader:
    """Reads streets in their order beside the training: rendered by others as they come, or rendered here at need."""

    source: StreetFolder
    wait: bool = False  # for other processes to render; False: render here
    ahead: int = 32  # streets in memory
    patience: float = 60.0  # seconds to wait for one street

    def __post_init__(self) -> None:
        self._ready: queue.Queue[torch.Tensor] = queue.Queue(self.ahead)
        self._next = 0
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, first: int) -> None:
        """Begin reading at street `first`; where nothing is awaited streets are rendered on demand by `take`."""
        self._next = first
        if self.wait:
            self._thread = threading.Thread(target=self._read, args=(first,), daemon=True)
            self._thread.start()

    def take(self, *, block: bool) -> torch.Tensor | None:
        """The next street, uint8 `6 3 h w`; None where it is not there (`block`: after `patience`) or all are taken."""
        if self._next >= self.source.settings.most:
            return None
        try:
            street = self._ready.get(block, self.patience) if self.wait else self.source.render(self._next)
        except queue.Empty:
            return None
        self._next += 1
        return street

    def stop(self) -> None:
        """End the reading thread."""
        self._ended.set()

    def _read(self, first: int) -> None:
        for index in range(first, self.source.settings.most):
            while not self.source.path(index).is_file():
                if self._ended.wait(0.05):
                    return
            street = self.source.render(index)
            while not self._ended.is_set():
                try:
                    self._ready.put(street, timeout=0.2)
                    break
                except queue.Full:
                    continue


def wait_for(source: StreetFolder, count: int, seconds: float) -> int:
    """Wait until the first `count` streets are rendered, at most so many seconds; gives how many are, without a gap."""
    until = time.monotonic() + seconds
    there = 0
    while there < count and (source.path(there).is_file() or time.monotonic() < until):
        if source.path(there).is_file():
            there += 1
        else:
            time.sleep(0.05)
    return there
