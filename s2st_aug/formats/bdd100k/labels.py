"""One BDD100K frame record, in any of its spellings, to objects."""

from __future__ import annotations

from typing import Any

import numpy as np

from s2st_aug.arrays import Box
from s2st_aug.errors import LabelError
from s2st_aug.formats.geometry import mask_box, outline_box
from s2st_aug.formats.label_images import within
from s2st_aug.formats.pixels import NO_GEOMETRY, NOWHERE
from s2st_aug.formats.run_lengths import decode
from s2st_aug.formats.values import number, plain_name, vertex
from s2st_aug.records.scene import UNKNOWN, SceneObject, SignalState

SIGNALS: dict[str, SignalState] = {
    "G": "green",
    "R": "red",
    "Y": "amber",
    "green": "green",
    "red": "red",
    "yellow": "amber",
    "amber": "amber",
}
_CURVE_STEPS = 8


def objects_of(record: Any, where: str, prefix: str = "") -> list[SceneObject]:
    """Every label of a frame; `labels: null` is an empty frame. Raises LabelError for what is no frame."""
    if not isinstance(record, dict):
        raise LabelError(f"{where}: expected a frame (an object), found {type(record).__name__}")
    labels = _labels(record, where)
    return list(within((_object(label, prefix, index) for index, label in enumerate(labels)), where))


def _labels(record: dict[str, Any], where: str) -> list[Any]:
    found = record.get("labels")
    if found is None and isinstance(record.get("frames"), list):  # the legacy form: one file per image
        frames = record["frames"]
        found = frames[0].get("objects") if frames and isinstance(frames[0], dict) else None
    if found is None:
        return []
    if not isinstance(found, list):
        raise LabelError(f"{where}: expected a list of labels, found {type(found).__name__}")
    return found


def own_id(label: dict[str, Any], index: int) -> Any:
    """A label's id, or its index where it has none or null."""
    found = label.get("id")
    return index if found is None else found


def _object(label: Any, prefix: str, index: int) -> SceneObject:
    """One label; what is broken of it, or missing, makes it unsound and costs no other label."""
    if not isinstance(label, dict):
        return SceneObject(f"{prefix}{index}", "box", UNKNOWN, NOWHERE, unsound=f"label {index}: no object")
    attributes = label.get("attributes")
    flags = {str(k).lower(): v for k, v in attributes.items()} if isinstance(attributes, dict) else {}
    category = plain_name(label.get("category"))
    shape, broken = _shape(label)
    unsound = broken or (None if category else "it has no category")
    return SceneObject(
        object_id=f"{prefix}{own_id(label, index)}",
        category=category or UNKNOWN,
        signal=SIGNALS.get(str(flags.get("trafficlightcolor", ""))),
        crowd=flags.get("crowd") is True or flags.get("iscrowd") is True or flags.get("ignored") is True,
        occluded=flags.get("occluded") is True,
        truncated=flags.get("truncated") is True,
        unsound=f"label {index}: {unsound}" if unsound else None,
        **shape,
    )


def _shape(label: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """kind, bbox, outlines, mask of the finest geometry that the label has, and what is broken of it."""
    box, broken = None, None
    try:
        box = _box2d(label["box2d"], "box2d") if label.get("box2d") is not None else None
    except LabelError as error:
        broken = str(error)
    try:
        if label.get("rle") is not None:
            mask = decode(label["rle"], "rle")
            return {"kind": "mask", "bbox": box or mask_box(mask), "mask": mask}, broken
        if label.get("poly2d"):
            outlines, closed = _poly2d(label["poly2d"], "poly2d")
            kind = "polygon" if closed else "polyline"
            short = closed and max(map(len, outlines)) < 3
            broken = broken or ("its outline has fewer than three points" if short else None)
            return {"kind": kind, "bbox": box or outline_box(outlines), "outlines": outlines}, broken
    except LabelError as error:
        broken = broken or str(error)
    if box is None and broken is None:
        other = [name for name in ("box3d", "graph") if label.get(name) is not None]
        broken = f"it has {' and '.join(other)} alone, which is not read" if other else NO_GEOMETRY
    return {"kind": "box", "bbox": box or NOWHERE}, broken


def _box2d(box: Any, where: str) -> Box:
    if not isinstance(box, dict) or not {"x1", "y1", "x2", "y2"} <= box.keys():
        raise LabelError(f"{where}: expected box2d with x1, y1, x2, y2")
    x1, y1, x2, y2 = (number(box[k], where) for k in ("x1", "y1", "x2", "y2"))
    return min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)


def _poly2d(polygons: Any, where: str) -> tuple[tuple[np.ndarray, ...], bool]:
    """Outlines and whether they are closed, from either spelling of poly2d."""
    if not isinstance(polygons, list):
        raise LabelError(f"{where}: expected a list of poly2d, found {type(polygons).__name__}")
    if isinstance(polygons[0], list):  # the legacy spelling: one line of [x, y, "L"]
        points = [vertex(p, where) for p in polygons]
        return (curve(points, "".join(str(p[2]) for p in polygons if len(p) > 2)),), False
    parts = [_part(p, where) for p in polygons]
    return tuple(outline for outline, _ in parts), all(closed for _, closed in parts)


def _part(part: Any, where: str) -> tuple[np.ndarray, bool]:
    if not isinstance(part, dict) or not isinstance(part.get("vertices"), list) or not part["vertices"]:
        raise LabelError(f"{where}: expected poly2d with vertices")
    points = [vertex(p, where) for p in part["vertices"]]
    return curve(points, str(part.get("types") or "")), part.get("closed", True) is not False


def curve(points: list[tuple[float, float]], types: str) -> np.ndarray:
    """Vertices with their types (`L` a corner, `C` a control point of a cubic Bezier) as a line `n 2`.

    Curves become short straight steps.

    As matplotlib reads it, a `C` takes two more points with it whatever their type, the third being on the line.
    """
    line = [points[0]]
    at = 1
    while at < len(points):
        if types[at : at + 1] == "C" and at + 2 < len(points):
            line += _bezier(line[-1], *points[at : at + 3])
            at += 3
        else:
            line.append(points[at])
            at += 1
    return np.asarray(line, dtype=np.float64)


def _bezier(
    start: tuple[float, float], a: tuple[float, float], b: tuple[float, float], end: tuple[float, float]
) -> list[tuple[float, float]]:
    t = np.linspace(0, 1, _CURVE_STEPS + 1)[1:, None]
    p = (
        (1 - t) ** 3 * np.array(start)
        + 3 * (1 - t) ** 2 * t * np.array(a)
        + 3 * (1 - t) * t**2 * np.array(b)
        + t**3 * np.array(end)
    )
    return [(float(x), float(y)) for x, y in p]
