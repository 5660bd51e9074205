"""Our labels and verdicts as FiftyOne's own types. Coordinates become relative here and never come back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from s2st_aug.records.scene import SceneObject

Size = tuple[int, int]  # width, height
TEXT_FIELDS = ("object_id", "kind", "verdict", "reason", "signal", "decision")
MEASURE_FIELDS = ("structure", "structure_raw", "visibility", "shift_px")


@dataclass(frozen=True, slots=True, eq=False)
class Labeller:
    """Makes FiftyOne labels; `numbers` holds the stuff classes' numbers in the dataset's masks and grows."""

    fo: ModuleType
    numbers: dict[str, int]

    def fields(
        self, objects: Sequence[SceneObject], verdicts: Sequence[Mapping[str, Any]], size: Size, decisions: Mapping[str, str]
    ) -> dict[str, Any]:
        """`boxes`, `lines` and `stuff` of one sample; without scene objects the manifest's boxes stand in.

        `verdicts` are the row's `objects`, empty for a source; `decisions` maps object ids to what a person decided.
        """
        by_id = {v["object_id"]: v for v in verdicts}
        boxes, lines, stuff = [], [], []
        for one in objects or [_from_verdict(v) for v in verdicts]:
            extra = _attributes(one, by_id.get(one.object_id), decisions)
            if one.kind in ("polygon", "polyline"):
                lines.append(_polyline(self.fo, one, size, extra))
            elif one.kind == "stuff":
                stuff.append(one)
            else:
                boxes.append(_detection(self.fo, one, size, extra))
        detections, polylines = self.fo.Detections(detections=boxes), self.fo.Polylines(polylines=lines)
        return {"boxes": detections, "lines": polylines, "stuff": _segmentation(self.fo, stuff, self.numbers)}

    def hallucinations(self, found: Iterable[Mapping[str, Any]], size: Size) -> Any:
        """What the variant made up, as Detections with their score as confidence."""
        boxes = [self.fo.Detection(label=h["kind"], bounding_box=relative(h["bbox"], size), confidence=h["score"]) for h in found]
        return self.fo.Detections(detections=boxes)


def relative(bbox: Sequence[float], size: Size) -> list[float]:
    """x1 y1 x2 y2 in pixels as FiftyOne's x y w h in 0..1."""
    x1, y1, x2, y2 = bbox
    width, height = size
    return [x1 / width, y1 / height, (x2 - x1) / width, (y2 - y1) / height]


def _from_verdict(v: Mapping[str, Any]) -> SceneObject:
    return SceneObject(v["object_id"], "box", v["category"], tuple(v["bbox"]))


def _attributes(one: SceneObject, verdict: Mapping[str, Any] | None, decisions: Mapping[str, str]) -> dict[str, Any]:
    extra: dict[str, Any] = {"object_id": one.object_id, "kind": one.kind, "signal": one.signal}
    if verdict is not None:
        extra |= {name: verdict[name] for name in ("verdict", "reason", *MEASURE_FIELDS)}
    decided = decisions.get(one.object_id)
    return extra | ({"decision": decided, "tags": [decided]} if decided else {})


def _detection(fo: ModuleType, one: SceneObject, size: Size, extra: dict[str, Any]) -> Any:
    mask = _cropped(one, size)
    box = mask[1] if mask else one.bbox
    return fo.Detection(label=one.category, bounding_box=relative(box, size), mask=mask[0] if mask else None, **extra)


def _cropped(one: SceneObject, size: Size) -> tuple[np.ndarray, tuple[int, int, int, int]] | None:
    """An instance mask cut to the whole pixels of its box."""
    if one.mask is None or not one.mask.any():
        return None
    ys, xs = np.flatnonzero(one.mask.any(1)), np.flatnonzero(one.mask.any(0))
    x1, y1, x2, y2 = int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1
    return one.mask[y1:y2, x1:x2].copy(), (x1, y1, x2, y2)


def _polyline(fo: ModuleType, one: SceneObject, size: Size, extra: dict[str, Any]) -> Any:
    points = [(outline / np.asarray(size, np.float64)).tolist() for outline in one.outlines]
    closed = one.kind == "polygon"
    return fo.Polyline(label=one.category, points=points, closed=closed, filled=closed, **extra)


def _segmentation(fo: ModuleType, stuff: Sequence[SceneObject], numbers: dict[str, int]) -> Any:
    """One mask of all stuff classes; a class met for the first time gets the next number. None without stuff."""
    canvas: np.ndarray | None = None
    for one in stuff:
        if one.mask is None:
            continue
        canvas = np.zeros(one.mask.shape, np.uint8) if canvas is None else canvas
        canvas[one.mask] = numbers.setdefault(one.category, len(numbers) + 1)
    return None if canvas is None else fo.Segmentation(mask=canvas)
