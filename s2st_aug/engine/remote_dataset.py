"""A dataset on an object store, as adapters can read it: folders of this machine that stand for it.

`shared` is one tree for every run and process of the machine: labels as they are, and a hole of the right size and
time for each source image, so that planning sees the tree without moving pixels. Images themselves lie in a folder of
the process that reads them, for as long as it does: no other run can take them away under it. Credentials stay in the
address that workers are told; they are in no file's name and in no record.
"""

from __future__ import annotations

import atexit
import hashlib
import logging
import os
import re
import shutil
import socket
import tempfile
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath

import psutil
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
TREE, OWNERS = "tree", "images"


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of the store: its name below the dataset's root, bytes, and time in nanoseconds."""

    name: str
    size: int
    mtime_ns: int


class RemoteDataset:
    """A dataset on an object store, and the folder of this machine that stands for it."""

    def __init__(self, uri: str, owner: str = "") -> None:
        """`owner` names whose images they are: this process by default."""
        self._fs, self._base = open_remote(uri)
        self._uri = mask_uri(uri)
        self.shared = cache_folder(uri) / TREE
        self._owners = cache_folder(uri) / OWNERS
        self.root = self._owners / (owner or _this_process())
        self._has_shared = False

    def make_placeholders(self, card: Card) -> Path:
        """The whole tree: labels as they are, source images as holes. What stands and has not changed is kept.

        Raises DatasetError where there is no file.
        """
        there = self._list(deep=True)
        if not there:
            raise DatasetError(f"{self._uri}: no files found")

        def place(file: RemoteFile) -> None:
            if not is_source(card, file.name):
                self._copy(file)
            elif not _is_same(self._path(file.name, self.shared), file):
                self._place(file, None, self.shared)

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(place, there))
        known = {file.name for file in there}
        for path in self.shared.rglob("*"):
            if path.is_file() and str(path.relative_to(self.shared)) not in known and not path.name.startswith("."):
                path.unlink(missing_ok=True)  # another run may have been quicker
        return self.shared

    def fetch(self, scene: Scene) -> None:
        """The scene's own files, whole; what is not in the store is left absent.

        Raises OSError where the store fails for good.
        """
        if not self._has_shared:
            self._sweep()
            for file in self._list(deep=False):  # small files that hold for all: class names, lists
                self._link(file)
            self._has_shared = True
        for name in sorted(
            {n.partition("#")[0] for n in (scene.label_file or "", *scene.extra_files)} - {"", scene.image}
        ):
            if (label := self._find(name)) is not None:
                self._link(label)
        if (image := self._find(scene.image)) is not None:
            self._place(image, self._read(image), self.root)

    def drop(self, scene: Scene) -> None:
        """The image goes: disks of workers do not fill."""
        self._path(scene.image, self.root).unlink(missing_ok=True)

    def size(self, name: str) -> int | None:
        """Bytes of a file of the store, or None where there is none; raises OSError where the store fails for good."""
        found = self._find(name)
        return None if found is None else found.size

    def _find(self, name: str) -> RemoteFile | None:
        info = retry(partial(self._fs.get_file_info, f"{self._base}/{name}"))
        return self._remote_file(info) if info.type == pafs.FileType.File else None

    def _sweep(self) -> None:
        """Folders of this machine's processes that were killed."""
        for folder in self._owners.glob(f"{socket.gethostname()}-*"):
            pid = folder.name.rpartition("-")[2]
            if pid.isdigit() and not psutil.pid_exists(int(pid)):
                shutil.rmtree(folder, ignore_errors=True)
        atexit.register(shutil.rmtree, self.root, ignore_errors=True)

    def _list(self, *, deep: bool) -> list[RemoteFile]:
        selector = pafs.FileSelector(self._base.rstrip("/"), allow_not_found=True, recursive=deep)
        there = retry(lambda: self._fs.get_file_info(selector))
        return [self._remote_file(info) for info in there if info.type == pafs.FileType.File]

    def _remote_file(self, info: pafs.FileInfo) -> RemoteFile:
        return RemoteFile(info.path[len(self._base) + 1 :], info.size, info.mtime_ns or 0)

    def _path(self, name: str, below: Path) -> Path:
        if not stays_below(name):
            raise DatasetError(f"{self._uri}: {name!r} leads outside of the dataset")
        return below / name

    def _copy(self, file: RemoteFile) -> Path:
        """The file with its bytes in `shared`, unless it is whole already: a hole has no blocks."""
        path = self._path(file.name, self.shared)
        if not _is_same(path, file) or (file.size and not path.stat().st_blocks):
            self._place(file, self._read(file), self.shared)
        return path

    def _link(self, file: RemoteFile) -> None:
        """The file of `shared` under this process's folder too."""
        whole, mine = self._copy(file), self._path(file.name, self.root)
        if _is_same(mine, file):
            return
        try:
            mine.parent.mkdir(parents=True, exist_ok=True)
            mine.unlink(missing_ok=True)
            os.link(whole, mine)
        except OSError:  # no hard links here, or another run took it away meanwhile
            self._place(file, self._read(file), self.root)

    def _read(self, file: RemoteFile) -> bytes:
        def read() -> bytes:
            with self._fs.open_input_stream(f"{self._base}/{file.name}") as stream:
                return stream.read()

        return retry(read)

    def _place(self, file: RemoteFile, data: bytes | None, below: Path) -> None:
        """The file in one step; without data a hole of its size."""
        path = self._path(file.name, below)
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
    try:
        remote.fetch(scene)
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
            "%s: images on an object store are not checked for darkness; dark ones tagged daytime are translated too",
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
    """Where a dataset's labels are read on this machine: itself, or the tree that stands for it."""
    return cache_folder(root) / TREE if is_remote(root) else Path(root)


def cache_folder(uri: str) -> Path:
    """One folder per dataset, user and machine."""
    base = Path(os.environ.get("S2ST_MIRROR", tempfile.gettempdir()))
    return base / f"s2st-mirror-{os.getuid()}" / hashlib.sha256(uri.encode()).hexdigest()[:24]


@lru_cache(4)
def open_remote_dataset(uri: str) -> RemoteDataset:
    """The remote dataset of an address, once per process."""
    return RemoteDataset(uri)


def _this_process() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


def _fixed(pattern: str) -> str:
    """What stands before the first variable part of a card's path."""
    return re.split(r"[{*]", pattern, maxsplit=1)[0]


def _is_same(path: Path, file: RemoteFile) -> bool:
    """Whether a file of this size and time stands there, whole or a hole."""
    if not path.is_file():
        return False
    stat = path.stat()
    return (stat.st_size, stat.st_mtime_ns) == (file.size, file.mtime_ns)
