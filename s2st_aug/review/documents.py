"""Samples and labels as the documents that FiftyOne stores: its own classes take 50 ms a sample, these take 1.

A test holds each document against what FiftyOne's own classes write for the same content. Coordinates
become relative here and never come back.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import random
from typing import Any

import numpy as np
from bson import ObjectId

from s2st_aug.records.scene import SceneObject

Size = tuple[int, int]  # width, height
Document = dict[str, Any]
TEXT_FIELDS = ("object_id", "kind", "verdict", "reason", "signal", "decision")
MEASURE_FIELDS = ("structure", "structure_raw", "visibility", "shift_px")


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """The labels of one scene, with what is the same in each of its samples made once."""

    boxes: tuple[Document, ...]
    lines: tuple[Document, ...]
    stuff: Document | None

    @classmethod
    def of(
        cls, objects: Sequence[SceneObject], verdicts: Sequence[Mapping[str, Any]], size: Size, numbers: dict[str, int]
    ) -> Labels:
        """Without scene objects the boxes of the manifest's verdicts stand in.

        `numbers` are those of stuff classes in masks: a new class gets the next one.
        """
        shown = objects or [SceneObject(v["object_id"], "box", v["category"], tuple(v["bbox"])) for v in verdicts]
        boxes = tuple(_drawn(o, size) for o in shown if o.kind in ("box", "mask"))
        lines = tuple(_drawn(o, size) for o in shown if o.kind in ("polygon", "polyline"))
        return cls(boxes, lines, _segmentation([o for o in shown if o.kind == "stuff"], numbers))

    def fields(self, verdicts: Sequence[Mapping[str, Any]], decisions: Mapping[str, str]) -> Document:
        """`boxes`, `lines` and `stuff` of one sample, with verdicts (none for a source) and decisions by object id."""
        by_id = {v["object_id"]: {k: v[k] for k in ("verdict", "reason", *MEASURE_FIELDS)} for v in verdicts}
        boxes = [_judged(label, by_id, decisions) for label in self.boxes]
        lines = [_judged(label, by_id, decisions) for label in self.lines]
        found = {
            "boxes": {"_cls": "Detections", "detections": boxes},
            "lines": {"_cls": "Polylines", "polylines": lines},
        }
        return found | ({"stuff": self.stuff | {"_id": ObjectId()}} if self.stuff else {})


def sample(
    dataset_id: Any,
    filepath: str,
    group_id: str,
    slice_name: str,
    fields: Document,
    tags: Sequence[str] = (),
    *,
    size: Size,
) -> Document:
    """One sample's document; fields that are None are left out, as FiftyOne does."""
    now = datetime.now(UTC)
    own = {"_id": ObjectId(), "filepath": filepath, "tags": list(tags), "_media_type": "image", "_rand": random()}
    own |= {"created_at": now, "last_modified_at": now, "_dataset_id": dataset_id}
    own["metadata"] = _metadata(filepath, size)
    own["group"] = {"_id": ObjectId(group_id), "_cls": "Group", "name": slice_name}
    return own | {name: value for name, value in fields.items() if value is not None}


def _metadata(filepath: str, size: Size) -> Document:
    """As FiftyOne computes it, but for the channels, which only the pixels tell."""
    found: Document = {"_cls": "ImageMetadata", "width": size[0], "height": size[1]}
    with suppress(OSError):
        found["size_bytes"] = Path(filepath).stat().st_size
    kind = mimetypes.guess_type(filepath)[0]
    return found | ({"mime_type": kind} if kind else {})


def hallucinations(found: Iterable[Mapping[str, Any]], size: Size) -> Document:
    """What the variant made up, with the score as confidence."""
    return {
        "_cls": "Detections",
        "detections": [
            _label("Detection", h["kind"]) | {"bounding_box": relative(h["bbox"], size), "confidence": h["score"]}
            for h in found
        ],
    }


def relative(bbox: Sequence[float], size: Size) -> list[float]:
    """x1 y1 x2 y2 in pixels as FiftyOne's x y w h in 0..1."""
    x1, y1, x2, y2 = bbox
    width, height = size
    return [x1 / width, y1 / height, (x2 - x1) / width, (y2 - y1) / height]


def _label(kind: str, label: str) -> Document:
    return {"_id": ObjectId(), "_cls": kind, "attributes": {}, "tags": [], "label": label}


def _judged(label: Document, by_id: Mapping[str, Document], decisions: Mapping[str, str]) -> Document:
    """A label of its own (FiftyOne wants other ids in every sample) with its verdict and decision."""
    judged = label | {"_id": ObjectId(), "tags": []} | by_id.get(label["object_id"], {})
    decided = decisions.get(label["object_id"])
    return judged | ({"decision": decided, "tags": [decided]} if decided else {})


def _drawn(one: SceneObject, size: Size) -> Document:
    """A box or an instance mask as a Detection, an outline as a Polyline."""
    own = {"object_id": one.object_id, "kind": one.kind, "signal": one.signal}
    if one.kind in ("polygon", "polyline"):
        points = [(np.asarray(outline, np.float64) / size).tolist() for outline in one.outlines]
        closed = one.kind == "polygon"
        return _label("Polyline", one.category) | {"points": points, "closed": closed, "filled": False} | own
    cut = _cropped(one)
    box = relative(cut[1] if cut else one.bbox, size)
    mask = {"mask": _packed(cut[0])} if cut else {}
    return _label("Detection", one.category) | {"bounding_box": box} | mask | own


def _cropped(one: SceneObject) -> tuple[np.ndarray, tuple[int, int, int, int]] | None:
    """An instance mask cut to the whole pixels that it covers."""
    if one.mask is None or not one.mask.any():
        return None
    ys, xs = np.flatnonzero(one.mask.any(1)), np.flatnonzero(one.mask.any(0))
    x1, y1, x2, y2 = int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1
    return one.mask[y1:y2, x1:x2], (x1, y1, x2, y2)


def _packed(mask: np.ndarray) -> bytes:
    """A mask as FiftyOne stores it."""
    from fiftyone.core.utils import serialize_numpy_array

    return serialize_numpy_array(mask)


def _segmentation(stuff: Sequence[SceneObject], numbers: dict[str, int]) -> Document | None:
    """One mask of all stuff classes; a class met for the first time gets the next number."""
    canvas: np.ndarray | None = None
    for one in stuff:
        if one.mask is None:
            continue
        canvas = np.zeros(one.mask.shape, np.uint8) if canvas is None else canvas
        canvas[one.mask] = numbers.setdefault(one.category, len(numbers) + 1)
    if canvas is None:
        return None
    return {"_id": ObjectId(), "_cls": "Segmentation", "tags": [], "mask": _packed(canvas)}
