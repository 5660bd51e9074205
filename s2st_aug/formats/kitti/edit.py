"""A KITTI label file as its variant's: lost and ignored objects become DontCare regions, other lines stay."""

from __future__ import annotations

DONT_CARE = "DontCare -1 -1 -10 {box} -1 -1 -1 -1000 -1000 -1000 -10"
"""KITTI's own line for a region that training and evaluation leave alone; `box` is x1 y1 x2 y2 in pixels"""


def edit_lines(data: bytes, ignored: frozenset[str]) -> bytes:
    """The file with each ignored line (by its number, from 0) as the DontCare region of the same box."""
    lines = data.decode("latin-1").splitlines(keepends=True)
    for index, line in enumerate(lines):
        if str(index) in ignored and line.split():
            end = line[len(line.rstrip("\r\n")) :]
            lines[index] = DONT_CARE.format(box=" ".join(line.split()[4:8])) + end
    return "".join(lines).encode("latin-1")
