"""A dataset's folder against its card: what `doctor --dataset CARD ROOT` says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from s2st_aug.errors import DatasetError, LabelError
from s2st_aug.formats import read_objects, read_scenes
from s2st_aug.formats.bdd100k.labels import is_inside
from s2st_aug.formats.cards import Card
from s2st_aug.formats.label_images import stored_size
from s2st_aug.formats.names import IMAGE_SUFFIXES, list_files
from s2st_aug.records.scene import Scene

SAMPLE = 200


@dataclass(frozen=True, slots=True)
class Finding:
    """One line about a split of the dataset."""

    level: Literal["ok", "warning", "error"]
    split: str
    text: str


def check_card(card: Card, root: Path, *, sample: int = SAMPLE) -> list[Finding]:
    """Every split's scenes counted, images looked for, the labels of the first `sample` scenes read. Never raises for the data."""
    if not root.is_dir():
        return [Finding("error", "", f"dataset folder {root} is not there; get it from {card.where}")]
    findings = [finding for split in card.splits for finding in _split(card, root, split, sample)]
    if not any(finding.level == "ok" for finding in findings):
        findings.append(Finding("error", "", f"no split of {card.name} can be read; expected images at {card.images}"))
    return findings


def _split(card: Card, root: Path, split: str, sample: int) -> Iterator[Finding]:
    try:
        scenes = list(read_scenes(card, root, split))
    except DatasetError as error:
        absent = "holds no image" in str(error)
        yield Finding("warning" if absent else "error", split, "not there" if absent else str(error))
        return
    labelled = sum(scene.label_file is not None for scene in scenes)
    yield Finding("ok", split, f"{len(scenes)} scenes, {labelled} with labels")
    yield from _images(card, root, split, scenes)
    for scene in islice(scenes, sample):
        yield from _labels(card, root, scene)


def _images(card: Card, root: Path, split: str, scenes: list[Scene]) -> Iterator[Finding]:
    named = {scene.image for scene in scenes}
    folders = {name.rpartition("/")[0] for name in named}
    there = {f"{folder}/{name}" for folder in folders for name in list_files(root / folder, IMAGE_SUFFIXES)}
    absent, unlisted = sorted(named - there), sorted(there - named)
    if absent:
        yield Finding("warning", split, f"{len(absent)} images are absent, the first {absent[0]}: their rows will fail")
    if unlisted:
        yield Finding(
            "warning", split, f"{len(unlisted)} images have no label record, the first {unlisted[0]}: they are not used"
        )


def _labels(card: Card, root: Path, scene: Scene) -> Iterator[Finding]:
    try:
        objects = read_objects(card, root, scene)
        size = stored_size(root / scene.image) if (root / scene.image).is_file() else None
    except LabelError as error:
        yield Finding("warning", scene.split, str(error))
        return
    outside = [item.object_id for item in objects if size and not is_inside(item.bbox, *size)]
    if outside:
        yield Finding(
            "warning",
            scene.split,
            f"{scene.image}: {len(outside)} labels lie outside the image, the first {outside[0]!r}",
        )
