"""Numbers, points and text out of label files: nothing that is not finite, not a number or not UTF-8 comes through."""

from __future__ import annotations

from typing import Any

from s2st_aug.errors import LabelError

_COORDINATE_LIMIT = 1e7


def number(value: Any, where: str) -> float:
    """A finite coordinate; JSON's NaN literal and huge integers are no coordinates. Raises LabelError."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise LabelError(f"{where}: expected a coordinate, found {ascii(value)[:40]}")
    if not abs(value) < _COORDINATE_LIMIT:  # NaN too
        raise LabelError(f"{where}: the coordinate {ascii(value)[:40]} lies outside any image")
    return float(value)


def vertex(point: Any, where: str) -> tuple[float, float]:
    """A finite point from `[x, y, ...]`; raises LabelError."""
    if not isinstance(point, list | tuple) or len(point) < 2:
        raise LabelError(f"{where}: expected a vertex [x, y], found {ascii(point)[:40]}")
    return number(point[0], where), number(point[1], where)


def coordinate(word: str, where: str) -> float:
    """A finite number from text; raises LabelError."""
    try:
        return number(float(word), where)
    except ValueError:
        raise LabelError(f"{where}: expected a number, found {ascii(word)[:40]}") from None


def word_lines(data: bytes, where: str) -> list[tuple[int, list[str]]]:
    """The lines of a text file that hold anything: index from 0, and words. Raises LabelError for what is not UTF-8.

    >>> word_lines(b"Car 1 2\\n\\nVan 3 4\\n", "a.txt")
    [(0, ['Car', '1', '2']), (2, ['Van', '3', '4'])]
    """
    try:
        text = data.decode("utf-8-sig")  # a byte-order mark is left out
    except UnicodeDecodeError as error:
        raise LabelError(f"{where}: not UTF-8 at byte {error.start}") from None
    return [(index, words) for index, line in enumerate(text.splitlines()) if (words := line.split())]
