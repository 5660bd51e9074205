"""KITTI written: its own tree, or boxes of the classes that KITTI has out of any format."""

from __future__ import annotations

from s2st_aug.arrays import Box
from s2st_aug.formats.base import ConvertedImage, LabelTree, VariantEdit, WriteContext
from s2st_aug.formats.classes import class_of
from s2st_aug.formats.file_tree import FileTreeWriter
from s2st_aug.formats.kitti.edit import DONT_CARE, edit_lines
from s2st_aug.formats.kitti.read import split_folder
from s2st_aug.formats.names import stem_of
from s2st_aug.formats.tree import tree_of
from s2st_aug.records.scene import LINES, Scene, SceneObject

_CLASSES = frozenset(["Car", "Van", "Truck", "Pedestrian", "Person_sitting", "Cyclist", "Tram", "Misc", "DontCare"])


class KittiTreeWriter(FileTreeWriter):
    """KITTI to KITTI: a lost or ignored object becomes a DontCare region."""

    def tree_of(self, scene: Scene, path: str) -> LabelTree | None:
        """Both halves of `training` lie in its folder."""
        return tree_of(path, split_folder(scene.split), self.context.card.labels)

    def edit_file(self, scene: Scene, tree: LabelTree, path: str, edit: VariantEdit) -> bytes | None:
        """Label files alone; calibration is carried."""
        if tree.kind != "lines" or not edit.ignored:
            return None
        return edit_lines((self.context.root / path).read_bytes(), edit.ignored)

    def finish(self) -> None:
        """ImageSets/<split>.txt with the names that went out, where the split is a list of names."""
        folder = self.context.card.images.format(split=split_folder(self.context.split))
        stems = sorted(stem_of(name.removeprefix(f"{folder}/")) for name in self.context.images)
        if self.context.split in ("train", "val") or self.context.held_out:  # else the folder is the split
            name = "train" if self.context.split == "training" else self.context.split
            self.context.output.write(f"ImageSets/{name}.txt", ("\n".join(stems) + "\n").encode())


class KittiWriter:
    """Another format to KITTI: `training/image_2` (PNG, as its loaders expect) and `training/label_2`.

    Boxes end at the image's border, as KITTI's own do, and `truncated` is the share of the box beyond it. Ignored
    labels are DontCare. Depth is not known: KITTI's own marks for that are written.
    """

    png_only = True

    def __init__(self, context: WriteContext) -> None:
        self.context = context
        self.sets: dict[str, list[str]] = {}

    def image_name(self, image: ConvertedImage) -> str:
        """Where the image goes."""
        return f"training/image_2/{image.stem}{image.mark}.png"

    def add(self, image: ConvertedImage) -> None:
        """One label file."""
        name = self.image_name(image).replace("/image_2/", "/label_2/").removesuffix(".png")
        lines = [line for found in image.objects for line in self._lines(image, found)]
        self.context.output.write(f"{name}.txt", "".join(lines).encode())
        self.context.labels[self.image_name(image)] = len(lines)
        self.sets.setdefault(image.split, []).append(f"{image.stem}{image.mark}")

    def finish(self) -> None:
        """ImageSets with the names of each split: all of them lie in one folder."""
        for split, names in self.sets.items():
            self.context.output.write(f"ImageSets/{split}.txt", ("\n".join(sorted(names)) + "\n").encode())

    def _lines(self, image: ConvertedImage, found: SceneObject) -> list[str]:
        """The line of a label; none, and told in the report, where KITTI has no way to say it."""
        losses = self.context.losses
        name = found.category if found.category in _CLASSES else class_of(self.context.card, found.category).kitti
        if found.kind in LINES:
            losses.add(found.kind, "KITTI has boxes only", image.where)
            return []
        if name is None:
            losses.add("category", f"KITTI has no {found.category!r}", image.where)
            return []
        if found.kind != "box":
            losses.add(found.kind, "KITTI has boxes only: the box is written", image.where)
        inside, beyond = _cut(found.bbox, image.size)
        if beyond >= 1:
            losses.add("box", "no part of it lies in the image", image.where)
            return []
        losses.add("geometry", "what lies outside the image is cut off", image.where, int(inside != found.bbox))
        if found.signal:
            losses.add("light colour", "KITTI has none", image.where)
        box = " ".join(map(_number, inside))
        if not image.is_ignored(found):
            truncated = "1" if found.truncated else f"{beyond:.2f}" if beyond else "0"
            return [f"{name} {truncated} {int(found.occluded)} -10 {box} -1 -1 -1 -1000 -1000 -1000 -10\n"]
        if name != "DontCare":
            losses.add("ignored label", "KITTI's DontCare regions have no class", image.where)
        return [DONT_CARE.format(box=box) + "\n"]


def _cut(box: Box, size: tuple[int, int]) -> tuple[Box, float]:
    """The part of a box that lies in an image of that size (w, h), and the share of its area that does not."""
    x1, x2 = (min(max(x, 0.0), float(size[0])) for x in (box[0], box[2]))
    y1, y2 = (min(max(y, 0.0), float(size[1])) for y in (box[1], box[3]))
    if (x1, y1, x2, y2) == box:
        return box, 0.0
    whole = (box[2] - box[0]) * (box[3] - box[1])
    return (x1, y1, x2, y2), 1 - (x2 - x1) * (y2 - y1) / whole if whole > 0 else 1.0


def _number(value: float) -> str:
    """Two digits as KITTI writes them, all of them where two would change the value."""
    return f"{value:.2f}" if float(f"{value:.2f}") == value else repr(value)
