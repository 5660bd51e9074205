"""BDD100K: lists of frames (det_20, lane, drivable, RLE, tracking), the legacy form, and masks beside them.

The card's first frame list that exists for a split says which images are scenes; every other label of the same image is
an extra file, named `path` or, for a record inside a list, `path#start:length:sha256`. EXIF orientation is never
applied.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s2st_aug.errors import DatasetError, LabelError
from s2st_aug.formats.base import Card, LabelTree
from s2st_aug.formats.bdd100k.labels import objects_of
from s2st_aug.formats.bdd100k.masks import read_mask
from s2st_aug.formats.json_stream import ARRAY, RECORD_LIMIT, TOO_DEEP, Element, parse_record, read_record, stream
from s2st_aug.formats.label_images import within
from s2st_aug.formats.names import IMAGE_SUFFIXES, list_files, safe_name, stem_of, unique, unique_ids
from s2st_aug.formats.pixels import declared
from s2st_aug.formats.references import join_reference, split_reference
from s2st_aug.formats.tree import FilesByStem, file_key, files_of, tree_of
from s2st_aug.records.scene import LabelKey, Scene, SceneObject

_FRAMES = frozenset({"frames", "frame_files"})


@dataclass(frozen=True, slots=True)
class FrameRecord:
    """One frame's place and the little of it that planning needs."""

    name: str  # below the image folder, with the video's folder where there is one
    label_file: str
    key: LabelKey
    attributes: dict[str, str]


def read_scenes(card: Card, root: Path, split: str) -> Iterator[Scene]:
    """The scenes of a split in label-file order; raises DatasetError for what cannot be read at all."""
    sources = [tree for tree in card.labels if tree.kind in _FRAMES and files_of(root, tree, split)]
    images = card.images.format(split=split)
    if not sources:
        yield from _unlisted_scenes(card, root, split, images)
        return
    extras = _extras(card, root, split, sources[1:])
    seen: set[str] = set()
    for frame in _frames(root, sources[0], split):
        scene_id = unique(f"{split}/{stem_of(frame.name)}", seen, frame.label_file)
        files = extras.of(stem_of(frame.name))
        yield Scene(
            scene_id, card.name, split, f"{images}/{frame.name}", frame.label_file, frame.key, frame.attributes, files
        )


def read_objects(card: Card, root: Path, scene: Scene) -> tuple[SceneObject, ...]:
    """Every label of one scene; parses one record and the scene's own masks. Raises LabelError for a bad record."""
    return unique_ids(within((item for found in _by_reference(card, root, scene) for item in found), scene.image))


def label_counts(card: Card, root: Path, scene: Scene) -> list[int]:
    """How many labels come from the scene's own record and from each of its extra files, in that order."""
    return [len(found) for found in _by_reference(card, root, scene)]


def _by_reference(card: Card, root: Path, scene: Scene) -> Iterator[list[SceneObject]]:
    own = [join_reference(scene.label_file, scene.label_key)] if scene.label_file else []
    for index, reference in enumerate([*own, *scene.extra_files]):
        tree = tree_of(reference, scene.split, card.labels)
        yield _objects(root, reference, tree, prefix=f"{tree.name}/" if tree and index else "")


def _objects(root: Path, reference: str, tree: LabelTree | None, *, prefix: str) -> list[SceneObject]:
    path, key = split_reference(reference)
    if tree is None or tree.kind == "colormap":
        return []
    if tree.kind not in _FRAMES:
        return read_mask(root / path, tree.kind, tree.name)
    if key is None:
        raise LabelError(f"{path}: the scene's record is not known")
    where = f"{path} at byte {key.start}"
    return objects_of(read_record(root / path, key, where), where, prefix)


def declared_size(card: Card, root: Path, scene: Scene) -> tuple[int, int] | None:
    """`size` of the scene's frame, which scalabel writes."""
    if scene.label_file is None or scene.label_key is None:
        return None
    tree = tree_of(scene.label_file, scene.split, card.labels)
    if tree is None or tree.kind not in _FRAMES:
        return None
    where = f"{scene.label_file} at byte {scene.label_key.start}"
    record = read_record(root / scene.label_file, scene.label_key, where)
    size = record.get("size") if isinstance(record, dict) else None
    return declared(size.get("width"), size.get("height")) if isinstance(size, dict) else None


def _frames(root: Path, tree: LabelTree, split: str) -> Iterator[FrameRecord]:
    for file in files_of(root, tree, split):
        yield from _whole_file(root, file) if tree.kind == "frame_files" else _listed(root, file)


def _listed(root: Path, file: str) -> Iterator[FrameRecord]:
    for element in stream(root / file, skim=True):
        if element.value is ARRAY:
            continue
        if element.array in ("", "frames"):
            yield _frame(element, file)
        elif element.array in ("name", "labels"):
            raise DatasetError(f"{root / file}: expected a list of frames, found a single frame")


def _frame(element: Element, file: str) -> FrameRecord:
    where = f"{file} at byte {element.start}"
    value = element.value
    if value is TOO_DEEP:
        raise DatasetError(f"{where}: the frame nests too deeply")
    if not isinstance(value, dict):
        raise DatasetError(f"{where}: expected a frame (an object), found {type(value).__name__}")
    return FrameRecord(_image_name(value, where), file, element.key(), _attributes(value))


def _image_name(value: dict[str, Any], where: str) -> str:
    name = safe_name(value.get("name"), where)
    video = value.get("videoName")
    full = name if video is None or "/" in name else safe_name(f"{video}/{name}", where)
    return full if stem_of(full) != full else f"{full}.jpg"


def _attributes(value: dict[str, Any]) -> dict[str, str]:
    found = value.get("attributes")
    return {str(k): str(v) for k, v in found.items() if v is not None} if isinstance(found, dict) else {}


def _whole_file(root: Path, file: str) -> Iterator[FrameRecord]:
    try:
        if (root / file).stat().st_size > RECORD_LIMIT:
            raise DatasetError(f"{file}: one record is larger than {RECORD_LIMIT >> 20} MiB")
        data = (root / file).read_bytes()
        value = parse_record(data, file)
    except (OSError, LabelError) as error:
        raise DatasetError(f"{file}: not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise DatasetError(f"{file}: expected a frame (an object), found {type(value).__name__}")
    yield FrameRecord(
        _image_name(value, file), file, LabelKey(0, len(data), hashlib.sha256(data).hexdigest()), _attributes(value)
    )


def _extras(card: Card, root: Path, split: str, lists: list[LabelTree]) -> FilesByStem:
    """Label files beside the scene's own, by the image's stem."""
    records: dict[str, list[str]] = {}
    for tree in lists:
        for frame in _frames(root, tree, split):
            records.setdefault(stem_of(frame.name), []).append(join_reference(frame.label_file, frame.key))
    masks = FilesByStem.collect(card, root, split, leave_out=_FRAMES)
    return FilesByStem(
        {stem: [*records.get(stem, ()), *masks.of(stem)] for stem in records.keys() | masks.files.keys()}
    )


def _unlisted_scenes(card: Card, root: Path, split: str, images: str) -> Iterator[Scene]:
    """Images without a frame list: with masks alone, or with no label at all."""
    extras = _extras(card, root, split, [])
    for name in list_files(root / images, IMAGE_SUFFIXES):
        files = extras.of(stem_of(name))
        if files or not extras.files:
            key = file_key(root / files[0]) if files else None
            yield Scene(
                f"{split}/{stem_of(name)}",
                card.name,
                split,
                f"{images}/{name}",
                files[0] if files else None,
                key,
                {},
                files[1:],
            )
