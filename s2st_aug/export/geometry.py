"""Shapes into the terms of a format: flat polygons, areas, run lengths, contours of masks."""

from __future__ import annotations

from typing import Any

import numpy as np

from s2st_aug.records.scene import SceneObject


def area(outline: np.ndarray) -> float:
    """Area of a closed outline `n 2` (shoelace)."""
    x, y = outline[:, 0], outline[:, 1]
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def encode_rle(mask: np.ndarray) -> dict[str, Any]:
    """COCO's compressed run lengths of a bool mask `h w`, counts as text."""
    from pycocotools import mask as coco

    rle = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(n) for n in rle["size"]], "counts": rle["counts"].decode("ascii")}


def contours(mask: np.ndarray) -> tuple[list[np.ndarray], bool]:
    """Outer outlines of a bool mask as polygons `n 2` through pixel centres, and whether holes were closed."""
    import cv2

    found, levels = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if levels is None:
        return [], False
    outer = [c[:, 0, :].astype(np.float64) for c, level in zip(found, levels[0], strict=True) if level[3] < 0]
    return outer, len(outer) < len(found)


def box_outline(item: SceneObject) -> np.ndarray:
    """The four corners of an object's box."""
    x1, y1, x2, y2 = item.bbox
    return np.asarray([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])


def drawn(outlines: tuple[np.ndarray, ...], size: tuple[int, int]) -> np.ndarray:
    """Pixels `h w` inside any of the outlines, as Cityscapes' own scripts fill them."""
    from PIL import Image, ImageDraw

    canvas = Image.new("L", size, 0)
    draw = ImageDraw.Draw(canvas)
    for outline in outlines:
        if len(outline) >= 2:
            draw.polygon([(float(x), float(y)) for x, y in outline], fill=255)
    return np.asarray(canvas) > 0
