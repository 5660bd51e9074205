"""ZOD written: a variant is a frame of its own, `single_frames/<id>__night`, and one more record in the lists."""

from __future__ import annotations

import json
import re

from s2st_aug.formats.base import LabelTree, VariantEdit, VariantNames, WriteContext
from s2st_aug.formats.file_tree import FileTreeWriter
from s2st_aug.formats.json_edit import Edit, apply, elements, members, object_start, set_member
from s2st_aug.formats.list_writer import ListWriter
from s2st_aug.formats.zod.read import LISTS, folder_of, info_of, name_of, records
from s2st_aug.records.scene import Scene


def variant_names(scene: Scene, mark: str, suffix: str) -> VariantNames:
    """The mark ends the frame's id, and so the name of its folder; the image in it keeps its name."""
    source = scene.scene_id.removeprefix(f"{scene.split}/")
    before, behind = folder_of(scene.image, source)
    below = f"{source}{mark}/{behind.rpartition('.')[0]}{suffix}"
    return VariantNames(source, source + mark, mark, f"{before}/{below}" if before else below, below)


class FrameFolderWriter(FileTreeWriter):
    """ZOD to ZOD: a label to ignore is `unclear`, as the development kit leaves those out; every other byte stays."""

    def __init__(self, context: WriteContext) -> None:
        super().__init__(context)
        self._sources: set[str] = set()
        self._variants: dict[str, list[VariantNames]] = {}

    def add_source(self, scene: Scene) -> None:
        """The frame's annotations, as they are."""
        super().add_source(scene)
        self._sources.add(scene.scene_id.removeprefix(f"{scene.split}/"))

    def add_variant(self, scene: Scene, edit: VariantEdit) -> None:
        """Annotations in the variant's own folder."""
        super().add_variant(scene, edit)
        self._variants.setdefault(edit.names.source, []).append(edit.names)

    def edit_file(self, scene: Scene, tree: LabelTree, path: str, edit: VariantEdit) -> bytes | None:
        """The features of a file of objects; other annotations are carried."""
        if tree.kind != "objects" or not edit.ignored:
            return None
        prefix = "" if path == scene.label_file else f"{tree.name}/"
        return edit_features((self.context.root / path).read_bytes(), edit.ignored, prefix)

    def finish(self) -> None:
        """The lists of frames, with what went out; paths of what is not carried (lidar, OxTS) are the source's."""
        context = self.context
        for name in (n for n in LISTS if (context.root / n).is_file()):
            splits = dict.fromkeys((context.split, "train", "val"))
            for index, split in enumerate(splits):
                head = b"{" if index == 0 else b",\n"
                if index == 0:
                    writer = ListWriter(context.output, name, head + json.dumps(split).encode() + b": [\n", b"\n]}\n")
                else:
                    writer.part(b"\n]" + head + json.dumps(split).encode() + b": [\n")
                for element in records(context.root / name, split):
                    self._record(writer, info_of(element, name).frame_id, element.text, split)
            writer.close()

    def _record(self, writer: ListWriter, frame: str, text: str, split: str) -> None:
        if split != self.context.split:
            if info_placed(self.context, text):
                writer.append(text.encode("latin-1"))
            return
        if frame in self._sources:
            writer.append(text.encode("latin-1"))
        for names in self._variants.get(frame, ()):
            writer.append(edit_record(text, names).encode("latin-1"))


def info_placed(context: WriteContext, text: str) -> bool:
    """Whether the image of a record of another split went out."""
    return any(json.loads(f'"{name}"') in context.output.sha256 for name in _PATH.findall(text))


_PATH = re.compile(r'"([^"\\]+\.(?:jpg|jpeg|png))"')


def edit_features(data: bytes, ignored: frozenset[str], prefix: str) -> bytes:
    """The file with `unclear: true` for the features to ignore; `prefix` is what the reader puts before their names."""
    text = data.decode("latin-1")
    edits: list[Edit] = []
    seen: set[str] = set()
    for index, feature in enumerate(elements(text, object_start(text))):
        name = own = prefix + name_of(feature.value, index)
        if own in seen:  # as the reader calls it
            name = f"{own}#{index}"
        seen.add(name)
        if name in ignored and isinstance(feature.value, dict):
            places = [m for m in members(text, feature.start) if m.key == "properties" and isinstance(m.value, dict)]
            edits += [change for place in places for change in set_member(text, place.start, "unclear", value=True)]
    return apply(text, edits).encode("latin-1")


def edit_record(text: str, names: VariantNames) -> str:
    """A frame's record with the variant's id, and the paths of what the variant has of its own."""
    edits = [Edit(m.start, m.end, json.dumps(names.stem)) for m in members(text) if m.key == "id"]
    own = re.compile(rf'"((?:[^"\\]*/)?){re.escape(names.source)}/((?:annotations|camera_)[^"\\]*|[^"/\\]+\.json)"')
    image = names.below.partition("/")[2]
    for found in own.finditer(text):
        behind = image if found[2].rpartition(".")[0] == image.rpartition(".")[0] else found[2]
        edits.append(Edit(*found.span(), json.dumps(f"{found[1]}{names.stem}/{behind}")))
    return apply(text, edits)
