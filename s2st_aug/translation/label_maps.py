"""Label-aware weight maps: where structure counts more, appearance counts less, and the source's detail is kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32

from s2st_aug.records.classes import canonical_category
from s2st_aug.records.scene import SceneObject

Map = Float32[np.ndarray, "h w"]
Window = tuple[slice, slice]

IMPORTANCE: dict[str, float] = {
    "traffic light": 1.0,
    "traffic sign": 1.0,
    "person": 1.0,
    "rider": 1.0,
    "bicycle": 0.8,
    "motorcycle": 0.8,
    "car": 0.6,
    "truck": 0.6,
    "bus": 0.6,
    "train": 0.6,
    "lane": 0.6,
    "pole": 0.4,
}
"""How much the structure of what a category means counts, 0..1: people, signals and signs first; surfaces not at all.

The values are ours.
"""
AREAS = frozenset({"area", "drivable", "direct", "alternative"})
"""Words of BDD100K's drivable areas: surfaces, some of them drawn as lines."""
SMALL = 40.0
"""Source pixels: an object of this size (root of its area) counts as it is, a smaller one up to twice as much."""
SHIFT = 4  # fractional bits of OpenCV's outlines
FINER = 4  # points of the drawing grid in a cell, either way
COURSE = 4  # of them a line's width


@dataclass(frozen=True, slots=True)
class LabelMaps:
    """Weights of one image on a grid: `structure` from 1, `appearance` to 1, `keep_mask` 0..1 (0: no label)."""

    structure: Map
    appearance: Map
    keep_mask: Map


def importance(label: SceneObject) -> float:
    """0..1 by what a label's category means, in any spelling; crowd regions and surfaces 0.

    A line is a lane, whatever its name.
    """
    known = canonical_category(label.category)
    if label.crowd:
        return 0.0
    if label.kind == "polyline" and AREAS.isdisjoint(known.split()):
        return IMPORTANCE["lane"]
    return IMPORTANCE.get(known, 0.0)


def label_maps(
    objects: Sequence[SceneObject],
    source: tuple[int, int],
    grid: tuple[int, int],
    *,
    structure: float = 0.0,
    appearance: float = 0.0,
) -> LabelMaps:
    """Maps on `grid` (width, height) for labels in pixels of `source` (width, height).

    Inside of an object of importance 1 structure counts `1 + structure` times, appearance `1 / (1 + appearance)` times;
    more and less where it is small.

    An object's outline is drawn on a grid four times as fine (no finer than the source) and averaged down, so that what
    is smaller than a cell still weighs by its share.
    """
    finer = min(FINER, max(1, math.ceil(source[0] / grid[0])))
    shape = (grid[1] * finer, grid[0] * finer)
    weight, keep = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for label in objects:
        value = importance(label)
        if value > 0 and (found := _drawn(label, source, shape)) is not None:
            window, inside = found
            x1, y1, x2, y2 = label.bbox
            smallness = SMALL / max(math.sqrt(max(x2 - x1, 1.0) * max(y2 - y1, 1.0)), 1.0)
            weighed = np.float32(value * min(2.0, max(1.0, smallness)))
            np.maximum(weight[window], inside * weighed, out=weight[window])
            np.maximum(keep[window], inside * np.float32(value), out=keep[window])
    share, kept = (
        cv2.resize(m, grid, interpolation=cv2.INTER_AREA).astype(np.float32, copy=False) for m in (weight, keep)
    )
    return LabelMaps(1 + np.float32(structure) * share, 1 / (1 + np.float32(appearance) * share), kept)


def _drawn(label: SceneObject, source: tuple[int, int], shape: tuple[int, ...]) -> tuple[Window, Map] | None:
    """Where on a grid of `shape` an object lies, and how much of each point there it covers, 0..1.

    A line covers its course, a cell wide. None where nothing of the object lies on the grid.
    """
    scale = np.array([shape[1] / source[0], shape[0] / source[1]])
    if label.mask is not None and label.kind != "box":
        return _shrunk_mask(label.mask, scale, shape)
    outlines = [np.asarray(o) * scale for o in label.outlines if len(o) > 1 and label.kind != "box"]
    course = label.kind == "polyline"
    corners = np.concatenate(outlines) if outlines else np.array(label.bbox).reshape(2, 2) * scale
    around = COURSE if course else min(len(outlines), 1)
    window = _window(corners.min(0) - around, corners.max(0) + around, shape)
    if window is None or (course and not outlines):
        return None
    rows, columns = window
    canvas = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
    points = [np.rint((o - (columns.start, rows.start)) * 2**SHIFT).astype(np.int32) for o in outlines]
    if course:
        cv2.polylines(canvas, points, False, 1, thickness=COURSE, shift=SHIFT)
    elif points:
        cv2.fillPoly(canvas, points, 1, shift=SHIFT)
    else:
        canvas[:] = 1
    return window, canvas.astype(np.float32)


def _window(low: np.ndarray, high: np.ndarray, shape: tuple[int, ...]) -> Window | None:
    """The grid's points from `low` to `high` (x, y); None where none of them lies on the grid."""
    (x1, y1), (x2, y2) = np.floor(low).astype(int), np.ceil(high).astype(int)
    rows, columns = slice(max(0, y1), min(shape[0], y2)), slice(max(0, x1), min(shape[1], x2))
    return (rows, columns) if rows.start < rows.stop and columns.start < columns.stop else None


def _shrunk_mask(mask: np.ndarray, scale: np.ndarray, shape: tuple[int, ...]) -> tuple[Window, Map] | None:
    """A mask's own window on the grid and how much of each point it covers, to less than a pixel of the source."""
    x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
    window = _window(np.array([x, y]) * scale, np.array([x + w, y + h]) * scale, shape) if w else None
    if window is None:
        return None
    rows, columns = window
    part = mask[
        math.floor(rows.start / scale[1]) : math.ceil(rows.stop / scale[1]),
        math.floor(columns.start / scale[0]) : math.ceil(columns.stop / scale[0]),
    ]
    return window, cv2.resize(
        part.astype(np.float32), (columns.stop - columns.start, rows.stop - rows.start), interpolation=cv2.INTER_AREA
    )
