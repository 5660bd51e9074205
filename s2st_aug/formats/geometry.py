"""Shapes: boxes around outlines and masks, areas, contours of masks, outlines drawn."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from s2st_aug.arrays import Box
from s2st_aug.records.scene import SceneObject


def outline_box(outlines: tuple[np.ndarray, ...]) -> Box:
    """The box around all outlines (each `n 2`)."""
    points = np.concatenate(outlines)
    (x1, y1), (x2, y2) = points.min(axis=0), points.max(axis=0)
    return float(x1), float(y1), float(x2), float(y2)


def mask_box(mask: np.ndarray) -> Box:
    """The box around a bool mask `h w`, x2 and y2 exclusive; all zero for an empty mask."""
    ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(ys):
        return 0.0, 0.0, 0.0, 0.0
    return float(xs[0]), float(ys[0]), float(xs[-1] + 1), float(ys[-1] + 1)


def is_inside(box: Box, width: int, height: int) -> bool:
    """Whether a box has any part in an image of that size."""
    return box[0] < width and box[1] < height and box[2] > 0 and box[3] > 0 and all(map(math.isfinite, box))


def area(outline: np.ndarray) -> float:
    """Area of a closed outline `n 2` (shoelace)."""
    x, y = outline[:, 0], outline[:, 1]
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def clipped(outline: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The part of a closed outline `n 2` that lies in an image of that size (w, h); without a point where none does.

    Sutherland and Hodgman, Reentrant polygon clipping, 1974: parts of a concave outline stay joined along the border.
    """
    for axis, limit, sign in ((0, 0.0, 1), (0, float(size[0]), -1), (1, 0.0, 1), (1, float(size[1]), -1)):
        depth = sign * (outline[:, axis] - limit)  # negative: outside of this border
        kept: list[np.ndarray] = []
        for here in range(len(outline)):
            before = here - 1
            if (depth[here] < 0) != (depth[before] < 0):
                share = depth[before] / (depth[before] - depth[here])
                crossing = outline[before] + share * (outline[here] - outline[before])
                crossing[axis] = limit
                kept.append(crossing)
            if depth[here] >= 0:
                kept.append(outline[here])
        outline = np.asarray(kept, dtype=np.float64).reshape(-1, 2)
    return outline


def contours(mask: np.ndarray) -> tuple[list[np.ndarray], bool]:
    """Outer outlines of a bool mask as polygons `n 2` through pixel centres, and whether holes were closed."""
    import cv2  # slow to start, and an index of a million scenes needs none

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
    canvas = Image.new("L", size, 0)
    draw = ImageDraw.Draw(canvas)
    for outline in outlines:
        if len(outline) >= 2:
            draw.polygon([(float(x), float(y)) for x, y in outline], fill=255)
    return np.asarray(canvas) > 0
