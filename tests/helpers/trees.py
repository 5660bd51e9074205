"""Small files for trees that a test writes itself."""

from __future__ import annotations

from pathlib import Path

from PIL import Image


def put(root: Path, name: str, data: str | bytes) -> Path:
    """A file of its own bytes below `root`."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def image(root: Path, name: str, size: tuple[int, int] = (40, 20), **save) -> Path:
    """A plain image below `root`; more arguments go to Pillow's `save`."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (90, 120, 150)).save(path, **save)
    return path
