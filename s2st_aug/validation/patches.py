"""Windows on one object in source, variant and raw, never more than 64x64 pixels of the object itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from s2st_aug.arrays import Box, Image
from s2st_aug.records.scene import SceneObject
from s2st_aug.validation.gradients import Gradients, gradients, image_gradients

SIDE = 64  # px, the most that an object is measured on
REACH = 16  # px of the patch that an object is looked for around its place
OUTLINE = 2  # px of the patch around a mask that still belong to its outline
AROUND = np.ones((2 * OUTLINE + 1,) * 2, np.uint8)
LEVELS = 3
FIGURES = 240  # px of width, the most that whole-image colour figures are taken at, with some room
LEAST_FREE = 0.25  # of an object's pixels that must be left when what hides it is taken out
STRIP = 9  # px across a line that count as the line (its neighbourhood is REACH wider on each side)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """An image, its full-size gradients, and halved copies for large objects; made once and shared by all objects."""

    image: Image
    gradients: Gradients
    images: tuple[np.ndarray, ...]  # 1, 1/2, 1/4 of the size
    lumas: tuple[np.ndarray, ...]


def frame(image: Image, room: Gradients | None = None) -> Frame:
    """Everything that is computed once an image; its gradients are written into `room` where given."""
    field = image_gradients(image, room)
    return Frame(image, field, halved(image), halved(field.luma))


def raw_frame(image: Image, room: Gradients | None = None) -> Frame:
    """As `frame`, for an image that only structure is measured on: no halved copies of its colours."""
    field = image_gradients(image, room)
    return Frame(image, field, (image,), halved(field.luma))


def halved(image: np.ndarray) -> tuple[np.ndarray, ...]:
    """The array and its copies of half and a quarter of the size, each pixel the mean of four."""
    levels = [image]
    for _ in range(LEVELS - 1):
        h, w = levels[-1].shape[:2]
        levels.append(cv2.resize(levels[-1], (max(1, w // 2), max(1, h // 2)), interpolation=cv2.INTER_AREA))
    return tuple(levels)


def shrunk_to(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The image at `size` (w, h): halved as long as that stays larger, then by area."""
    while image.shape[1] >= 2 * size[0] and image.shape[0] >= 2 * size[1]:
        image = cv2.resize(image, (image.shape[1] // 2, image.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def small_copy(frame: Frame) -> Image:
    """The image at a quarter of its size where `shrunk_to` would pass that on its way to FIGURES, else the image."""
    last, k = frame.images[-1], 2 ** (LEVELS - 1)
    exact = frame.image.shape[0] % k == 0 and frame.image.shape[1] % k == 0 and len(frame.images) == LEVELS
    return last if exact and min(last.shape[1], 2 * last.shape[0]) >= FIGURES else frame.image


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """Where an object is measured: `scale` patch pixels a source pixel; x0, y0 the window's corner in source pixels.

    `mask` (bool, the window's size) is the object and its outline.
    """

    x0: int
    y0: int
    x1: int
    y1: int
    scale: float
    mask: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the patch."""
        return self.mask.shape[1], self.mask.shape[0]


def clipped(box: Box, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """The whole pixels of a box inside an image of `shape` (h, w, ...), at least one pixel, wherever the box lies."""
    h, w = shape[0], shape[1]
    x1, y1, x2, y2 = (min(max(v, -1e6), 1e6) if math.isfinite(v) else 0.0 for v in box)
    left, top = min(max(math.floor(min(x1, x2)), 0), w - 1), min(max(math.floor(min(y1, y2)), 0), h - 1)
    right, bottom = min(max(math.ceil(max(x1, x2)), left + 1), w), min(max(math.ceil(max(y1, y2)), top + 1), h)
    return left, top, right, bottom


def window(item: SceneObject, shape: tuple[int, ...], front: Sequence[Box] = ()) -> Window:
    """The window of a box, polygon or mask in an image of `shape`.

    What lies under the `front` boxes is not the object's.
    """
    left, top, right, bottom = clipped(item.bbox, shape)
    scale = min(1.0, SIDE / max(right - left, bottom - top))
    pad = int(np.ceil((REACH + OUTLINE) / scale))
    x0, y0, x1, y1 = left - pad, top - pad, right + pad, bottom + pad
    size = (max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale)))
    mask = np.zeros(size[::-1], np.uint8)
    _paint(mask, item, (left, top, right, bottom), (x0, y0), scale)
    mask = cv2.dilate(mask, AROUND)
    if item.kind == "box" and len(front):
        mask = _uncovered(mask, front, (x0, y0), scale)
    return Window(x0, y0, x1, y1, scale, mask.astype(bool))


def _uncovered(mask: np.ndarray, front: Sequence[Box], corner: tuple[int, int], scale: float) -> np.ndarray:
    """The mask without what nearer objects hide, unless that leaves too little of it."""
    free = mask.copy()
    for box in np.clip(np.nan_to_num(front), -1e6, 1e6):
        left, top, right, bottom = (max(0, round((v - corner[i % 2]) * scale)) for i, v in enumerate(box))
        free[top:bottom, left:right] = 0
    return free if free.sum() >= LEAST_FREE * mask.sum() else mask


def in_front(items: Sequence[SceneObject]) -> list[list[Box]]:
    """For each object the boxes of those that overlap it and stand nearer: lower in the image, or wholly inside it."""
    boxes = np.nan_to_num(np.array([o.bbox for o in items], np.float64).reshape(-1, 4))
    solid = np.array([o.kind in ("box", "mask", "polygon") and not o.crowd for o in items], bool)
    x1, y1, x2, y2 = boxes.T
    overlap = (x1[:, None] < x2) & (x1 < x2[:, None]) & (y1[:, None] < y2) & (y1 < y2[:, None])
    inside = (x1[:, None] <= x1) & (x2 <= x2[:, None]) & (y1[:, None] <= y1) & (y2 <= y2[:, None])
    nearer = overlap & solid & ((y2 > y2[:, None]) | inside)
    np.fill_diagonal(nearer, val=False)
    return [[items[j].bbox for j in np.flatnonzero(row).tolist()] for row in nearer]


def _paint(
    mask: np.ndarray, item: SceneObject, box: tuple[int, int, int, int], corner: tuple[int, int], scale: float
) -> None:
    left, top, right, bottom = box
    at = [round((v - corner[i % 2]) * scale) for i, v in enumerate(box)]
    inside = mask[at[1] : max(at[3], at[1] + 1), at[0] : max(at[2], at[0] + 1)]
    if item.mask is not None and item.mask[top:bottom, left:right].any():
        part = item.mask[top:bottom, left:right].astype(np.uint8)
        inside[...] = cv2.resize(part, inside.shape[::-1], interpolation=cv2.INTER_NEAREST)
    elif item.kind == "polygon" and any(len(o) >= 3 for o in item.outlines):
        rings = [
            np.round((np.nan_to_num(o) - np.array(corner)) * scale).astype(np.int32)
            for o in item.outlines
            if len(o) >= 3
        ]
        cv2.fillPoly(mask, rings, 1)
    if not inside.any():
        inside[...] = 1


def patch_gradients(frame: Frame, at: Window) -> tuple[np.ndarray, np.ndarray]:
    """x and y gradients of the window, zero outside the image; those of full size where nothing has to shrink."""
    if at.scale == 1:
        return _cut(frame.gradients.x, at), _cut(frame.gradients.y, at)
    part, corner = _shrunk(frame.lumas, at)
    small = gradients(part)
    return _place(small.x, corner, at), _place(small.y, corner, at)


def patch_image(frame: Frame, at: Window) -> Image:
    """The window's pixels, edge pixels repeated outside the image."""
    part, (left, top) = _shrunk(frame.images, at)
    w, h = at.size
    left, top = min(left, w - 1), min(top, h - 1)
    part = part[: h - top, : w - left]
    return cv2.copyMakeBorder(part, top, h - top - part.shape[0], left, w - left - part.shape[1], cv2.BORDER_REPLICATE)


def _shrunk(levels: tuple[np.ndarray, ...], at: Window) -> tuple[np.ndarray, tuple[int, int]]:
    """The window's part inside the image at the patch's scale, from the nearest halved copy, and its corner there."""
    y0, y1, x0, x1 = _inside(at, levels[0].shape)
    corner = round((x0 - at.x0) * at.scale), round((y0 - at.y0) * at.scale)
    if at.scale == 1:
        return levels[0][y0:y1, x0:x1], corner
    level = min(int(-np.log2(at.scale)), LEVELS - 1)
    k = 2**level
    part = levels[level][y0 // k : max(-(-y1 // k), y0 // k + 1), x0 // k : max(-(-x1 // k), x0 // k + 1)]
    size = (max(1, round((x1 - x0) * at.scale)), max(1, round((y1 - y0) * at.scale)))
    return cv2.resize(part, size, interpolation=cv2.INTER_LINEAR), corner


def _inside(at: Window, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    return max(at.y0, 0), min(at.y1, shape[0]), max(at.x0, 0), min(at.x1, shape[1])


def _cut(field: np.ndarray, at: Window) -> np.ndarray:
    y0, y1, x0, x1 = _inside(at, field.shape)
    return _place(field[y0:y1, x0:x1], (x0 - at.x0, y0 - at.y0), at)


def _place(part: np.ndarray, corner: tuple[int, int], at: Window) -> np.ndarray:
    w, h = at.size
    if part.shape == (h, w):
        return part
    out = np.zeros((h, w), np.float32)
    part = part[: h - corner[1], : w - corner[0]]
    out[corner[1] : corner[1] + part.shape[0], corner[0] : corner[0] + part.shape[1]] = part
    return out


def strip_points(
    outlines: tuple[np.ndarray, ...], shape: tuple[int, ...], *, closed: bool
) -> tuple[np.ndarray, np.ndarray] | None:
    """At most 64 points along lines and their unit normals, both `n 2` (x, y).

    None where no line lies inside the image.

    Points on the image's own border are left out: a region's cut edge is no structure.
    """
    lines = [np.asarray(o, np.float64) for o in outlines if len(o) >= 2 and np.isfinite(o).all()]
    points, normals = _densified([np.concatenate([o, o[:1]]) for o in lines] if closed else lines)
    h, w = shape[:2]
    kept = (points[:, 0] > 2) & (points[:, 0] < w - 3) & (points[:, 1] > 2) & (points[:, 1] < h - 3)
    points, normals = points[kept], normals[kept]
    if not len(points):
        return None
    chosen = np.linspace(0, len(points) - 1, min(SIDE, len(points))).round().astype(int)
    return points[chosen], normals[chosen]


def _densified(lines: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """A point every two pixels along each line, one in the middle of a shorter one, and the normals there.

    A mask has hundreds of lines.
    """
    if not lines:
        return np.empty((0, 2)), np.empty((0, 2))
    corners, counts = np.concatenate(lines), np.array([len(line) for line in lines])
    owner, step = np.repeat(np.arange(len(lines)), counts)[:-1], np.diff(corners, axis=0)
    length = np.hypot(*step.T)
    length[np.cumsum(counts)[:-1] - 1] = 0  # from one line to the next
    owner, start, step, length = (field[length > 0] for field in (owner, corners[:-1], step, length))
    total = np.bincount(owner, length, len(lines))
    many = np.where(total > 2, np.ceil(total / 2), total > 0).astype(int)
    line = np.repeat(np.arange(len(lines)), many)
    at = np.where(total[line] > 2, 2.0 * (np.arange(len(line)) - (np.cumsum(many) - many)[line]), total[line] / 2)
    along, pieces = np.cumsum(length) - length, np.bincount(owner, minlength=len(lines))
    first = np.cumsum(pieces) - pieces
    at += along[first[line]]
    piece = np.clip(np.searchsorted(along, at, side="right") - 1, first[line], (first + pieces - 1)[line])
    unit = step[piece] / length[piece, None]
    return start[piece] + unit * (at - along[piece])[:, None], np.stack([-unit[:, 1], unit[:, 0]], axis=-1)


def strip_gradients(frame: Frame, points: np.ndarray, normals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x and y gradients at full size across each point, `n (STRIP + 2 REACH)`: a row a point, zero off the image."""
    across = np.arange(STRIP + 2 * REACH) - (STRIP // 2 + REACH)
    at = (points[:, None] + normals[:, None] * across[None, :, None]).astype(np.float32)
    remap = [
        cv2.remap(field, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        for field in (frame.gradients.x, frame.gradients.y)
    ]
    return remap[0], remap[1]
