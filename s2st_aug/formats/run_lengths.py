"""COCO run lengths to masks and back; decoded in a few lines of ours: pycocotools' C code trusts counts of a file."""

from __future__ import annotations

from typing import Any

import numpy as np
from pycocotools import mask as coco

from s2st_aug.errors import LabelError

PIXEL_LIMIT = 40_000_000  # 7680x4320 fits


def decode(rle: Any, where: str) -> np.ndarray:
    """`{"counts": text or list, "size": [h, w]}` to a bool mask `h w`; raises LabelError for what does not fit."""
    height, width, runs = run_lengths(rle, where)
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(width, height).T


def run_lengths(rle: Any, where: str) -> tuple[int, int, np.ndarray]:
    """Height, width and the lengths of the runs in column order; raises LabelError for what does not fit."""
    height, width, counts = _parts(rle, where)
    runs = _runs(counts, where) if isinstance(counts, str) else _listed(counts, where)
    if int(runs.sum()) != height * width:
        raise LabelError(f"{where}: run lengths sum to {int(runs.sum())}, expected {height}x{width}")
    return height, width, runs


def encode(mask: np.ndarray) -> dict[str, Any]:
    """COCO's compressed run lengths of a bool mask `h w`, counts as text."""
    rle = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(n) for n in rle["size"]], "counts": rle["counts"].decode("ascii")}


def _parts(rle: Any, where: str) -> tuple[int, int, Any]:
    size = rle.get("size") if isinstance(rle, dict) else None
    if not (isinstance(size, list) and len(size) == 2 and all(type(n) is int and n > 0 for n in size)):
        raise LabelError(f"{where}: expected run lengths with counts and size [height, width]")
    if size[0] * size[1] > PIXEL_LIMIT:
        raise LabelError(f"{where}: a mask of {size[0]}x{size[1]} is larger than {PIXEL_LIMIT} pixels")
    return size[0], size[1], rle.get("counts")


def _listed(counts: Any, where: str) -> np.ndarray:
    if not isinstance(counts, list) or not all(type(n) is int and 0 <= n <= PIXEL_LIMIT for n in counts):
        raise LabelError(f"{where}: expected run lengths as text or as a list of counts")
    return np.asarray(counts, dtype=np.int64)


def _runs(text: str, where: str) -> np.ndarray:
    """The counts of COCO's text form: six bits a character, from the third on the difference to the last but one."""
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 60:
            raise LabelError(f"{where}: run lengths hold a character that does not belong there")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (1 << shift) if bits & 16 else 0
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    if shift or any(not 0 <= n <= PIXEL_LIMIT for n in counts):
        raise LabelError(f"{where}: run lengths are cut off or negative")
    return np.asarray(counts, dtype=np.int64)
