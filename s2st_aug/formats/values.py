"""Numbers and points out of label files: nothing that is not finite or not a number comes through."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from typing import Any

from s2st_aug.errors import LabelError

_COORDINATE_LIMIT = 1e7
_NUMBERS = {int, float}  # of JSON: true and false are none
_WHOLE = re.compile(r"(0|-?[1-9][0-9]{0,39})(?:\.0+)?")


def are_numbers(values: Collection[Any]) -> bool:
    """Whether all values, as JSON has them, are numbers that fit a float: NaN, infinity and longer integers do not."""
    try:
        return set(map(type, values)) <= _NUMBERS and all(map(math.isfinite, values))
    except OverflowError:
        return False


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


def plain_id(value: Any) -> int | str | None:
    """An id as tools mean it: `3.0`, `"3"` and `"3.0"` are 3, as pandas and databases write it; None for what is none.

    >>> plain_id(3.0), plain_id("3"), plain_id("0003"), plain_id("a"), plain_id(2.5), plain_id(None)
    (3, 3, '0003', 'a', None, None)
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, str):
        whole = _WHOLE.fullmatch(value.strip())
        return int(whole[1]) if whole else value or None
    return value if isinstance(value, int) else None


def plain_name(value: Any) -> str | None:
    """A category's name; None for what is none: null, empty, or no text and no number."""
    if isinstance(value, str):
        return value if value.strip() else None
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
