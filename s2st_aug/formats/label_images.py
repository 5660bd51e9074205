"""Label images (masks, ids): decoded unchanged in depth and channels, refused by size before memory is taken."""

from __future__ import annotations

import io
import stat
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from s2st_aug.errors import LabelError
from s2st_aug.records.scene import SceneObject

_ORIENTATION = 0x0112
IMAGE_BYTES = 128 << 20
"""of a label image, decoded: 7680x4320 RGBA fits"""
MASK_BYTES = 512 << 20
"""of all masks of a scene"""
_BYTES = {"1": 1, "L": 1, "P": 1, "LA": 2, "I;16": 2, "I;16B": 2}


def read_label_image(path: Path) -> np.ndarray:
    """Pixels `h w` (8 or 16 bit) or `h w c` in RGB(A) order; a palette image gives its indices. Raises LabelError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            if path.stat().st_size > IMAGE_BYTES:
                raise LabelError(f"{path}: a file of more than {IMAGE_BYTES >> 20} MiB")
            data = io.BytesIO(path.read_bytes())  # of a file, Pillow takes the memory that a chunk claims to need
            with Image.open(data) as image:
                size = image.width * image.height * _BYTES.get(image.mode, 4)
                if size > IMAGE_BYTES:
                    shape = f"{image.width}x{image.height} ({image.mode})"
                    raise LabelError(f"{path}: {shape} is larger than {IMAGE_BYTES >> 20} MiB")
                return np.array(image)
        except (OSError, ValueError, SyntaxError, EOFError, MemoryError, Image.DecompressionBombError) as error:
            raise _no_image(path, error) from None


def encode_label_image(pixels: np.ndarray, palette: bytes | None = None) -> bytes:
    """PNG bytes of a label image, 8 or 16 bits, any channels; the same bytes for the same pixels."""
    out = io.BytesIO()
    image = Image.fromarray(pixels)
    if palette:
        image.putpalette(palette)
    image.save(out, "PNG", optimize=False)
    return out.getvalue()


def repainted(path: Path, paint: Callable[[np.ndarray], None]) -> bytes:
    """The label image with its pixels changed in place by `paint`; a palette stays what it was. Raises LabelError."""
    with Image.open(path) as image:
        palette = bytes(image.palette.palette) if image.mode == "P" and image.palette else None
    pixels = read_label_image(path).copy()
    paint(pixels)
    return encode_label_image(pixels, palette)


def union_of(objects: Iterable[SceneObject], names: frozenset[str]) -> np.ndarray | None:
    """Where any of the named objects' masks is, bool `h w`; None where none of them has one."""
    found: np.ndarray | None = None
    for item in objects:
        if item.object_id in names and item.mask is not None:
            found = item.mask if found is None else found | item.mask
    return found


def within(objects: Iterable[SceneObject], where: str) -> Iterator[SceneObject]:
    """The objects, as long as their masks fit the memory that a scene may take; raises LabelError for one too many."""
    taken = 0
    for item in objects:
        taken += 0 if item.mask is None else item.mask.nbytes
        if taken > MASK_BYTES:
            raise LabelError(f"{where}: its masks take more than {MASK_BYTES >> 20} MiB")
        yield item


def image_sizes(path: Path) -> tuple[tuple[int, int], tuple[int, int]]:
    """Width and height as stored, and after the orientation is applied; nothing is decoded. Raises LabelError."""
    width, height, orientation = _header(path, with_orientation=True)
    return (width, height), (height, width) if orientation in (5, 6, 7, 8) else (width, height)


def upright_size(path: Path) -> tuple[int, int]:
    """Width and height from an image's header, after its orientation is applied. Raises LabelError."""
    width, height, orientation = _header(path, with_orientation=True)
    return (height, width) if orientation in (5, 6, 7, 8) else (width, height)


def stored_size(path: Path) -> tuple[int, int]:
    """Width and height as stored; nothing is decoded. Raises LabelError."""
    return _header(path, with_orientation=False)[:2]


def stored_orientation(path: Path) -> int:
    """What an image's header says of its orientation, 1 where it says nothing. Raises LabelError."""
    return _header(path, with_orientation=True)[2]


def _header(path: Path, *, with_orientation: bool) -> tuple[int, int, int]:
    """Width, height and EXIF orientation (1 where it is not asked for); nothing is decoded.

    PNG may hold its EXIF behind the pixels: there only what stands before them is looked at. The last ones are kept: a
    scene's header is asked for by whoever reads its labels, its frame and its orientation.
    """
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        raise _no_image(path, error) from None
    if not stat.S_ISREG(found.st_mode):  # a pipe's header never comes
        raise LabelError(f"{path}: cannot be read as an image: not a regular file")
    return _parsed_header(path, (found.st_ino, found.st_size, found.st_mtime_ns), with_orientation=with_orientation)


@lru_cache(maxsize=4)
def _parsed_header(path: Path, version: tuple[int, ...], *, with_orientation: bool) -> tuple[int, int, int]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(path) as image:
                there = with_orientation and (image.format != "PNG" or "exif" in image.info)
                return *image.size, int(image.getexif().get(_ORIENTATION, 1)) if there else 1
        except (OSError, ValueError, TypeError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
            raise _no_image(path, error) from None


def _no_image(path: Path, error: Exception) -> LabelError:
    return LabelError(f"{path}: cannot be read as an image: {' '.join(str(error).split())[:120]}")
