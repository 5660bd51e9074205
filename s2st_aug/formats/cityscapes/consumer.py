"""A Cityscapes folder as cityscapesscripts opens it: `leftImg8bit/<split>/<city>`, names of four parts split at `_`.

https://github.com/mcordts/cityscapesScripts, helpers/csHelpers.py: the ground truth has the image's first three parts.
"""

from __future__ import annotations

import json
from pathlib import Path

from s2st_aug.formats.base import Card, ConsumerView
from s2st_aug.formats.classes import known
from s2st_aug.formats.names import IMAGE_SUFFIXES, list_files, split_name
from s2st_aug.formats.values import plain_name
from s2st_aug.records.scene import UNKNOWN


def open_export(card: Card, folder: Path, split: str) -> ConsumerView:
    """Images of the split and their fine polygons. Label images tell of the same things: they are not counted whole."""
    split = split_name(split)
    root, view = card.images.format(split=split), ConsumerView(whole_labels=False)
    classes: set[str] = set()
    fine = next(tree for tree in card.labels if tree.kind == "polygons")
    for name in list_files(folder / root, IMAGE_SUFFIXES):
        parts = name.rpartition("/")[2].split("_")
        base = name.rpartition("_leftImg8bit")[0]
        if len(parts) != 4 or name.count("/") != 1 or not parts[3].startswith("leftImg8bit."):
            view.complaints.append(("no name of <city>_<sequence>_<frame>_leftImg8bit in its city's folder", name))
        path = folder / fine.path.format(split=split, stem=base)
        objects = json.loads(path.read_bytes().decode("utf-8-sig")).get("objects") or [] if path.is_file() else []
        shown = [item for item in objects if isinstance(item, dict) and not item.get("deleted")]
        labels = [plain_name(item.get("label")) or UNKNOWN for item in shown]
        if strange := sorted({label for label in labels if known(label) is None}):
            view.complaints.append((f"their scripts draw no label image: {strange[0]!r} is no class of theirs", name))
        view.add(f"{root}/{name}", labels, labels.count("unlabeled"))
        classes |= set(labels)
    view.classes = tuple(sorted(classes - {UNKNOWN}))
    return view
