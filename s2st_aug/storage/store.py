"""One small interface over local disks, NFS and object stores; every write is whole or absent.

Local writes go to `.state/tmp`, are flushed to disk, and are renamed: a reader sees all of a
file or nothing, and whatever a kill leaves behind lies in one folder. Object stores write whole objects.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import pyarrow as pa
import pyarrow.fs as pafs

from s2st_aug.containment import lies_inside, stays_below
from s2st_aug.errors import RunFolderError, Stopped
from s2st_aug.storage.conditional import bulk_delete, conditional_put

log = logging.getLogger(__name__)
T = TypeVar("T")

TMP = ".state/tmp"
SPARE = ".state/spare"
PUTS = 16  # requests of one call that are under way at a time
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
BACKOFF_SECONDS = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
_NO_REPLACE = (
    errno.EEXIST,
    errno.EPERM,
    errno.EACCES,
    errno.ENOTSUP,
)  # what servers answer that do not rename over a file
_SECRET = re.compile(r"(key|secret|token|password|passwd|signature|credential|sig)", re.IGNORECASE)
_TRANSIENT = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ECONNRESET, errno.EAGAIN, errno.EBUSY)
STORAGE_FAILS = (*_TRANSIENT, errno.EROFS)
"""what storage answers that is broken, whoever asks it for whatever"""


class Store(Protocol):
    """Files under one root, by POSIX names relative to it.

    Names come out of files too: one that leads outside of the root, by its words or by a link, raises RunFolderError.
    """

    root: str
    guard: Callable[[], None] | None
    """called before each change; raises where the folder is no longer this process's to write"""

    @property
    def exclusive(self) -> bool:
        """Whether `write_new` refuses a second writer in one step, even at the same instant."""
        ...

    def read(self, name: str) -> bytes:
        """Whole file; raises FileNotFoundError."""
        ...

    def write_many(self, files: Mapping[str, bytes]) -> None:
        """Each file whole or absent, replacing what was there; raises Stopped on a full disk."""
        ...

    def write_new(self, name: str, data: bytes) -> bool:
        """False, and nothing written, where the name exists. Best effort where the store is not `exclusive`."""
        ...

    def write_many_new(self, files: Mapping[str, bytes]) -> set[str]:
        """Names of those that were absent and are written now; what exists is left as it is."""
        ...

    def names(self, folder: str, *, deep: bool = True) -> Iterator[str]:
        """Names of the files in a folder, in no order; nothing where it is absent."""
        ...

    def size(self, name: str) -> int | None:
        """Bytes, or None where there is no such file."""
        ...

    def delete(self, name: str) -> None:
        """No error where it is absent."""
        ...

    def delete_many(self, names: Iterable[str]) -> None:
        """Each of them, in few requests where the store knows such; no error where one is absent."""
        ...

    def move(self, name: str, to: str) -> None:
        """Rename within the store, replacing."""
        ...


def open_store(place: str | Path) -> Store:
    """The store for a path or a URI (`s3://`, `gs://`, ... through pyarrow.fs or fsspec)."""
    text = str(place)
    if is_remote(text):
        return RemoteStore(text)
    return LocalStore(Path(text.removeprefix("file://")).absolute())


