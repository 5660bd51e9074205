"""Edits in the text of a JSON record: what is not edited keeps its bytes (-0.0, 1e-17, huge integers, NaN, spacing).

Text is latin-1 here, one character a byte; what is inserted is ASCII.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from s2st_aug.errors import LabelError
from s2st_aug.formats.json_stream import decode_value, past

_BLANK = re.compile(r"[ \t\r\n]*")
_NO_BRACKETS = bytes(set(range(256)) - set(b'[]{}:,"\\'))
_LEAF = re.compile(rb"\[[:,]*\]|\{[:,]*\}")


class Member(NamedTuple):
    """One member of an object: where its value is, and what it says."""

    key: str
    start: int
    end: int
    value: Any


class Edit(NamedTuple):
    """Text to put in place of a span."""

    start: int
    end: int
    text: str


def apply(text: str, edits: Iterable[Edit]) -> str:
    """The text with every edit made; edits must not overlap."""
    parts, at = [], 0
    for edit in sorted(edits):
        parts += [text[at : edit.start], edit.text]
        at = edit.end
    return "".join([*parts, text[at:]])


def object_start(text: str) -> int:
    """Where the value of a whole file begins: behind a byte-order mark, where there is one."""
    return 3 if text.startswith("\xef\xbb\xbf") else 0


def members(text: str, at: int = 0, *, undecoded: str | None = None) -> list[Member]:
    """The members of the object that starts at `at`; raises LabelError where there is none.

    A list of the name `undecoded` that ends the text is not decoded where its end can be told without: its value is
    None.
    """
    found, at = [], _expect(text, at, "{")
    while not text.startswith("}", at):
        key, at = _decode(text, at)
        start = _expect(text, at, ":")
        if key == undecoded and _is_last_list(text, start):
            value, end = None, text.rindex("]") + 1
        else:
            value, end = _decode(text, start)
        found.append(Member(str(key), start, end, value))
        at = _next(text, end, "}")
    return found


def _is_last_list(text: str, at: int) -> bool:
    """Whether a list at `at` and the end of its object are all that follows; False too where strings hide brackets.

    What has brackets alone inside is taken away until nothing is left of the list: a third of the time of decoding it.
    """
    if not text.startswith("[", at):
        return False
    rest, found = text[at:].encode("latin-1").translate(None, _NO_BRACKETS).replace(b'""', b""), 1
    while found:
        rest, found = _LEAF.subn(b"", rest)
    return rest == b"}"


def elements(text: str, at: int) -> list[Member]:
    """The elements of the array that starts at `at`, named by nothing; raises LabelError where there is none."""
    found, at = [], _expect(text, at, "[")
    while not text.startswith("]", at):
        value, end = _decode(text, at)
        found.append(Member("", at, end, value))
        at = _next(text, end, "]")
    return found


def set_member(text: str, at: int, key: str, value: Any) -> list[Edit]:
    """Edits that give the object at `at` this member: every member of the name is replaced, or one is put in front."""
    new = json.dumps(value)
    old = [Edit(m.start, m.end, new) for m in members(text, at) if m.key == key]
    return old or [insertion(text, at, f"{json.dumps(key)}: {new}")]


def insertion(text: str, at: int, new_members: str) -> Edit:
    """An edit that puts members in front of those that the object at `at` has."""
    inside = _blank(text, at) + 1
    empty = text.startswith("}", _blank(text, inside))
    return Edit(inside, inside, new_members + ("" if empty else ", "))


def renamed(token: str, old: str, new: str) -> str:
    """A string token with its new value, in its own spelling (escapes) where the new value only inserts."""
    stem, dot, suffix = old.rpartition(".")
    cut = len(token) - 1 - len(dot + suffix)
    if dot and token[cut:-1] == dot + suffix and new.startswith(stem) and new[len(stem) :].isascii():
        return token[:cut] + new[len(stem) :] + '"'
    return json.dumps(new)


def _decode(text: str, at: int) -> tuple[Any, int]:
    try:
        return decode_value(text, at)
    except (ValueError, RecursionError) as error:
        raise LabelError(f"the record cannot be edited: {type(error).__name__}: {error}") from None


def _blank(text: str, at: int) -> int:
    return _BLANK.match(text, at).end()  # type: ignore[union-attr]


def _expect(text: str, at: int, character: str) -> int:
    try:
        return past(text, at, character)
    except ValueError:
        place = _blank(text, at)
        raise LabelError(f"the record cannot be edited: expected {character!r} at byte {place}") from None


def _next(text: str, at: int, closer: str) -> int:
    """Past a comma, or at the closer."""
    at = _blank(text, at)
    return at if text.startswith(closer, at) else _expect(text, at, ",")
