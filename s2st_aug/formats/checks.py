"""A dataset's folder against its card: what `doctor --dataset CARD ROOT` says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

from s2st_aug.errors import DatasetError, LabelError, NoImages
from s2st_aug.formats import format_of, read_objects, read_scenes
from s2st_aug.formats.base import Card
from s2st_aug.formats.cards import card_at
from s2st_aug.formats.layout import expected_and_found
from s2st_aug.formats.names import IMAGE_SUFFIXES, LookAlikes, list_files
from s2st_aug.records.scene import Scene, SceneObject

NAMED = "no image lies where"
"""in what a format says of a split whose own files name its place"""
SAMPLE = 200


@dataclass(frozen=True, slots=True)
class CardFinding:
    """One line about a split of the dataset."""

    level: Literal["ok", "note", "warning", "untrusted", "error"]
    """`note`: nothing to do; `untrusted`: labels that are not to be trained on as they are"""
    split: str
    text: str


def check_card(card: Card, root: Path, *, sample: int = SAMPLE) -> list[CardFinding]:
    """Every split's scenes counted, images looked for, the labels of `sample` scenes over all of it read.

    A cause is told once a split, with how often it was met and the first place.
    """
    if not root.is_dir():
        return [CardFinding("error", "", f"dataset folder not found: {root}; get it from {card.where}")]
    card, plain = card_at(card, root), card
    findings = _once_a_card(finding for split in card.splits for finding in _split(card, root, split, sample))
    if card.images != plain.images:
        findings.append(CardFinding("note", "", f"the tree lies in other folders than usual: images at {card.images}"))
    if not any(finding.level in ("ok", "error") for finding in findings):
        named = next((finding.text for finding in findings if NAMED in finding.text), None)
        told = named or f"no split of {card.name} can be read; {expected_and_found(card, root)}"
        findings = [CardFinding("error", "", told)]
    return findings


def _once_a_card(findings: Iterable[CardFinding]) -> list[CardFinding]:
    """What is said of several splits in the same words is one finding (a broken data.yaml); a count stays a split's."""
    said: dict[tuple[str, str], CardFinding] = {}
    for one in findings:
        key = (one.text, one.split if one.level in ("ok", "warning") else "")
        split = f"{said[key].split}, {one.split}" if key in said else one.split
        said[key] = replace(one, split=split)
    return list(said.values())


def _split(card: Card, root: Path, split: str, sample: int) -> Iterator[CardFinding]:
    try:
        scenes = list(read_scenes(card, root, split))
    except NoImages as error:
        yield CardFinding("note", split, str(error) if NAMED in str(error) else "not there")
        return
    except DatasetError as error:
        yield CardFinding("error", split, str(error))
        return
    labelled = sum(scene.label_file is not None for scene in scenes)
    yield CardFinding("ok", split, f"{len(scenes)} scenes, {labelled} with labels")
    yield from _images(card, root, split, scenes)
    yield from _remarks(card, root, split, scenes)
    yield from _labels(card, root, split, scenes[:: max(1, len(scenes) // sample)])


def _remarks(card: Card, root: Path, split: str, scenes: list[Scene]) -> Iterator[CardFinding]:
    """What the format finds amiss with the split as a whole."""
    remarks = format_of(card).remarks
    try:
        yield from (
            CardFinding("untrusted", split, text) for text in (remarks(card, root, split, scenes) if remarks else ())
        )
    except (DatasetError, LabelError) as error:
        yield CardFinding("untrusted", split, str(error))


def _images(card: Card, root: Path, split: str, scenes: list[Scene]) -> Iterator[CardFinding]:
    named = {scene.image for scene in scenes}
    folders = {name.rpartition("/")[0] for name in named}
    there = {f"{folder}/{name}" for folder in folders for name in list_files(root / folder, IMAGE_SUFFIXES)}
    absent, unlisted = sorted(named - there), sorted(there - named)
    if absent:
        told = f"{len(absent)} of {len(scenes)} images are absent, the first {absent[0]}: they are left out of a run"
        yield CardFinding("warning", split, told + _elsewhere(root, card.images.format(split=split), absent, unlisted))
    if unlisted:
        yield CardFinding(
            "warning", split, f"{len(unlisted)} images have no label record, the first {unlisted[0]}: they are not used"
        )


def _elsewhere(root: Path, images: str, absent: list[str], unlisted: list[str]) -> str:
    """Where files lie that may be meant: of another case or Unicode form, or in another folder; empty: nowhere.

    A label file may name images below the root, or below the folder above, where names below `images` are asked for.
    """
    alike, below = LookAlikes(root), {PurePosixPath(name).name: name for name in unlisted}
    spelled = [found for name in absent if (found := alike.of(name))]
    moved = []
    for name in absent:
        last = PurePosixPath(name).name
        asked = (f"{images}/{last}", name.removeprefix(f"{images}/"))
        moved += [found] if (found := below.get(last) or next((n for n in asked if (root / n).is_file()), None)) else []
    if spelled:
        return f"; {len(spelled)} are there in other case or Unicode form, the first {spelled[0]}"
    return f"; {len(moved)} of their names lie in other folders, the first {moved[0]}" if moved else ""


def _labels(card: Card, root: Path, split: str, scenes: list[Scene]) -> Iterator[CardFinding]:
    """Each cause once: labels that cannot be read, are broken, have no class, or lie outside of their image."""
    faults: list[tuple[str, str]] = []
    for scene in scenes:
        try:
            faults += unsound_labels(scene, read_objects(card, root, scene))
        except LabelError as error:
            faults.append((cause_of(str(error)), str(error)))
    yield from (
        CardFinding("untrusted", split, text) for text in once_each(faults, f"the {len(scenes)} scenes looked at")
    )


def unsound_labels(scene: Scene, objects: Iterable[SceneObject]) -> list[tuple[str, str]]:
    """Cause and message of each label that cannot be trusted."""
    place = f"{scene.label_file or scene.image}, {scene.scene_id}"
    broken = ((item.object_id, item.unsound) for item in objects if item.unsound is not None)
    return [(cause_of(why), f"{place}, label {name}: {why}") for name, why in broken]


def once_each(faults: Iterable[tuple[str, str]], where: str) -> list[str]:
    """Of messages with their causes, the first of each cause, with how many there are."""
    causes: dict[str, list[str]] = {}
    for cause, text in faults:
        causes.setdefault(cause, []).append(text)
    return [texts[0] + (f" ({len(texts)} such in {where})" if len(texts) > 1 else "") for texts in causes.values()]


def cause_of(fault: str) -> str:
    """What a message has in common with others of its kind: without places, numbers and quotations.

    >>> cause_of("labels/a.txt: line 3: class 7 is none of 2") == cause_of("labels/b.txt: line 1: class 9 is none of 2")
    True
    """
    return re.sub(r"\S*/\S*|'[^']*'|\[.*\]|, found .*|-?\d+(?:\.\d+)?", "#", fault)
