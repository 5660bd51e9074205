"""A YOLO label file as its variant's: lines of lost objects are left out, for YOLO has no region to ignore."""

from __future__ import annotations

import re
from pathlib import Path

from s2st_aug.formats.yolo.read import data_yaml

_PATH_LINE = re.compile(rb"(?m)^path:[^\r\n]*(?:\r?\n|\Z)")


def edit_lines(data: bytes, lost: frozenset[str]) -> bytes:
    """The file without the lines (by their number, from 0) of lost objects; every line that stays keeps its bytes."""
    lines = data.decode("latin-1").splitlines(keepends=True)
    return "".join(line for index, line in enumerate(lines) if str(index) not in lost).encode("latin-1")


def edit_data_yaml(path: Path, root: Path) -> bytes:
    """The source's data.yaml; a `path` that leads elsewhere is left out: the file's own folder holds then."""
    base = str(data_yaml(root).get("path") or "")
    keeps = bool(base) and not Path(base).is_absolute() and (root / base).is_dir()
    return path.read_bytes() if keeps else _PATH_LINE.sub(b"", path.read_bytes())
