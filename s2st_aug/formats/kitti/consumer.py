"""A KITTI folder as torchvision's Kitti opens it: every file of image_2, the file of its name in label_2.

Fifteen columns a line; a split is the list of names in ImageSets, as OpenPCDet and MMDetection3D have it
(https://pytorch.org/vision/stable/generated/torchvision.datasets.Kitti.html).
"""

from __future__ import annotations

from pathlib import Path

from s2st_aug.formats.base import Card, ConsumerView
from s2st_aug.formats.kitti.read import split_folder
from s2st_aug.formats.names import IMAGE_SUFFIXES, list_files, stem_of


def open_export(card: Card, folder: Path, split: str) -> ConsumerView:
    """Images of the split and their lines. Raises ValueError for what loaders stop at."""
    view, place = ConsumerView(), split_folder(split)
    images = list(list_files(folder / place / "image_2", IMAGE_SUFFIXES))
    listed = folder / "ImageSets" / f"{'train' if split == 'training' else split}.txt"
    if listed.is_file():
        wanted = {line.strip() for line in listed.read_text(encoding="utf-8").split("\n")} - {""}
        absent = wanted - {stem_of(name) for name in images}
        if absent:
            raise ValueError(f"{listed.name} names {min(absent)}, which is not there")
        images = [name for name in images if stem_of(name) in wanted]
    labelled = (folder / place / "label_2").is_dir()
    classes: dict[str, None] = {}
    for name in images:
        path = folder / place / "label_2" / f"{stem_of(name)}.txt"
        if labelled and not path.is_file():
            view.complaints.append(("no label file", name))
        lines = path.read_bytes().decode("utf-8", "replace").split("\n") if path.is_file() else []
        rows = [words for line in lines if (words := line.split())]
        if any(len(row) not in (15, 16) for row in rows):
            view.complaints.append(("a line of other than 15 columns", name))
        view.add(f"{place}/image_2/{name}", (row[0] for row in rows), sum(row[0] == "DontCare" for row in rows))
        classes |= dict.fromkeys(row[0] for row in rows)
    view.classes = tuple(sorted(classes))
    return view
