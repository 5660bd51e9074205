"""From a dataset to planned batches, in the driver alone: nothing is decoded, no worker is held."""

from __future__ import annotations

import hashlib
import logging
import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from s2st_aug.config.augment import AugmentConfig, DatasetConfig
from s2st_aug.errors import DatasetError
from s2st_aug.formats import Card, dataset_card, format_of, read_scenes
from s2st_aug.formats.daylight import DarkScene, without_dark_scenes
from s2st_aug.images import sha256_file
from s2st_aug.records.scene import Scene
from s2st_aug.storage.plan import PlannedBatch, PlannedScene, batch_key

log = logging.getLogger(__name__)
OnSkip = Callable[[DarkScene], None]
OnAbsent = Callable[[Scene], None]


def selected_scenes(
    dataset: DatasetConfig,
    on_skip: OnSkip | None = None,
    *,
    on_absent: OnAbsent = lambda scene: None,
    trusted: Collection[str] = (),
) -> Iterator[Scene]:
    """The scenes that the config asks for, in the format's order; raises DatasetError where there is none.

    Those without an image are told to `on_absent` and left out, unless the config wants them to fail. With `on_skip`, a
    selection of daytime leaves out what is tagged so and dark, and tells of each. `trusted` ids are not looked at
    again. Without `on_skip` nothing is decoded.
    """
    root, found, labelled = Path(dataset.root), False, False
    card, select = dataset_card(dataset.model_dump()), dataset.select
    _refuse_without_images(card, root, dataset.split)
    absent: list[Scene] = []  # the first alone
    scenes = read_scenes(card, root, dataset.split)
    asked: Iterator[Scene] = (s for s in scenes if all(s.attributes.get(k) in v for k, v in select.items()))
    if dataset.absent_images == "skip":
        asked = _with_image(root, asked, absent, on_absent, trusted)
    if on_skip is not None and dataset.checks_daylight:
        asked = without_dark_scenes(root, asked, on_skip, dark=dataset.darkest_day, trusted=trusted)
    for scene in islice(asked, dataset.limit):
        found, labelled = True, labelled or bool(scene.label_file or scene.extra_files)
        yield scene
    if found and not labelled:
        log.warning(
            "%s: no image of split %r has labels; dataset card %r says where they are expected",
            dataset.root,
            dataset.split,
            dataset.format,
        )
    if not found and absent:
        raise _all_absent(card, root, dataset.split, absent[0])
    if not found:
        wanted = " and ".join(f"{key} in {list(values)}" for key, values in select.items()) or "an image"
        if on_skip is not None and dataset.checks_daylight:
            wanted += f" and an image that is not dark (mean luma at least {dataset.darkest_day:g})"
        raise DatasetError(f"{dataset.root}: no scene of split {dataset.split!r} has {wanted}")


def _with_image(
    root: Path, scenes: Iterable[Scene], first: list[Scene], on_absent: OnAbsent, trusted: Collection[str]
) -> Iterator[Scene]:
    """The scenes whose image is there; `first` takes the first other one. What is there and no file fails."""
    base = str(root)
    for scene in scenes:
        if scene.scene_id in trusted or os.path.exists(f"{base}/{scene.image}"):  # noqa: PTH110 - of a million
            yield scene
            continue
        if not first:
            first.append(scene)
        on_absent(scene)


def _all_absent(card: Card, root: Path, split: str, scene: Scene) -> DatasetError:
    there = [other for other in card.splits if other != split and _has_image(card, root, other)]
    known = f"splits with images: {', '.join(there)}" if there else "no other split has any"
    first = f"first missing file: {root / scene.image}"
    return DatasetError(f"{root}: split {split!r} has labels but no images; {known}; {first}")


def _has_image(card: Card, root: Path, split: str) -> bool:
    try:
        return any((root / s.image).is_file() for s in islice(read_scenes(card, root, split), 1000))
    except DatasetError:
        return False


def _refuse_without_images(card: Card, root: Path, split: str) -> None:
    """Where label lists name the images, their folder is looked at before the lists are read."""
    format = format_of(card)
    folder = root / card.images.format(split=format.split_folder(split))
    if format.lists_name_images and not folder.is_dir():
        first = next(iter(read_scenes(card, root, split)), None)
        if first is not None and not (root / first.image).is_file():
            raise _all_absent(card, root, split, first)


def plan_batches(
    config: AugmentConfig,
    plan_sha256: str,
    domains: tuple[str, ...],
    *,
    without: Collection[str] = (),
    check_sources: bool = False,
    on_skip: OnSkip = lambda scene: None,
    on_absent: OnAbsent = lambda scene: None,
) -> Iterator[PlannedBatch]:
    """Batches of scenes in order, `without` the scene ids that are planned already; a stream, so memory does not grow.

    Scenes that are dark though selected as daytime are told to `on_skip`, those without an image to `on_absent`;
    neither is planned.
    """
    observe = _Observer(Path(config.dataset.root), check_sources=check_sources)
    selected = selected_scenes(config.dataset, on_skip, on_absent=on_absent, trusted=without)
    scenes = (s for s in selected if s.scene_id not in without)
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
            found = os.stat(path)  # noqa: PTH116
        except OSError:
            return PlannedScene(scene, self._label_hash(scene), None, None)
        digest = sha256_file(path) if self._check and stat.S_ISREG(found.st_mode) else None
        return PlannedScene(scene, self._label_hash(scene), found.st_size, found.st_mtime_ns, digest)

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
