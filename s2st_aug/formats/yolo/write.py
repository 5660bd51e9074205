"""YOLO written: its own tree with its data.yaml, or boxes and outlines of things out of any format."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import cycle

import numpy as np

from s2st_aug.formats.base import ConvertedImage, LabelTree, VariantEdit, VariantNames, WriteContext
from s2st_aug.formats.file_tree import FileTreeWriter
from s2st_aug.formats.geometry import area, box_outline, clipped, contours
from s2st_aug.formats.names import split_name
from s2st_aug.formats.yolo.edit import data_yaml_text, edit_data_yaml, edit_lines
from s2st_aug.formats.yolo.names import class_names, data_file
from s2st_aug.formats.yolo.read import label_of, places, usual_place
from s2st_aug.records.scene import Scene, SceneObject

_HELD_OUT = ("val", "test")
_THINGS = ("box", "polygon", "mask")


class YoloTreeWriter(FileTreeWriter):
    """YOLO to YOLO: the line of a label to ignore is left out; the report tells what became of its pixels."""

    def tree_of(self, scene: Scene, path: str) -> LabelTree | None:
        """data.yaml may name any folder."""
        return super().tree_of(scene, path) or self.context.card.labels[0]

    def new_name(self, tree: LabelTree, path: str, names: VariantNames) -> str:
        """By Ultralytics' rule from the image's name, where data.yaml lists images in any folder."""
        return super().new_name(tree, path, names) if path.endswith(f"{names.source}.txt") else label_of(names.image)

    def edit_file(self, scene: Scene, tree: LabelTree, path: str, edit: VariantEdit) -> bytes | None:
        """The lines that are left."""
        if not edit.ignored:
            return None
        return edit_lines((self.context.root / path).read_bytes(), edit.ignored)

    def finish(self) -> None:
        """data.yaml that leads to the export, and a split that is a list of images with those that went out."""
        context, found = self.context, places(self.context.root, self.context.split)
        lead = {context.split: self._places(found) or [usual_place(context.card, context.root, context.split)]}
        for split in context.held_out:
            there = [place for place in places(context.root, split) if (context.root / place).exists()]
            if kept := [place for place in there if place not in found]:
                lead[split] = kept
        file, names = data_file(context.root), class_names(context.card, context.root)
        if file is not None:
            shared = {s for s in _HELD_OUT if s != context.split and set(places(context.root, s)) & set(found)}
            why = "its folder is the one that is trained on: data.yaml names it no more, variants would lie in it"
            context.losses.add("held-out split", why, file.name, len(shared - lead.keys()))
            missing = None if names.file == file.name else names.by_number()
            context.output.write(file.name, edit_data_yaml(file.read_bytes(), lead, shared - lead.keys(), missing))
        else:
            splits = dict.fromkeys((context.split, "val", *context.held_out))
            folders = {split: usual_place(context.card, context.root, split) for split in splits}
            context.output.write("data.yaml", data_yaml_text(folders, names.by_number()))

    def _places(self, found: list[str]) -> list[str]:
        """The folders that data.yaml names, and one list of the images that lie elsewhere, in a folder above them."""
        folders, lists = [p for p in found if not p.endswith(".txt")], [p for p in found if p.endswith(".txt")]
        if not lists:
            return folders
        images = sorted(n for n in self.context.images if not any(n.startswith(f"{folder}/") for folder in folders))
        place = lists[0]
        below = place.rpartition("/")[0] + "/" if "/" in place else ""
        if not all(name.startswith(below) for name in images):  # Ultralytics replaces every `./`, in `../` too
            below, place = "", place.rpartition("/")[2]
        self.context.output.write(place, "".join(f"./{name[len(below) :]}\n" for name in images).encode())
        return [*folders, place]


class YoloWriter:
    """Another format to YOLO: `images/<split>`, `labels/<split>` and data.yaml; classes keep the source's names.

    Polygons where the first labelled image has outlines for all of its things, else boxes. Ignored labels are left out.
    """

    png_only = False

    def __init__(self, context: WriteContext) -> None:
        self.output, self.losses, self.split = context.output, context.losses, split_name(context.split)
        self.context = context
        self.names = {name: i for i, name in enumerate(context.classes.of(_THINGS))}
        self.segments: bool | None = None

    def image_name(self, image: ConvertedImage) -> str:
        """Where the image goes."""
        return f"images/{image.split}/{image.stem}{image.mark}{image.suffix}"

    def add(self, image: ConvertedImage) -> None:
        """One label file; an image without things gets an empty one."""
        things = [found for found in image.objects if self._is_thing(image, found)]
        if self.segments is None and things:
            self.segments = all(found.kind != "box" for found in things)
        lines = [line for found in things for line in self._line(image, found)]
        name = self.image_name(image).replace("images/", "labels/", 1).removesuffix(image.suffix)
        self.output.write(f"{name}.txt", "".join(lines).encode())
        self.context.labels[self.image_name(image)] = len(lines)

    def finish(self) -> None:
        """data.yaml without `path`: Ultralytics takes the file's own folder then, for a dot the working directory."""
        folders = {split: f"images/{split}" for split in (self.split, "val", *self.context.held_out)}
        self.output.write("data.yaml", data_yaml_text(folders, list(self.names)))

    def _is_thing(self, image: ConvertedImage, found: SceneObject) -> bool:
        if found.kind not in _THINGS:
            self.losses.add(found.kind, "YOLO has boxes and closed outlines of things only", image.where)
            return False
        if found.object_id in image.ignored:
            return False  # the export tells what became of it
        if image.is_ignored(found):
            self.losses.add("ignored label", "YOLO has no region to ignore: it is left out", image.where)
            return False
        if found.signal or found.occluded or found.truncated:
            self.losses.add("attributes", "YOLO has none (light colour, occluded, truncated)", image.where)
        return True

    def _line(self, image: ConvertedImage, found: SceneObject) -> list[str]:
        number = self.names.setdefault(found.category, len(self.names))
        if not self.segments:
            if found.kind != "box":
                self.losses.add(found.kind, "boxes are written where not every label has an outline", image.where)
            values = _centre(found, image.size)
            if min(values[2:]) <= 0:
                self.losses.add("box", "no part of it lies in the image", image.where)
                return []
            self._report_clipped(image, found.bbox)
            return _numbers(number, values)
        outline = self._outline(image, found)
        if len(outline) < 3:
            self.losses.add(found.kind, "its outline has fewer than three points", image.where)
            return []
        inside = clipped(outline, image.size)
        if len(inside) < 3 or np.ptp(inside, axis=0).min() <= 0:
            self.losses.add(found.kind, "no part of it lies in the image", image.where)
            return []
        self._report_clipped(image, outline.ravel().tolist())
        return _numbers(number, (inside / np.asarray(image.size)).ravel().tolist())

    def _report_clipped(self, image: ConvertedImage, values: Sequence[float]) -> None:
        """Of coordinates in pixels, x before y."""
        outside = any(value < 0 or value > side for value, side in zip(values, cycle(image.size), strict=False))
        self.losses.add("geometry", "what lies outside the image is cut off", image.where, int(outside))

    def _outline(self, image: ConvertedImage, found: SceneObject) -> np.ndarray:
        """The largest outline; the rest, and holes, are reported."""
        outlines = list(found.outlines)
        if found.mask is not None:
            outlines, holes = contours(found.mask)
            self.losses.add("mask", "holes are closed", image.where, int(holes))
        if not outlines:
            self.losses.add("box", "written as an outline of four corners", image.where)
            return box_outline(found)
        more = len(outlines) - 1
        self.losses.add("outline", "YOLO has one outline a label: the largest is written", image.where, more)
        return max(outlines, key=area)


def _centre(found: SceneObject, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Centre, width and height of what lies of the box in the image, as fractions; numpy takes ten times as long."""
    (x1, y1, x2, y2), (w, h) = found.bbox, size
    x1, x2 = (min(max(x, 0.0), w) for x in (x1, x2))
    y1, y2 = (min(max(y, 0.0), h) for y in (y1, y2))
    return (x1 + x2) / 2 / w, (y1 + y2) / 2 / h, (x2 - x1) / w, (y2 - y1) / h


def _numbers(number: int, values: Iterable[float]) -> list[str]:
    return [" ".join([str(number), *(f"{v:.9g}" for v in values)]) + "\n"]
