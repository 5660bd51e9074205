"""Label images (masks, ids): decoded unchanged in depth and channels, refused by size before memory is taken."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

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
    import warnings

    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(
                io.BytesIO(_bytes(path))
            ) as image:  # of a file, Pillow takes the memory that a chunk claims to need
                size = image.width * image.height * _BYTES.get(image.mode, 4)
                if size > IMAGE_BYTES:
                    raise LabelError(
                        f"{path}: {image.width}x{image.height} ({image.mode}) is larger than {IMAGE_BYTES >> 20} MiB"
                    )
                return np.array(image)
        except LabelError:
            raise
        except (OSError, ValueError, SyntaxError, EOFError, MemoryError, Image.DecompressionBombError) as error:
            raise LabelError(f"{path}: cannot be read as an image: {' '.join(str(error).split())[:120]}") from None


def _bytes(path: Path) -> bytes:
    if path.stat().st_size > IMAGE_BYTES:
        raise LabelError(f"{path}: a file of more than {IMAGE_BYTES >> 20} MiB")
    return path.read_bytes()


def within(objects: Iterable[SceneObject], where: str) -> Iterator[SceneObject]:
    """The objects, as long as their masks fit the memory that a scene may take; raises LabelError at the first that does not."""
    taken = 0
    for item in objects:
        taken += 0 if item.mask is None else item.mask.nbytes
        if taken > MASK_BYTES:
            raise LabelError(f"{where}: its masks take more than {MASK_BYTES >> 20} MiB")
        yield item


def upright_size(path: Path) -> tuple[int, int]:
    """Width and height from an image's header, after its orientation is applied; nothing is decoded. Raises LabelError."""
    (width, height), turn = _header(path, _orientation)
    return (height, width) if turn in (5, 6, 7, 8) else (width, height)


def stored_size(path: Path) -> tuple[int, int]:
    """Width and height as stored; nothing is decoded. Raises LabelError."""
    return _header(path, lambda image: 1)[0]


def _orientation(image: Any) -> int:
    """PNG may hold its EXIF behind the pixels: there only what stands before them is looked at."""
    return int(image.getexif().get(_ORIENTATION, 1)) if image.format != "PNG" or "exif" in image.info else 1


def _header(path: Path, turn: Callable[[Any], int]) -> tuple[tuple[int, int], int]:
    import warnings

    from PIL import Image

    if path.exists() and not path.is_file():  # a pipe's header never comes
        raise LabelError(f"{path}: cannot be read as an image: not a regular file")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(path) as image:
                return image.size, turn(image)
        except (OSError, ValueError, TypeError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
            raise LabelError(f"{path}: cannot be read as an image: {' '.join(str(error).split())[:120]}") from None
