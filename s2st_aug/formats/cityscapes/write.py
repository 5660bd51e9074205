"""Cityscapes written: its own tree, originals beside what changed; or polygons and label images out of any format."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

import numpy as np

from s2st_aug.formats.base import ConvertedImage, LabelTree, VariantEdit, WriteContext
from s2st_aug.formats.cityscapes.edit import ID_IMAGES, edit_id_image, edit_polygons, visible
from s2st_aug.formats.cityscapes.read import read_objects
from s2st_aug.formats.classes import BY_NAME, CityscapesClass, common_class
from s2st_aug.formats.file_tree import FileTreeWriter
from s2st_aug.formats.geometry import contours, drawn
from s2st_aug.formats.json_stream import parse_record, read_span
from s2st_aug.formats.label_images import encode_label_image, stored_size, union_of
from s2st_aug.records.scene import Scene, SceneObject


class CityscapesTreeWriter(FileTreeWriter):
    """Cityscapes to Cityscapes: where a label is ignored, its polygon is unlabeled and its pixels are void."""

    keeps_originals = True

    def edit_file(self, scene: Scene, tree: LabelTree, path: str, edit: VariantEdit) -> bytes | None:
        """Its polygons, where the verdicts are on them, and every label image.

        The other of fine and coarse polygons numbers its objects otherwise: it is carried, and told in the report.
        """
        if not edit.ignored:
            return None
        if tree.kind in ID_IMAGES:
            ignored = self._ignored_pixels(scene, edit)
            if ignored is None or not ignored.any():
                return None
            return edit_id_image(self.context.root / path, tree.kind, ignored)
        if tree.kind == "polygons" and path == scene.label_file:
            return edit_polygons((self.context.root / path).read_bytes(), edit.ignored)
        if tree.kind == "polygons":
            why = "verdicts are on the scene's own label file; this one is carried as it is"
            self.context.losses.add("polygons", why, path)
        return None

    def _ignored_pixels(self, scene: Scene, edit: VariantEdit) -> np.ndarray | None:
        """Where an ignored object shows, bool `h w`: its polygon is on top, or its instance is there."""
        card, root = self.context.card, self.context.root
        if scene.label_file is None or scene.label_key is None:
            return None
        if scene.label_file.endswith(".json"):
            record = parse_record(read_span(root / scene.label_file, scene.label_key), scene.label_file)
            return visible(record, edit.ignored, stored_size(root / scene.image))
        return union_of(read_objects(card, root, scene), edit.ignored)


@dataclass(frozen=True, slots=True)
class _Shape:
    label: CityscapesClass
    name: str  # as the polygon says it: `car`, `cargroup`, `unlabeled`
    outlines: tuple[np.ndarray, ...]
    mask: np.ndarray  # bool, h w
    instance: bool


class CityscapesWriter:
    """Another format to Cityscapes, for labels with an outline or a mask and a class that Cityscapes has.

    Writes `leftImg8bit/<split>/<dataset>` (PNG) and `gtFine/<split>/<dataset>`; names are `<dataset>_<name>_000000`.
    """

    png_only = True

    def __init__(self, context: WriteContext) -> None:
        self.context = context
        self.city = re.sub(r"[^0-9A-Za-z-]", "-", context.card.name)

    def _base(self, image: ConvertedImage) -> str:
        """Cityscapes' scripts split names at `_` and `.`: neither may stand in a part."""
        stem = re.sub(r"[_.]", "-", image.stem)
        return f"{image.split}/{self.city}/{self.city}_{stem}_000000{image.mark}"

    def image_name(self, image: ConvertedImage) -> str:
        """Where the image goes."""
        return f"leftImg8bit/{self._base(image)}_leftImg8bit.png"

    def add(self, image: ConvertedImage) -> None:
        """Polygons and label images: stuff below things, things in their order."""
        shapes = [shape for found in image.objects if (shape := self._shape(image, found)) is not None]
        shapes.sort(key=lambda shape: shape.label.instances)
        polygons = [
            {"label": shape.name, "polygon": outline.tolist()}
            for shape in shapes
            for outline in shape.outlines
            if len(outline) >= 3
        ]
        record = {"imgHeight": image.size[1], "imgWidth": image.size[0], "objects": polygons}
        base = f"gtFine/{self._base(image)}_gtFine"
        self.context.labels[self.image_name(image)] = len(polygons)
        self.context.output.write(f"{base}_polygons.json", json.dumps(record, indent=4).encode())
        for kind, pixels in _label_images(shapes, image.size).items():
            self.context.output.write(f"{base}_{kind}.png", encode_label_image(pixels))

    def finish(self) -> None:
        """Nothing belongs to the whole."""

    def _shape(self, image: ConvertedImage, found: SceneObject) -> _Shape | None:
        """How a label goes out; None, and told in the report, where Cityscapes has no way to say it."""
        losses, label = self.context.losses, common_class(self.context.card, found.category)
        if found.kind in ("box", "polyline"):
            losses.add(found.kind, "Cityscapes has filled outlines only", image.where)
            return None
        if label is None:
            losses.add("category", f"Cityscapes has no {found.category!r}", image.where)
            return None
        mask, holes, outlines = found.mask, False, list(found.outlines)
        if mask is not None:
            outlines, holes = contours(mask)
        self._report(image, found, label, outlines, holes=holes)
        if mask is None or mask.shape != image.size[::-1]:
            mask = drawn(tuple(outlines), image.size)
        if found.object_id in image.ignored:
            return _Shape(BY_NAME["unlabeled"], "unlabeled", tuple(outlines), mask, instance=False)
        group = found.crowd and label.instances
        name = f"{label.name}group" if group else label.name
        return _Shape(label, name, tuple(outlines), mask, instance=label.instances and not group)

    def _report(
        self,
        image: ConvertedImage,
        found: SceneObject,
        label: CityscapesClass,
        outlines: list[np.ndarray],
        *,
        holes: bool,
    ) -> None:
        thin, losses = sum(len(outline) < 3 for outline in outlines), self.context.losses
        parts = len(outlines) - 1 if found.kind != "stuff" else 0
        losses.add("mask", "holes are closed in the polygons, the label images keep them", image.where, int(holes))
        losses.add(
            "outline", "fewer than three points are no polygon; the label images keep the pixels", image.where, thin
        )
        losses.add(
            "outline", "a thing in several parts becomes several polygons; instanceIds keeps it one", image.where, parts
        )
        if found.crowd and found.object_id not in image.ignored and not label.instances:
            losses.add("crowd", "Cityscapes has groups of classes with instances only", image.where)
        if found.signal or found.occluded or found.truncated:
            losses.add("attributes", "Cityscapes has none (light colour, occluded, truncated)", image.where)


def _label_images(shapes: list[_Shape], size: tuple[int, int]) -> dict[str, np.ndarray]:
    """labelIds, labelTrainIds, instanceIds and color (`h w` or `h w 4`) of what lies on top."""
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
