"""To YOLO: polygons where the first labelled image has outlines for all of its things, else boxes. Ignored labels are left out."""

from __future__ import annotations

import json
from pathlib import PurePosixPath

import numpy as np

from s2st_aug.export.convert import Item, split_name
from s2st_aug.export.geometry import area, box_outline, contours
from s2st_aug.export.job import Job
from s2st_aug.records.scene import SceneObject

_THINGS = ("box", "polygon", "mask")


class ToYolo:
    """Writes `images/<split>`, `labels/<split>` and data.yaml; classes keep the source's names."""

    png_only = False

    def __init__(self, job: Job) -> None:
        self.job, self.split = job, split_name(job.split)
        self.names = {c.name: i for i, c in enumerate(job.card.classes)}
        self.segments: bool | None = None

    def image_name(self, item: Item) -> str:
        """Where the image goes."""
        return f"images/{self.split}/{flat(item.stem)}{item.mark}{item.suffix}"

    def add(self, item: Item) -> None:
        """One label file; an image without things gets an empty one."""
        things = [found for found in item.objects if self._is_thing(item, found)]
        if self.segments is None and things:
            self.segments = all(found.kind != "box" for found in things)
        lines = [line for found in things for line in self._line(item, found)]
        name = PurePosixPath(self.image_name(item).replace("images/", "labels/", 1))
        self.job.output.write(
            str(name.with_name(f"{name.name.removesuffix(item.suffix)}.txt")), "".join(lines).encode()
        )

    def _is_thing(self, item: Item, found: SceneObject) -> bool:
        if found.kind not in _THINGS:
            self.job.losses.add(found.kind, "YOLO has boxes and closed outlines of things only", item.where)
            return False
        if item.is_ignored(found):
            self.job.losses.add("ignored label", "YOLO has no region to ignore: it is left out", item.where)
            return False
        if found.signal or found.occluded or found.truncated:
            self.job.losses.add("attributes", "YOLO has none (light colour, occluded, truncated)", item.where)
        return True

    def _line(self, item: Item, found: SceneObject) -> list[str]:
        number = self.names.setdefault(found.category, len(self.names))
        if not self.segments:
            if found.kind != "box":
                self.job.losses.add(found.kind, "boxes are written where not every label has an outline", item.where)
            self._report_clipped(item, np.asarray(found.bbox).reshape(2, 2))
            return _numbers(number, _centre(found, item.size))
        outline = self._outline(item, found)
        if len(outline) < 3:
            self.job.losses.add(found.kind, "its outline has fewer than three points", item.where)
            return []
        self._report_clipped(item, outline)
        return _numbers(number, np.clip(outline / np.asarray(item.size), 0, 1).ravel())

    def _report_clipped(self, item: Item, points: np.ndarray) -> None:
        outside = bool(((points < 0) | (points > np.asarray(item.size))).any())
        self.job.losses.add("geometry", "what lies outside the image is cut off", item.where, int(outside))

    def _outline(self, item: Item, found: SceneObject) -> np.ndarray:
        """The largest outline; the rest, and holes, are reported."""
        outlines = list(found.outlines)
        if found.mask is not None:
            outlines, holes = contours(found.mask)
            self.job.losses.add("mask", "holes are closed", item.where, int(holes))
        if not outlines:
            self.job.losses.add("box", "written as an outline of four corners", item.where)
            return box_outline(found)
        self.job.losses.add(
            "outline", "YOLO has one outline a label: the largest is written", item.where, len(outlines) - 1
        )
        return max(outlines, key=area)

    def finish(self) -> None:
        """data.yaml, without `path`: Ultralytics takes the file's own folder then, but the working directory for a dot."""
        lines = [
            f"train: images/{self.split}",
            "val: images/val  # nothing held out is exported: put real images there",
            "names:",
        ]
        names = [f"  {number}: {json.dumps(name, ensure_ascii=False)}" for name, number in self.names.items()]
        self.job.output.write("data.yaml", ("\n".join([*lines, *names]) + "\n").encode())


def flat(stem: str) -> str:
    """One folder for all images, as YOLO's loaders list them; a folder that the name repeats is left out.

    >>> flat("bonn/bonn_000000_000001"), flat("a/1")
    ('bonn_000000_000001', 'a_1')
    """
    folder, _, name = stem.rpartition("/")
    return name if name.startswith(folder.rpartition("/")[2]) else stem.replace("/", "_")


def _centre(found: SceneObject, size: tuple[int, int]) -> np.ndarray:
    x1, y1, x2, y2 = found.bbox
    sides = np.asarray([*size, *size], dtype=np.float64)
    x1, x2 = np.clip([x1, x2], 0, size[0])
    y1, y2 = np.clip([y1, y2], 0, size[1])
    return np.asarray([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1]) / sides


def _numbers(number: int, values: np.ndarray) -> list[str]:
    return [" ".join([str(number), *(f"{v:.9g}" for v in values)]) + "\n"]
