"""One measured figure, what it stands on, and whether it reaches its goal: by its whole interval, or nobody knows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Direction = Literal["at_least", "at_most", "below", "above", "within"]
Goal = float | tuple[float, float]  # two numbers: from and to, for `within`


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of a suite's result (docs/reference/figures.md).

    `holds` is null where it was not decided, and then `why` says so. `stamp` is set where the measurement is older than
    the file that holds it: commit, weights, date and hash of what decides it (benchmarks/provenance.py).
    """

    name: str
    value: float | None
    unit: str
    goal: Goal | None
    holds: bool | None
    n: int
    interval: tuple[float, float] | None
    why: str = ""
    stamp: Mapping[str, str | None] = field(default_factory=dict)


def measured(
    name: str,
    value: float,
    unit: str,
    goal: Goal,
    direction: Direction,
    *,
    n: int,
    interval: tuple[float, float] | None = None,
    why: str = "",
) -> Figure:
    """A figure judged against its goal by its interval: undecided where the goal lies within, or nothing finite came.

    A count over all cases that there are (records, kills) has no interval.
    """
    if not math.isfinite(value):
        return undecided(name, unit, goal, f"the measurement gave {value}; {why}".rstrip("; "))
    if interval is not None and not all(map(math.isfinite, interval)):
        interval = None
    ends = {reaches(end, goal, direction) for end in (interval or (value, value))}
    if len(ends) == 1 and ends == {reaches(value, goal, direction)}:
        return Figure(name, float(value), unit, goal, ends.pop(), n, interval, why)
    said = f"the goal lies within the interval: undecided by {n} samples"
    return Figure(name, float(value), unit, goal, None, n, interval, f"{said}; {why}".rstrip("; "))


def reaches(value: float, goal: Goal, direction: Direction) -> bool:
    """Whether one number reaches the goal."""
    low, high = goal if isinstance(goal, tuple) else (goal, goal)
    return {
        "at_least": value >= low,
        "at_most": value <= high,
        "below": value < high,
        "above": value > low,
        "within": low <= value <= high,
    }[direction]


def undecided(name: str, unit: str, goal: Goal | None, why: str) -> Figure:
    """A figure that this run could not decide, with the reason."""
    return Figure(name, None, unit, goal, None, 0, None, why)


def wilson(hits: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a share of `hits` in `n` (Wilson, J. Am. Stat. Assoc. 22, 1927): 68 of 68 is 0.947 to 1.

    Raises ValueError where no such share exists.
    """
    if not 0 <= hits <= n or n == 0:
        raise ValueError(f"expected a share of at least one case, came {hits} of {n}")
    p, zz = hits / n, z * z / n
    middle, half = (p + zz / 2) / (1 + zz), z * math.sqrt(p * (1 - p) / n + zz / (4 * n)) / (1 + zz)
    return 0.0 if hits == 0 else middle - half, 1.0 if hits == n else middle + half
