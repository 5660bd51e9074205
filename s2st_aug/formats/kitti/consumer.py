"""A KITTI folder as torchvision's Kitti opens it: every file of image_2, the file of its name in label_2.

Fifteen columns a line; a split is the list of names in ImageSets, as OpenPCDet and MMDetection3D have it
(https://pytorch.org/vision/stable/generated/torchvision.datasets.Kitti.html).
"""

from __future__ import annotations

import math
from pathlib import Path

from s2st_aug.formats.base import Card, ConsumerView
from s2st_aug.formats.kitti.read import split_folder
from s2st_aug.formats.names import IMAGE_SUFFIXES, list_files, stem_of


def open_export(card: Card, folder: Path, split: str) -> ConsumerView:
    """Images of the split and their lines. Raises ValueError for what loaders stop at."""
    view, place = ConsumerView(), split_folder(split)
    root = card.images.format(split=place)
    labelled = next(t.path.format(split=place, stem="") for t in card.labels if t.kind == "lines").rpartition("/")[0]
    images = list(list_files(folder / root, IMAGE_SUFFIXES))
    listed = folder / "ImageSets" / f"{'train' if split == 'training' else split}.txt"
    if listed.is_file():
        wanted = {line.strip() for line in listed.read_text(encoding="utf-8").split("\n")} - {""}
        absent = wanted - {stem_of(name) for name in images}
        if absent:
            raise ValueError(f"{listed.name} names {min(absent)}, which does not exist")
        images = [name for name in images if stem_of(name) in wanted]
    classes: dict[str, None] = {}
    for name in images:
        path = folder / labelled / f"{stem_of(name)}.txt"
        if path.parent.is_dir() and not path.is_file():
            view.complaints.append(("no label file", name))
        data = path.read_bytes() if path.is_file() else b""
        if data.startswith(b"\xef\xbb\xbf"):
            view.complaints.append(("a byte-order mark becomes part of the first line's class", name))
        lines = data.decode("utf-8-sig", "replace").split("\n")
        rows = [words for line in lines if (words := line.split())]
        if any(len(row) not in (15, 16) for row in rows):
            view.complaints.append(("a line of other than 15 columns", name))
        elif not all(map(_is_number, (word for row in rows for word in row[1:]))):
            view.complaints.append(("a word where a number belongs: they stop", name))
        view.add(f"{root}/{name}", (row[0] for row in rows), sum(row[0] == "DontCare" for row in rows))
        classes |= dict.fromkeys(row[0] for row in rows)
    view.classes = tuple(sorted(classes))
    return view


def _is_number(word: str) -> bool:
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False
