"""Label-aware weight maps: where structure counts more, where appearance counts less, where detail and hue are held."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32

from s2st_aug.records.classes import meaning
from s2st_aug.records.scene import SceneObject

Map = Float32[np.ndarray, "h w"]

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
"""How much the structure of what a category means counts, 0..1: people, signals and signs first; surfaces not at all. Ours."""
AREAS = frozenset({"area", "drivable", "direct", "alternative"})  # words of BDD100K's drivable areas: surfaces, some of them drawn as lines
SMALL = 40.0  # source pixels: an object of this size (root of its area) counts as it is, a smaller one up to twice as much
SHIFT = 4  # fractional bits of OpenCV's outlines


@dataclass(frozen=True, slots=True)
class LabelMaps:
    """Weights of one image on a grid: `structure` 1 and up, `appearance` in (0, 1], `hold` in [0, 1] (0: no label)."""

    structure: Map
    appearance: Map
    hold: Map


def importance(label: SceneObject) -> float:
    """0..1 by what a label's category means, in any spelling; crowd regions and surfaces 0. A line is a lane, whatever its name."""
    known = meaning(label.category)
    if label.crowd:
        return 0.0
    if label.kind == "polyline" and AREAS.isdisjoint(known.split()):
        return IMPORTANCE["lane"]
    return IMPORTANCE.get(known, 0.0)


def label_maps(
    objects: Sequence[SceneObject], source: tuple[int, int], grid: tuple[int, int], *, structure: float = 0.0, appearance: float = 0.0
) -> LabelMaps:
    """Maps on `grid` (width, height) for labels in pixels of `source` (width, height).

    Inside of an object of importance 1 structure counts `1 + structure` times, appearance `1 / (1 + appearance)` times; more and
    less where it is small.

    An object's outline is drawn on a grid four times as fine and averaged down, so that what is smaller than a cell
    still weighs by its share.
    """
    fine = (grid[0] * 4, grid[1] * 4)
    weight = np.zeros(fine[::-1], np.float32)
    hold = np.zeros(fine[::-1], np.float32)
    for label in objects:
        value = importance(label)
        if value > 0:
            inside = _drawn(label, source, fine)
            np.maximum(weight, inside * np.float32(value * _smallness(label)), out=weight)
            np.maximum(hold, inside * np.float32(value), out=hold)
    weight, hold = (cv2.resize(m, grid, interpolation=cv2.INTER_AREA) for m in (weight, hold))
    return LabelMaps(1 + np.float32(structure) * weight, 1 / (1 + np.float32(appearance) * weight), hold)


def _smallness(label: SceneObject) -> float:
    x1, y1, x2, y2 = label.bbox
    return min(2.0, max(1.0, SMALL / max(math.sqrt(max(x2 - x1, 1.0) * max(y2 - y1, 1.0)), 1.0)))


def _drawn(label: SceneObject, source: tuple[int, int], grid: tuple[int, int]) -> Map:
    """The object's inside (a polyline: its course, two cells wide) as 0 and 1."""
    scale = np.array([grid[0] / source[0], grid[1] / source[1]])
    canvas = np.zeros(grid[::-1], np.uint8)
    if label.mask is not None and label.kind != "box":
        return cv2.resize(label.mask.astype(np.float32), grid, interpolation=cv2.INTER_AREA)
    points = [np.rint(np.asarray(o) * scale * 2**SHIFT).astype(np.int32) for o in label.outlines if len(o) > 1]
    if points and label.kind == "polyline":
        cv2.polylines(canvas, points, False, 1, thickness=4, shift=SHIFT)
    elif points and label.kind != "box":
        cv2.fillPoly(canvas, points, 1, shift=SHIFT)
    else:
        _fill_box(canvas, label, scale)
    return canvas.astype(np.float32)


def _fill_box(canvas: np.ndarray, label: SceneObject, scale: np.ndarray) -> None:
    x1, y1, x2, y2 = np.array(label.bbox) * np.tile(scale, 2)
    canvas[max(0, math.floor(y1)) : max(0, math.ceil(y2)), max(0, math.floor(x1)) : max(0, math.ceil(x2))] = 1
