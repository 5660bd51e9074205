"""BDD100K lists as scalabel and the bdd100k toolkit open them: frames by name below the image folder.

https://doc.scalabel.ai/format.html: names are unique (`videoName` and `name` together), `labels` may be null.
"""

from __future__ import annotations

import json
import posixpath
from pathlib import Path
from typing import Any

from s2st_aug.formats.base import Card, ConsumerView
from s2st_aug.formats.names import IMAGE_SUFFIXES, list_files, split_name
from s2st_aug.formats.tree import files_of
from s2st_aug.formats.values import are_numbers, plain_name
from s2st_aug.records.scene import UNKNOWN

_SIDES = ("x1", "y1", "x2", "y2")


def open_export(card: Card, folder: Path, split: str) -> ConsumerView:
    """Images by the frames of every list; where there is none, by their folder. Raises ValueError where one is absent.

    Classes are counted in the first tree of lists alone: the others tell of the same things again.
    """
    split = split_name(split)
    root, view = card.images.format(split=split), ConsumerView(whole_labels=False)
    trees = [tree for tree in card.labels if tree.kind == "frames" and files_of(folder, tree, split)]
    for index, tree in enumerate(trees):
        for file in files_of(folder, tree, split):
            for frame in _frames(folder / file):
                name = posixpath.normpath(f"{root}/{_name(frame)}")
                if not (folder / name).is_file():
                    raise ValueError(f"{file}: {name} does not exist")
                labels = [label for label in frame.get("labels") or () if isinstance(label, dict)]
                if index == 0:
                    told = [label.get("attributes") for label in labels]
                    marks = [isinstance(said, dict) and said.get("ignored") is True for said in told]
                    categories = [plain_name(label.get("category")) for label in labels]
                    if None in categories:
                        view.complaints.append(("a label without category", name))
                    if any(label.get("box2d") is not None and not _is_box(label["box2d"]) for label in labels):
                        view.complaints.append(("a box2d without the numbers x1, y1, x2, y2: they stop", name))
                    view.add(name, (category or UNKNOWN for category in categories), sum(marks))
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


def _is_box(box: Any) -> bool:
    return isinstance(box, dict) and are_numbers(list(map(box.get, _SIDES)))


def _frames(path: Path) -> list[dict[str, Any]]:
    data = json.loads(path.read_bytes().decode("utf-8-sig"))
    return data["frames"] if isinstance(data, dict) else data


def _name(frame: dict[str, Any]) -> str:
    name, video = str(frame["name"]), frame.get("videoName")
    name = name if Path(name).suffix.lower() in IMAGE_SUFFIXES else f"{name}.jpg"
    return name if video is None or "/" in name else f"{video}/{name}"
