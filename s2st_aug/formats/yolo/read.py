"""YOLO (detect and segment) with its data.yaml. Labels are fractions of the upright image, whose header is read."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import yaml

from s2st_aug.errors import DatasetError, LabelError
from s2st_aug.formats.base import Card
from s2st_aug.formats.geometry import outline_box
from s2st_aug.formats.json_stream import read_span
from s2st_aug.formats.label_images import upright_size
from s2st_aug.formats.names import IMAGE_SUFFIXES, list_files, safe_name, stem_of
from s2st_aug.formats.tree import file_key
from s2st_aug.formats.values import coordinate, word_lines
from s2st_aug.formats.yaml_text import parse_yaml
from s2st_aug.records.scene import Scene, SceneObject

DATA_FILES = ("data.yaml", "dataset.yaml", "data.yml")
_LIMIT = 1 << 20


def read_scenes(card: Card, root: Path, split: str) -> Iterator[Scene]:
    """The images of a split; an image without a label file is a background image, and a scene without objects."""
    for image, stem in _stems(list(_images(card, root, split))).items():
        own = label_of(image)
        found = own if (root / own).is_file() else None
        yield Scene(f"{split}/{stem}", card.name, split, image, found, file_key(root / found) if found else None)


def _stems(images: list[tuple[str, str]]) -> dict[str, str]:
    """Each image once, to its scene's name: that below its own folder, the whole path where two folders share it.

    Raises DatasetError for two files that differ in their suffix alone: they would share one label file.
    """
    shared = Counter(stem_of(below) for below in dict(images).values())
    found: dict[str, str] = {}
    files: dict[str, str] = {}
    for image, below in images:
        stem = stem_of(below) if shared[stem_of(below)] == 1 else stem_of(image)
        if files.setdefault(stem, image) != image:
            raise DatasetError(
                f"data.yaml: {files[stem]} and {image} differ in their suffix alone and share one label file;"
                " rename one of them"
            )
        found[image] = stem
    return found


def label_of(image: str) -> str:
    """Ultralytics' rule: the last folder `images` becomes `labels`, the suffix `.txt`."""
    parts = list(PurePosixPath(stem_of(image)).parts)
    places = [i for i, part in enumerate(parts[:-1]) if part == "images"]
    if places:
        parts[places[-1]] = "labels"
    return "/".join(parts) + ".txt"


def _images(card: Card, root: Path, split: str) -> Iterator[tuple[str, str]]:
    """Every image below the root, and its name below its own folder."""
    for place in places(root, split) or [card.images.format(split=split)]:
        if place.endswith(".txt"):
            yield from ((name, name) for name in _listed(root, place))
        else:
            yield from ((f"{place}/{name}", name) for name in list_files(root / place, IMAGE_SUFFIXES))


def places(root: Path, split: str) -> list[str]:
    """The folders, or lists of files, that data.yaml names for a split, below the root; none where it is silent."""
    data = data_yaml(root)
    found = data.get(split, data.get("valid") if split == "val" else None) if data else None
    if found is None:
        return []
    base = str(data.get("path") or "")
    return [_below(root, base, str(place)) for place in (found if isinstance(found, list) else [found])]


def split_files(root: Path, split: str) -> list[str]:
    """The lists of images that data.yaml names for a split."""
    return [place for place in places(root, split) if place.endswith(".txt") and (root / place).is_file()]


def listed_classes(card: Card, root: Path, scenes: list[Scene]) -> list[str]:
    """The dataset's classes by their numbers; none where the tree names none, whatever the card says."""
    names = class_names(card, root)
    return [names[number] for number in sorted(names)]


def _below(root: Path, base: str, place: str) -> str:
    """A place of data.yaml below the root, which may be named in full; Roboflow's leading `../` means the root."""
    for name in (f"{base}/{place}" if base and not Path(base).is_absolute() else place, place):
        clean = name.removeprefix(str(root)).lstrip("/") if name.startswith(str(root)) else name
        while clean.startswith(("../", "./")):
            clean = clean.partition("/")[2]
        clean = safe_name(clean, "data.yaml")
        if (root / clean).exists():
            return clean
    return clean


def _listed(root: Path, place: str) -> list[str]:
    try:
        lines = (root / place).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{root / place}: cannot be read: {error}") from None
    return [_listed_image(root, place, line.strip()) for line in lines if line.strip()]


def _listed_image(root: Path, place: str, line: str) -> str:
    """An image of a list, below the root: a leading `./` means the list's folder, as Ultralytics has it."""
    folder = place.rpartition("/")[0]
    name = line.removeprefix(f"{root}/").removeprefix("./")
    if folder and line.startswith("./"):
        beside = posixpath.normpath(f"{folder}/{name}")
        if not beside.startswith("..") and ((root / beside).is_file() or not (root / name).is_file()):
            name = beside
    return safe_name(name, place)


def data_yaml(root: Path) -> dict[str, Any]:
    """The data.yaml at the root, or an empty dict; raises DatasetError for what is no YAML mapping."""
    path = next((root / name for name in DATA_FILES if (root / name).is_file()), None)
    return _parsed(path, path.stat().st_mtime_ns) if path else {}


@lru_cache(maxsize=8)
def _parsed(path: Path, changed: int) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LIMIT:
            raise DatasetError(f"{path}: larger than {_LIMIT} bytes")
        data = parse_yaml(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: cannot be read: {' '.join(str(error).split())[:160]}") from None
    if not isinstance(data, dict):
        raise DatasetError(f"{path}: expected a mapping, found {type(data).__name__}")
    return data


def class_names(card: Card, root: Path) -> dict[int, str]:
    """Class numbers and names: data.yaml's, else the card's."""
    names = data_yaml(root).get("names")
    if isinstance(names, list):
        return {i: str(name) for i, name in enumerate(names)}
    if isinstance(names, dict):
        return {int(k): str(v) for k, v in names.items() if str(k).isdecimal() and len(str(k)) < 10}
    return {c.id: c.name for c in card.classes if c.id is not None}


def read_objects(card: Card, root: Path, scene: Scene) -> tuple[SceneObject, ...]:
    """One object a line: a box of four fractions, or a polygon of more. Raises LabelError for another line."""
    if scene.label_file is None or scene.label_key is None:
        return ()
    lines = word_lines(read_span(root / scene.label_file, scene.label_key), scene.label_file)
    if not lines:
        return ()
    size, names = upright_size(root / scene.image), class_names(card, root)
    return tuple(_object(index, words, size, names, f"{scene.label_file}, line {index + 1}") for index, words in lines)


def _object(index: int, words: list[str], size: tuple[int, int], names: dict[int, str], where: str) -> SceneObject:
    values = np.asarray([coordinate(word, where) for word in words[1:]])
    if not words[0].isdecimal() or len(words[0]) > 9 or len(values) < 4 or (len(values) > 5 and len(values) % 2):
        raise LabelError(f"{where}: expected a class number and four fractions, or a polygon of fractions")
    category = names.get(int(words[0]), f"class {int(words[0])}")
    if len(values) <= 5:  # a fifth is a score
        cx, cy, w, h = (float(v) for v in values[:4] * np.asarray([*size, *size]))
        return SceneObject(str(index), "box", category, (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2))
    outline = values.reshape(-1, 2) * np.asarray(size, dtype=np.float64)
    return SceneObject(str(index), "polygon", category, outline_box((outline,)), (outline,))
