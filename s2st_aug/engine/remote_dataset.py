"""A dataset on an object store, as adapters can read it: a folder of this machine that stands for it.

The driver copies what is no source image (labels are small) and lets each source image be a hole of the right size and
time, so that planning sees the tree without moving pixels. A worker fetches the files of a scene when it reads it and
drops the image afterwards. Credentials stay in the address that workers are told; they are in no file's name and in no
record.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import tempfile
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath

import pyarrow.fs as pafs

from s2st_aug.config import AugmentConfig
from s2st_aug.containment import stays_below
from s2st_aug.errors import DatasetError
from s2st_aug.formats import Card, load_card
from s2st_aug.formats.names import IMAGE_SUFFIXES
from s2st_aug.records.scene import Scene
from s2st_aug.storage.store import is_remote, mask_uri, open_remote, retry

log = logging.getLogger(__name__)

THREADS = 8


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of the store: its name below the dataset's root, bytes, and time in nanoseconds."""

    name: str
    size: int
    mtime_ns: int


class RemoteDataset:
    """A dataset on an object store, and the folder of this machine that stands for it."""

    def __init__(self, uri: str) -> None:
        self._fs, self._base = open_remote(uri)
        self._uri = mask_uri(uri)
        self.root = cache_folder(uri)
        self._has_shared = False

    def make_placeholders(self, card: Card) -> Path:
        """The whole tree: labels as they are, source images as holes. What stands and has not changed is kept.

        Raises DatasetError where there is no file.
        """
        there = self._list(deep=True)
        if not there:
            raise DatasetError(f"{self._uri}: no file is there")

        def place(file: RemoteFile) -> None:
            if not is_source(card, file.name):
                self._copy(file)
            elif not _is_same(self._path(file.name), file):  # a whole one is left alone: another run may be reading it
                self._place(file, None)

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(place, there))
        known = {file.name for file in there}
        for path in self.root.rglob("*"):
            if path.is_file() and str(path.relative_to(self.root)) not in known and not path.name.startswith("."):
                path.unlink()
        return self.root

    def fetch(self, scene: Scene) -> None:
        """The scene's own files, whole; what is not in the store is left absent.

        Raises OSError where the store fails for good.
        """
        if not self._has_shared:  # small files that hold for all: class names, lists
            for file in self._list(deep=False):
                self._copy(file)
            self._has_shared = True
        named = (scene.image, scene.label_file or "", *scene.extra_files)
        for name in sorted({n.partition("#")[0] for n in named} - {""}):
            info = retry(partial(self._fs.get_file_info, f"{self._base}/{name}"))
            if info.type == pafs.FileType.File:
                self._copy(self._remote_file(info))

    def drop(self, scene: Scene) -> None:
        """The image becomes a hole again: disks of workers do not fill."""
        path = self._path(scene.image)
        if path.is_file():
            stat = path.stat()
            self._place(RemoteFile(scene.image, stat.st_size, stat.st_mtime_ns), None)

    def _list(self, *, deep: bool) -> list[RemoteFile]:
        selector = pafs.FileSelector(self._base.rstrip("/"), allow_not_found=True, recursive=deep)
        there = retry(lambda: self._fs.get_file_info(selector))
        return [self._remote_file(info) for info in there if info.type == pafs.FileType.File]

    def _remote_file(self, info: pafs.FileInfo) -> RemoteFile:
        return RemoteFile(info.path[len(self._base) + 1 :], info.size, info.mtime_ns or 0)

    def _path(self, name: str) -> Path:
        if not stays_below(name):
            raise DatasetError(f"{self._uri}: {name!r} is not a name below the dataset's root")
        return self.root / name

    def _copy(self, file: RemoteFile) -> None:
        """The file with its bytes, unless it is whole already: a hole has no blocks."""
        path = self._path(file.name)
        if _is_same(path, file) and (not file.size or path.stat().st_blocks > 0):
            return

        def read() -> bytes:
            with self._fs.open_input_stream(f"{self._base}/{file.name}") as stream:
                return stream.read()

        self._place(file, retry(read))

    def _place(self, file: RemoteFile, data: bytes | None) -> None:
        """The file in one step; without data a hole of its size."""
        path = self._path(file.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        temp = path.with_name(f".{uuid.uuid4().hex}")
        with temp.open("wb") as opened:
            opened.truncate(file.size) if data is None else opened.write(data)
        os.utime(temp, ns=(file.mtime_ns, file.mtime_ns))
        temp.replace(path)


@contextmanager
def fetched(root: str, scene: Scene) -> Iterator[Path]:
    """The dataset's folder on this machine, with this scene's files whole in it while the block runs."""
    if not is_remote(root):
        yield Path(root)
        return
    remote = open_remote_dataset(root)
    remote.fetch(scene)
    try:
        yield remote.root
    finally:
        remote.drop(scene)


def with_local_root(config: AugmentConfig) -> AugmentConfig:
    """The config with a dataset's folder on this machine: its own, or one that stands for an object store's."""
    dataset = config.dataset
    if not is_remote(dataset.root):
        return config
    root = open_remote_dataset(dataset.root).make_placeholders(load_card(dataset.format))
    if dataset.checks_daylight:
        log.warning(
            "%s: images on an object store are not looked at beforehand: dark ones are taken too",
            mask_uri(dataset.root),
        )
    bare = dataset.model_copy(update={"root": str(root), "darkest_day": 0.0})
    return config.model_copy(update={"dataset": bare})


def is_source(card: Card, name: str) -> bool:
    """Whether a file is a source image of the card, not a label in an image's form."""
    if PurePosixPath(name).suffix.lower() not in IMAGE_SUFFIXES:
        return False
    labels = [p for p in (_fixed(tree.path) for tree in card.labels) if p]
    images = [_fixed(p) for p in (card.images, *(tree.images for tree in card.labels if tree.images))]
    return any(name.startswith(p) for p in images) and not any(name.startswith(p) for p in labels if p not in images)


def dataset_folder(root: str) -> Path:
    """Where a dataset's files are read on this machine: itself, or the folder that stands for it."""
    return cache_folder(root) if is_remote(root) else Path(root)


def cache_folder(uri: str) -> Path:
    """One folder per dataset, user and machine."""
    base = Path(os.environ.get("S2ST_MIRROR", tempfile.gettempdir()))
    return base / f"s2st-mirror-{os.getuid()}" / hashlib.sha256(uri.encode()).hexdigest()[:24]


@lru_cache(4)
def open_remote_dataset(uri: str) -> RemoteDataset:
    """The remote dataset of an address, once per process."""
    return RemoteDataset(uri)


def _fixed(pattern: str) -> str:
    """What stands before the first variable part of a card's path."""
    return re.split(r"[{*]", pattern, maxsplit=1)[0]


def _is_same(path: Path, file: RemoteFile) -> bool:
    """Whether a file of this size and time stands there, whole or a hole."""
    if not path.is_file():
        return False
    stat = path.stat()
    return (stat.st_size, stat.st_mtime_ns) == (file.size, file.mtime_ns)
