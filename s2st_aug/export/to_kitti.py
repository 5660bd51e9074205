"""To KITTI: boxes of the classes that KITTI has; ignored labels as DontCare. Depth is not known: KITTI's own marks for that are written."""

from __future__ import annotations

from s2st_aug.export.convert import Item, class_of
from s2st_aug.export.job import Job
from s2st_aug.records.scene import LINES, SceneObject


class ToKitti:
    """Writes `training/image_2` (PNG, as its loaders expect) and `training/label_2`."""

    png_only = True

    def __init__(self, job: Job) -> None:
        self.job = job

    def _stem(self, item: Item) -> str:
        return f"{item.stem.replace('/', '_')}{item.mark}"

    def image_name(self, item: Item) -> str:
        """Where the image goes."""
        return f"training/image_2/{self._stem(item)}.png"

    def add(self, item: Item) -> None:
        """One label file."""
        lines = [line for found in item.objects for line in self._line(item, found)]
        self.job.output.write(f"training/label_2/{self._stem(item)}.txt", "".join(lines).encode())

    def _line(self, item: Item, found: SceneObject) -> list[str]:
        losses = self.job.losses
        if found.kind in LINES:
            losses.add(found.kind, "KITTI has boxes only", item.where)
            return []
        name = class_of(self.job.card, found.category).kitti
        if name is None:
            losses.add("category", f"KITTI has no {found.category!r}", item.where)
            return []
        if found.kind != "box":
            losses.add(found.kind, "KITTI has boxes only: the box is written", item.where)
        if found.signal:
            losses.add("light colour", "KITTI has none", item.where)
        if item.is_ignored(found) and name != "DontCare":
            losses.add("ignored label", "KITTI's DontCare regions have no class", item.where)
        return [_text(name, found, ignored=item.is_ignored(found))]

    def finish(self) -> None:
        """Nothing belongs to the whole."""


def _text(name: str, found: SceneObject, *, ignored: bool) -> str:
    box = " ".join(map(_number, found.bbox))
    if ignored:
        return f"DontCare -1 -1 -10 {box} -1 -1 -1 -1000 -1000 -1000 -10\n"
    return f"{name} {int(found.truncated)} {int(found.occluded)} -10 {box} -1 -1 -1 -1000 -1000 -1000 -10\n"


def _number(value: float) -> str:
    """Two digits as KITTI writes them, all of them where two would change the value."""
    return f"{value:.2f}" if float(f"{value:.2f}") == value else repr(value)
