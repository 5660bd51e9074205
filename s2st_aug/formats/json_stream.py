"""Records of a large JSON file, one at a time, with the bytes where each lies; the file is never held as a whole.

The window is latin-1 text, in which one character is one byte: the decoder's positions are byte offsets. Records that
are not ASCII are decoded once more as UTF-8.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import deque
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from s2st_aug.errors import DatasetError, LabelError
from s2st_aug.formats.json_skim import ObjectSpan, object_spans
from s2st_aug.formats.small_files import read_from
from s2st_aug.records.scene import LabelKey

CHUNK = 1 << 22
RECORD_LIMIT = 1 << 25  # bytes; a larger single record is refused before it can fill the memory
_NEAR_END = 1 << 16
_BLANK = re.compile(r"[ \t\r\n]*")
_SPACED = {one: re.compile(rf"[ \t\r\n]*{re.escape(one)}[ \t\r\n]*") for one in "[]{}:,"}
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]]', re.DOTALL)
_DECODE = json.JSONDecoder().raw_decode


def _int(text: str) -> int | float:
    """An integer, or an infinity where it has more digits than Python reads."""
    return int(text) if len(text) < 4000 else float("-inf" if text[0] == "-" else "inf")


_DECODE_ENDLESS = json.JSONDecoder(parse_int=_int).raw_decode


def decode_value(text: str, at: int) -> tuple[Any, int]:
    """The JSON value at `at` and where it ends; integers of any length. Raises ValueError or RecursionError."""
    try:
        return _DECODE(text, at)
    except json.JSONDecodeError:
        raise
    except ValueError:  # an integer of thousands of digits
        return _DECODE_ENDLESS(text, at)


class TooDeep:
    """Stands for a value that nests too deeply, or holds too long a number, to be decoded."""


TOO_DEEP = TooDeep()
ARRAY = object()


class Element(NamedTuple):
    """One element of an array: which array, where its bytes are, what they say."""

    array: str  # "" for the file's own top-level list
    start: int
    text: str  # latin-1: the element's bytes
    value: Any

    def key(self) -> LabelKey:
        """Byte span and SHA-256 of the element."""
        return LabelKey(self.start, len(self.text), hashlib.sha256(self.text.encode("latin-1")).hexdigest())


def _without(text: str, place: ObjectSpan) -> str:
    """The object's text with its lists emptied."""
    if not place.lists:
        return text[place.start : place.end]
    parts, at = [], place.start
    for first, last in place.lists:
        parts.append(text[at:first])
        at = last
    return "[]".join([*parts, text[at : place.end]])


