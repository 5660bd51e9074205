"""Names that come out of label files and become paths: nothing may leave the dataset's root."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path, PurePosixPath

from s2st_aug.errors import DatasetError
from s2st_aug.records.scene import SceneObject

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
DISK_LIMIT = 255  # bytes of a file's name, on nearly every disk
_LONGEST = 160  # bytes of a name, which a prefix, a mark and a suffix of the format still join
LONGEST_MARK = 72  # bytes
_MARK = 32  # bytes of a mark that `_LONGEST` leaves room for
_DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{d}{n}" for d in ("com", "lpt") for n in range(1, 10))})
_PLAIN = re.compile(r"(?:[0-9A-Za-z_-]{1,100}/)*[0-9A-Za-z_-]{1,200}\.[0-9A-Za-z]{1,5}")


def safe_name(name: object, where: str) -> str:
    """A relative POSIX path without `..`, NUL, backslash, drive or device names; raises DatasetError otherwise."""
    if not isinstance(name, str) or not name:
        raise DatasetError(f"{where}: expected a file name, found {_short(name)}")
    if "\\" in name:
        raise DatasetError(f"{where}: {_short(name)} has back-slashes, as Windows writes paths; expected `/`")
    if _PLAIN.fullmatch(name) and _DEVICES.isdisjoint(name.partition(".")[0].lower().split("/")):
        return name  # the common case, many times faster than the full check
    if reason := _unspellable(name):
        raise DatasetError(f"{where}: {_short(name)}: {reason}")
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or parts[0][1:2] == ":" or any(ord(c) < 32 for c in name):
        raise DatasetError(f"{where}: {_short(name)} is not a file name below the dataset's folder")
    if any(part.split(".")[0].rstrip().lower() in _DEVICES or len(os.fsencode(part)) > 255 for part in parts):
        raise DatasetError(f"{where}: {_short(name)} is not a usable file name")
    return str(PurePosixPath(name))


def _unspellable(name: str) -> str | None:
    """Why the disk of this process cannot have a file of this name, or its name cannot be written down; else None."""
    if name.isascii():
        return None
    used = sys.getfilesystemencoding()
    try:
        name.encode()
        name.encode(used)
    except UnicodeEncodeError:
        if used == "utf-8":
            return "the name is not UTF-8; rename the file"
        return f"file names are {used} in this process; set PYTHONUTF8=1, or a locale such as LC_ALL=C.UTF-8"
    return None


def _short(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def stem_of(name: str) -> str:
    """The name without an image suffix, folders kept: `a/b.jpg` -> `a/b`; `a.b` stays."""
    stem, dot, suffix = name.rpartition(".")
    return stem if f"{dot}{suffix}".lower() in IMAGE_SUFFIXES and stem and not stem.endswith("/") else name


def split_name(split: str) -> str:
    """What formats other than KITTI call the split.

    >>> split_name("training")
    'train'
    """
    return {"training": "train"}.get(split, split)


def flat_name(stem: str) -> str:
    """One folder for all images, as loaders list them; a folder that the name repeats is left out.

    >>> flat_name("bonn/bonn_000000_000001"), flat_name("left/0001")
    ('bonn_000000_000001', 'left_0001')
    """
    folder, _, name = stem.rpartition("/")
    plain = name if name.startswith(folder.rpartition("/")[2]) else stem.replace("/", "_")
    return re.sub(r"\s", "_", plain)  # KITTI's lists of names are split at white space


def flat_names(stems: Iterable[str], domains: Iterable[str] = (), taken: Iterable[str] = ()) -> dict[str, str]:
    """One name for each image (`left/0001`), the same in an export to any format, none like another's or a variant's.

    A name is like another where it differs in case, `_`, `-`, `.` or Unicode form alone: disks and Cityscapes' scripts
    make no difference there. Such names, and very long ones, end in a hash of their stem; `taken` are names in use.

    >>> flat_names(["left/1", "right/1", "left_1"])
    {'left/1': 'left_1-c2b7b936', 'right/1': 'right_1', 'left_1': 'left_1-b310decd'}
    """
    plain = {stem: flat_name(stem) for stem in stems}
    counts = Counter(map(export_key, [*plain.values(), *taken]))
    marks = [f"__{domain}" for domain in domains]
    longest = _LONGEST + _MARK - max([_MARK, *(min(len(mark.encode()), LONGEST_MARK) for mark in marks)])
    variants = {export_key(name + mark) for name in [*plain.values(), *taken] for mark in marks}
    found: dict[str, str] = {}
    for stem, name in plain.items():
        if counts[export_key(name)] > 1 or export_key(name) in variants or len(name.encode()) > longest:
            digest = hashlib.sha256(os.fsencode(stem)).hexdigest()
            name = f"{name.encode()[:longest].decode(errors='ignore')}-{digest[:8]}"
        found[stem] = name
    return found


def marks_of(
    domains: Iterable[str],
    mark: Callable[[str], str],
    made: Callable[[str], Iterable[str]],
    taken: Iterable[str],
    alike: Callable[[str], str] | None = None,
) -> dict[str, str]:
    """What tells the variants of each domain from their sources: the format's `mark`, numbered where names would meet.

    `made` is a mark to the names that variants would have with it, `taken` are the names in use. `alike` is a name to
    what it shares with those that are taken for the same (default: `disk_key`).

    >>> sources = ["a", "a__night"]
    >>> marks_of(["night"], "__{}".format, lambda mark: [source + mark for source in sources], sources)
    {'night': '__night-2'}
    """
    alike = alike or disk_key
    used, found = set(map(alike, taken)), dict[str, str]()
    for domain in domains:
        first = shortened(mark(domain), LONGEST_MARK)
        for number in count(1):
            found[domain] = first if number == 1 else f"{first}-{number}"
            names = set(map(alike, made(found[domain])))
            if used.isdisjoint(names):
                break
        used |= names
    return found


def shortened(name: str, longest: int, whole: str | None = None) -> str:
    """The name within so many bytes: where it is longer it is cut, and ends in a hash of itself, or of the `whole`."""
    if len(os.fsencode(name)) <= longest:
        return name
    digest = hashlib.sha256(os.fsencode(name if whole is None else whole)).hexdigest()[:8]
    return f"{name.encode()[: max(longest - 9, 1)].decode(errors='ignore')}-{digest}"


def marked(path: str, mark: str) -> str:
    """The file's name with the mark after its stem, within what a disk takes.

    >>> marked("annotations/panoptic_train2017/a.png", "__night")
    'annotations/panoptic_train2017/a__night.png'
    """
    name = PurePosixPath(path)
    room = DISK_LIMIT - len(os.fsencode(f"{mark}{name.suffix}"))
    return str(name.with_name(f"{shortened(name.stem, room)}{mark}{name.suffix}"))


def export_key(name: str) -> str:
    """What two names share where some format or disk takes them for one: all but case, `_`, `-`, `.`, Unicode form."""
    return re.sub(r"[_.-]", "-", disk_key(name))


def disk_key(name: str) -> str:
    """What two names share that a disk of macOS or Windows takes for one: all but case and Unicode form."""
    return unicodedata.normalize("NFC", name).casefold()


class LookAlikes:
    """Files below a root whose names differ from one that is asked for in case or Unicode form alone.

    Disks and archives of other systems change both: `É.txt` out of a Mac's zip is not the `É.txt` of a label list.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folders: dict[str, dict[str, str]] = {}

    def of(self, name: str) -> str | None:
        """The name below the root of such a file, or None; a folder is listed once."""
        folder, _, last = name.rpartition("/")
        if folder not in self._folders:
            with contextlib.suppress(OSError):
                self._folders[folder] = {disk_key(f.name): f.name for f in os.scandir(self._root / folder)}
        found = self._folders.setdefault(folder, {}).get(disk_key(last))
        return f"{folder}/{found}" if found not in (None, last) else None


