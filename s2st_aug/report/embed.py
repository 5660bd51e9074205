"""Pictures as data URIs: a page that needs no file beside it and no network."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import PIL.Image

from s2st_aug.arrays import Image
from s2st_aug.images import SYNTHETIC, resize


def data_uri(image: Image, width: int, quality: int = 72, *, synthetic: bool = False) -> str:
    """A JPEG of at most `width` pixels across, its own aspect kept, as a `data:` URI; variants are marked synthetic."""
    h, w = image.shape[:2]
    size = (min(width, w), max(1, round(h * min(width, w) / w)))
    out = io.BytesIO()
    mark = {"comment": SYNTHETIC["Comment"]} if synthetic else {}
    PIL.Image.fromarray(resize(image, size)).save(out, "JPEG", quality=quality, optimize=True, **mark)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()


SIZES = ((960, 78), (640, 72), (480, 66), (360, 60), (256, 50))  # width, JPEG quality


def fitting_size(samples: Sequence[Image], count: int, budget: int) -> tuple[int, int]:
    """Width and JPEG quality with which `count` pictures like the samples stay within `budget` characters.

    The smallest at worst.
    """
    if not samples:
        return SIZES[-1]
    return next(
        (s for s in SIZES if count * sum(len(data_uri(p, *s)) for p in samples) / len(samples) <= budget), SIZES[-1]
    )