class _Window:
    """A sliding latin-1 view of a file."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.file, self.path = file, path
        self.text, self.base, self.pos, self.ended = "", 0, 0, False
        self._fill(CHUNK)
        if self.text.startswith("\xef\xbb\xbf"):
            self.pos = 3
        if self.text.startswith(("\xff\xfe", "\xfe\xff")):
            raise DatasetError(f"{path}: the file is UTF-16, expected UTF-8")

    def _fill(self, size: int) -> bool:
        """Drop what was consumed and read on; False at the end of the file."""
        chunk = self.file.read(size)
        self.base += self.pos
        self.text, self.pos = self.text[self.pos :] + chunk.decode("latin-1"), 0
        self.ended = self.ended or not chunk
        return bool(chunk)

    def peek(self) -> str:
        """The next character that is not blank, or an empty string at the end."""
        while True:
            if self.pos < len(self.text) and self.text[self.pos] not in " \t\r\n":
                return self.text[self.pos]
            self.pos = _BLANK.match(self.text, self.pos).end()  # type: ignore[union-attr]
            if self.pos < len(self.text):
                return self.text[self.pos]
            if not self._fill(CHUNK):
                return ""

    def expect(self, wanted: str) -> str:
        """Consume one of the characters in `wanted`."""
        found = self.peek()
        if not found or found not in wanted:
            raise self.broken(f"expected {' or '.join(wanted)}, found {found or 'the end of the file'!r}")
        self.pos += 1
        return found

    def broken(self, why: str, offset: int | None = None) -> DatasetError:
        """The one-line error for a file that is not JSON."""
        return DatasetError(
            f"{self.path}: not valid JSON at byte {self.base + (self.pos if offset is None else offset)}: {why}"
        )

    def element(self, array: str) -> Element:
        """Consume one value; the window grows until the value is whole."""
        self.peek()
        while True:
            found = self._try_element(array)
            if found is not None:
                return found
            self._grow()

    def object_spans(self) -> deque[ObjectSpan]:
        """The whole objects that the window holds from the cursor on, by their place in the window."""
        return deque(object_spans(self.text[self.pos :].encode("latin-1"), self.pos))

    def skimmed(self, array: str, place: ObjectSpan) -> Element | None:
        """Consume the object at `place`, its lists left undecoded; None where it is not what it was taken for."""
        self.peek()
        if place.start != self.pos:
            return None
        rest = _without(self.text, place)
        try:
            value, end = _DECODE(rest)
        except (ValueError, RecursionError):
            return None
        if end != len(rest):
            return None
        start, text = self.base + self.pos, self.text[place.start : place.end]
        self.pos = place.end
        return Element(array, start, text, value if rest.isascii() else self._as_utf8(rest, start))

    def _grow(self) -> None:
        rest = len(self.text) - self.pos
        if rest > RECORD_LIMIT:
            raise DatasetError(
                f"{self.path}: one record at byte {self.base + self.pos} is larger than {RECORD_LIMIT >> 20} MiB"
            )
        self._fill(max(CHUNK, rest))

    def _try_element(self, array: str) -> Element | None:
        """The value at the cursor, or None where the window ends too early."""
        try:
            value, end = decode_value(self.text, self.pos)
        except json.JSONDecodeError as error:
            if self.ended or (len(self.text) - error.pos > _NEAR_END and "Unterminated" not in error.msg):
                raise self.broken(error.msg, error.pos) from None
            return None
        except RecursionError:
            value, end = TOO_DEEP, self._balanced_end()
        if end == len(self.text) and not self.ended:
            return None
        start, text = self.base + self.pos, self.text[self.pos : end]
        self.pos = end
        if value is not TOO_DEEP and not text.isascii():
            value = None  # its memory first
            value = self._as_utf8(text, start)
        return Element(array, start, text, value)

    def _as_utf8(self, text: str, start: int) -> Any:
        try:
            return loads(text.encode("latin-1").decode("utf-8"))
        except UnicodeDecodeError as error:
            raise DatasetError(f"{self.path}: not UTF-8 at byte {start + error.start}") from None

    def _balanced_end(self) -> int:
        """The end of a bracketed value by counting brackets; the window's length where it is not whole."""
        depth = 0
        for token in _TOKEN.finditer(self.text, self.pos):
            depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(token[0], 0)
            if depth == 0:
                return token.end()
        if self.ended:
            raise self.broken("a value that nests too deeply and never ends")
        return len(self.text)


def stream(path: Path, *, skim: bool = False) -> Iterator[Element]:
    """Every element of a top-level list, or of every array that is a member of a top-level object.

    An array that is a member begins with an element of no text and value `ARRAY`; other members come as one element
    each, named by their key. With `skim`, the lists inside an element are not decoded and come as empty ones.

    Raises DatasetError for what is not JSON, not UTF-8, or a record larger than `RECORD_LIMIT`.
    """
    try:
        with open(path, "rb") as file:
            window = _Window(file, path)
            yield from _array(window, "", skim=skim) if window.expect("[{") == "[" else _members(window, skim=skim)
            if window.peek():
                raise window.broken("text after the end of the value")
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}") from None


def _array(window: _Window, name: str, *, skim: bool) -> Iterator[Element]:
    if window.peek() == "]":
        window.expect("]")
        return
    skimmed: deque[ObjectSpan] = deque()
    while True:
        if skim and not skimmed:
            skimmed = window.object_spans()
        yield (window.skimmed(name, skimmed.popleft()) if skimmed else None) or window.element(name)
        if window.expect(",]") == "]":
            return


def _members(window: _Window, *, skim: bool) -> Iterator[Element]:
    if window.peek() == "}":
        window.expect("}")
        return
    while True:
        yield from _member(window, skim=skim)
        if window.expect(",}") == "}":
            return


def _member(window: _Window, *, skim: bool) -> Iterator[Element]:
    if window.peek() != '"':
        raise window.broken("expected a name in double quotes")
    name = str(window.element("").value)
    window.expect(":")
    if window.peek() == "[":
        yield Element(name, window.base + window.pos, "", ARRAY)
        window.expect("[")
        yield from _array(window, name, skim=skim)
    else:
        yield window.element(name)


