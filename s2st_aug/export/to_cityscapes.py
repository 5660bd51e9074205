"""To Cityscapes: polygons and the four label images, for labels with an outline or a mask and a class that Cityscapes has."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from s2st_aug.export.convert import Item, class_of, split_name
from s2st_aug.export.edit_masks import encode_label_image
from s2st_aug.export.geometry import contours, drawn
from s2st_aug.export.job import Job
from s2st_aug.formats.cityscapes.labels import BY_NAME, Label, known
from s2st_aug.records.scene import SceneObject


@dataclass(frozen=True, slots=True)
class _Shape:
    label: Label
    name: str  # as the polygon says it: `car`, `cargroup`, `unlabeled`
    outlines: tuple[np.ndarray, ...]
    mask: np.ndarray  # bool, h w
    instance: bool


class ToCityscapes:
    """Writes `leftImg8bit/<split>/<dataset>` (PNG) and `gtFine/<split>/<dataset>`; names are `<dataset>_<name>_000000`."""

    png_only = True

    def __init__(self, job: Job) -> None:
        self.job, self.split = job, split_name(job.split)
        self.city = re.sub(r"[^0-9A-Za-z-]", "-", job.card.name)

    def _base(self, item: Item) -> str:
        """Cityscapes' scripts split names at `_` and `.`: neither may stand in a part."""
        stem = re.sub(r"[_./]", "-", item.stem)
        return f"{self.split}/{self.city}/{self.city}_{stem}_000000{item.mark}"

    def image_name(self, item: Item) -> str:
        """Where the image goes."""
        return f"leftImg8bit/{self._base(item)}_leftImg8bit.png"

    def add(self, item: Item) -> None:
        """Polygons and label images: stuff below things, things in their order."""
        shapes = [shape for found in item.objects if (shape := self._shape(item, found)) is not None]
        shapes.sort(key=lambda shape: shape.label.instances)
        record = {
            "imgHeight": item.size[1],
            "imgWidth": item.size[0],
            "objects": [o for shape in shapes for o in _polygons(shape)],
        }
        base = f"gtFine/{self._base(item)}_gtFine"
        self.job.output.write(f"{base}_polygons.json", json.dumps(record, indent=4).encode())
        for kind, pixels in _images(shapes, item.size).items():
            self.job.output.write(f"{base}_{kind}.png", encode_label_image(pixels))

    def _shape(self, item: Item, found: SceneObject) -> _Shape | None:
        losses = self.job.losses
        name = class_of(self.job.card, found.category).cityscapes or found.category
        label = known(name)
        if found.kind in ("box", "polyline"):
            losses.add(found.kind, "Cityscapes has filled outlines only", item.where)
            return None
        if label is None:
            losses.add("category", f"Cityscapes has no {found.category!r}", item.where)
            return None
        outlines, holes = contours(found.mask) if found.mask is not None else (list(found.outlines), False)
        losses.add("mask", "holes are closed in the polygons, the label images keep them", item.where, int(holes))
        self._report_outlines(item, found, label, outlines)
        mask = (
            found.mask
            if found.mask is not None and found.mask.shape == item.size[::-1]
            else drawn(tuple(outlines), item.size)
        )
        if found.signal or found.occluded or found.truncated:
            losses.add("attributes", "Cityscapes has none (light colour, occluded, truncated)", item.where)
        return _named(item, found, label, tuple(outlines), mask)

    def _report_outlines(self, item: Item, found: SceneObject, label: Label, outlines: list[np.ndarray]) -> None:
        thin = sum(len(outline) < 3 for outline in outlines)
        self.job.losses.add(
            "outline", "fewer than three points are no polygon; the label images keep the pixels", item.where, thin
        )
        parts = len(outlines) - 1 if found.kind != "stuff" else 0
        self.job.losses.add(
            "outline", "a thing in several parts becomes several polygons; instanceIds keeps it one", item.where, parts
        )
        if found.crowd and found.object_id not in item.ignored and not label.instances:
            self.job.losses.add("crowd", "Cityscapes has groups of classes with instances only", item.where)

    def finish(self) -> None:
        """Nothing belongs to the whole."""


def _named(item: Item, found: SceneObject, label: Label, outlines: tuple[np.ndarray, ...], mask: np.ndarray) -> _Shape:
    if found.object_id in item.ignored:
        return _Shape(BY_NAME["unlabeled"], "unlabeled", outlines, mask, instance=False)
    group = found.crowd and label.instances
    return _Shape(label, f"{label.name}group" if group else label.name, outlines, mask, label.instances and not group)


def _polygons(shape: _Shape) -> list[dict[str, Any]]:
    return [{"label": shape.name, "polygon": outline.tolist()} for outline in shape.outlines if len(outline) >= 3]


def _images(shapes: list[_Shape], size: tuple[int, int]) -> dict[str, np.ndarray]:
    """labelIds, labelTrainIds, instanceIds and color of what lies on top."""
    ids = np.zeros(size[::-1], np.uint8)
    train = np.full(size[::-1], 255, np.uint8)
    instances = np.zeros(size[::-1], np.uint16)
    color = np.zeros((*size[::-1], 4), np.uint8)
    color[..., 3] = 255
    counts: dict[int, int] = {}
    for shape in shapes:
        label = shape.label
        number = counts.get(label.id, 0)
        counts[label.id] = number + shape.instance
        ids[shape.mask], train[shape.mask] = label.id % 256, label.train_id % 256
        instances[shape.mask] = label.id * 1000 + number if shape.instance else label.id % 256
        color[shape.mask] = (*label.color, 255)
    return {"labelIds": ids, "labelTrainIds": train, "instanceIds": instances, "color": color}
