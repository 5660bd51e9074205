"""COCO files as torchvision's CocoDetection and Detectron2's load_coco_json open them.

`file_name` lies below the image root, ids are unique, annotations name an image and a category of the file
(https://pytorch.org/vision/stable/generated/torchvision.datasets.CocoDetection.html,
https://detectron2.readthedocs.io/en/latest/tutorials/datasets.html).
"""

from __future__ import annotations

import json
import posixpath
from collections import Counter
from pathlib import Path
from typing import Any

from s2st_aug.errors import LabelError
from s2st_aug.formats.base import Card, ConsumerView, LabelTree
from s2st_aug.formats.names import IMAGE_SUFFIXES, FilesBelow, list_files, split_name
from s2st_aug.formats.run_lengths import run_lengths
from s2st_aug.formats.tree import files_of, spelled_in
from s2st_aug.formats.values import are_numbers, plain_id


def open_export(card: Card, folder: Path, split: str) -> ConsumerView:
    """Images by the instances' file, labels of all files. Raises ValueError for what those loaders stop at."""
    split = split_name(split) if split not in card.splits else split
    trees = [tree for tree in card.labels if files_of(folder, tree, split)]
    view = ConsumerView()
    if not trees:  # no labels at all: the images of the folder
        root = card.images.format(split=split)
        for name in list_files(folder / root, IMAGE_SUFFIXES):
            view.add(f"{root}/{name}", ())
        return view
    own = next((tree for tree in trees if tree.kind == "instances"), trees[0])
    classes: dict[str, None] = {}
    for tree in [own, *(t for t in trees if t.kind != "instances")]:
        file = files_of(folder, tree, split)[0]
        pictures = (own.images if own.kind != "panoptic" else None) or card.images
        root = pictures.format(split=spelled_in(folder, tree, split))
        classes |= dict.fromkeys(_open(view, folder, root, file, tree, listing=tree is own))
    view.classes = tuple(classes)
    return view


def _open(view: ConsumerView, folder: Path, root: str, file: str, tree: LabelTree, *, listing: bool) -> list[str]:
    data = json.loads((folder / file).read_bytes().decode("utf-8-sig"))
    names = {c["id"]: str(c.get("name")) for c in _listed(data, "categories", file)}
    images, there = dict[Any, str](), FilesBelow(folder)
    for entry in data["images"]:
        name = posixpath.normpath(f"{root}/{entry['file_name']}")
        if entry["id"] in images:
            raise ValueError(f"{file}: image id {entry['id']!r} twice")
        if listing and name not in there:
            raise ValueError(f"{file}: {name} does not exist")
        images[entry["id"]] = name
        if listing:
            view.add(name, ())
    meant, seen = {plain_id(number) for number in images}, set[Any]()
    for item in _listed(data, "annotations", file):
        image = images.get(item.get("image_id"))
        if image is None and plain_id(item.get("image_id")) in meant:
            said = f"an annotation says image {item['image_id']!r}, `images` spells it otherwise"
            raise ValueError(f"{file}: {said}; write both as numbers, or export to another format")
        if image is None:
            view.complaints.append(("an annotation of an image that is not listed", file))
        else:
            for label in item["segments_info"] if tree.kind == "panoptic" else [item]:
                _count(view, image, label, names)
            if tree.kind != "panoptic" and (broken := _broken(item)):
                view.complaints.append((broken, image))
        if tree.kind != "panoptic" and (item.get("id") is None or item["id"] in seen):
            view.complaints.append(("an annotation without an id of its own: they stop", file))
        seen.add(item.get("id"))
    return list(names.values())


def _listed(data: dict[str, Any], array: str, file: str) -> list[dict[str, Any]]:
    found = data.get(array, [])
    if not isinstance(found, list):
        raise ValueError(f"{file}: `{array}` is {type(found).__name__}, expected a list")
    return found


def _count(view: ConsumerView, image: str, label: dict[str, Any], names: dict[Any, str]) -> None:
    category = label.get("category_id")
    if category not in names:
        view.complaints.append((f"category {category!r} is not listed", image))
    view.images.setdefault(image, Counter())[names.get(category, f"class {category}")] += 1
    view.ignored[image] += label.get("iscrowd") in (1, True)


def _broken(item: dict[str, Any]) -> str | None:
    """What of an annotation's geometry loaders stop at, or drop it for."""
    box, outlines = item.get("bbox"), item.get("segmentation")
    if not isinstance(box, list) or len(box) != 4 or not all(isinstance(v, int | float) for v in box):
        return "an annotation without a box"
    if not are_numbers(box):
        return "a box with a coordinate that is no number"
    if not all(v > 0 for v in box[2:]):
        return "a box without width or height"
    if isinstance(outlines, dict):
        try:
            run_lengths(outlines, "segmentation")
        except LabelError:
            return "run lengths that do not fill their mask: they stop"
    whole = isinstance(outlines, list) and all(
        isinstance(o, list) and len(o) >= 6 and len(o) % 2 == 0 for o in outlines
    )
    return None if whole or isinstance(outlines, dict | None) else "an outline of fewer than three points"
