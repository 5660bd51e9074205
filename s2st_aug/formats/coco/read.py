"""COCO: detection, instances, keypoints and panoptic. Annotations are in stored pixels, unless the declared size is
that of the upright image.

A scene's own record is its entry in `images`. Its extra files are records too, as `path#start:length:sha256`: first the
file's `categories`, then each of the image's annotations, file by file; a panoptic PNG is named as it is.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from s2st_aug.arrays import Box
from s2st_aug.errors import DatasetError, LabelError
from s2st_aug.formats.base import Card, LabelTree
from s2st_aug.formats.geometry import mask_box, outline_box
from s2st_aug.formats.json_stream import ARRAY, Element, parse_record, read_record, read_span, stream
from s2st_aug.formats.label_images import read_label_image, within
from s2st_aug.formats.names import IMAGE_SUFFIXES, list_files, safe_name, stem_of, unique, unique_ids
from s2st_aug.formats.pixels import NOWHERE, declared
from s2st_aug.formats.references import join_reference, split_reference
from s2st_aug.formats.run_lengths import decode
from s2st_aug.formats.tree import files_of, spelled_in, tree_of
from s2st_aug.formats.values import number, plain_id, plain_name
from s2st_aug.records.scene import UNKNOWN, LabelKey, ObjectKind, Scene, SceneObject

NOTHING = LabelKey(0, 0, hashlib.sha256(b"").hexdigest())
"""where the categories of a file are that lists none"""
TWICE = "listed under two names"


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
    file, seen, owners = indexes[0].file, set[str](), dict[str, int | str]()
    folder = (own.images if own.kind != "panoptic" else None) or card.images
    for image, name, key in indexes[0].listed():
        if owners.setdefault(name, image) != image:
            raise DatasetError(
                f"{file}: {name!a} is listed twice, as image {owners[name]!a:.40} and {image!a:.40}; keep one of them"
            )
        stem = f"{split}/{stem_of(name)}"  # a.jpg and a.png are two images: the later one keeps its suffix
        scene_id = unique(f"{split}/{name}" if stem in seen else stem, seen, file)
        extras = tuple(reference for index in indexes for reference in index.references(image))
        yield Scene(scene_id, card.name, split, f"{folder.format(split=spelled)}/{name}", file, key, {}, extras)


@dataclass(slots=True)
class _Index:
    """Where one annotation file keeps what: few bytes a record, so that millions fit."""

    file: str
    path: Path
    masks: str | None  # folder of panoptic PNGs
    categories: LabelKey = NOTHING
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
            image = plain_id(image)
            if image is None:
                return  # told by `remarks`
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
        """Every entry of `images`: its id, its file name, where it is.

        Raises DatasetError where two have one id: the annotations of one would be the other's too.
        """
        seen: set[int | str] = set()
        for image, name, start, length, digest in self.images:
            if image in seen:
                raise DatasetError(f"{self.file}: image id {image!a:.40} is listed twice, the second time for {name!a}")
            seen.add(image)
            yield image, name, LabelKey(start, length, digest.hex())

    def references(self, image: int | str) -> Iterator[str]:
        """What belongs to one image: the categories, its annotations, its panoptic PNG."""
        if image in self.rows:
            yield join_reference(self.file, self.categories)
        for start, length, digest in self.rows.get(image, ()):
            yield join_reference(self.file, LabelKey(start, length, digest.hex()))
        if image in self.pngs:
            yield f"{self.masks}/{self.pngs[image]}"


def _digest(element: Element) -> bytes:
    return hashlib.sha256(element.text.encode("latin-1")).digest()


def _image_id(value: Any, where: str) -> int | str:
    found = plain_id(value)
    if found is None:
        raise DatasetError(f"{where}: expected an image id, found {ascii(value)[:40]}")
    return found


def _span_key(path: Path, bounds: list[int]) -> LabelKey:
    if not bounds:
        return NOTHING
    with open(path, "rb") as file:
        file.seek(bounds[0])
        data = file.read(bounds[-1] - bounds[0])
    return LabelKey(bounds[0], len(data), hashlib.sha256(data).hexdigest())


def read_objects(card: Card, root: Path, scene: Scene) -> tuple[SceneObject, ...]:
    """Every annotation of one image. Raises LabelError for a record that is none."""
    return unique_ids(within(_annotations(card, root, scene), scene.image))


def declared_size(card: Card, root: Path, scene: Scene) -> tuple[int, int] | None:
    """`width` and `height` of the scene's entry in `images`."""
    if scene.label_file is None or scene.label_key is None:
        return None
    entry = read_record(root / scene.label_file, scene.label_key, scene.label_file)
    return declared(entry.get("width"), entry.get("height")) if isinstance(entry, dict) else None


