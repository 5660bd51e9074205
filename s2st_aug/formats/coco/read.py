"""COCO: detection, instances, keypoints and panoptic. Annotations are in stored pixels, whatever the orientation tag.

A scene's own record is its entry in `images`. Its extra files are records too, as `path#start:length:sha256`: first the
file's `categories`, then each of the image's annotations, file by file; a panoptic PNG is named as it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from s2st_aug.arrays import Box
from s2st_aug.errors import DatasetError, LabelError
from s2st_aug.formats.base import Card, LabelTree
from s2st_aug.formats.geometry import mask_box, outline_box
from s2st_aug.formats.json_stream import ARRAY, Element, parse_record, read_span, stream
from s2st_aug.formats.label_images import read_label_image, within
from s2st_aug.formats.names import IMAGE_SUFFIXES, list_files, safe_name, stem_of, unique, unique_ids
from s2st_aug.formats.references import join_reference, split_reference
from s2st_aug.formats.run_lengths import decode
from s2st_aug.formats.tree import files_of, spelled_in, tree_of
from s2st_aug.formats.values import number
from s2st_aug.records.scene import LabelKey, ObjectKind, Scene, SceneObject


def read_scenes(card: Card, root: Path, split: str) -> Iterator[Scene]:
    """The entries of `images` in file order; raises DatasetError for what cannot be read at all."""
    trees = [tree for tree in card.labels if files_of(root, tree, split)]
    own = next((tree for tree in trees if tree.kind == "instances"), trees[0] if trees else None)
    if own is None:
        images = card.images.format(split=split)
        for name in list_files(root / images, IMAGE_SUFFIXES):
            yield Scene(f"{split}/{stem_of(name)}", card.name, split, f"{images}/{name}")
        return
    others = [t for t in trees if t.kind != "instances" and t is not own]
    indexes = [
        _Index.read(root, own, split, listing=True),
        *(_Index.read(root, tree, split, listing=False) for tree in others),
    ]
    yield from _listed(card, split, spelled_in(root, own, split), own, indexes)


def _listed(card: Card, split: str, spelled: str, own: LabelTree, indexes: list[_Index]) -> Iterator[Scene]:
    file, seen = indexes[0].file, set[str]()
    folder = (own.images if own.kind != "panoptic" else None) or card.images
    for image, name, key in indexes[0].listed():
        scene_id = unique(f"{split}/{stem_of(name)}", seen, file)
        extras = tuple(reference for index in indexes for reference in index.references(image))
        yield Scene(scene_id, card.name, split, f"{folder.format(split=spelled)}/{name}", file, key, {}, extras)


@dataclass(slots=True)
class _Index:
    """Where one annotation file keeps what: few bytes a record, so that millions fit."""

    file: str
    path: Path
    masks: str | None  # folder of panoptic PNGs
    categories: LabelKey | None = None
    images: list[tuple[int | str, str, int, int, bytes]] = field(
        default_factory=list
    )  # id, file name, start, length, SHA-256
    rows: dict[int | str, list[tuple[int, int, bytes]]] = field(default_factory=dict)
    pngs: dict[int | str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, root: Path, tree: LabelTree, split: str, *, listing: bool) -> _Index:
        """One pass over the file; `listing`: its `images` are the scenes."""
        file = files_of(root, tree, split)[0]
        masks = (tree.images or "").format(split=split) if tree.kind == "panoptic" else None
        index = cls(file, root / file, masks)
        bounds: list[int] = []
        for element in stream(root / file, skim=True):
            if element.value is ARRAY:
                continue
            if element.array == "annotations":
                index._annotation(element)
            elif element.array == "images" and listing:
                index._image(element)
            elif element.array == "categories":
                bounds += [element.start, element.start + len(element.text)]
            elif element.array == "":
                raise DatasetError(f"{root / file}: expected an object with images and annotations, found a list")
        index.categories = _span_key(root / file, bounds)
        return index

    def _annotation(self, element: Element) -> None:
        value = element.value if isinstance(element.value, dict) else {}
        image = value.get("image_id")
        if type(image) is not int:  # millions are: no words for those
            image = _image_id(image, self._where(element))
        self.rows.setdefault(image, []).append((element.start, len(element.text), _digest(element)))
        if self.masks is not None:
            self.pngs[image] = safe_name(value.get("file_name"), self._where(element))

    def _where(self, element: Element) -> str:
        return f"{self.file} at byte {element.start}"

    def _image(self, element: Element) -> None:
        where = self._where(element)
        value = element.value if isinstance(element.value, dict) else {}
        name = safe_name(value.get("file_name"), where)
        self.images.append(
            (_image_id(value.get("id"), where), name, element.start, len(element.text), _digest(element))
        )

    def listed(self) -> Iterator[tuple[int | str, str, LabelKey]]:
        """Every entry of `images`: its id, its file name, where it is."""
        for image, name, start, length, digest in self.images:
            yield image, name, LabelKey(start, length, digest.hex())

    def references(self, image: int | str) -> Iterator[str]:
        """What belongs to one image: the categories, its annotations, its panoptic PNG."""
        if self.categories and image in self.rows:
            yield join_reference(self.file, self.categories)
        for start, length, digest in self.rows.get(image, ()):
            yield join_reference(self.file, LabelKey(start, length, digest.hex()))
        if image in self.pngs:
            yield f"{self.masks}/{self.pngs[image]}"


def _digest(element: Element) -> bytes:
    return hashlib.sha256(element.text.encode("latin-1")).digest()


def _image_id(value: Any, where: str) -> int | str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise DatasetError(f"{where}: expected an image id, found {ascii(value)[:40]}")
    return value


def _span_key(path: Path, bounds: list[int]) -> LabelKey | None:
    if not bounds:
        return None
    with open(path, "rb") as file:
        file.seek(bounds[0])
        data = file.read(bounds[-1] - bounds[0])
    return LabelKey(bounds[0], len(data), hashlib.sha256(data).hexdigest())


def read_objects(card: Card, root: Path, scene: Scene) -> tuple[SceneObject, ...]:
    """Every annotation of one image. Raises LabelError for a record that is none."""
    return unique_ids(within(_annotations(card, root, scene), scene.image))


def _annotations(card: Card, root: Path, scene: Scene) -> Iterator[SceneObject]:
    """In the order of the references; the first to a file is to its categories."""
    categories: dict[int, dict[str, Any]] = {}
    file = ""
    for reference in scene.extra_files:
        path, key = split_reference(reference)
        if key is None:
            continue
        where = f"{path} at byte {key.start}"
        if path != file:
            file, categories = path, categories_of(root / path, str(key), where)
            continue
        record = parse_record(read_span(root / path, key), where)
        yield from _objects(
            record, where, _Context(card, root, scene, categories, tree_of(path, scene.split, card.labels))
        )


@lru_cache(maxsize=32)
def categories_of(path: Path, key: str, where: str) -> dict[int, dict[str, Any]]:
    """The categories of a file by their ids."""
    record = parse_record(b"[" + read_span(path, LabelKey.parse(key)) + b"]", where)
    return {c["id"]: c for c in record if isinstance(c, dict) and isinstance(c.get("id"), int)}


@dataclass(frozen=True, slots=True)
class _Context:
    """What an annotation needs to know of its file and image."""

    card: Card
    root: Path
    scene: Scene
    categories: dict[int, dict[str, Any]]
    tree: LabelTree | None

    def name(self, category: Any) -> str:
        known = self.categories.get(category, {}) if isinstance(category, int) else {}
        return str(known.get("name", f"class {category!a}"))

    def is_stuff(self, category: Any) -> bool:
        return isinstance(category, int) and self.categories.get(category, {}).get("isthing") == 0


def _objects(record: Any, where: str, context: _Context) -> Iterable[SceneObject]:
    if not isinstance(record, dict):
        raise LabelError(f"{where}: expected an annotation (an object), found {type(record).__name__}")
    if context.tree is not None and context.tree.kind == "panoptic":
        return _segments(record, where, context)
    prefix = f"{context.tree.name}/" if context.tree is not None and context.tree.kind == "keypoints" else ""
    kind, box, outlines, mask = _geometry(record, where, context)
    crowd = record.get("iscrowd") in (1, True) or record.get("ignore") in (1, True)
    category = context.name(record.get("category_id"))
    return [SceneObject(f"{prefix}{record.get('id', where)}", kind, category, box, outlines, mask, crowd=crowd)]


Geometry = tuple[ObjectKind, Box, tuple[np.ndarray, ...], np.ndarray | None]


def _geometry(record: dict[str, Any], where: str, context: _Context) -> Geometry:
    """The finest geometry that the annotation has."""
    segmentation = record.get("segmentation")
    box = _bbox(record["bbox"], where) if record.get("bbox") else None
    if isinstance(segmentation, dict):
        mask = decode(segmentation, where)
        return "mask", box or mask_box(mask), (), mask
    if segmentation:
        outlines = _outlines(segmentation, where)
        return "polygon", box or outline_box(outlines), outlines, None
    return "box", box or (0.0, 0.0, 0.0, 0.0), (), None


def _bbox(values: Any, where: str) -> Box:
    if not isinstance(values, list) or len(values) != 4:
        raise LabelError(f"{where}: expected bbox [x, y, width, height], found {ascii(values)[:40]}")
    x, y, w, h = (number(value, where) for value in values)
    return x, y, x + max(w, 0.0), y + max(h, 0.0)


def _outlines(segmentation: Any, where: str) -> tuple[np.ndarray, ...]:
    if not isinstance(segmentation, list) or not all(
        isinstance(p, list) and len(p) >= 6 and len(p) % 2 == 0 for p in segmentation
    ):
        raise LabelError(f"{where}: expected segmentation as lists of x, y, ...")
    return tuple(np.asarray([number(v, where) for v in part]).reshape(-1, 2) for part in segmentation)


def _segments(record: dict[str, Any], where: str, context: _Context) -> Iterator[SceneObject]:
    segments = record.get("segments_info")
    tree = context.tree
    if (
        not isinstance(segments, list)
        or tree is None
        or not all(isinstance(s, dict) and isinstance(s.get("id"), int) for s in segments)
    ):
        raise LabelError(f"{where}: expected segments_info with ids")
    folder = (tree.images or "").format(split=context.scene.split)
    pixels = read_label_image(context.root / folder / safe_name(record.get("file_name"), where))
    if pixels.ndim != 3:
        raise LabelError(f"{where}: expected an RGB panoptic image, found shape {pixels.shape}")
    codes = (
        pixels[..., 0].astype(np.uint32)
        + (pixels[..., 1].astype(np.uint32) << 8)
        + (pixels[..., 2].astype(np.uint32) << 16)
    )
    return (_segment(segment, codes == segment["id"], context) for segment in segments)


def _segment(segment: dict[str, Any], mask: np.ndarray, context: _Context) -> SceneObject:
    name, stuff = context.name(segment.get("category_id")), context.is_stuff(segment.get("category_id"))
    crowd = segment.get("iscrowd") in (1, True)
    return SceneObject(
        f"panoptic/{segment['id']}", "stuff" if stuff else "mask", name, mask_box(mask), mask=mask, crowd=crowd
    )
