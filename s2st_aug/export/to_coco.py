"""To COCO: one instances file; polygons as lists, masks as run lengths, ignored labels as iscrowd."""

from __future__ import annotations

import json
from typing import Any

from s2st_aug.export.convert import Item, split_name
from s2st_aug.export.geometry import area, encode_rle
from s2st_aug.export.job import Job
from s2st_aug.export.listing import ListWriter
from s2st_aug.records.scene import SceneObject


class ToCoco:
    """Writes `<split>2017` and `annotations/instances_<split>2017.json`; categories keep the source's names."""

    png_only = False

    def __init__(self, job: Job) -> None:
        self.job, self.split = job, split_name(job.split)
        self.categories = {c.name: i + 1 for i, c in enumerate(job.card.classes)}
        self.stuff: set[str] = set()
        self.images: list[str] = []
        name = f"annotations/instances_{self.split}2017.json"
        self.annotations = ListWriter(job.output, name, b'{"annotations": [\n', b"")
        self.count = 0

    def image_name(self, item: Item) -> str:
        """Where the image goes."""
        return f"{self.split}2017/{item.stem}{item.mark}{item.suffix}"

    def add(self, item: Item) -> None:
        """One image and its annotations."""
        number = len(self.images) + 1
        image: dict[str, Any] = {
            "id": number,
            "file_name": f"{item.stem}{item.mark}{item.suffix}",
            "width": item.size[0],
            "height": item.size[1],
        }
        image["attributes"] = item.attributes | ({"domain": item.domain} if item.domain else {})
        self.images.append(json.dumps(image, ensure_ascii=False))
        for found in item.objects:
            if found.kind == "polyline":
                self.job.losses.add("polyline", "COCO has no open lines", item.where)
            else:
                self.annotations.append(json.dumps(self._annotation(item, number, found), ensure_ascii=False).encode())

    def _annotation(self, item: Item, image: int, found: SceneObject) -> dict[str, Any]:
        self.count += 1
        x1, y1, x2, y2 = found.bbox
        category = self.categories.setdefault(found.category, len(self.categories) + 1)
        if found.kind == "stuff" and not found.crowd:
            self.stuff.add(found.category)
        attributes: dict[str, Any] = {
            "source_id": found.object_id,
            "occluded": found.occluded,
            "truncated": found.truncated,
        }
        if found.signal:
            attributes["signal"] = found.signal
        head = {"id": self.count, "image_id": image, "category_id": category, "bbox": [x1, y1, x2 - x1, y2 - y1]}
        return head | _segmentation(found) | {"iscrowd": int(item.is_ignored(found)), "attributes": attributes}

    def finish(self) -> None:
        """Images and categories, which are known now."""
        listed = [
            {
                "id": n,
                "name": name,
                "supercategory": "stuff" if name in self.stuff else "thing",
                "isthing": int(name not in self.stuff),
            }
            for name, n in self.categories.items()
        ]
        images = ",\n".join(self.images)
        self.annotations.tail = (
            f'\n],\n"images": [\n{images}\n],\n"categories": {json.dumps(listed, ensure_ascii=False)}}}\n'.encode()
        )
        self.annotations.close()


def _segmentation(found: SceneObject) -> dict[str, Any]:
    x1, y1, x2, y2 = found.bbox
    if found.mask is not None:
        return {"segmentation": encode_rle(found.mask), "area": float(found.mask.sum())}
    outlines = [o for o in found.outlines if len(o) >= 3]
    if outlines:
        return {"segmentation": [o.ravel().tolist() for o in outlines], "area": sum(map(area, outlines))}
    return {"segmentation": [], "area": (x2 - x1) * (y2 - y1)}