def remarks(card: Card, root: Path, split: str, scenes: Sequence[Scene]) -> Iterator[str]:
    """Annotations that belong to no image of their file or share an id; categories without a name, or listed twice."""
    for tree in card.labels:
        for file in files_of(root, tree, split):
            yield from _Whole.of(root / file, panoptic=tree.kind == "panoptic").amiss(file)


@dataclass(slots=True)
class _Whole:
    """What one annotation file says as a whole."""

    images: set[int | str | None] = field(default_factory=set)
    owners: Counter[int | str | None] = field(default_factory=Counter)
    first: dict[int | str | None, Any] = field(default_factory=dict)  # of each owner, the id of an annotation
    ids: set[int | str | None] = field(default_factory=set)
    repeated: list[Any] = field(default_factory=list)  # ids of annotations that were met again, or are none
    names: Counter[str] = field(default_factory=Counter)
    numbers: Counter[int | str | None] = field(default_factory=Counter)

    @classmethod
    def of(cls, path: Path, *, panoptic: bool) -> _Whole:
        whole = cls()
        for element in stream(path, skim=True):
            value = element.value if isinstance(element.value, dict) else None
            if value is None:
                continue
            if element.array == "images":
                whole.images.add(plain_id(value.get("id")))
            elif element.array == "annotations":
                whole._annotation(value, numbered=not panoptic)
            elif element.array == "categories":
                whole.names[plain_name(value.get("name")) or ""] += 1
                whole.numbers[plain_id(value.get("id"))] += 1
        return whole

    def _annotation(self, value: dict[str, Any], *, numbered: bool) -> None:
        owner, own = plain_id(value.get("image_id")), plain_id(value.get("id"))
        self.owners[owner] += 1
        self.first.setdefault(owner, value.get("id"))
        if numbered and (own is None or own in self.ids):
            self.repeated.append(value.get("id"))
        self.ids.add(own)

    def amiss(self, file: str) -> Iterator[str]:
        """One sentence a cause."""
        if orphans := {owner: count for owner, count in self.owners.items() if owner not in self.images}:
            owner = next(iter(orphans))
            told = f"the first is annotation {self.first[owner]!a} of image {owner!a}"
            yield f"{file}: {sum(orphans.values())} annotations belong to no image that is listed, {told}"
        if self.repeated:
            told = f"the first {self.repeated[0]!a}: COCO's loaders need a number of its own for each"
            yield f"{file}: {len(self.repeated)} annotations have the id of another one or none, {told}"
        if self.names[""]:
            yield f"{file}: {self.names['']} categories have no name"
        if twice := [name for name, count in self.names.items() if name and count > 1]:
            yield f"{file}: {len(twice)} category names are listed twice, the first {twice[0]!r}"
        if numbered := [number for number, count in self.numbers.items() if count > 1]:
            yield f"{file}: {len(numbered)} category ids are listed twice, the first {numbered[0]!r}"


def _annotations(card: Card, root: Path, scene: Scene) -> Iterator[SceneObject]:
    """In the order of the references; the first to a file is to its categories."""
    categories: Categories = {}
    file = ""
    for reference in scene.extra_files:
        path, key = split_reference(reference)
        if key is None:
            continue
        where = f"{path} at byte {key.start}"
        if path != file:
            file, categories = path, categories_of(root / path, str(key), where)
            continue
        context = _Context(card, root, scene, categories, tree_of(path, scene.split, card.labels))
        yield from _objects(parse_record(read_span(root / path, key), where), where, context)


@lru_cache(maxsize=32)
def categories_of(path: Path, key: str, where: str) -> Categories:
    """The categories of a file by their ids; one that is listed under two names says so."""
    record = parse_record(b"[" + read_span(path, LabelKey.parse(key)) + b"]", where)
    found: Categories = {}
    for category in (c for c in record if isinstance(c, dict)):
        number = plain_id(category.get("id"))
        if number is not None:
            other = found.get(number, category).get("name") != category.get("name")
            found[number] = {**category, "name": None, TWICE: True} if other else category
    return found


