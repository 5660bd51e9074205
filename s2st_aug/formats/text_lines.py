"""Lines of label files in text: the one parser that readers and editors share, so that a line has one number.

A line ends at a line feed, a carriage return, or both, and nowhere else: byte 0x85 is a line's end in latin-1 and the
half of a letter in UTF-8. Words are parted by ASCII white space. Numbers count from 0.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

_LINE = re.compile(rb"([^\r\n]*)(\r\n|\n|\r|\Z)")
_MARK = b"\xef\xbb\xbf"
_WIDE = (b"\xff\xfe", b"\xfe\xff")
"""how a file in UTF-16 begins, as PowerShell writes it"""


@dataclass(frozen=True, slots=True)
class TextLine:
    """One line of a file: its number, its bytes without and with what ends it, and its words.

    A word that is not UTF-8 is given with its bytes as escapes, and `broken` names the first.
    """

    index: int
    text: bytes
    end: bytes
    words: tuple[str, ...]
    broken: str | None = None


def text_lines(data: bytes) -> Iterator[TextLine]:
    r"""Every line, also those without a word; `text` and `end` of all together are the data.

    >>> [(line.index, line.words, line.end) for line in text_lines(b"Car 1\r\n\nVan 2")]
    [(0, ('Car', '1'), b'\r\n'), (1, (), b'\n'), (2, ('Van', '2'), b'')]
    """
    wide = "the file is UTF-16, expected UTF-8" if data.startswith(_WIDE) else None
    for index, found in enumerate(_LINE.finditer(data)):
        text, end = found.groups()
        if not text and not end:
            return
        plain = text.removeprefix(_MARK) if index == 0 else text
        words = tuple(word.decode("utf-8", "backslashreplace") for word in plain.split())
        try:
            plain.decode("utf-8")
            broken = wide
        except UnicodeDecodeError as error:
            broken = wide or f"not UTF-8 at byte {error.start} of the line"
        yield TextLine(index, text, end, words, broken)


def without_lines(data: bytes, left_out: Collection[str]) -> bytes:
    """The file without the lines of these numbers; every line that stays keeps its bytes."""
    return b"".join(line.text + line.end for line in text_lines(data) if str(line.index) not in left_out)
