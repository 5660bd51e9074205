"""A dataset's folder against its card: what `doctor --dataset CARD ROOT` says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from s2st_aug.errors import DatasetError, LabelError, NoImages
from s2st_aug.formats import read_objects, read_scenes
from s2st_aug.formats.base import Card
from s2st_aug.formats.geometry import is_inside
from s2st_aug.formats.label_images import stored_size
from s2st_aug.formats.names import IMAGE_SUFFIXES, list_files
from s2st_aug.records.scene import Scene

SAMPLE = 200


@dataclass(frozen=True, slots=True)
class CardFinding:
    """One line about a split of the dataset."""

    level: Literal["ok", "warning", "error"]
    split: str
    text: str


def check_card(card: Card, root: Path, *, sample: int = SAMPLE) -> list[CardFinding]:
    """Every split's scenes counted, images looked for, the labels of the first `sample` scenes read."""
    if not root.is_dir():
        return [CardFinding("error", "", f"dataset folder {root} is not there; get it from {card.where}")]
    findings = [finding for split in card.splits for finding in _split(card, root, split, sample)]
    if not any(finding.level == "ok" for finding in findings):
        findings.append(
            CardFinding("error", "", f"no split of {card.name} can be read; expected images at {card.images}")
        )
    return findings


def _split(card: Card, root: Path, split: str, sample: int) -> Iterator[CardFinding]:
    try:
        scenes = list(read_scenes(card, root, split))
    except NoImages:
        yield CardFinding("warning", split, "not there")
        return
    except DatasetError as error:
        yield CardFinding("error", split, str(error))
        return
    labelled = sum(scene.label_file is not None for scene in scenes)
    yield CardFinding("ok", split, f"{len(scenes)} scenes, {labelled} with labels")
    yield from _images(card, root, split, scenes)
    for scene in islice(scenes, sample):
        yield from _labels(card, root, scene)


def _images(card: Card, root: Path, split: str, scenes: list[Scene]) -> Iterator[CardFinding]:
    named = {scene.image for scene in scenes}
    folders = {name.rpartition("/")[0] for name in named}
    there = {f"{folder}/{name}" for folder in folders for name in list_files(root / folder, IMAGE_SUFFIXES)}
    absent, unlisted = sorted(named - there), sorted(there - named)
    if absent:
        yield CardFinding(
            "warning", split, f"{len(absent)} images are absent, the first {absent[0]}: their rows will fail"
        )
    if unlisted:
        yield CardFinding(
            "warning", split, f"{len(unlisted)} images have no label record, the first {unlisted[0]}: they are not used"
        )


def _labels(card: Card, root: Path, scene: Scene) -> Iterator[CardFinding]:
    try:
        objects = read_objects(card, root, scene)
        size = stored_size(root / scene.image) if (root / scene.image).is_file() else None
    except LabelError as error:
        yield CardFinding("warning", scene.split, str(error))
        return
    outside = [item.object_id for item in objects if size and not is_inside(item.bbox, *size)]
    if outside:
        yield CardFinding(
            "warning",
            scene.split,
            f"{scene.image}: {len(outside)} labels lie outside the image, the first {outside[0]!r}",
        )
