"""A YOLO folder as Ultralytics opens it (https://docs.ultralytics.com/datasets/detect), told by its documentation.

`path` of data.yaml is joined before train and val, its own folder holds without one; a folder is searched whole; in a
list a leading `./` means the list's folder; the last `/images/` of an image's path becomes `/labels/`.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from s2st_aug.formats.base import Card, ConsumerView
from s2st_aug.formats.names import IMAGE_SUFFIXES, list_files, split_name
from s2st_aug.formats.yaml_text import parse_yaml
from s2st_aug.formats.yolo.names import data_file
from s2st_aug.formats.yolo.read import label_of

_SUFFIXES = IMAGE_SUFFIXES | {".avif", ".dng", ".heic", ".heif", ".jp2", ".mpo"}
_SLACK = 0.01
"""of a fraction beyond 0 or 1, as Ultralytics allows"""


def open_export(card: Card, folder: Path, split: str) -> ConsumerView:
    """Images and labels of a split by data.yaml. Raises ValueError for what Ultralytics stops at."""
    file = data_file(folder)
    if file is None:
        raise ValueError("no data.yaml")
    try:
        data = parse_yaml(file.read_text(encoding="utf-8-sig"))
    except yaml.YAMLError as error:
        raise ValueError(f"{file.name}: {error}") from None
    names = _names(data)
    view, number = ConsumerView(classes=tuple(names.values())), data.get("nc")
    if number is not None and number != len(names):
        view.complaints.append((f"nc is {number}, names are {len(names)}: the file is refused", file.name))
    split = split_name(split)
    if split not in data:
        raise ValueError(f"{file.name} has no {split!r}")
    for image in images_of(folder, data, split):
        _read_labels(view, folder, image, names, data.get("kpt_shape"))
    if split != "val" and not _is_there(folder, data, "val"):
        view.notes.append(
            "data.yaml: `val` leads nowhere, and trainers stop at that: put real images there (--with-val copies the"
            " data set's own held-out split)"
        )
    return view


def _names(data: dict[str, Any]) -> dict[int, str]:
    names, number = data.get("names"), data.get("nc")
    if names is None and number is None:
        raise ValueError("data.yaml has neither names nor nc")
    if names is None:
        return {i: f"class_{i}" for i in range(int(str(number)))}
    pairs = enumerate(names) if isinstance(names, list) else names.items()
    found = {int(key): str(value) for key, value in pairs}
    return found


def images_of(folder: Path, data: dict[str, Any], split: str) -> list[str]:
    """The images of a split, below the folder; raises ValueError for a place that is not there or lies outside."""
    found = []
    for place in _places(data, split):
        path = folder / place
        if path.is_dir():
            below = [path / name for name in list_files(path, _SUFFIXES)]
        elif path.is_file():
            lines = path.read_text(encoding="utf-8").strip().splitlines()
            below = [
                Path(line.replace("./", f"{path.parent}/")) if line.startswith("./") else Path(line) for line in lines
            ]
        else:
            raise ValueError(f"data.yaml: {split}: {place} does not exist")
        for image in below:
            if not image.is_relative_to(folder):
                raise ValueError(f"{place}: {image} lies outside of the export")
            if not image.is_file():
                raise ValueError(f"{place}: {image} does not exist")
            found.append(image.relative_to(folder).as_posix())
    return sorted(found)


def _places(data: dict[str, Any], split: str) -> list[str]:
    places, base = data[split] or [], str(data.get("path") or "")
    places = places if isinstance(places, list) else [places]
    return [str(PurePosixPath(base, str(place).removeprefix("../"))) for place in places]


def _is_there(folder: Path, data: dict[str, Any], split: str) -> bool:
    try:
        return bool(data.get(split)) and bool(images_of(folder, data, split))
    except (ValueError, OSError):
        return False


def _read_labels(view: ConsumerView, folder: Path, image: str, names: dict[int, str], keypoints: Any) -> None:
    path = folder / label_of(image)
    rows = [row.split() for row in path.read_bytes().decode("utf-8", "replace").splitlines()] if path.is_file() else []
    rows = [row for row in rows if row]
    numbers = [_class_number(row[0]) for row in rows]
    unknown = next((row[0] for row, number in zip(rows, numbers, strict=True) if number not in names), None)
    if unknown is not None:
        view.complaints.append((f"class {unknown} of {len(names)}: the image is dropped", image))
    elif complaint := _amiss(rows, keypoints):
        view.complaints.append((complaint, image))
    view.add(image, (names.get(number, f"class {row[0]}") for row, number in zip(rows, numbers, strict=True)))


def _class_number(word: str) -> int:
    """The number of a class, whose fraction is cut off; -1 for what is no number."""
    try:
        return int(float(word))
    except (ValueError, OverflowError):
        return -1


def _amiss(rows: list[list[str]], keypoints: Any) -> str | None:
    """For what Ultralytics drops the image of a label file, misreads it or leaves lines of it out."""
    outlines = not keypoints and any(len(row) > 6 for row in rows)
    columns = 5 + (int(keypoints[0]) * int(keypoints[1]) if keypoints else 0)
    if outlines and any(len(row) in (5, 6) for row in rows):
        return "boxes and outlines in one file: a box is taken for an outline of two points"
    if outlines and any(len(row) % 2 == 0 for row in rows):
        return "an outline with an odd count of numbers: the image is dropped"
    if not outlines and (other := next((len(row) for row in rows if len(row) != columns), None)):
        return f"a line of {other} columns, {columns} are asked for: the image is dropped"
    try:
        values = [float(word) for row in rows for word in (row[1:] if outlines else row[1:5])]
    except ValueError:
        return "a word where a number belongs: the image is dropped"
    if not all(-_SLACK <= value <= 1 + _SLACK for value in values):
        return "a coordinate that is no fraction of the image: the image is dropped"
    return "a line that stands there twice is taken once" if len(set(map(tuple, rows))) < len(rows) else None
