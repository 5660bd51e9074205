"""Cityscapes: leftImg8bit with gtFine or gtCoarse. Polygons are the labels; id images stand in where there are none.

Every other file of a frame (id images, colours, camera, disparity, vehicle, timestamp) is named as an extra file and
never changed. EXIF: the images carry none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from s2st_aug.errors import LabelError
from s2st_aug.formats.base import Card
from s2st_aug.formats.classes import BY_ID, known
from s2st_aug.formats.geometry import mask_box, outline_box
from s2st_aug.formats.json_stream import read_record, read_span
from s2st_aug.formats.label_images import read_label_image, within
from s2st_aug.formats.names import IMAGE_SUFFIXES, list_files, safe_name, unique_ids
from s2st_aug.formats.pixels import declared
from s2st_aug.formats.tree import FilesByStem, file_key, tree_of
from s2st_aug.formats.values import plain_name, vertex
from s2st_aug.records.scene import UNKNOWN, ObjectKind, Scene, SceneObject

IMAGE_TAIL = "_leftImg8bit"
LABEL_KINDS = ("polygons", "instance_ids", "label_ids")
SINGLE = frozenset({"traffic light", "traffic sign", "pole"})
"""Judged one by one although Cityscapes numbers no instances of them: each polygon is an object of its own."""
NOT_JUDGED = frozenset({"unlabeled", "ego vehicle", "rectification border", "out of roi", "license plate"})


def read_scenes(card: Card, root: Path, split: str) -> Iterator[Scene]:
    """The frames of a split by city and name; where any frame has labels, frames without are left out."""
    images = card.images.format(split=split)
    extras = FilesByStem.collect(card, root, split)
    names = list(list_files(root / images, IMAGE_SUFFIXES))
    labelled = any(_own(card, split, extras.of(_stem(name))) for name in names)
    for name in names:
        files = extras.of(_stem(safe_name(name, images)))
        own = _own(card, split, files)
        if own or not labelled:
            key = file_key(root / own) if own else None
            rest = tuple(file for file in files if file != own)
            yield Scene(f"{split}/{_stem(name)}", card.name, split, f"{images}/{name}", own, key, {}, rest)


def _stem(name: str) -> str:
    return name.rpartition(".")[0].removesuffix(IMAGE_TAIL)


def _own(card: Card, split: str, files: tuple[str, ...]) -> str | None:
    """The file that says most about the frame: polygons before instance ids before class ids, fine before coarse."""
    ranked = [(LABEL_KINDS.index(kind), file) for file in files if (kind := _kind(card, split, file)) in LABEL_KINDS]
    return min(ranked, key=lambda pair: pair[0])[1] if ranked else None


def _kind(card: Card, split: str, file: str) -> str:
    tree = tree_of(file, split, card.labels)
    return tree.kind if tree else ""


def read_objects(card: Card, root: Path, scene: Scene) -> tuple[SceneObject, ...]:
    """Every polygon that is a thing, light, sign or pole; stuff as one object a class. Raises LabelError."""
    if scene.label_file is None or scene.label_key is None:
        return ()
    path = root / scene.label_file
    kind = _kind(card, scene.split, scene.label_file)
    if kind == "polygons":
        return unique_ids(_polygons(read_record(path, scene.label_key, scene.label_file), scene.label_file))
    read_span(path, scene.label_key)
    return tuple(within(_label_image(path, kind), scene.label_file))


def _polygons(record: Any, where: str) -> list[SceneObject]:
    if not isinstance(record, dict) or not isinstance(record.get("objects", []), list):
        raise LabelError(f"{where}: expected an object with a list of objects")
    stuff: dict[str, list[np.ndarray]] = {}
    found: list[SceneObject] = []
    for index, item in enumerate(record.get("objects", [])):
        given = plain_name(item.get("label")) if isinstance(item, dict) else None
        name, label = given or UNKNOWN, known(given or "")
        if name in NOT_JUDGED or (isinstance(item, dict) and item.get("deleted")):
            continue
        try:
            outline, broken = _outline(item), None if given else "it has no label"
        except LabelError as error:
            outline, broken = np.zeros((1, 2)), str(error)
        if broken:
            found.append(replace(_thing(str(index), name, outline), unsound=f"object {index}: {broken}"))
            continue
        if label is None or label.instances or name in SINGLE:
            found.append(_thing(str(index), name, outline))
        else:
            stuff.setdefault(name, []).append(outline)
    return found + [
        SceneObject(name, "stuff", name, outline_box(tuple(lines)), tuple(lines)) for name, lines in stuff.items()
    ]


def _outline(item: Any) -> np.ndarray:
    """The object's polygon `n 2`; raises LabelError for what is none."""
    polygon = item.get("polygon") if isinstance(item, dict) else None
    if not isinstance(polygon, list) or not polygon:
        raise LabelError("expected a label with a polygon")
    if len(polygon) < 3:
        raise LabelError(f"its polygon has {len(polygon)} points")
    return np.asarray([vertex(point, "its polygon") for point in polygon], dtype=np.float64)


def declared_size(card: Card, root: Path, scene: Scene) -> tuple[int, int] | None:
    """`imgWidth` and `imgHeight` of the polygons file."""
    if scene.label_file is None or scene.label_key is None or _kind(card, scene.split, scene.label_file) != "polygons":
        return None
    record = read_record(root / scene.label_file, scene.label_key, scene.label_file)
    return declared(record.get("imgWidth"), record.get("imgHeight")) if isinstance(record, dict) else None


def _thing(object_id: str, name: str, outline: np.ndarray) -> SceneObject:
    group = name.endswith("group") and name != "polegroup"
    return SceneObject(
        object_id,
        "polygon",
        name.removesuffix("group") if group else name,
        outline_box((outline,)),
        (outline,),
        crowd=group,
    )


def _label_image(path: Path, kind: str) -> Iterator[SceneObject]:
    """The objects of an image of ids, one by one: their masks are not held together.

    In `instance_ids`, ids of 1000 and more are instances (class * 1000 + n), and a class with instances under 1000 is a
    group; in `label_ids` each class is one region.
    """
    ids = read_label_image(path)
    if ids.ndim != 2:
        raise LabelError(f"{path}: expected one channel of ids, found shape {ids.shape}")
    for code in np.unique(ids).tolist():
        instance = kind == "instance_ids" and code >= 1000
        label = BY_ID.get(code // 1000 if instance else code)
        if label is None or label.name in NOT_JUDGED:
            continue
        mask = ids == code
        if kind == "label_ids":
            yield SceneObject(label.name, "stuff", label.name, mask_box(mask), mask=mask)
            continue
        shape: ObjectKind = "mask" if label.instances else "stuff"
        group = label.instances and not instance
        yield SceneObject(str(code), shape, label.name, mask_box(mask), mask=mask, crowd=group)
