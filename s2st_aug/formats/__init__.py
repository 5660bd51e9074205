"""Labelled datasets in and out: one folder a format, found by name; nothing is decoded before it is needed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from s2st_aug.errors import DatasetError, LabelError, NoImages, did_you_mean
from s2st_aug.formats.base import Card, DatasetFormat
from s2st_aug.formats.cards import card_names, dataset_card, format_of, load_card
from s2st_aug.formats.label_images import image_sizes
from s2st_aug.formats.layout import expected_and_found
from s2st_aug.formats.pixels import Orientation, PixelFrame, in_frame, mask_size, pixel_frame, without_frame
from s2st_aug.formats.registry import find_format, format_names
from s2st_aug.records.scene import Scene, SceneObject

__all__ = [
    "Card",
    "DatasetFormat",
    "card_names",
    "dataset_card",
    "find_format",
    "format_names",
    "format_of",
    "frame_of",
    "load_card",
    "orientation_of",
    "read_objects",
    "read_scenes",
]


def read_scenes(card: Card, root: Path, split: str) -> Iterator[Scene]:
    """The scenes of a split, light and in a stable order; raises DatasetError for what cannot be read at all."""
    if not root.is_dir():
        raise DatasetError(f"dataset folder not found: {root}")
    if split not in card.splits:
        raise DatasetError(f"{card.name} has no split {split!r}{did_you_mean(split, card.splits)}")
    found = set[str]()
    for scene in format_of(card).read_scenes(card, root, split):
        if scene.scene_id in found:
            other = next(
                s.image for s in format_of(card).read_scenes(card, root, split) if s.scene_id == scene.scene_id
            )
            raise DatasetError(
                f"{root}: {other} and {scene.image} differ only in their suffix; rename one, with its label file"
            )
        found.add(scene.scene_id)
        yield scene
    if not found:
        expected = expected_and_found(card, root)
        if others := [other for other in card.splits if other != split and _has_image(card, root, other)]:
            expected = f"splits with images: {', '.join(others)}"
        raise NoImages(f"{root}: split {split!r} of {card.name} holds no image; {expected}")


def _has_image(card: Card, root: Path, split: str) -> bool:
    try:
        return any((root / scene.image).is_file() for scene in format_of(card).read_scenes(card, root, split))
    except (DatasetError, LabelError, OSError):
        return False


def read_objects(card: Card, root: Path, scene: Scene) -> tuple[SceneObject, ...]:
    """Every label of one scene in source pixels, with what makes it unsound.

    Raises LabelError for a record that is none or has changed, and for labels of another size than the image's. Where
    the image is not there, or is none, sizes are not compared: that is said where it is opened.
    """
    objects = format_of(card).read_objects(card, root, scene)
    try:
        image_sizes(root / scene.image)
    except LabelError:
        return without_frame(objects)
    return in_frame(objects, frame_of(card, root, scene, objects), f"{scene.label_file}: {scene.image}")


def frame_of(card: Card, root: Path, scene: Scene, objects: Iterable[SceneObject] = ()) -> PixelFrame:
    """The pixels that the scene's labels are in; masks of one size declare it where nothing else does."""
    format, (stored, upright) = format_of(card), image_sizes(root / scene.image)
    declared = format.declared_size(card, root, scene) if format.declared_size else None
    if declared is None:
        declared = mask_size(objects)
    where = f"{scene.label_file}: {scene.image}"
    return pixel_frame(format.orientation, stored, upright, declared, rescale=card.rescale_labels, where=where)


def orientation_of(card: Card, root: Path, scene: Scene) -> Orientation:
    """Whether the scene's labels are in stored or upright pixels; the format's word where the file does not matter.

    Raises nothing: what is amiss with an image or a label is said where it is read.
    """
    usual = format_of(card).orientation
    try:
        stored, upright = image_sizes(root / scene.image)
        return usual if stored == upright else frame_of(card, root, scene).orientation
    except LabelError:
        return usual
