"""YOLO and KITTI label files as a variant's: line by line, every line that stays keeps its bytes."""

from __future__ import annotations


def edit_kitti(data: bytes, ignored: frozenset[str]) -> bytes:
    """Ignored lines become `DontCare` regions with the same box, in the same spelling."""
    lines = data.decode("latin-1").splitlines(keepends=True)
    return "".join(
        _dont_care(line) if str(index) in ignored and line.split() else line for index, line in enumerate(lines)
    ).encode("latin-1")


def _dont_care(line: str) -> str:
    end = line[len(line.rstrip("\r\n")) :]
    return f"DontCare -1 -1 -10 {' '.join(line.split()[4:8])} -1 -1 -1 -1000 -1000 -1000 -10{end}"


def edit_yolo(data: bytes, lost: frozenset[str]) -> bytes:
    """Lines of lost objects are left out: YOLO has no region to ignore."""
    lines = data.decode("latin-1").splitlines(keepends=True)
    return "".join(line for index, line in enumerate(lines) if str(index) not in lost).encode("latin-1")
