"""What a run would be: counts, cost, disk, label errors. The driver does it alone; nothing is started or written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

from s2st_aug.config import AugmentConfig
from s2st_aug.config.hashes import plan_hash
from s2st_aug.engine.context import identify
from s2st_aug.engine.planning import selected_scenes
from s2st_aug.engine.remote_dataset import dataset_folder, fetched, with_local_root
from s2st_aug.engine.sources import reason_of
from s2st_aug.errors import LabelError
from s2st_aug.formats import Card, format_of, load_card, read_objects
from s2st_aug.formats.daylight import DarkScene
from s2st_aug.formats.label_images import stored_size
from s2st_aug.records.scene import Scene
from s2st_aug.storage.store import is_remote
from s2st_aug.translation.cost import Cost

# an evaluation of an SD-sized network at 512 x 512 on a present-day GPU; said so where it is used
SECONDS_ASSUMED = 0.05
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

    def lines(self) -> Iterator[tuple[str, str]]:
        """Name and value, for a table."""
        evaluations = Cost(self.forward, self.backward).evaluations
        yield "scenes", f"{self.scenes} ({self.absent} without their image)"
        yield "variants", f"{self.scenes * self.domains} in {self.domains} domains"
        yield "batches", str(self.batches)
        yield "plan hash", self.plan_sha256
        yield "network evaluations", f"{self.forward:.0f} forward, {self.backward:.0f} backward"
        hours = evaluations * SECONDS_ASSUMED / 3600
        yield (
            "GPU hours",
            f"{hours:.1f} at {SECONDS_ASSUMED} s an evaluation (assumed for SD at 512; measure with preview)",
        )
        yield "disk", f"{_gib(self.bytes_needed)} needed, {_gib(self.bytes_free)} free"
        yield "labels", "not parsed (--dry-run=full parses them)" if self.labels is None else f"{self.labels} parsed"
        if self.dark is not None:
            yield (
                "dark by day",
                f"{self.dark} scenes are tagged daytime and dark: they will be skipped (dataset.darkest_day)",
            )
        yield "problems", str(len(self.problems))


def dry_run(config: AugmentConfig, *, full: bool, run: str = ".") -> DryRun:
    """Reads label files and file sizes; with `full` parses every label.

    Raises UsageError for what could not be started.
    """
    identity = identify(config)
    digest = plan_hash(config, identity)
    place, config = config.dataset.root, with_local_root(config)
    card, root = load_card(config.dataset.format), Path(config.dataset.root)
    scenes = absent = objects = 0
    problems: list[str] = []
    sample: list[Scene] = []
    dark: list[DarkScene] = []
    selected = selected_scenes(config.dataset, dark.append if full else None)
    while chunk := list(islice(selected, 1000)):
        scenes += len(chunk)
        sample = sample or chunk[:SAMPLED]
        missing = [s for s in chunk if not (root / s.image).is_file()]
        absent += len(missing)
        problems += [f"{s.scene_id}: its image {s.image} is absent" for s in missing]
        if full:
            with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
                parsed = list(pool.map(partial(_parse, card, place), chunk))
            objects += sum(number for number, _ in parsed)
            problems += [why for _, why in parsed if why]
    forward, backward = (value * scenes for value in identity.evals_per_scene)
    sizes = [size for size in (_size(place, s) for s in sample) if size]
    bytes_each = sum(sizes) / max(len(sizes), 1) * BYTES_PER_PIXEL[config.run.image_format]
    return DryRun(
        scenes=scenes,
        domains=len(identity.profiles),
        batches=-(-scenes // config.cluster.batch_size),
        absent=absent,
        plan_sha256=digest,
        forward=forward,
        backward=backward,
        bytes_needed=int(bytes_each * scenes * len(identity.profiles)),
        bytes_free=_free(run),
        labels=objects if full else None,
        dark=len(dark) if full and config.dataset.checks_daylight else None,
        problems=problems,
    )


def _parse(card: Card, root: str, scene: Scene) -> tuple[int, str]:
    """How many labels a scene has, or what is wrong with them."""
    try:
        if not format_of(card).labels_need_image:
            return len(read_objects(card, dataset_folder(root), scene)), ""
        with fetched(root, scene) as folder:
            return len(read_objects(card, folder, scene)), ""
    except Exception as error:
        return 0, f"{scene.scene_id}: {reason_of(error)}"


def _size(root: str, scene: Scene) -> int:
    """Pixels of a scene's image, from its header alone; 0 where it cannot be read."""
    try:
        with fetched(root, scene) as folder:
            width, height = stored_size(folder / scene.image)
            return width * height
    except (OSError, LabelError):
        return 0


def _free(run: str) -> int | None:
    """Bytes free where the run folder will lie, or where its nearest folder is; None on an object store."""
    if is_remote(run):
        return None
    place = Path(run).absolute()
    existing = next(p for p in (place, *place.parents) if p.exists())
    return shutil.disk_usage(existing).free


def _gib(value: int | None) -> str:
    return "as much as the store gives" if value is None else f"{value / 2**30:.1f} GiB"
