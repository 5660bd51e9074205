"""Labels read off the drawing: boxes, masks, lanes and drivable areas that agree with the image pixel by pixel."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

from s2st_aug.procedural.camera import NEAR, clip_near
from s2st_aug.procedural.canvas import SHIFT, fixed_point
from s2st_aug.procedural.categories import NUMBER
from s2st_aug.procedural.drawing import Drawn, Instance
from s2st_aug.procedural.ground import REACH, Marking, stations, strip
from s2st_aug.procedural.street import Street

LEAST_PIXELS, LEAST_SIDE = 12, 3  # what shows less is no instance: its pixels keep their class in the semantic masks
HIDDEN = 0.90  # visible share below which a thing counts as occluded


@dataclass(frozen=True, slots=True)
class LabelledObject:
    """One instance: `box` x1 y1 x2 y2 in pixels, right and lower edge exclusive, tight around its visible pixels."""

    instance: Instance
    box: tuple[int, int, int, int]
    pixels: int

    @property
    def occluded(self) -> bool:
        """Less than nine tenths of what the painter laid down is still visible."""
        return self.pixels < HIDDEN * self.instance.area


@dataclass(frozen=True, slots=True, eq=False)
class Lane:
    """A marking as visible image lines, each `n 2`."""

    marking: Marking
    lines: tuple[np.ndarray, ...]


@dataclass(frozen=True, slots=True, eq=False)
class StreetLabels:
    """`category` h w uint8, `owner` h w int32 (0 where no labelled instance), `drivable` h w uint8.

    Drivable is 0 direct, 1 alternative, 2 neither.
    """

    category: np.ndarray
    owner: np.ndarray
    objects: tuple[LabelledObject, ...]
    lanes: tuple[Lane, ...]
    drivable: np.ndarray
    areas: tuple[tuple[str, tuple[np.ndarray, ...]], ...]


@dataclass(frozen=True, slots=True, eq=False)
class StreetImage:
    """One image to be written: its street, its labels, and where it belongs.

    `frame` counts from 1 within a sequence, 0 outside.
    """

    street: Street
    labels: StreetLabels
    index: int
    split: str
    frame: int = 0


def read_labels(drawn: Drawn) -> StreetLabels:
    """All labels of a drawing; they are the same in every condition."""
    category = np.take(drawn.table.category.astype(np.uint8), drawn.faces)
    every = np.take(drawn.table.owner, drawn.faces)
    objects = _objects(drawn, every)
    kept = np.zeros(int(every.max()) + 1, np.int32)
    kept[[o.instance.number for o in objects]] = [o.instance.number for o in objects]
    drivable = _drivable(drawn, category)
    areas = tuple((name, _outlines(drivable == k)) for k, name in enumerate(("direct", "alternative")))
    return StreetLabels(category, np.take(kept, every), objects, _lanes(drawn, category), drivable, areas)


def _objects(drawn: Drawn, owner: np.ndarray) -> tuple[LabelledObject, ...]:
    pixels = np.bincount(owner.ravel(), minlength=1)
    boxes = ndimage.find_objects(owner)
    out = []
    for instance in drawn.instances:
        found = boxes[instance.number - 1] if instance.number <= len(boxes) else None
        if found is None or pixels[instance.number] < LEAST_PIXELS:
            continue
        rows, columns = found
        box = (columns.start, rows.start, columns.stop, rows.stop)
        if min(box[2] - box[0], box[3] - box[1]) >= LEAST_SIDE:
            out.append(LabelledObject(instance, box, int(pixels[instance.number])))
    return tuple(out)


def _drivable(drawn: Drawn, category: np.ndarray) -> np.ndarray:
    """The ego lane up to the next vehicle, and the other lanes of its direction, where road is visible."""
    street, road = drawn.street, drawn.street.road
    out = np.full(category.shape, 2, np.uint8)
    for lane in range(road.own):
        t = (lane + 0.5) * road.lane_width
        own = abs(t - street.ego_t) < road.lane_width / 2
        reach = _free_ahead(street, t)
        if reach > 3:
            s = stations(street.advance, 0.9, reach, 20)
            _fill(drawn, out, strip(road, s, t - road.lane_width / 2, t + road.lane_width / 2), 0 if own else 1)
    out[category != NUMBER["road"]] = 2
    return out


def _free_ahead(street: Street, t: float) -> float:
    """Metres of free lane ahead of the camera."""
    ahead = [
        m.s - 2.6 - street.advance
        for m in street.things
        if m.kind in ("car", "truck", "bus") and abs(m.t - t) < 1.4 and m.s > street.advance + 2
    ]
    return min([REACH * 0.5, *ahead])


def _fill(drawn: Drawn, layer: np.ndarray, outline: np.ndarray, value: int) -> None:
    cam = drawn.camera.to_camera(np.column_stack([outline, np.zeros(len(outline))]))
    if cam[:, 2].min() < NEAR:
        cam = clip_near(cam)
    if len(cam) >= 3:
        points = fixed_point(drawn.camera.to_image(cam))
        cv2.fillPoly(layer, [points], value, cv2.LINE_8, SHIFT)


def _outlines(mask: np.ndarray) -> tuple[np.ndarray, ...]:
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    smooth = [cv2.approxPolyDP(c, 0.6, True)[:, 0] for c in contours if cv2.contourArea(c) >= 30]
    return tuple(c.astype(float) for c in smooth if len(c) >= 3)


def _lanes(drawn: Drawn, category: np.ndarray) -> tuple[Lane, ...]:
    out = []
    for mark in drawn.marks:
        lines = [piece for path in _paths(mark, drawn.street) for piece in _visible(drawn, path, category)]
        if lines:
            out.append(Lane(mark, tuple(lines)))
    return tuple(out)


def _paths(mark: Marking, street: Street) -> list[np.ndarray]:
    """The middle line (a crosswalk: its two long sides) in world coordinates, densely sampled, `n 3` each."""
    (a, t0), (b, t1) = mark.path
    if mark.vertical:
        sides = (-1.5, 1.5) if mark.kind == "crosswalk" else (0.0,)
        samples = [(np.full(40, a + o), np.linspace(t0, t1, 40)) for o in sides]
    else:
        low, high = max(a, street.advance + 0.9), min(b, street.advance + 110)
        if high - low < 1:
            return []
        s = street.advance + np.geomspace(low - street.advance, high - street.advance, 60)
        samples = [(s, np.full(60, t0))]
    return [np.column_stack([*street.road.place(s, t)[:2], np.zeros(len(s))]) for s, t in samples]


def _visible(drawn: Drawn, path: np.ndarray, category: np.ndarray) -> list[np.ndarray]:
    """The runs of a path that lie in the image and that nothing hides, thinned where straight."""
    cam = drawn.camera.to_camera(path)
    cam = cam[cam[:, 2] > NEAR]
    if len(cam) < 2:
        return []
    points = drawn.camera.to_image(cam)
    height, width = category.shape
    inside = (
        (points[:, 0] > -0.5) & (points[:, 0] < width - 0.5) & (points[:, 1] > -0.5) & (points[:, 1] < height - 0.5)
    )
    column, row = (np.clip(np.rint(points[:, k]), 0, n - 1).astype(int) for k, n in ((0, width), (1, height)))
    seen = inside & np.isin(category[row, column], (NUMBER["road"], NUMBER["sidewalk"]))
    runs = np.split(np.arange(len(points)), np.flatnonzero(np.diff(seen.astype(np.int8))) + 1)
    long = [points[r] for r in runs if seen[r[0]] and len(r) > 1 and np.ptp(points[r], axis=0).max() > 4]
    return [cv2.approxPolyDP(p.astype(np.float32)[:, None], 0.4, False)[:, 0].astype(float) for p in long]
