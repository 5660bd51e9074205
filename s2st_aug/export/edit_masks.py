"""Label images of a variant: pixels of ignored objects become void; a file without such pixels keeps its bytes."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from s2st_aug.formats.label_images import read_label_image
from s2st_aug.records.scene import SceneObject

VOID = {"label_ids": 0, "instance_ids": 0, "train_ids": 255, "semantic_mask": 255, "drivable_mask": 2}
_IGNORED_BIT = 1


def encode_label_image(pixels: np.ndarray) -> bytes:
    """PNG bytes of a label image, 8 or 16 bits, any channels; the same bytes for the same pixels."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", optimize=False)
    return out.getvalue()


def union(masks: Iterable[np.ndarray]) -> np.ndarray | None:
    """Where any of the masks is; None for none."""
    found: np.ndarray | None = None
    for mask in masks:
        found = mask if found is None else found | mask
    return found


def void(path: Path, kind: str, ignored: np.ndarray) -> bytes:
    """The label image with the pixels under `ignored` void: an id, black in colours, the ignored bit in instance bitmasks."""
    with_palette = _palette(path)
    pixels = read_label_image(path).copy()
    if kind in ("instance_mask", "panoptic_mask"):
        pixels[..., 1][ignored] |= _IGNORED_BIT
    elif kind == "lane_mask":
        pixels[ignored] = 255
    elif pixels.ndim == 3:
        pixels[..., :3][ignored] = 0
    else:
        pixels[ignored] = VOID.get(kind, 0)
    return _encode_palette(pixels, with_palette) if with_palette else encode_label_image(pixels)


def _palette(path: Path) -> bytes | None:
    from PIL import Image

    with Image.open(path) as image:
        return bytes(image.palette.palette) if image.mode == "P" and image.palette else None


def _encode_palette(pixels: np.ndarray, palette: bytes) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    image = Image.fromarray(pixels)
    image.putpalette(palette)
    image.save(out, "PNG", optimize=False)
    return out.getvalue()


def masks_of(objects: Iterable[SceneObject], ignored: frozenset[str]) -> list[np.ndarray]:
    """The masks of the ignored objects that have one."""
    return [item.mask for item in objects if item.object_id in ignored and item.mask is not None]
