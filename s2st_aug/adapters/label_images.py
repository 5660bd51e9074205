"""Label images (masks, ids): decoded unchanged in depth and channels, refused by size before memory is taken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from s2st_aug.adapters.run_lengths import PIXEL_LIMIT
from s2st_aug.errors import LabelError

_ORIENTATION = 0x0112


def read_label_image(path: Path) -> np.ndarray:
    """Pixels `h w` (8 or 16 bit) or `h w c` in RGB(A) order; a palette image gives its indices. Raises LabelError."""
    import warnings

    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(path) as image:
                if image.width * image.height > PIXEL_LIMIT:
                    raise LabelError(f"{path}: {image.width}x{image.height} is larger than {PIXEL_LIMIT} pixels")
                return np.array(image)
        except LabelError:
            raise
        except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
            raise LabelError(f"{path}: cannot be read as an image: {' '.join(str(error).split())[:120]}") from None


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

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(path) as image:
                return image.size, turn(image)
        except (OSError, ValueError, TypeError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
            raise LabelError(f"{path}: cannot be read as an image: {' '.join(str(error).split())[:120]}") from None
