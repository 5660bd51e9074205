"""From a dataset to planned batches, in the driver alone: nothing is decoded, no worker is held."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from s2st_aug.adapters import load_card, read_scenes
from s2st_aug.adapters.daylight import without_suspects
from s2st_aug.config.augment import AugmentConfig, DatasetConfig
from s2st_aug.errors import DatasetError
from s2st_aug.images import sha256_file
from s2st_aug.records.scene import Scene
from s2st_aug.storage.plan import PlannedBatch, PlannedScene, batch_key


def selected_scenes(dataset: DatasetConfig) -> Iterator[Scene]:
    """The scenes that the config asks for, in the adapter's order; raises DatasetError where there is none."""
    limit, number = dataset.limit, 0
    for scene in read_scenes(load_card(dataset.format), Path(dataset.root), dataset.split):
        if number == limit:
            return
        if all(scene.attributes.get(key) in values for key, values in dataset.select.items()):
            number += 1
            yield scene
    if not number:
        raise DatasetError(f"{dataset.root}: no scene of split {dataset.split!r} has {_asked(dataset.select)}")


def plan_batches(
    config: AugmentConfig, plan_sha256: str, domains: tuple[str, ...], *, without: Collection[str] = (), check_sources: bool = False
) -> Iterator[PlannedBatch]:
    """Batches of scenes in order, `without` the scene ids that are planned already; a stream, so memory does not grow."""
    observe = _Observer(Path(config.dataset.root), check_sources=check_sources)
    scenes: Iterator[Scene] = (s for s in selected_scenes(config.dataset) if s.scene_id not in without)
    if check_sources and "daytime" in config.dataset.select.get("timeofday", ()):
        scenes = without_suspects(Path(config.dataset.root), scenes)
    for group in _groups(scenes, config.cluster.batch_size):
        planned = tuple(observe.all(group))
        yield PlannedBatch(batch_key(plan_sha256, planned), planned, tuple(domains for _ in planned))


class _Observer:
    """Sizes, times and hashes of the files of scenes; label files are hashed once each."""

    def __init__(self, root: Path, *, check_sources: bool) -> None:
        self._root = str(root)
        self._check = check_sources
        self._label_files: dict[str, str | None] = {}
        self._pool = ThreadPoolExecutor(4)

    def all(self, scenes: list[Scene]) -> Iterable[PlannedScene]:
        if self._check:
            return self._pool.map(self._planned, scenes)
        return map(self._planned, scenes)

    def _planned(self, scene: Scene) -> PlannedScene:
        path = f"{self._root}/{scene.image}"
        try:
            stat = os.stat(path)  # noqa: PTH116
        except OSError:
            return PlannedScene(scene, self._label_hash(scene), None, None)
        return PlannedScene(scene, self._label_hash(scene), stat.st_size, stat.st_mtime_ns, sha256_file(path) if self._check else None)

    def _label_hash(self, scene: Scene) -> str | None:
        if scene.label_file is None:
            return None
        if scene.label_file not in self._label_files:
            if len(self._label_files) > 100_000:  # one label file per scene: nothing to remember
                self._label_files.clear()
            self._label_files[scene.label_file] = _hash_file(f"{self._root}/{scene.label_file}")
        return self._label_files[scene.label_file]


def _hash_file(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _groups(scenes: Iterable[Scene], size: int) -> Iterator[list[Scene]]:
    group: list[Scene] = []
    for scene in scenes:
        group.append(scene)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def _asked(select: dict[str, tuple[str, ...]]) -> str:
    return " and ".join(f"{key} in {list(values)}" for key, values in select.items()) or "an image"