class LocalStore:
    """A folder on this machine or on NFS."""

    exclusive = True  # by hard links; a file system without them is checked and renamed onto

    def __init__(self, root: Path) -> None:
        self.path = root
        self.root = str(root)
        self.guard: Callable[[], None] | None = None

    def read(self, name: str) -> bytes:
        """Whole file; raises FileNotFoundError."""
        try:
            return retry(lambda: self.file(name).read_bytes())
        except FileNotFoundError:
            # a kill between `_put`'s two steps left its spare; FileNotFoundError where there is none
            return self._spare(name).read_bytes()

    def write_many(self, files: Mapping[str, bytes]) -> None:
        """Temp files, flushed; then the renames; then the folders flushed once each."""
        temps: dict[str, Path] = {}
        _may_write(self)
        try:
            for name, data in files.items():
                temps[name] = retry(partial(self._temp, data))
            for name, temp in temps.items():
                retry(partial(self._put, temp, name))
            for folder in {self._entry(name).parent for name in files}:
                retry(partial(_flush_folder, folder))
        except OSError as error:
            _discard(temps.values())
            raise _full_or_same(error, self.root) from None

    def write_new(self, name: str, data: bytes) -> bool:
        """A hard link onto the name: the file system itself refuses a second writer."""
        return bool(self.write_many_new({name: data}))

    def write_many_new(self, files: Mapping[str, bytes]) -> set[str]:
        """Temp files, flushed; a hard link each; then the folders flushed once each."""
        temps: dict[str, Path] = {}
        written: set[str] = set()
        _may_write(self)
        try:
            for name, data in files.items():
                temps[name] = retry(partial(self._temp, data))
            for name, temp in temps.items():
                if retry(partial(_link_or_rename, temp, self._parent(name))):
                    written.add(name)
            for folder in {self._entry(name).parent for name in written}:
                retry(partial(_flush_folder, folder))
        except OSError as error:
            raise _full_or_same(error, self.root) from None
        finally:
            _discard(temps.values())
        return written

    def names(self, folder: str, *, deep: bool = True) -> Iterator[str]:
        """Files under a folder; symbolic links are not followed."""
        if folder:
            self.file(folder)
        stack = [folder]
        while stack:
            current = stack.pop()
            for entry in _scan(self.path / current):
                name = f"{current}/{entry.name}" if current else entry.name
                if not entry.is_dir(follow_symlinks=False):
                    yield name
                elif deep:
                    stack.append(name)

    def size(self, name: str) -> int | None:
        """Bytes, or None where there is no such file."""
        for path in (self._entry(name), self._spare(name)):
            try:
                return path.stat().st_size
            except (FileNotFoundError, NotADirectoryError):
                continue
        return None

    def restore_spares(self) -> None:
        """After a kill in the middle of a replacement: the spare copy takes the name that it stood for."""
        for name in list(self.names(SPARE)):
            target = self._parent(name.removeprefix(f"{SPARE}/"))
            if target.is_file():
                self.delete(name)
            else:
                self._entry(name).rename(target)

    def file(self, name: str) -> Path:
        """The path of a file, for reading; raises RunFolderError where it leads outside."""
        return self._inside(name, entry=False)

    def delete(self, name: str) -> None:
        """No error where it is absent."""
        _may_write(self)
        self._entry(name).unlink(missing_ok=True)

    def delete_many(self, names: Iterable[str]) -> None:
        """One by one."""
        for name in names:
            self.delete(name)

    def move(self, name: str, to: str) -> None:
        """Rename within the folder, replacing."""
        _may_write(self)
        self._entry(name).replace(self._parent(to))

    def _put(self, temp: Path, name: str) -> None:
        """Onto its name. Where a file system refuses to rename over a file, a spare copy stands in meanwhile."""
        target = self._parent(name)
        try:
            temp.replace(target)
        except OSError as error:
            if error.errno not in _NO_REPLACE or not target.is_file():
                raise
            spare = self._spare(name)
            spare.parent.mkdir(parents=True, exist_ok=True)
            spare.unlink(missing_ok=True)
            with spare.open("xb") as file:
                file.write(temp.read_bytes())
                file.flush()
                os.fsync(file.fileno())
            target.unlink()
            temp.rename(target)
            spare.unlink()

    def _spare(self, name: str) -> Path:
        return self._entry(f"{SPARE}/{name}")

    def _entry(self, name: str) -> Path:
        """The path of a name, for what replaces, moves or deletes it: a link there is itself meant."""
        return self._inside(name, entry=True)

    def _inside(self, name: str, *, entry: bool) -> Path:
        if not lies_inside(self.path, name, entry=entry):
            raise RunFolderError(f"{self.root}: {name!r} leads outside of the folder")
        return self.path / name

    def _temp(self, data: bytes) -> Path:
        temp = self._entry(f"{TMP}/{uuid.uuid4().hex}")
        try:
            temp.parent.mkdir(parents=True, exist_ok=True)
            with temp.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            _discard([temp])
            raise _full_or_same(error, self.root) from None
        return temp

    def _parent(self, name: str) -> Path:
        path = self._entry(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


class RemoteStore:
    """An object store: a put is whole or absent, so there are no temporaries.

    `write_new` is a conditional put where the store and an installed client have one (`storage.conditional`).
    """

    def __init__(self, uri: str) -> None:
        self.root = mask_uri(uri)
        self.fs, self.base = open_remote(uri)
        self.guard: Callable[[], None] | None = None
        self._find_create, self._find_bulk = partial(conditional_put, uri), partial(bulk_delete, uri)

    def __reduce__(self) -> tuple[Callable[[str], RemoteStore], tuple[str]]:
        raise TypeError("a RemoteStore is opened where it is used: ship its URI")

    def __copy__(self) -> RemoteStore:
        other = object.__new__(RemoteStore)
        other.__dict__.update(self.__dict__)
        return other

    def read(self, name: str) -> bytes:
        """Whole object; raises FileNotFoundError."""

        def read_once() -> bytes:
            with self.fs.open_input_stream(self._key(name)) as stream:
                return bytes(stream.read())

        return retry(read_once)

    @cached_property
    def _create(self) -> Callable[[str, bytes], bool] | None:
        return self._find_create()  # a client is slow to start, and reading needs none

    @cached_property
    def _bulk(self) -> Callable[[list[str]], None] | None:
        return self._find_bulk()

    @cached_property
    def exclusive(self) -> bool:
        """Whether the store refuses a second put of one name: it is tried once, since some ignore the condition."""
        name = f"{self.base}/{TMP}/{uuid.uuid4().hex}"
        create = self._create
        if create is None:
            return False
        try:
            retry(lambda: create(name, b"1"))
            return not retry(lambda: create(name, b"2"))
        finally:
            retry(lambda: self.fs.delete_file(name))

    def write_many(self, files: Mapping[str, bytes]) -> None:
        """One put per object, several at a time, each tried again with growing pauses."""
        _may_write(self)
        at_once(partial(retry, partial(self._put, name, data)) for name, data in files.items())

    def write_new(self, name: str, data: bytes) -> bool:
        """A put on condition that the name is free; where the store knows no conditions it is asked first."""
        return bool(self.write_many_new({name: data}))

    def write_many_new(self, files: Mapping[str, bytes]) -> set[str]:
        """One conditional put per object, several at a time."""
        _may_write(self)
        create = self._create  # before any thread: clients are made one at a time
        written = at_once(partial(self._put_new, create, name, data) for name, data in files.items())
        return {name for name, new in zip(files, written, strict=True) if new}

    def names(self, folder: str, *, deep: bool = True) -> Iterator[str]:
        """Objects under a prefix."""
        selector = pafs.FileSelector(self._key(folder) if folder else self.base, allow_not_found=True, recursive=deep)
        for info in retry(lambda: self.fs.get_file_info(selector)):
            if info.type == pafs.FileType.File:
                yield info.path[len(self.base) + 1 :]

    def size(self, name: str) -> int | None:
        """Bytes, or None where there is no such object."""
        info = retry(lambda: self.fs.get_file_info(self._key(name)))
        return info.size if info.type == pafs.FileType.File else None

    def delete(self, name: str) -> None:
        """No error where it is absent."""
        _may_write(self)
        if self.size(name) is not None:
            retry(lambda: self.fs.delete_file(self._key(name)))

    def delete_many(self, names: Iterable[str]) -> None:
        """A thousand in one request where an installed client has one, else several at a time."""
        _may_write(self)
        wanted, bulk = list(names), self._bulk
        if not wanted:
            return
        if bulk is None:
            at_once(partial(self.delete, name) for name in wanted)
        else:
            retry(partial(bulk, [self._key(name) for name in wanted]))

    def move(self, name: str, to: str) -> None:
        """Copy, then delete: object stores have no rename."""
        self.write_many({to: self.read(name)})
        self.delete(name)

    def _put_new(self, create: Callable[[str, bytes], bool] | None, name: str, data: bytes) -> bool:
        """A put whose answer was lost is tried again and then refused: what stands there decides whose it is."""
        if create is None:
            if self.size(name) is not None:
                return False
            retry(partial(self._put, name, data))
            return True
        tries = 0

        def once() -> bool:
            nonlocal tries
            tries += 1
            return create(self._key(name), data)

        return retry(once) or (tries > 1 and self.read(name) == data)

    def _put(self, name: str, data: bytes) -> None:
        with self.fs.open_output_stream(self._key(name)) as stream:
            stream.write(data)

    def _key(self, name: str) -> str:
        if not stays_below(name):
            raise RunFolderError(f"{self.root}: {name!r} leads outside of the folder")
        return f"{self.base}/{name}"


def open_remote(uri: str) -> tuple[pafs.FileSystem, str]:
    """The file system of a URI and the path in it, by pyarrow or else fsspec.

    Raises RunFolderError for an address that neither knows.
    """
    try:
        fs, base = pafs.FileSystem.from_uri(uri)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError, OSError):
        return _open_fsspec(uri)
    return fs, base.rstrip("/")


