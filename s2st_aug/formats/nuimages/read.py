"""nuImages' key frames: a row of `sample_data` each, its objects and surfaces in tables of their own.

Told by the public schema (https://www.nuscenes.org/nuimages, "Data format"): `bbox` is x1 y1 x2 y2, a mask's counts
are COCO's run lengths in base64.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from s2st_aug.errors import DatasetError, LabelError
from s2st_aug.formats.base import Card, LabelTree
from s2st_aug.formats.geometry import mask_box
from s2st_aug.formats.json_stream import ARRAY, Element, parse_record, read_record, read_span, stream
from s2st_aug.formats.label_images import within
from s2st_aug.formats.names import IMAGE_SUFFIXES, safe_name, stem_of, unique, unique_ids
from s2st_aug.formats.pixels import NOWHERE, declared
from s2st_aug.formats.references import join_reference, split_reference
from s2st_aug.formats.run_lengths import decode
from s2st_aug.formats.tree import files_of, tree_of
from s2st_aug.formats.values import number, plain_name
from s2st_aug.records.scene import UNKNOWN, ObjectKind, Scene, SceneObject

ANNOTATED = ("objects", "surfaces")


def rows(path: Path) -> Iterator[tuple[Element, dict[str, Any]]]:
    """The rows of a table; raises DatasetError for what is none."""
    for element in stream(path, skim=True):
        if element.value is ARRAY or element.array != "" or not isinstance(element.value, dict):
            raise DatasetError(f"{path}: expected a list of rows")
        yield element, element.value


def table(card: Card, root: Path, split: str, kind: str) -> str | None:
    """The file of the split's table of that kind, below the root."""
    found = [file for tree in card.labels if tree.kind == kind for file in files_of(root, tree, split)]
    return found[0] if found else None


def read_scenes(card: Card, root: Path, split: str) -> Iterator[Scene]:
    """The key frames of the cameras, in the table's order."""
    file = table(card, root, split, "sample_data")
    if file is None:
        return
    annotations, seen = _annotations(card, root, split), set[str]()
    for element, row in rows(root / file):
        name = row.get("filename")
        if row.get("is_key_frame") is not True or Path(str(name)).suffix.lower() not in IMAGE_SUFFIXES:
            continue  # sweeps between key frames and lidar have no annotations
        image = safe_name(name, f"{file} at byte {element.start}")
        scene = f"{split}/{stem_of(image.removeprefix(f'{card.images}/'))}"
        extras = tuple(annotations.get(str(row.get("token")), ()))
        yield Scene(unique(scene, seen, file), card.name, split, image, file, element.key(), {}, extras)


def _annotations(card: Card, root: Path, split: str) -> dict[str, list[str]]:
    """References to the rows of objects and surfaces by the token of their image."""
    found: dict[str, list[str]] = {}
    for kind in ANNOTATED:
        file = table(card, root, split, kind)
        for element, row in rows(root / file) if file else ():
            found.setdefault(str(row.get("sample_data_token")), []).append(join_reference(str(file), element.key()))
    return found


def declared_size(card: Card, root: Path, scene: Scene) -> tuple[int, int] | None:
    """`width` and `height` of the row."""
    row = row_of(root, scene)
    return declared(row.get("width"), row.get("height"))


def row_of(root: Path, scene: Scene) -> dict[str, Any]:
    """The scene's row of `sample_data`; raises LabelError."""
    if scene.label_file is None or scene.label_key is None:
        return {}
    row = read_record(root / scene.label_file, scene.label_key, scene.label_file)
    if not isinstance(row, dict):
        raise LabelError(f"{scene.label_file}: expected a row, found {type(row).__name__}")
    return row


def read_objects(card: Card, root: Path, scene: Scene) -> tuple[SceneObject, ...]:
    """Objects with box and mask, surfaces as regions. Raises LabelError."""
    return unique_ids(within(_objects(card, root, scene), scene.image))


def _objects(card: Card, root: Path, scene: Scene) -> Iterator[SceneObject]:
    names = categories(card, root, scene.split) if scene.extra_files else {}
    for path, key in map(split_reference, scene.extra_files):
        if key is not None:
            where = f"{path} at byte {key.start}"
            row = parse_record(read_span(root / path, key), where)
            yield _object(row, where, names, tree_of(path, scene.split, card.labels))


def object_name(row: dict[str, Any], where: str) -> str:
    """What a row's object is called."""
    return str(row.get("token", where))


def _object(row: Any, where: str, names: dict[str, str], tree: LabelTree | None) -> SceneObject:
    if not isinstance(row, dict):
        return SceneObject(where, "box", UNKNOWN, NOWHERE, unsound="it is no row")
    surface = tree is not None and tree.kind == "surfaces"
    category, broken, box, mask = names.get(str(row.get("category_token"))), None, None, None
    try:
        box = _box(row["bbox"]) if row.get("bbox") is not None else None
        if row.get("mask") is not None:
            mask = decode(_plain_counts(row["mask"]), "mask")
    except LabelError as error:
        broken = str(error)
    kind: ObjectKind = "box" if mask is None else "stuff" if surface else "mask"
    unnamed = None if category else f"category {row.get('category_token')!a:.40} is not listed"
    found = box or (mask_box(mask) if mask is not None else NOWHERE)
    return SceneObject(object_name(row, where), kind, category or UNKNOWN, found, mask=mask, unsound=broken or unnamed)


def _box(values: Any) -> tuple[float, float, float, float]:
    if not isinstance(values, list) or len(values) != 4:
        raise LabelError(f"expected bbox [x1, y1, x2, y2], found {ascii(values)[:40]}")
    x1, y1, x2, y2 = (number(value, "bbox") for value in values)
    return min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)


def _plain_counts(mask: Any) -> dict[str, Any]:
    """The mask with its counts as COCO's text."""
    counts = mask.get("counts") if isinstance(mask, dict) else None
    if not isinstance(counts, str):
        raise LabelError("mask: expected size and counts in base64")
    try:
        return {**mask, "counts": base64.b64decode(counts, validate=True).decode("latin-1")}
    except (binascii.Error, ValueError):
        raise LabelError("mask: its counts are no base64") from None


def categories(card: Card, root: Path, split: str) -> dict[str, str]:
    """Names by token, in the table's order; raises LabelError without a table that can be read."""
    path = root / f"v1.0-{split}" / "category.json"
    try:
        return _categories(path, path.stat().st_mtime_ns)
    except (OSError, DatasetError) as error:
        raise LabelError(f"{path}: the names of categories cannot be read: {error}") from None


@lru_cache(maxsize=8)
def _categories(path: Path, changed: int) -> dict[str, str]:
    named = ((str(row.get("token")), plain_name(row.get("name"))) for _, row in rows(path))
    return {token: name for token, name in named if name is not None}


def listed_classes(card: Card, root: Path, scenes: list[Scene]) -> list[str]:
    """The names in category.json, in its order; none where it cannot be read."""
    splits = dict.fromkeys(scene.split for scene in scenes)
    try:
        return list(dict.fromkeys(name for split in splits for name in categories(card, root, split).values()))
    except LabelError:
        return []


def split_files(root: Path, split: str) -> list[str]:
    """Every table of a split."""
    return sorted(path.relative_to(root).as_posix() for path in (root / f"v1.0-{split}").glob("*.json"))