@dataclass(frozen=True, slots=True)
class _Context:
    """What an annotation needs to know of its file and image."""

    card: Card
    root: Path
    scene: Scene
    categories: Categories
    tree: LabelTree | None

    def name(self, category: Any) -> tuple[str, str | None]:
        """The category's name, or `unknown` and why."""
        number = plain_id(category)
        if number is None:
            return UNKNOWN, f"its category_id is {category!a:.40}"
        if number not in self.categories:
            return UNKNOWN, f"category {category!a:.40} is not listed"
        listed = self.categories[number]
        name, amiss = plain_name(listed.get("name")), "is listed under two names" if TWICE in listed else "has no name"
        return (name, None) if name is not None else (UNKNOWN, f"category {category!a:.40} {amiss}")

    def is_stuff(self, category: Any) -> bool:
        number = plain_id(category)
        return number is not None and self.categories.get(number, {}).get("isthing") == 0


def _objects(record: Any, where: str, context: _Context) -> Iterable[SceneObject]:
    if not isinstance(record, dict):
        return [SceneObject(where, "box", UNKNOWN, NOWHERE, unsound=f"no object, but {type(record).__name__}")]
    if context.tree is not None and context.tree.kind == "panoptic":
        return _segments(record, where, context)
    prefix = f"{context.tree.name}/" if context.tree is not None and context.tree.kind == "keypoints" else ""
    (kind, box, outlines, mask), broken = _geometry(record)
    crowd = record.get("iscrowd") in (1, True) or record.get("ignore") in (1, True)
    category, unnamed = context.name(record.get("category_id"))
    name = annotation_name(record, prefix, where)
    return [SceneObject(name, kind, category, box, outlines, mask, crowd=crowd, unsound=unnamed or broken)]


def annotation_name(record: dict[str, Any], prefix: str, where: str) -> str:
    """What an annotation's object is called before it is made unique: by its id, by its place where it has none.

    `prefix` tells the files apart, `where` is its place in its own.
    """
    return f"{prefix}{record.get('id', where)}"


Geometry = tuple[ObjectKind, Box, tuple[np.ndarray, ...], np.ndarray | None]
Categories = dict[int | str, dict[str, Any]]


def _geometry(record: dict[str, Any]) -> tuple[Geometry, str | None]:
    """The finest geometry that the annotation has, and what is broken of it; its box stands in for a broken outline."""
    segmentation, box, broken = record.get("segmentation"), None, None
    try:
        box = _bbox(record["bbox"]) if record.get("bbox") else None
    except LabelError as error:
        broken = str(error)
    try:
        if isinstance(segmentation, dict):
            mask = decode(segmentation, "segmentation")
            return ("mask", box or mask_box(mask), (), mask), broken
        if segmentation:
            outlines = _outlines(segmentation)
            return ("polygon", box or outline_box(outlines), outlines, None), broken
    except LabelError as error:
        broken = broken or str(error)
    return ("box", box or NOWHERE, (), None), broken


def _bbox(values: Any) -> Box:
    """Two corners, whichever the box was drawn from."""
    if not isinstance(values, list) or len(values) != 4:
        raise LabelError(f"expected bbox [x, y, width, height], found {ascii(values)[:40]}")
    x, y, w, h = (number(value, "bbox") for value in values)
    return min(x, x + w), min(y, y + h), max(x, x + w), max(y, y + h)


def _outlines(segmentation: Any) -> tuple[np.ndarray, ...]:
    if not isinstance(segmentation, list) or not all(
        isinstance(p, list) and len(p) >= 6 and len(p) % 2 == 0 for p in segmentation
    ):
        raise LabelError(
            f"expected segmentation as lists of x, y, ... of three points or more, found {ascii(segmentation)[:40]}"
        )
    return tuple(np.asarray([number(v, "segmentation") for v in part]).reshape(-1, 2) for part in segmentation)


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
    (name, unnamed), stuff = context.name(segment.get("category_id")), context.is_stuff(segment.get("category_id"))
    kind: ObjectKind = "stuff" if stuff else "mask"
    crowd, box = segment.get("iscrowd") in (1, True), mask_box(mask)
    return SceneObject(f"panoptic/{segment['id']}", kind, name, box, mask=mask, crowd=crowd, unsound=unnamed)
