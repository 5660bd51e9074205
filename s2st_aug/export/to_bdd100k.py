"""To BDD100K: one frame list in Scalabel form, with box2d, poly2d or rle a label, under `labels/det_20`."""

from __future__ import annotations

import json
from typing import Any

from s2st_aug.export.convert import Item, split_name, target_card, translate
from s2st_aug.export.geometry import encode_rle
from s2st_aug.export.job import Job
from s2st_aug.export.listing import ListWriter
from s2st_aug.records.domains import BDD_ATTRIBUTES
from s2st_aug.records.scene import SceneObject

_COLOURS = {"green": "G", "red": "R", "amber": "Y"}


class ToBdd100k:
    """Writes `images/100k/<split>` and `labels/det_20/det_<split>.json`."""

    png_only = False

    def __init__(self, job: Job) -> None:
        self.job, self.card = job, target_card("bdd100k")
        self.split = split_name(job.split)
        self.frames = ListWriter(job.output, f"labels/det_20/det_{self.split}.json", b"[\n", b"\n]\n")

    def image_name(self, item: Item) -> str:
        """Where the image goes."""
        return f"images/100k/{self.split}/{self._name(item)}"

    def _name(self, item: Item) -> str:
        return f"{item.stem}{item.mark}{item.suffix}"

    def add(self, item: Item) -> None:
        """One frame."""
        labels = [self._label(item, found) for found in item.objects]
        attributes = item.attributes | BDD_ATTRIBUTES.get(item.domain or "", {})
        frame = {"name": self._name(item), "attributes": attributes, "labels": labels}
        self.frames.append(json.dumps(frame, ensure_ascii=False).encode())

    def _label(self, item: Item, found: SceneObject) -> dict[str, Any]:
        attributes: dict[str, Any] = {"occluded": found.occluded, "truncated": found.truncated}
        if found.signal:
            attributes["trafficLightColor"] = _COLOURS[found.signal]
        if found.crowd:
            attributes["crowd"] = True
        if found.object_id in item.ignored:
            attributes["ignored"] = True
        category = translate(self.job.card, found.category, self.card)
        if not self.card.category(category) and found.kind != "polyline":
            self.job.losses.add("category", f"{category!r} is none of BDD100K's; it keeps its own name", item.where)
        return {"id": found.object_id, "category": category, "attributes": attributes} | _geometry(found)

    def finish(self) -> None:
        """End the list."""
        self.frames.close()


def _geometry(found: SceneObject) -> dict[str, Any]:
    shape: dict[str, Any] = {}
    if found.kind in ("box", "polygon", "mask"):
        shape["box2d"] = dict(zip(("x1", "y1", "x2", "y2"), found.bbox, strict=True))
    if found.mask is not None:
        return shape | {"rle": encode_rle(found.mask)}
    if found.outlines:
        closed = found.kind != "polyline"
        shape["poly2d"] = [{"vertices": o.tolist(), "types": "L" * len(o), "closed": closed} for o in found.outlines]
    return shape
