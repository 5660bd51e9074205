"""Files that belong to a data set as a whole: data.yaml, lists of names."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from s2st_aug.adapters.names import IMAGE_SUFFIXES
from s2st_aug.adapters.yolo import DATA_FILES
from s2st_aug.export.output import OutputFolder

_PATH_LINE = re.compile(rb"(?m)^path:[^\r\n]*")


def finish_yolo(output: OutputFolder, root: Path) -> None:
    """The source's data.yaml, its `path` pointing at its own folder."""
    for name in DATA_FILES:
        if (root / name).is_file():
            output.write(name, _PATH_LINE.sub(b"path: .", (root / name).read_bytes()))


def finish_kitti(output: OutputFolder, split: str) -> None:
    """ImageSets/<split>.txt with the names that went out, where the split is a list of names."""
    if split in ("train", "val"):
        names = sorted(
            PurePosixPath(n).stem for n in output.sha256 if "/image_2/" in n and PurePosixPath(n).suffix.lower() in IMAGE_SUFFIXES
        )
        output.write(f"ImageSets/{split}.txt", ("\n".join(names) + "\n").encode())
