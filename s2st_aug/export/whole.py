"""Files that belong to a data set as a whole: data.yaml, lists of names."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from s2st_aug.export.output import OutputFolder
from s2st_aug.formats.names import IMAGE_SUFFIXES
from s2st_aug.formats.yolo.read import DATA_FILES, data_yaml, places

_PATH_LINE = re.compile(rb"(?m)^path:[^\r\n]*(?:\r?\n|\Z)")


def finish_yolo(output: OutputFolder, root: Path, split: str) -> None:
    """The source's data.yaml, a `path` elsewhere left out: the file's own folder holds then. A split that is a list is listed anew."""
    images = sorted(name for name in output.sha256 if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES)
    for place in places(root, split):
        if place.endswith(".txt"):
            output.write(place, "".join(f"./{name}\n" for name in images).encode())
    base = str(data_yaml(root).get("path") or "")
    keeps = bool(base) and not Path(base).is_absolute() and (root / base).is_dir()
    for name in DATA_FILES:
        if (root / name).is_file():
            text = (root / name).read_bytes()
            output.write(name, text if keeps else _PATH_LINE.sub(b"", text))


def finish_kitti(output: OutputFolder, split: str) -> None:
    """ImageSets/<split>.txt with the names that went out, where the split is a list of names."""
    if split in ("train", "val"):
        names = sorted(
            PurePosixPath(n).stem
            for n in output.sha256
            if "/image_2/" in n and PurePosixPath(n).suffix.lower() in IMAGE_SUFFIXES
        )
        output.write(f"ImageSets/{split}.txt", ("\n".join(names) + "\n").encode())