def _open_fsspec(uri: str) -> tuple[pafs.FileSystem, str]:
    import fsspec

    try:
        fs, base = fsspec.core.url_to_fs(uri)
    except (ValueError, ImportError, OSError) as error:
        raise RunFolderError(
            f"{mask_uri(uri)}: no file system for this address ({type(error).__name__}: {error})"
        ) from None
    return pafs.PyFileSystem(pafs.FSSpecHandler(fs)), base.rstrip("/")


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _link_or_rename(temp: Path, target: Path) -> bool:
    """A hard link where the file system has them, else a check and a rename; False where the name exists."""
    try:
        os.link(temp, target)
    except FileExistsError:
        return temp.stat().st_nlink > 1  # NFS may answer so for a link that it made: the first answer was lost
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS):
            raise
        if target.exists():
            return False
        temp.replace(target)
    return True


def _may_write(store: LocalStore | RemoteStore) -> None:
    if store.guard is not None:
        store.guard()


def _flush_folder(folder: Path) -> None:
    """Make a rename durable; file systems that cannot flush a folder are left alone."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(fd)


def _discard(temps: Iterable[Path]) -> None:
    for temp in temps:
        temp.unlink(missing_ok=True)


def _full_or_same(error: OSError, root: str) -> Exception:
    return storage_stopped(root, error) if error.errno in DISK_FULL else error


def storage_stopped(root: str, error: OSError) -> Stopped:
    """What ends a run whose folder cannot be written any more: a full disk, or storage that fails for good."""
    if error.errno in DISK_FULL:
        return Stopped(
            f"{root}: the disk is full; finished images are kept; free some space and run the same command to resume"
        )
    return Stopped(f"{root}: storage fails ({error}); finished images are kept; run the same command to resume")


def at_once(actions: Iterable[Callable[[], T]]) -> list[T]:
    """Results in order, PUTS under way at a time; the first error is raised once all that began have ended."""
    waiting = list(actions)
    if len(waiting) < 2:
        return [action() for action in waiting]
    with ThreadPoolExecutor(min(PUTS, len(waiting))) as pool:
        return list(pool.map(lambda action: action(), waiting))


def retry(action: Callable[[], T]) -> T:
    """Try again after storage errors that pass, with growing pauses; the last error is raised."""
    for pause in BACKOFF_SECONDS:
        try:
            return action()
        except (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError):
            raise
        except OSError as error:
            if error.errno is not None and error.errno not in _TRANSIENT:
                raise
            log.warning("storage error, retrying in %s s: %s", pause, error)
            time.sleep(pause)
    return action()


def is_remote(place: str) -> bool:
    """True for `s3://...`, `gs://...` and the like; False for local paths and `file://`."""
    return "://" in place and not place.startswith("file://")


def mask_uri(place: str) -> str:
    """The place as it may be logged and stored: user, password and secret query values are masked.

    >>> mask_uri("s3://me:pa55@bucket/run?secret_key=abc&region=eu")
    's3://***@bucket/run?secret_key=***&region=eu'
    """
    if "://" not in place:
        return place
    parts = urlsplit(place)
    host = "***@" + parts.netloc.rpartition("@")[2] if "@" in parts.netloc else parts.netloc
    query = urlencode([(k, "***" if _SECRET.search(k) else v) for k, v in parse_qsl(parts.query)], safe="*:/")
    return urlunsplit((parts.scheme, host, parts.path, query, ""))
