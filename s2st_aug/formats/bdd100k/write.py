"""BDD100K written: its own tree, records spliced and not written anew; or one Scalabel list out of any format."""

from __future__ import annotations

import json
from typing import Any

from s2st_aug.formats.base import ConvertedImage, LabelTree, VariantEdit, WriteContext
from s2st_aug.formats.bdd100k.edit import edit_frame, edit_mask
from s2st_aug.formats.bdd100k.masks import READERS as MASKS
from s2st_aug.formats.bdd100k.read import label_counts, read_objects
from s2st_aug.formats.cards import load_card
from s2st_aug.formats.classes import translated
from s2st_aug.formats.file_tree import FileTreeWriter
from s2st_aug.formats.json_stream import read_span
from s2st_aug.formats.label_images import union_of
from s2st_aug.formats.list_writer import ListWriter, around
from s2st_aug.formats.names import marked, split_name
from s2st_aug.formats.run_lengths import encode
from s2st_aug.records.domains import BDD_ATTRIBUTES
from s2st_aug.records.scene import LabelKey, Scene, SceneObject

_AS_JSON = json.JSONEncoder(ensure_ascii=False).encode  # json.dumps makes an encoder for each frame
_COLOURS = {"green": "G", "red": "R", "amber": "Y"}


class FrameTreeWriter(FileTreeWriter):
    """BDD100K to BDD100K: records of frame lists go into lists of the same name, other label files are files again."""

    def __init__(self, context: WriteContext) -> None:
        super().__init__(context)
        self._lists: dict[str, ListWriter] = {}
        self._records: dict[tuple[str, LabelKey], bytes] = {}  # of one scene: read once for the source and all variants
        self._scene: Scene | None = None

    def carry(self, scene: Scene, tree: LabelTree | None, path: str, key: LabelKey | None) -> None:
        """A record of a list goes on as it is; so does a file."""
        if key is not None and tree is not None and tree.kind == "frames":
            self._list(path, path).append(self._record(scene, path, key))
        else:
            super().carry(scene, tree, path, key)

    def add_variant(self, scene: Scene, edit: VariantEdit) -> None:
        """Records are edited and appended; a video's own list becomes a list of the variant's."""
        for index, (path, key, tree) in enumerate(self.labels_of(scene)):
            if key is None or tree is None or tree.kind != "frames":
                self.put(scene, tree, path, edit)
                continue
            new = marked(path, edit.names.mark) if "*" in tree.path else path
            prefix = f"{tree.name}/" if index else ""
            repeated = index > 0 and any(
                "#" in name for name in edit.ignored
            )  # ids that tell labels apart by their number
            offset = sum(label_counts(self.context.card, self.context.root, scene)[:index]) if repeated else 0
            self._list(path, new).append(edit_frame(self._record(scene, path, key), edit, prefix, offset))

    def edit_file(self, scene: Scene, tree: LabelTree, path: str, edit: VariantEdit) -> bytes | None:
        """A legacy file of one frame always says the domain; a mask changes where one of its own objects is ignored."""
        if tree.kind == "frame_files":
            return edit_frame((self.context.root / path).read_bytes(), edit)
        own = frozenset(name for name in edit.ignored if name.startswith(f"{tree.name}/"))
        if not own or tree.kind not in MASKS:
            return None
        ignored = union_of(read_objects(self.context.card, self.context.root, scene), own)
        return None if ignored is None else edit_mask(self.context.root / path, tree.kind, ignored)

    def finish(self) -> None:
        """End the lists."""
        for writer in self._lists.values():
            writer.close()

    def _record(self, scene: Scene, path: str, key: LabelKey) -> bytes:
        if scene is not self._scene:
            self._scene, self._records = scene, {}
        if (path, key) not in self._records:
            self._records[path, key] = read_span(self.context.root / path, key)
        return self._records[path, key]

    def _list(self, source: str, name: str) -> ListWriter:
        if name not in self._lists:
            head, tail = around(self.context.root / source, "frames")
            self._lists[name] = ListWriter(self.context.output, name, head, tail)
        return self._lists[name]


class FrameListWriter:
    """Another format to BDD100K: `images/100k/<split>` and one list, `labels/det_20/det_<split>.json`."""

    png_only = False

    def __init__(self, context: WriteContext) -> None:
        self.context, self.card = context, load_card("bdd100k")
        self.lists: dict[str, ListWriter] = {}
        self._list(split_name(context.split))

    def _list(self, split: str) -> ListWriter:
        if split not in self.lists:
            name = f"labels/det_20/det_{split}.json"
            self.lists[split] = ListWriter(self.context.output, name, b"[\n", b"\n]\n")
        return self.lists[split]

    def image_name(self, image: ConvertedImage) -> str:
        """Where the image goes."""
        return f"images/100k/{image.split}/{image.stem}{image.mark}{image.suffix}"

    def add(self, image: ConvertedImage) -> None:
        """One frame."""
        attributes = image.attributes | BDD_ATTRIBUTES.get(image.domain or "", {})
        labels = [self._label(image, found) for found in image.objects]
        size = dict(zip(("width", "height"), image.size, strict=True))  # scalabel draws polygons and RLE within it
        name = f"{image.stem}{image.mark}{image.suffix}"
        frame = {"name": name, "size": size, "attributes": attributes, "labels": labels}
        self._list(image.split).append(_AS_JSON(frame).encode())
        self.context.labels[self.image_name(image)] = len(labels)

    def _label(self, image: ConvertedImage, found: SceneObject) -> dict[str, Any]:
        attributes: dict[str, Any] = {"occluded": found.occluded, "truncated": found.truncated}
        if found.signal:
            attributes["trafficLightColor"] = _COLOURS[found.signal]
        if found.crowd:
            attributes["crowd"] = True
        if found.object_id in image.ignored:
            attributes["ignored"] = True
        category = translated(self.context.card, found.category, self.card)
        if not self.card.category(category) and found.kind != "polyline":
            self.context.losses.add(
                "category", f"{category!r} is none of BDD100K's; it keeps its own name", image.where
            )
        return {"id": found.object_id, "category": category, "attributes": attributes} | _geometry(found)

    def finish(self) -> None:
        """End the lists."""
        for writer in self.lists.values():
            writer.close()


def _geometry(found: SceneObject) -> dict[str, Any]:
    shape: dict[str, Any] = {}
    if found.kind in ("box", "polygon", "mask"):
        shape["box2d"] = dict(zip(("x1", "y1", "x2", "y2"), found.bbox, strict=True))
    if found.mask is not None:
        return shape | {"rle": encode(found.mask)}
    if found.outlines:
        closed = found.kind != "polyline"
        shape["poly2d"] = [{"vertices": o.tolist(), "types": "L" * len(o), "closed": closed} for o in found.outlines]
    return shape