class FilesBelow:
    """Whether files are there below a root: a folder is listed once, a stat for each name takes ten times as long."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folders: dict[str, set[str]] = {}

    def __contains__(self, name: str) -> bool:
        folder, _, last = name.rpartition("/")
        if folder not in self._folders:
            self._folders[folder] = set()
            with contextlib.suppress(OSError, ValueError):  # the latter for a NUL
                self._folders[folder] = {f.name for f in os.scandir(self._root / folder) if f.is_file()}
        return last in self._folders[folder]


def list_files(folder: Path, suffixes: Iterable[str]) -> Iterator[str]:
    """POSIX paths below `folder` with one of the suffixes, sorted in each folder; it follows no link upwards.

    Hidden files and folders are left out, as by Ultralytics: a Mac's `._a.jpg`, `.ipynb_checkpoints`. Raises
    DatasetError for a name that is not UTF-8, or cannot be in this process's locale.
    """
    wanted = frozenset(suffixes)
    for name in _walk(folder, "", (os.path.realpath(folder),)):
        if PurePosixPath(name).suffix.lower() in wanted:
            if reason := _unspellable(name):
                raise DatasetError(f"{folder}: {_short(name)}: {reason}")
            yield name


def _walk(folder: Path, prefix: str, above: tuple[str, ...]) -> Iterator[str]:
    try:
        entries = sorted((e for e in os.scandir(folder) if e.name[0] != "."), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.is_dir():
            real = os.path.realpath(entry.path)
            if real not in above and len(above) < 32:
                yield from _walk(Path(entry.path), f"{prefix}{entry.name}/", (*above, real))
        elif entry.is_file():
            yield prefix + entry.name


def unique(scene_id: str, seen: set[str], where: str) -> str:
    """The scene's id, once; raises DatasetError where two images of a split would share it."""
    if scene_id in seen:
        raise DatasetError(f"{where}: {scene_id!r} is listed twice; names must be unique within a split")
    seen.add(scene_id)
    return scene_id


def unique_ids(objects: Iterable[SceneObject]) -> tuple[SceneObject, ...]:
    """The objects with ids that are unique within the scene: an id met again takes its index with it."""
    seen: set[str] = set()
    found = []
    for index, item in enumerate(objects):
        if item.object_id in seen:
            item = replace(item, object_id=f"{item.object_id}#{index}")
        seen.add(item.object_id)
        found.append(item)
    return tuple(found)
