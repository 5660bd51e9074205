"""The folder that an export writes: built beside its place, hashed file by file, put in place as a whole at the end."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple

from s2st_aug.errors import CheckFailed, UsageError
from s2st_aug.formats.names import disk_key
from s2st_aug.formats.small_files import read_file, write_file

LOCK = "s2st_aug.lock.json"
Link = Literal["copy", "reflink", "hard"]
_CLONE = 0x40049409
"""FICLONE of Linux (ioctl_ficlone(2)): Btrfs, XFS, bcachefs and others share blocks until one side changes"""
_WORKERS = 2
"""threads: more of them take twice the processor's time and are no faster"""
_PENDING = 256
_BATCH = 64
"""files that a thread places at a time: handing them over one by one takes as long as copying them"""


class OutputFolder:
    """Files by POSIX name below `out`, each with its SHA-256. Use it as a context; `finish` puts it in place."""

    def __init__(self, out: Path, link: Link, *, folds_case: bool | None = None) -> None:
        """`folds_case` says whether the disk takes `A` and `a` for one name; None: it is tried."""
        self.out, self.link, self._folds_case = out, link, folds_case
        self._by_key: dict[str, str] = {}  # names as such a disk compares them
        self.partial = out.parent / f".{out.name}.s2st_aug-partial"
        self.sha256: dict[str, str] = {}
        self.copied = 0  # files that the disk did not link
        self._made: set[str] = set()
        self._pool = ThreadPoolExecutor(_WORKERS)
        self._to_place: list[_Placement] = []
        self._pending: deque[tuple[str, Future[str]]] = deque()

    def __enter__(self) -> OutputFolder:
        refuse_foreign(self.out)
        shutil.rmtree(self.partial, ignore_errors=True)
        try:
            self.partial.mkdir(parents=True)
        except OSError as error:
            raise UsageError(f"--out {self.out}: cannot be made ({error.strerror})") from None
        if self._folds_case is None:
            self._folds_case = folds_case(self.partial)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)
        shutil.rmtree(self.partial, ignore_errors=True)

    def write(self, name: str, data: bytes) -> None:
        """A file of its own bytes."""
        self._take(name)
        write_file(f"{self.partial}/{name}", data)
        self.sha256[name] = hashlib.sha256(data).hexdigest()

    def place(self, name: str, source: str | Path, expected: str | None = None) -> None:
        """Copy or link a file in `settle`, which raises CheckFailed for another hash than expected.

        Not before: threads that copy while this one edits labels slow it down more than they do.
        """
        self._take(name)
        self._to_place.append(_Placement(name, str(source), expected))
        self.sha256[name] = ""

    def later(self, name: str, make: Future[bytes]) -> None:
        """A file whose bytes another thread makes."""
        target = self.path(name)
        self.sha256[name] = ""
        self._pending.append((name, self._pool.submit(_write, target, make)))
        while len(self._pending) > _PENDING:
            self._settle_next()

    def path(self, name: str) -> Path:
        """Where a file of the export is written; its folder is made.

        Raises UsageError for a name twice or one that leaves the folder.
        """
        self._take(name)
        return self.partial / name

    def _take(self, name: str) -> None:
        if name in self.sha256 or name.startswith("/") or ".." in name.split("/"):
            raise UsageError(f"{name!r} cannot be written: it already exists, or lies outside the export")
        if self._folds_case and (other := self._by_key.setdefault(disk_key(name), name)) != name:
            raise UsageError(
                f"--out {self.out}: {name} and {other} differ only in upper and lower case or Unicode form, and this"
                " disk takes them for one file; choose a folder on another disk, or rename one of the dataset's files"
            )
        folder = name.rpartition("/")[0]
        if folder not in self._made:
            (self.partial / folder).mkdir(parents=True, exist_ok=True)
            self._made.add(folder)

    def settle(self) -> None:
        """Every file placed and written."""

        def place(files: list[_Placement]) -> list[_Placed]:
            return [_place(file, f"{self.partial}/{file.name}", self.link) for file in files]

        todo, self._to_place = self._to_place, []
        batches = [todo[at : at + _BATCH] for at in range(0, len(todo), _BATCH)]
        for batch, placed in zip(batches, self._pool.map(place, batches), strict=True):
            self.sha256.update((file.name, done.sha256) for file, done in zip(batch, placed, strict=True))
            self.copied += sum(self.link != "copy" and not done.linked for done in placed)
        while self._pending:
            self._settle_next()

    def _settle_next(self) -> None:
        name, future = self._pending.popleft()
        self.sha256[name] = future.result()

    def finish(self, lock: dict[str, object]) -> None:
        """Write the lock file and put the folder in place of what an earlier export left there."""
        self.settle()
        files = {name: self.sha256[name] for name in sorted(self.sha256)}
        text = json.dumps(lock | {"files": files}, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
        (self.partial / LOCK).write_bytes(text.encode())
        if self.out.exists():
            shutil.rmtree(self.out)
        self.partial.replace(self.out)


class _Placement(NamedTuple):
    """A file to copy or link, and the hash that the run recorded, where it did."""

    name: str
    source: str
    expected: str | None


class _Placed(NamedTuple):
    sha256: str
    linked: bool  # not copied


def _place(file: _Placement, target: str, link: Link) -> _Placed:
    source = file.source
    try:
        data = read_file(source)
    except OSError as error:
        raise CheckFailed(
            f"{source}: cannot be read for {file.name.rpartition('/')[2]} ({error.strerror or error})"
        ) from None
    sha256 = hashlib.sha256(data).hexdigest()
    if file.expected not in (None, sha256):
        raise CheckFailed(
            f"{source}: not the file that the run recorded (SHA-256 {sha256[:12]}…, expected {file.expected[:12]}…)"
        )
    if (link == "hard" and _linked(source, target)) or (link == "reflink" and _cloned(source, target)):
        return _Placed(sha256, linked=True)
    write_file(target, data)
    return _Placed(sha256, linked=False)


def _linked(source: str, target: str) -> bool:
    """Whether a hard link could be made; another file system takes a copy."""
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        return False
    return True


def _cloned(source: str, target: str) -> bool:
    """Whether a file of its own could be made that shares the source's blocks; not every disk does."""
    try:
        with open(source, "rb") as held, open(target, "wb") as made:
            fcntl.ioctl(made.fileno(), _CLONE, held.fileno())
    except OSError:
        return False
    return True


def _write(target: Path, make: Future[bytes]) -> str:
    data = make.result()
    write_file(target, data)
    return hashlib.sha256(data).hexdigest()


def folds_case(folder: Path) -> bool:
    """Whether the disk of a folder takes names for one that differ only in case, as those of macOS and Windows do."""
    probe = folder / "s2st_aug_Case"
    probe.touch()
    folds = probe.with_name(probe.name.swapcase()).exists()
    probe.unlink()
    return folds


def refuse_foreign(out: Path) -> None:
    """Raises UsageError unless `out` is absent, empty, or an earlier export that nobody added to."""
    if not out.exists() and not out.is_symlink():
        return
    if not out.is_dir():
        raise UsageError(f"--out {out}: expected a folder, found a file")
    if not any(out.iterdir()):
        return
    if not (out / LOCK).is_file():
        raise UsageError(
            f"--out {out}: the folder is not empty and holds no {LOCK}: not an export of s2st-aug; choose another"
        )
    try:
        ours = {LOCK, *json.loads((out / LOCK).read_bytes())["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(f"--out {out}: its {LOCK} cannot be read; choose another folder") from None
    there = {p.relative_to(out).as_posix() for p in out.rglob("*") if not p.is_dir() or p.is_symlink()}
    foreign = sorted(there - ours)
    if foreign:
        raise UsageError(
            f"--out {out}: holds {len(foreign)} files that no export wrote, the first {foreign[0]}; move them or choose"
            " another"
        )
