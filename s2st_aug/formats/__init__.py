"""Labelled datasets in and out: one folder a format, found by name; nothing is decoded before it is needed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from s2st_aug.errors import DatasetError, NoImages, did_you_mean
from s2st_aug.formats.base import Card, DatasetFormat
from s2st_aug.formats.cards import card_names, format_of, load_card
from s2st_aug.formats.registry import find_format, format_names
from s2st_aug.records.scene import Scene, SceneObject

__all__ = [
    "Card",
    "DatasetFormat",
    "card_names",
    "find_format",
    "format_names",
    "format_of",
    "load_card",
    "read_objects",
    "read_scenes",
]


def read_scenes(card: Card, root: Path, split: str) -> Iterator[Scene]:
    """The scenes of a split, light and in a stable order; raises DatasetError for what cannot be read at all."""
    if not root.is_dir():
        raise DatasetError(f"dataset folder {root} is not there")
    if split not in card.splits:
        raise DatasetError(f"{card.name} has no split {split!r}{did_you_mean(split, card.splits)}")
    found = False
    for scene in format_of(card).read_scenes(card, root, split):
        found = True
        yield scene
    if not found:
        expected = f"expected the tree of the card {card.name}"
        raise NoImages(f"{root}: split {split!r} of {card.name} holds no image; {expected}")


def read_objects(card: Card, root: Path, scene: Scene) -> tuple[SceneObject, ...]:
    """Every label of one scene in source pixels; raises LabelError for a record that is none or has changed."""
    return format_of(card).read_objects(card, root, scene)
