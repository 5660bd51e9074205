"""Large JSON lists written record by record; what stands around the list in the source file is kept."""

from __future__ import annotations

import hashlib
from pathlib import Path

from s2st_aug.formats.base import OutputFiles
from s2st_aug.formats.json_stream import ARRAY, stream


class ListWriter:
    """One list of records in a file of the export."""

    def __init__(self, output: OutputFiles, name: str, head: bytes, tail: bytes) -> None:
        self.output, self.name, self.tail = output, name, tail
        self._file = open(output.path(name), "wb", buffering=1 << 20)  # noqa: SIM115 - closed by `close`
        self._hash = hashlib.sha256()
        self._first = True
        output.sha256[name] = ""
        self._put(head)

    def _put(self, data: bytes) -> None:
        self._file.write(data)
        self._hash.update(data)

    def append(self, record: bytes) -> None:
        """One more record."""
        self._put(record if self._first else b",\n" + record)
        self._first = False

    def part(self, between: bytes) -> None:
        """End this list and begin another one of the file."""
        self._put(between)
        self._first = True

    def close(self) -> None:
        """End the list."""
        self._put(self.tail)
        self._file.close()
        self.output.sha256[self.name] = self._hash.hexdigest()


def around(path: Path, array: str) -> tuple[bytes, bytes]:
    """What stands before the first and after the last record of the list, in the source file."""
    with open(path, "rb") as file:
        if file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"["):
            return b"[\n", b"\n]\n"
        spans = [
            (e.start + (e.value is ARRAY), e.start + len(e.text)) for e in stream(path, skim=True) if e.array == array
        ]
        first, last = spans[min(1, len(spans) - 1)][0], max(spans[-1][1], spans[0][0])
        file.seek(0)
        head = file.read(first)
        file.seek(last)
        return head, file.read()
