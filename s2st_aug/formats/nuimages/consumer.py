"""nuImages as its development kit opens it: every table is there, rows find one another by their tokens.

https://github.com/nutonomy/nuscenes-devkit, python-sdk/nuimages/nuimages.py.
"""

from __future__ import annotations

import json
import posixpath
from pathlib import Path
from typing import Any

from s2st_aug.formats.base import Card, ConsumerView
from s2st_aug.formats.names import IMAGE_SUFFIXES, split_name
from s2st_aug.formats.nuimages.read import ANNOTATED, table

_TABLES = ("attribute", "calibrated_sensor", "category", "ego_pose", "log", "sample", "sensor")


def open_export(card: Card, folder: Path, split: str) -> ConsumerView:
    """Key frames and their annotations. Raises ValueError for what the kit stops at."""
    split, view = split_name(split), ConsumerView()
    place = folder / f"v1.0-{split}"
    for name in _TABLES:
        if not (place / f"{name}.json").is_file():
            view.complaints.append((f"table {name} does not exist", f"v1.0-{split}"))
    samples, named = (_by_token(place / f"{name}.json") for name in ("sample", "category"))
    images: dict[str, str] = {}
    for row in _rows(folder, table(card, folder, split, "sample_data")):
        name = posixpath.normpath(str(row.get("filename")))
        if row.get("is_key_frame") is not True or Path(name).suffix.lower() not in IMAGE_SUFFIXES:
            continue
        if not (folder / name).is_file():
            raise ValueError(f"{name} does not exist")
        if row.get("sample_token") not in samples:
            view.complaints.append(("a row of sample_data whose sample is not listed", name))
        images[str(row.get("token"))] = name
        view.add(name, ())
    for kind in ANNOTATED:
        for row in _rows(folder, table(card, folder, split, kind)):
            _count(view, images, row, named)
    view.classes = tuple(str(row.get("name")) for row in named.values())
    return view


def _count(view: ConsumerView, images: dict[str, str], row: dict[str, Any], named: dict[str, dict[str, Any]]) -> None:
    image, category = images.get(str(row.get("sample_data_token"))), named.get(str(row.get("category_token")))
    if image is None:
        view.complaints.append(("an annotation of an image that is not listed", str(row.get("token"))))
        return
    if category is None:
        view.complaints.append(("a category that is not listed", image))
    view.images[image][str(category.get("name")) if category else "unknown"] += 1


def _rows(folder: Path, file: str | None) -> list[dict[str, Any]]:
    found = json.loads((folder / file).read_bytes().decode("utf-8-sig")) if file else []
    if not isinstance(found, list):
        raise ValueError(f"{file}: expected a list of rows")
    return found


def _by_token(path: Path) -> dict[str, dict[str, Any]]:
    listed = json.loads(path.read_bytes().decode("utf-8-sig")) if path.is_file() else []
    return {str(row.get("token")): row for row in listed if isinstance(row, dict)}
