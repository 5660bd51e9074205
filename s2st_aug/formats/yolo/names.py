"""YOLO's class names: where tools put them. A number without a name is no class; no other dataset's names stand in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from s2st_aug.errors import DatasetError
from s2st_aug.formats.base import Card
from s2st_aug.formats.names import safe_name
from s2st_aug.formats.text_lines import text_lines
from s2st_aug.formats.yaml_text import parse_yaml

DATA_FILES = ("data.yaml", "dataset.yaml", "data.yml")
NAME_FILES = ("classes.txt", "obj.names", "data/obj.names", "classes.names", "names.txt", "_darknet.labels")
"""labelImg's and Label Studio's, Darknet's, Roboflow's: a name a line"""
LIMIT = 1 << 20
MOST_CLASSES = 100_000
_KEYS = frozenset({"names", "nc", "train", "val"})


@dataclass(frozen=True, slots=True)
class ClassNames:
    """Names by number, the file that says them ("" for the card), and what is amiss with it."""

    names: dict[int, str]
    file: str
    problem: str = ""

    def of(self, number: int) -> str | None:
        """The name of a class, or None."""
        return self.names.get(number) or None

    def listed(self) -> list[str]:
        """The names in the order of their numbers."""
        return [self.names[number] for number in sorted(self.names)]

    def by_number(self) -> list[str]:
        """A name for each number from 0; one that has none is `class_3`, as Ultralytics has it."""
        return [self.names.get(number, f"class_{number}") for number in range(max(self.names, default=-1) + 1)]


def data_file(root: Path) -> Path | None:
    """The dataset's own YAML: `data.yaml`, or any other at the root that names classes or splits."""
    for name in DATA_FILES:
        if (root / name).is_file():
            return root / name
    return _other_yaml(root, root.stat().st_mtime_ns) if root.is_dir() else None


@lru_cache(maxsize=8)
def _other_yaml(root: Path, changed: int) -> Path | None:
    """A YAML file at the root that names classes or splits; looked for once, the root may hold every image."""
    for path in sorted(p for p in root.iterdir() if p.suffix.lower() in (".yaml", ".yml") and p.is_file()):
        try:
            if _KEYS & _parsed(path, path.stat().st_mtime_ns).keys():
                return path
        except DatasetError:
            continue
    return None


def data_yaml(root: Path) -> dict[str, Any]:
    """What the dataset's YAML says, or an empty dict; raises DatasetError for what is no YAML mapping."""
    path = data_file(root)
    return _parsed(path, path.stat().st_mtime_ns) if path else {}


@lru_cache(maxsize=8)
def _parsed(path: Path, changed: int) -> dict[str, Any]:
    try:
        if path.stat().st_size > LIMIT:
            raise DatasetError(f"{path}: larger than {LIMIT} bytes")
        data = parse_yaml(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: cannot be read: {' '.join(str(error).split())[:160]}") from None
    if not isinstance(data, dict):
        raise DatasetError(f"{path}: expected a mapping, found {type(data).__name__}")
    return data


def class_names(card: Card, root: Path) -> ClassNames:
    """The names that the dataset's files give its class numbers, else those of the card, if it numbers them.

    `nc` without names gives `class_0` and so on, as Ultralytics has it. Raises DatasetError for an unreadable file.
    """
    path = data_file(root)
    data = _parsed(path, path.stat().st_mtime_ns) if path else {}
    listed, count = _listed(data.get("names")), _count(data.get("nc"))
    if path is not None and listed:
        other = count is not None and count != len(listed)
        said = f"{path.name} says nc: {count} and gives {len(listed)} names" if other else _amiss(listed, path.name)
        return ClassNames(listed, path.name, said)
    for name in (*_named_file(root, data.get("names")), *_name_files(root)):
        listed = _names_of(root / name)
        if listed:
            other = count is not None and count != len(listed)
            said = f"{path.name} says nc: {count}, {name} gives {len(listed)} names" if other and path else ""
            return ClassNames(listed, name, said)
    if path is not None and count is not None:
        said = f"{path.name} gives no names for its {count} classes: they are called class_0, class_1, ..."
        return ClassNames({number: f"class_{number}" for number in range(count)}, path.name, said)
    return ClassNames({c.id: c.name for c in card.classes if c.id is not None}, "")


def _names_of(path: Path) -> dict[int, str]:
    """A name a line; raises DatasetError for text that is not UTF-8, whose names nobody would recognise."""
    named: dict[int, str] = {}
    for line in text_lines(_bytes(path)):
        if line.broken:
            raise DatasetError(f"{path}: line {line.index + 1}: {line.broken}; save the file as UTF-8")
        if found := line.text.decode("utf-8-sig").strip():
            named[line.index] = found
    return named


def _named_file(root: Path, names: Any) -> list[str]:
    """The file that `names: data/my.names` means."""
    return [names] if isinstance(names, str) and names and (root / safe_name(names, "data.yaml")).is_file() else []


def _amiss(listed: dict[int, str], file: str) -> str:
    """What is wrong with names that are there; empty where nothing is."""
    if max(listed) >= len(listed):
        return f"{file} names classes up to {max(listed)}, {len(listed)} of them: Ultralytics asks for every number"
    twice = [name for name, count in Counter(listed.values()).items() if count > 1]
    return f"{file} gives {len(twice)} names to more than one class, the first {twice[0]!r}" if twice else ""


def _listed(names: Any) -> dict[int, str]:
    """`names` of a YAML file by number, from a list or a mapping; a null or empty name is none."""
    pairs = enumerate(names) if isinstance(names, list) else names.items() if isinstance(names, dict) else ()
    numbered = ((str(k), v) for k, v in pairs)
    return {int(k): str(v) for k, v in numbered if k.isdecimal() and len(k) < 10 and v is not None and str(v).strip()}


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 < value <= MOST_CLASSES else None


def _name_files(root: Path) -> Iterator[str]:
    """Files of a name a line, at the root, beside the labels, or where Darknet's `obj.data` says."""
    folders = ("", "labels/", "labels/train/")
    yield from (f"{folder}{name}" for folder in folders for name in NAME_FILES if (root / folder / name).is_file())
    for data in ("obj.data", "data/obj.data"):
        if (root / data).is_file():
            for line in text_lines(_bytes(root / data)):
                key, _, value = line.text.decode("utf-8", "backslashreplace").partition("=")
                name = value.strip().removeprefix("./")
                if key.strip() == "names" and name and (root / safe_name(name, data)).is_file():
                    yield name


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > LIMIT:
            raise DatasetError(f"{path}: larger than {LIMIT} bytes")
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}") from None
