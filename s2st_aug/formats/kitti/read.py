"""KITTI object labels: one text file per image, fifteen columns (sixteen with a score). EXIF: the images carry none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from s2st_aug.errors import DatasetError, LabelError, NoImages
from s2st_aug.formats.base import Card
from s2st_aug.formats.json_stream import read_span
from s2st_aug.formats.names import IMAGE_SUFFIXES, list_files, safe_name, stem_of
from s2st_aug.formats.pixels import NOWHERE
from s2st_aug.formats.text_lines import TextLine, text_lines
from s2st_aug.formats.tree import FilesByStem, file_key
from s2st_aug.formats.values import coordinate
from s2st_aug.records.scene import UNKNOWN, Scene, SceneObject

_COLUMNS = (15, 16)


def split_folder(split: str) -> str:
    """`training` holds both halves, `train` and `val`."""
    return {"train": "training", "val": "training"}.get(split, split)


def read_scenes(card: Card, root: Path, split: str) -> Iterator[Scene]:
    """The images of a split in order; where any has labels, images without are left out."""
    folder = split_folder(split)
    images = card.images.format(split=folder)
    files = FilesByStem.collect(card, root, folder)
    wanted = _listed(root, split)
    names = [n for n in list_files(root / images, IMAGE_SUFFIXES) if wanted is None or stem_of(n) in wanted]
    labels = {stem: found[0] for stem, found in files.files.items() if "/label_2/" in found[0]}
    for name in names:
        stem = stem_of(safe_name(name, images))
        own = labels.get(stem)
        if own or not labels:
            key = file_key(root / own) if own else None
            yield Scene(
                f"{split}/{stem}",
                card.name,
                split,
                f"{images}/{name}",
                own,
                key,
                {},
                tuple(f for f in files.of(stem) if f != own),
            )


def split_files(root: Path, split: str) -> list[str]:
    """The list of a split's names, where it has one."""
    name = f"ImageSets/{split}.txt"
    return [name] if (root / name).is_file() else []


def _listed(root: Path, split: str) -> frozenset[str] | None:
    """The names in ImageSets/<split>.txt; None for all of them."""
    path = root / "ImageSets" / f"{split}.txt"
    if not path.is_file():
        if split == "val":
            raise NoImages(f"file not found: {path}; it lists the names of KITTI's val split")
        return None
    try:
        lines = text_lines(path.read_bytes())
        return frozenset(name for line in lines if (name := line.text.decode("utf-8-sig").strip()))
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read: {error}") from None


def read_objects(card: Card, root: Path, scene: Scene) -> tuple[SceneObject, ...]:
    """One object a line; `DontCare` regions are crowds, and a line that is no label is an unsound object."""
    if scene.label_file is None or scene.label_key is None:
        return ()
    lines = text_lines(read_span(root / scene.label_file, scene.label_key))
    return tuple(_object(line) for line in lines if line.words)


def _object(line: TextLine) -> SceneObject:
    words, where = line.words, f"line {line.index + 1}"
    try:
        if line.broken:
            raise LabelError(f"{where}: {line.broken}")
        if len(words) not in _COLUMNS:
            raise LabelError(f"{where}: expected 15 or 16 columns, found {len(words)}")
        truncation, occlusion, _, x1, y1, x2, y2 = (coordinate(word, where) for word in words[1:8])
    except LabelError as error:
        return SceneObject(str(line.index), "box", words[0] if words else UNKNOWN, NOWHERE, unsound=str(error))
    return SceneObject(
        str(line.index),
        "box",
        words[0],
        (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)),
        crowd=words[0] == "DontCare",
        occluded=occlusion in (1, 2),
        truncated=truncation > 0,
    )
