"""A KITTI label file as its variant's: lost and ignored objects become DontCare regions, other lines stay."""

from __future__ import annotations

from s2st_aug.formats.text_lines import text_lines

DONT_CARE = "DontCare -1 -1 -10 {box} -1 -1 -1 -1000 -1000 -1000 -10"
"""KITTI's own line for a region that training and evaluation leave alone; `box` is x1 y1 x2 y2 in pixels"""


def edit_lines(data: bytes, ignored: frozenset[str]) -> bytes:
    """The file with each ignored line (by its number, from 0) as the DontCare region of the same box."""
    return b"".join(
        (
            DONT_CARE.format(box=" ".join(line.words[4:8])).encode()
            if line.words and str(line.index) in ignored
            else line.text
        )
        + line.end
        for line in text_lines(data)
    )
