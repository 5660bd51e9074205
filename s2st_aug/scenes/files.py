"""Files written so that a kill leaves no half of one: under another name first, then renamed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

PART = ".part"


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file at once or not at all."""
    temporary = path.with_name(path.name + PART)
    try:
        temporary.write_bytes(data)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
    temporary.replace(path)


def encode_png(image: np.ndarray) -> bytes:
    """Lossless PNG of RGB `h w 3`, RGBA `h w 4` or grey `h w` (uint8 or uint16), without time stamps."""
    order = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
    stored = cv2.cvtColor(image, order[image.shape[2]]) if image.ndim == 3 else image
    return cv2.imencode(".png", stored, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


class JsonList:
    """A JSON array on disk that grows record by record."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.with_name(path.name + PART).open("w", encoding="utf-8")
        self._file.write("[")
        self._first = True

    def add(self, record: dict[str, Any]) -> None:
        """Append one record on a line of its own."""
        self._file.write("\n" if self._first else ",\n")
        self._file.write(json.dumps(record, separators=(",", ":")))
        self._first = False

    def close(self) -> None:
        """Close the array and put the file in place."""
        self._file.write("\n]\n")
        self._file.close()
        self.path.with_name(self.path.name + PART).replace(self.path)
