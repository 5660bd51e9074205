"""BDD100K lists as scalabel and the bdd100k toolkit open them: frames by name below the image folder.

https://doc.scalabel.ai/format.html: names are unique (`videoName` and `name` together), `labels` may be null.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from s2st_aug.formats.base import Card, ConsumerView
from s2st_aug.formats.json_stream import each_record
from s2st_aug.formats.names import IMAGE_SUFFIXES, FilesBelow, list_files, split_name, stem_of
from s2st_aug.formats.tree import files_of
from s2st_aug.formats.values import are_numbers, plain_name
from s2st_aug.records.scene import UNKNOWN

_SIDES = itemgetter("x1", "y1", "x2", "y2")


def open_export(card: Card, folder: Path, split: str) -> ConsumerView:
    """Images by the frames of every list; where there is none, by their folder. Raises ValueError where one is absent.

    Classes are counted in the first tree of lists alone: the others tell of the same things again.
    """
    split = split_name(split)
    root, view, there = card.images.format(split=split), ConsumerView(whole_labels=False), FilesBelow(folder)
    trees = [tree for tree in card.labels if tree.kind == "frames" and files_of(folder, tree, split)]
    counted = _counted(())
    for index, tree in enumerate(trees):
        for file in files_of(folder, tree, split):
            text = (folder / file).read_bytes().decode("utf-8-sig")
            for frame in each_record(text, "frames", repeated="labels"):
                name = _image(root, frame)
                if name not in there:
                    raise ValueError(f"{file}: {name} does not exist")
                if index == 0:
                    labels = frame.get("labels") or ()
                    if labels is not counted.labels:
                        counted = _counted(labels)
                    view.complaints += [(why, name) for why in counted.complaints]
                    view.add(name, counted.classes, counted.ignored)
                elif name not in view.images:
                    view.add(name, ())
    if not trees:
        for name in list_files(folder / root, IMAGE_SUFFIXES):
            view.add(f"{root}/{name}", ())
    whole = len(card.labels) == 1 or not any(files_of(folder, t, split) for t in card.labels if t not in trees[:1])
    view.whole_labels = whole and bool(trees)
    found = {name for counts in view.images.values() for name in counts}
    view.classes = tuple(sorted(found - {UNKNOWN}))
    return view


class _Counted(NamedTuple):
    """What a frame's labels come to."""

    labels: Any
    classes: Counter[str]
    ignored: int
    complaints: list[str]


def _counted(labels: Any) -> _Counted:
    found = [label for label in labels if isinstance(label, dict)]
    said = [label.get("attributes") for label in found]
    ignored = sum(isinstance(attributes, dict) and attributes.get("ignored") is True for attributes in said)
    categories, complaints = [plain_name(label.get("category")) for label in found], []
    if None in categories:
        complaints.append("a label without category")
    if not _are_boxes([box for label in found if (box := label.get("box2d")) is not None]):
        complaints.append("a box2d without the numbers x1, y1, x2, y2: they stop")
    return _Counted(labels, Counter(category or UNKNOWN for category in categories), ignored, complaints)


def _are_boxes(boxes: list[Any]) -> bool:
    try:
        return are_numbers([side for box in boxes for side in _SIDES(box)])
    except (LookupError, TypeError):
        return False


def _image(root: str, frame: dict[str, Any]) -> str:
    """The frame's image below the folder; a name without a suffix is a JPEG's."""
    name, video = str(frame["name"]), frame.get("videoName")
    image = posixpath.normpath(f"{root}/{name if video is None or '/' in name else f'{video}/{name}'}")
    return image if stem_of(image) != image else f"{image}.jpg"
