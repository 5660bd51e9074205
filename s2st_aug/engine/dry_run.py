"""What a run would be: counts, cost, disk, label errors. The driver does it alone; nothing is started or written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from functools import partial
from itertools import islice
from pathlib import Path

from s2st_aug.config import AugmentConfig
from s2st_aug.config.hashes import plan_hash
from s2st_aug.engine.context import identify
from s2st_aug.engine.planning import selected_scenes
from s2st_aug.engine.price import Price, price
from s2st_aug.engine.remote_dataset import dataset_folder, fetched, with_local_root
from s2st_aug.engine.sources import reason_of
from s2st_aug.errors import LabelError, counted
from s2st_aug.formats import Card, dataset_card, format_of, read_objects
from s2st_aug.formats.checks import cause_of, once_each, unsound_labels
from s2st_aug.formats.daylight import DarkScene
from s2st_aug.formats.label_images import stored_size
from s2st_aug.records.scene import Scene
from s2st_aug.storage.store import is_remote

BYTES_PER_PIXEL = {"png": 1.7, "jpeg": 0.35}  # measured on translated scenes; noise-free photos need less
SAMPLED = 16


@dataclass(frozen=True, slots=True)
class DryRun:
    """The estimate; `problems` are one line each."""

    scenes: int
    domains: int
    batches: int
    absent: int
    plan_sha256: str
    forward: float
    backward: float
    bytes_needed: int
    bytes_free: int | None  # None: an object store
    labels: int | None  # parsed objects; None: labels were not parsed
    dark: int | None  # tagged daytime and dark; None: images were not looked at
    problems: list[str] = field(default_factory=list)
    fails: bool = False  # whether scenes without an image are planned, and fail
    price: Price | None = None  # None: no scene was found
    actors: tuple[int, int] = (1, 1)
    gpus: float = 0.0  # of an actor

    def lines(self) -> Iterator[tuple[str, str]]:
        """Name and value, for a table."""
        kept = "without an image, which will fail" if self.fails else "more without an image, left out"
        yield "scenes", f"{self.scenes} ({self.absent} {kept})" if self.absent else str(self.scenes)
        yield "variants", f"{self.scenes * self.domains} in {counted(self.domains, 'domain')}"
        yield "batches", str(self.batches)
        yield "plan hash", self.plan_sha256
        yield "network evaluations", f"{self.forward:.0f} forward, {self.backward:.0f} backward"
        yield from self._price_lines()
        yield "disk", f"{_gib(self.bytes_needed)} needed, {_gib(self.bytes_free)} free"
        yield "labels", "not parsed (--dry-run=full parses them)" if self.labels is None else f"{self.labels} parsed"
        if self.dark is not None:
            yield (
                "dark daytime",
                f"{counted(self.dark, 'scene')} tagged daytime but dark, to be skipped (dataset.darkest_day)",
            )
        yield "problems", str(len(self.problems))

    def _price_lines(self) -> Iterator[tuple[str, str]]:
        if self.price is None:
            return
        each, seconds_from, memory, memory_from = (getattr(self.price, f.name) for f in fields(self.price))
        yield "time per variant", seconds_from if each is None else f"{each:.3g} s ({seconds_from})"
        if each is not None:
            least, most = self.actors
            work = each * self.scenes * self.domains
            spread = f"{_time(work / most)} on {most} workers" if most > 1 else f"{_time(work)} on one worker"
            held = f", {work * self.gpus / 3600:.3g} GPU hours" if self.gpus else ""
            yield "time of the run", f"{spread}{f', {_time(work / least)} on {least}' if least < most else ''}{held}"
        yield "memory per worker", memory_from if memory is None else f"{_gib(int(memory))} ({memory_from})"


def dry_run(config: AugmentConfig, *, full: bool, run: str = ".") -> DryRun:
    """Reads label files and file sizes; with `full` parses every label.

    Raises UsageError for what could not be started.
    """
    identity = identify(config)
    digest = plan_hash(config, identity)
    place, config = config.dataset.root, with_local_root(config)
    card, root = dataset_card(config.dataset.model_dump()), Path(config.dataset.root)
    scenes = absent = objects = 0
    problems: list[tuple[str, str]] = []  # cause and message
    sample: list[Scene] = []
    dark: list[DarkScene] = []
    left_out: list[Scene] = []
    selected = selected_scenes(config.dataset, dark.append if full else None, on_absent=left_out.append)
    while chunk := list(islice(selected, 1000)):
        scenes += len(chunk)
        sample = sample or chunk[:SAMPLED]
        missing = [s for s in chunk if not (root / s.image).is_file()]
        absent += len(missing)
        problems += [("absent", f"{s.scene_id}: image not found: {s.image}") for s in missing]
        if full:
            with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
                parsed = list(pool.map(partial(_parse, card, place), chunk))
            objects += sum(number for number, _ in parsed)
            problems += [fault for _, faults in parsed for fault in faults]
    forward, backward = (value * scenes for value in identity.evals_per_scene)
    known = {s.scene_id: size for s in sample if (size := _size(place, s)) is not None}
    sizes = [w * h for w, h in known.values()]
    bytes_each = sum(sizes) / max(len(sizes), 1) * BYTES_PER_PIXEL[config.run.image_format]
    readable = [s for s in sample if s.scene_id in known]
    fails = config.dataset.absent_images == "fail"
    return DryRun(
        scenes=scenes,
        domains=len(identity.profiles),
        batches=-(-scenes // config.cluster.batch_size),
        absent=absent if fails else absent + len(left_out),
        plan_sha256=digest,
        forward=forward,
        backward=backward,
        bytes_needed=int(bytes_each * scenes * len(identity.profiles)),
        bytes_free=_free(run),
        labels=objects if full else None,
        dark=len(dark) if full and config.dataset.checks_daylight else None,
        problems=once_each(problems, counted(scenes, "scene")),
        fails=fails,
        price=price(config, identity, readable, known[readable[0].scene_id]) if readable else None,
        actors=config.cluster.actors,
        gpus=config.cluster.gpus_per_actor,
    )


def _parse(card: Card, root: str, scene: Scene) -> tuple[int, list[tuple[str, str]]]:
    """How many labels a scene has, and cause and message of each that cannot be trusted."""
    try:
        if not format_of(card).labels_need_image:
            objects = read_objects(card, dataset_folder(root), scene)
        else:
            with fetched(root, scene) as folder:
                objects = read_objects(card, folder, scene)
        return len(objects), unsound_labels(scene, objects)
    except Exception as error:
        return 0, [(cause_of(str(error)), f"{scene.scene_id}: {reason_of(error)}")]


def _size(root: str, scene: Scene) -> tuple[int, int] | None:
    """Width and height of a scene's image, from its header alone; None where it cannot be read."""
    try:
        with fetched(root, scene) as folder:
            width, height = stored_size(folder / scene.image)
    except (OSError, LabelError):
        return None
    return width, height


def _free(run: str) -> int | None:
    """Bytes free where the run folder will lie, or where its nearest folder is; None on an object store."""
    if is_remote(run):
        return None
    place = Path(run).absolute()
    existing = next(p for p in (place, *place.parents) if p.exists())
    return shutil.disk_usage(existing).free


def _time(seconds: float) -> str:
    unit, size = next((u, s) for u, s in (("h", 3600), ("min", 60), ("s", 0)) if seconds >= s)
    return f"{seconds / (size or 1):.3g} {unit}"


def _gib(value: int | None) -> str:
    return "unknown (object store)" if value is None else f"{value / 2**30:.{1 if value >= 2**30 else 2}f} GiB"
