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
from typing import Literal

from s2st_aug.errors import CheckFailed, UsageError
from s2st_aug.formats.names import disk_key

LOCK = "s2st_aug.lock.json"
Link = Literal["copy", "reflink", "hard"]
_CLONE = 0x40049409
"""FICLONE of Linux (ioctl_ficlone(2)): Btrfs, XFS, bcachefs and others share blocks until one side changes"""
_WORKERS = 4
_PENDING = 256


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
        self._pending: deque[tuple[str, Future[str | _Copied]]] = deque()

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
        self.path(name).write_bytes(data)
        self.sha256[name] = hashlib.sha256(data).hexdigest()

    def place(self, name: str, source: Path, expected: str | None = None) -> None:
        """Copy or link a file, in a thread; raises CheckFailed (here or at the end) for another hash than expected."""
        target = self.path(name)
        self.sha256[name] = ""
        self._pending.append((name, self._pool.submit(_place, source, target, self.link, expected)))
        while len(self._pending) > _PENDING:
            self._settle()

    def later(self, name: str, make: Future[bytes]) -> None:
        """A file whose bytes another thread makes."""
        target = self.path(name)
        self.sha256[name] = ""
        self._pending.append((name, self._pool.submit(_write, target, make)))
        while len(self._pending) > _PENDING:
            self._settle()

    def path(self, name: str) -> Path:
        """Where a file of the export is written; its folder is made.

        Raises UsageError for a name twice or one that leaves the folder.
        """
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
        return self.partial / name

    def settle(self) -> None:
        """Wait for every copy."""
        while self._pending:
            self._settle()

    def _settle(self) -> None:
        name, future = self._pending.popleft()
        done = future.result()
        self.sha256[name] = str(done)
        self.copied += isinstance(done, _Copied)

    def finish(self, lock: dict[str, object]) -> None:
        """Write the lock file and put the folder in place of what an earlier export left there."""
        self.settle()
        files = {name: self.sha256[name] for name in sorted(self.sha256)}
        text = json.dumps(lock | {"files": files}, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
        (self.partial / LOCK).write_bytes(text.encode())
        if self.out.exists():
            shutil.rmtree(self.out)
        self.partial.replace(self.out)


class _Copied(str):
    """The hash of a file that was copied where a link was asked for."""

    __slots__ = ()


def _place(source: Path, target: Path, link: Link, expected: str | None) -> str:
    try:
        data = source.read_bytes()
    except OSError as error:
        raise CheckFailed(f"{source}: cannot be read for {target.name} ({error.strerror or error})") from None
    sha256 = hashlib.sha256(data).hexdigest()
    if expected is not None and sha256 != expected:
        raise CheckFailed(
            f"{source}: not the file that the run recorded (SHA-256 {sha256[:12]}…, expected {expected[:12]}…)"
        )
    if link == "hard" and _linked(source, target):
        return sha256
    if link == "reflink" and _cloned(source, target):
        return sha256
    target.write_bytes(data)
    return sha256 if link == "copy" else _Copied(sha256)


def _linked(source: Path, target: Path) -> bool:
    """Whether a hard link could be made; another file system takes a copy."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        return False
    return True


def _cloned(source: Path, target: Path) -> bool:
    """Whether a file of its own could be made that shares the source's blocks; not every disk does."""
    try:
        with source.open("rb") as held, target.open("wb") as made:
            fcntl.ioctl(made.fileno(), _CLONE, held.fileno())
    except OSError:
        return False
    return True


def _write(target: Path, make: Future[bytes]) -> str:
    data = make.result()
    target.write_bytes(data)
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
