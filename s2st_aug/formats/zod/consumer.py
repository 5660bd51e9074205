"""A ZOD folder as its development kit opens it: the list of frames, and the annotations that each record names.

https://github.com/zenseact/zod, zod/_zod_dataset.py and zod/anno/parser.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from s2st_aug.formats.base import Card, ConsumerView
from s2st_aug.formats.names import split_name
from s2st_aug.formats.values import plain_name
from s2st_aug.formats.zod.read import LISTS, OBJECTS, frames, is_left_out
from s2st_aug.records.scene import UNKNOWN


def open_export(card: Card, folder: Path, split: str) -> ConsumerView:
    """Images of the split and the objects of each. Raises ValueError for what the kit stops at."""
    view, classes = ConsumerView(), dict[str, None]()
    if not any((folder / name).is_file() for name in LISTS):
        view.notes.append("there is no trainval-frames-full.json or -mini.json: ZOD's development kit needs one")
    for info in frames(card, folder, split_name(split)):
        if not (folder / info.image).is_file():
            raise ValueError(f"{info.image} does not exist")
        path = folder / card.images / info.frame_id / "annotations" / OBJECTS
        features = json.loads(path.read_bytes().decode("utf-8-sig")) if path.is_file() else []
        said = [_properties(feature) for feature in features]
        labels = [plain_name(one.get("class")) or UNKNOWN for one in said]
        view.add(info.image, labels, sum(map(is_left_out, said)))
        classes |= dict.fromkeys(labels)
    view.classes = tuple(name for name in classes if name != UNKNOWN)
    return view


def _properties(feature: Any) -> dict[str, Any]:
    found = feature.get("properties") if isinstance(feature, dict) else None
    return found if isinstance(found, dict) else {}