def read_span(path: Path, key: LabelKey) -> bytes:
    """The record's bytes; raises LabelError where the file ends before, or the bytes are not the planned ones."""
    if key.length > RECORD_LIMIT:
        raise LabelError(f"{path}: one record of {key.length} bytes is larger than {RECORD_LIMIT >> 20} MiB")
    try:
        data = read_from(path, key.start, key.length)
    except OSError as error:
        raise LabelError(f"{path}: cannot be read: {error.strerror or error}") from None
    if hashlib.sha256(data).hexdigest() != key.sha256:
        raise LabelError(f"{path}: the record at byte {key.start} is not the one that was planned (SHA-256 differs)")
    return data


def loads(text: str) -> Any:
    """json.loads that also takes integers of any length (as an infinity); raises ValueError or RecursionError."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except ValueError:
        return json.loads(text, parse_int=_int)


def each_record(text: str, member: str, repeated: str) -> Iterator[Any]:
    """The records of a file that is a list, one at a time: all of them take ten times their text; else of its member.

    A list named `repeated` whose text is that of the record before is the same object, and not decoded again: so are
    the labels of a variant behind its source. Takes and refuses what json.loads does, and raises what it does
    (ValueError, RecursionError).
    """
    if not _SPACED["["].match(text):
        yield from json.loads(text)[member]
        return
    objects, at = _Objects(repeated), past(text, 0, "[")
    more = not text.startswith("]", at)
    at = at if more else past(text, at, "]")
    while more:
        record, at = objects.decoded(text, at) if text.startswith("{", at) else _DECODE(text, at)
        yield record
        at, more = _next(text, at, "]")
    if at < len(text):
        raise json.JSONDecodeError("Extra data", text, at)


class _Objects:
    """Decodes objects one after another, and knows the list of one name as it was in the object before."""

    def __init__(self, repeated: str) -> None:
        self.repeated, self.value = repeated, None
        self.texts: tuple[str, ...] = ()  # that of the value

    def decoded(self, text: str, at: int) -> tuple[dict[str, Any], int]:
        """The object at `at` and where it ends."""
        found: dict[str, Any] = {}
        at = past(text, at, "{")
        more = not text.startswith("}", at)
        at += not more
        while more:
            if not text.startswith('"', at):
                raise json.JSONDecodeError("Expecting property name enclosed in double quotes", text, at)
            name, at = _DECODE(text, at)
            start = past(text, at, ":")
            if name == self.repeated and text.startswith(self.texts, start):
                found[name], at = self.value, start + len(self.texts[0])
            else:
                found[name], at = _DECODE(text, start)
                if name == self.repeated and isinstance(found[name], list):
                    self.value, self.texts = found[name], (text[start:at],)
            at, more = _next(text, at, "}")
        return found, at


def _next(text: str, at: int, closer: str) -> tuple[int, bool]:
    """Behind the comma that comes next, or (False) behind the closer. Raises ValueError at anything else."""
    comma = _SPACED[","].match(text, at)
    return (comma.end(), True) if comma else (past(text, at, closer), False)


def past(text: str, at: int, wanted: str) -> int:
    """Behind the character that comes next, and the blanks around it; raises ValueError where another one comes."""
    found = _SPACED[wanted].match(text, at)
    if found is None:
        raise json.JSONDecodeError(f"expected {wanted!r}", text, at)
    return found.end()


def parse_record(data: bytes, where: str) -> Any:
    """A record's value; raises LabelError for what cannot be decoded."""
    try:
        return loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise LabelError(f"{where}: the record cannot be decoded: {type(error).__name__}: {error}") from None


def read_record(path: Path, key: LabelKey, where: str) -> Any:
    """The value of a scene's record, not to be changed: the last ones are kept. Raises LabelError."""
    try:
        changed = path.stat().st_mtime_ns
    except OSError as error:
        raise LabelError(f"{path}: cannot be read: {error.strerror or error}") from None
    return _record(path, key, changed, where)


@lru_cache(maxsize=4)
def _record(path: Path, key: LabelKey, changed: int, where: str) -> Any:
    return parse_record(read_span(path, key), where)
