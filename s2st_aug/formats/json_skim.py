"""The outline of many JSON objects at once: where each begins and ends, and where its own lists lie.

Counts brackets outside of strings with numpy, five times as fast as decoding. What lies inside the lists is not looked
at: a label that is no JSON costs its own frame when it is read, not the plan.
"""

from __future__ import annotations

import re
from itertools import pairwise, repeat
from typing import NamedTuple

import numpy as np

_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_STEP = np.zeros(256, np.int8)
_STEP[[*b"[{"]] = 1
_STEP[[*b"]}"]] = -1


class ObjectSpan(NamedTuple):
    """Byte spans within the data: of the object, and of the lists that are its own members."""

    start: int
    end: int
    lists: list[tuple[int, int]]


def object_spans(data: bytes, base: int = 0) -> list[ObjectSpan]:
    """The whole objects at the front of `data`, the inside of an array; stops at its end or at what is no object.

    Positions count from `base`, where the data begin.
    """
    at, step, character = _brackets(data)
    at = at + base
    depth = np.cumsum(step, dtype=np.int32)
    closed = np.flatnonzero(depth < 0)
    if len(closed):
        at, step, character, depth = (x[: closed[0]] for x in (at, step, character, depth))
    starts, ends = at[(step > 0) & (depth == 1)], at[(step < 0) & (depth == 0)] + 1
    opens, closes = at[(character == ord("[")) & (depth == 2)], at[(character == ord("]")) & (depth == 1)] + 1
    openers = character[(step > 0) & (depth == 1)][: len(ends)]
    other = np.flatnonzero(openers != ord("{"))
    whole = int(other[0]) if len(other) else len(openers)
    return _assemble(starts[:whole].tolist(), ends[:whole].tolist(), opens, closes)


def _brackets(data: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions, steps (+1, -1) and characters of the brackets outside of strings."""
    plain = np.frombuffer(_ESCAPED.sub(b"  ", data) if b"\\" in data else data, np.uint8)
    at = np.flatnonzero((plain | 0x26) == 0x7F)  # the four brackets and four characters more
    at = at[_STEP[plain[at]] != 0]
    at = at[~_in_string(plain == ord('"'), at)]
    return at, _STEP[plain[at]], plain[at]


def _in_string(quotes: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Whether the quotes before each position are odd in number; counted 64 at a time."""
    words = np.packbits(quotes, bitorder="little")
    words = np.pad(words, (0, -len(words) % 8)).view(np.uint64)
    through = np.cumsum(np.bitwise_count(words), dtype=np.uint8)
    behind = np.bitwise_count(words[at >> 6] >> (at & 63).astype(np.uint64))
    return (through[at >> 6] - behind) & 1 == 1


def _assemble(starts: list[int], ends: list[int], opens: np.ndarray, closes: np.ndarray) -> list[ObjectSpan]:
    bounds = np.searchsorted(opens, [*starts, ends[-1] if ends else 0]).tolist()
    if len(closes) < bounds[-1]:
        return []  # brackets of the wrong kind: the decoder says where
    spans = list(zip(opens.tolist(), closes.tolist(), strict=False))
    lists = (spans[first:last] for first, last in pairwise(bounds)) if spans else repeat([])
    return list(map(ObjectSpan._make, zip(starts, ends, lists, strict=False)))
