"""YOLO written: its own tree with its data.yaml, or boxes and outlines of things out of any format."""

from __future__ import annotations

import json
from pathlib import PurePosixPath

import numpy as np

from s2st_aug.formats.base import ConvertedImage, LabelTree, VariantEdit, VariantNames, WriteContext
from s2st_aug.formats.file_tree import FileTreeWriter
from s2st_aug.formats.geometry import area, box_outline, contours
from s2st_aug.formats.names import IMAGE_SUFFIXES, split_name
from s2st_aug.formats.yolo.edit import edit_data_yaml, edit_lines
from s2st_aug.formats.yolo.read import DATA_FILES, label_of, places
from s2st_aug.records.scene import Scene, SceneObject

_THINGS = ("box", "polygon", "mask")


class YoloTreeWriter(FileTreeWriter):
    """YOLO to YOLO: the line of a lost object is left out, and told; an ignored one stays."""

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
        losses, kept = self.context.losses, len(edit.ignored - edit.lost)
        losses.add("label", "YOLO has no region to ignore: the line of a lost object is left out", path, len(edit.lost))
        losses.add("verdict ignore", "YOLO has no region to ignore: the line stays", path, kept)
        return edit_lines((self.context.root / path).read_bytes(), edit.lost)

    def finish(self) -> None:
        """data.yaml, and a split that is a list of images with those that went out."""
        output, root = self.context.output, self.context.root
        images = sorted(name for name in output.sha256 if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES)
        for place in places(root, self.context.split):
            if place.endswith(".txt"):
                output.write(place, "".join(f"./{name}\n" for name in images).encode())
        for name in DATA_FILES:
            if (root / name).is_file():
                output.write(name, edit_data_yaml(root / name, root))


class YoloWriter:
    """Another format to YOLO: `images/<split>`, `labels/<split>` and data.yaml; classes keep the source's names.

    Polygons where the first labelled image has outlines for all of its things, else boxes. Ignored labels are left out.
    """

    png_only = False

    def __init__(self, context: WriteContext) -> None:
        self.output, self.losses, self.split = context.output, context.losses, split_name(context.split)
        self.names = {c.name: i for i, c in enumerate(context.card.classes)}
        self.segments: bool | None = None

    def image_name(self, image: ConvertedImage) -> str:
        """Where the image goes."""
        return f"images/{self.split}/{flat(image.stem)}{image.mark}{image.suffix}"

    def add(self, image: ConvertedImage) -> None:
        """One label file; an image without things gets an empty one."""
        things = [found for found in image.objects if self._is_thing(image, found)]
        if self.segments is None and things:
            self.segments = all(found.kind != "box" for found in things)
        lines = [line for found in things for line in self._line(image, found)]
        name = self.image_name(image).replace("images/", "labels/", 1).removesuffix(image.suffix)
        self.output.write(f"{name}.txt", "".join(lines).encode())

    def finish(self) -> None:
        """data.yaml without `path`: Ultralytics takes the file's own folder then, for a dot the working directory."""
        train = f"train: images/{self.split}"
        val = "val: images/val  # nothing held out is exported: put real images there"
        names = [f"  {number}: {json.dumps(name, ensure_ascii=False)}" for name, number in self.names.items()]
        self.output.write("data.yaml", ("\n".join([train, val, "names:", *names]) + "\n").encode())

    def _is_thing(self, image: ConvertedImage, found: SceneObject) -> bool:
        if found.kind not in _THINGS:
            self.losses.add(found.kind, "YOLO has boxes and closed outlines of things only", image.where)
            return False
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
            self._report_clipped(image, np.asarray(found.bbox).reshape(2, 2))
            return _numbers(number, _centre(found, image.size))
        outline = self._outline(image, found)
        if len(outline) < 3:
            self.losses.add(found.kind, "its outline has fewer than three points", image.where)
            return []
        self._report_clipped(image, outline)
        return _numbers(number, np.clip(outline / np.asarray(image.size), 0, 1).ravel())

    def _report_clipped(self, image: ConvertedImage, points: np.ndarray) -> None:
        outside = bool(((points < 0) | (points > np.asarray(image.size))).any())
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
