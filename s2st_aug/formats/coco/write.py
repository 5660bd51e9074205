"""COCO written: its own files with entries spliced and not written anew, or one instances file out of any format."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from s2st_aug.formats.base import ConvertedImage, VariantEdit, VariantNames, WriteContext
from s2st_aug.formats.coco.edit import edit_annotation, edit_image, edit_panoptic, record_of
from s2st_aug.formats.coco.read import annotation_name
from s2st_aug.formats.geometry import area
from s2st_aug.formats.json_stream import ARRAY, read_span, stream
from s2st_aug.formats.list_writer import ListWriter
from s2st_aug.formats.names import marked, split_name
from s2st_aug.formats.references import label_files, split_reference
from s2st_aug.formats.run_lengths import encode
from s2st_aug.formats.tree import tree_of
from s2st_aug.formats.values import plain_id
from s2st_aug.records.scene import Scene, SceneObject

_AS_JSON = json.JSONEncoder(ensure_ascii=False).encode  # json.dumps makes an encoder for each annotation
_KINDS = ("box", "polygon", "mask", "stuff")
_LISTS = ("images", "annotations")
_EXACT = 1 << 52
"""ids below it stay whole numbers in consumers that keep them as floats, with room for the variants'"""


def variant_names(scene: Scene, mark: str, suffix: str) -> VariantNames:
    """COCO's names may hold anything: the mark follows the scene's name, which holds a suffix where two images differ
    in that alone.
    """
    source = scene.scene_id.removeprefix(f"{scene.split}/")
    name = source if scene.image.endswith(f"/{source}") else f"{source}.{scene.image.rpartition('.')[2]}"
    below = source + mark + suffix
    return VariantNames(source, source + mark, mark, scene.image.removesuffix(name) + below, below)


class AnnotationsWriter:
    """COCO to COCO: the sources' entries, then the variants' with new numbers; other members of a file as they are."""

    def __init__(self, context: WriteContext) -> None:
        self.context = context
        self._sources: list[Scene] = []
        self._variants: list[tuple[Scene, VariantEdit]] = []

    def add_source(self, scene: Scene) -> None:
        """Entries are written at the end, when the numbers in use are known."""
        self._sources.append(scene)

    def add_variant(self, scene: Scene, edit: VariantEdit) -> None:
        """Entries are written at the end."""
        self._variants.append((scene, edit))

    def finish(self) -> None:
        """Every annotation file that the scenes name. A variant's image has the same number in all of them."""
        scenes = [*self._sources, *(scene for scene, _ in self._variants)]
        names = dict.fromkeys(path for scene in scenes for path in _annotation_files(scene))
        files = {name: _AnnotationFile.open(self.context, name) for name in names}
        for scene in self._sources:
            self._source(scene, files)
        for file in files.values():
            file.carry_orphans()
        image, annotation = (max((file.numbers[array] for file in files.values()), default=0) for array in _LISTS)
        for scene, edit in self._variants:
            image += 1
            annotation = self._variant(scene, edit, files, image, annotation)
        for file in files.values():
            file.close()

    def _source(self, scene: Scene, files: dict[str, _AnnotationFile]) -> None:
        for file, entry in self._entries(scene, files):
            file.put("images", entry)
        for path, _, text in self._annotations(scene):
            if text is not None:
                files[path].put("annotations", text)
            else:
                self.context.output.place(path, self.context.root / path)

    def _variant(
        self, scene: Scene, edit: VariantEdit, files: dict[str, _AnnotationFile], image: int, annotation: int
    ) -> int:
        """The entries of one variant; gives the last number of an annotation in use."""
        mark = edit.names.mark
        for file, entry in self._entries(scene, files):
            file.put("images", edit_image(entry, image, edit.names.below))
        seen, index = set[str](), 0
        for path, where, text in self._annotations(scene):
            if text is None:
                self.context.output.place(marked(path, mark), self.context.root / path)
            elif files[path].kind == "panoptic":
                files[path].put("annotations", edit_panoptic(text, image, mark, edit.ignored))
                index += len(json.loads(text.encode("latin-1")).get("segments_info") or ())
            else:
                annotation += 1
                prefix = "keypoints/" if files[path].kind == "keypoints" else ""
                name = annotation_name(record_of(text), prefix, where)
                if name in seen:  # as the reader calls it: an id met again takes its place with it
                    name = f"{name}#{index}"
                seen.add(name)
                index += 1
                edited = edit_annotation(text, annotation, image, ignored=name in edit.ignored)
                files[path].put("annotations", edited)
        return annotation

    def _annotations(self, scene: Scene) -> Iterator[tuple[str, str, str | None]]:
        """Path, place and text (None: a panoptic image) of each annotation, in the reader's order.

        A file's first record is its categories.
        """
        started: set[str] = set()
        for path, key in map(split_reference, scene.extra_files):
            if key is None:
                yield path, path, None
            elif path in started:
                text = read_span(self.context.root / path, key).decode("latin-1")
                yield path, f"{path} at byte {key.start}", text
            started.add(path)

    def _entries(self, scene: Scene, files: dict[str, _AnnotationFile]) -> Iterator[tuple[_AnnotationFile, str]]:
        """The scene's entry in `images` of every file that lists it."""
        if scene.label_file is None or scene.label_key is None:
            return
        own = read_span(self.context.root / scene.label_file, scene.label_key).decode("latin-1")
        name = str(json.loads(own.encode("latin-1"))["file_name"])
        for path in _annotation_files(scene):
            entry = own if path == scene.label_file else files[path].images.get(name)
            if entry is not None:
                yield files[path], entry


def _annotation_files(scene: Scene) -> list[str]:
    """The files that hold records of the scene, each once."""
    return list(dict.fromkeys(path for path, key in label_files(scene) if key or path == scene.label_file))


@dataclass(slots=True)
class _AnnotationFile:
    """One annotation file: what the source says of it, and the lists of the export gathered beside it."""

    context: WriteContext
    name: str
    kind: str
    numbers: dict[str, int]  # list -> greatest id in use
    images: dict[str, str]  # file name -> entry
    listed: set[int | str | None]  # ids in `images`
    owners: dict[int | str | None, int]  # image ids that annotations name -> how many
    members: list[tuple[str, list[str] | str]]
    parts: dict[str, BinaryIO]

    @classmethod
    def open(cls, context: WriteContext, name: str) -> _AnnotationFile:
        """One pass over the source's file."""
        tree, slug = tree_of(name, context.split, context.card.labels), name.replace("/", "-")
        partial = context.output.partial
        parts: dict[str, BinaryIO] = {a: open(partial / f".{slug}-{a}", "w+b") for a in _LISTS}  # noqa: SIM115 - in `close`
        kind = tree.kind if tree else "instances"
        file = cls(context, name, kind, dict.fromkeys(_LISTS, 0), {}, set(), {}, [], parts)
        for element in stream(context.root / name, skim=True):
            if element.value is ARRAY:
                file.members.append((element.array, []))
            elif element.array in _LISTS:
                file._known(element.array, element.value, element.text)
            elif file.members and file.members[-1][0] == element.array and isinstance(file.members[-1][1], list):
                file.members[-1][1].append(element.text)
            else:
                file.members.append((element.array, element.text))
        return file

    def _known(self, array: str, value: Any, text: str) -> None:
        if not isinstance(value, dict):
            return
        self._taken(array, plain_id(value.get("id")))
        if array == "images":
            self.images[str(value.get("file_name"))] = text
            self.listed.add(plain_id(value.get("id")))
        else:
            owner = plain_id(value.get("image_id"))
            self.owners[owner] = self.owners.get(owner, 0) + 1
            self._taken("images", owner)

    def _taken(self, array: str, number: int | str | None) -> None:
        """Numbers of variants follow the greatest in use below `_EXACT`; those above are hashes or times."""
        if isinstance(number, int) and number < _EXACT:
            self.numbers[array] = max(self.numbers[array], number)

    def carry_orphans(self) -> None:
        """Annotations of images that the file does not list go on as they are, and are told."""
        orphans = {owner: count for owner, count in self.owners.items() if owner not in self.listed}
        if not orphans:
            return
        why = "it belongs to no image that is listed: carried as it is"
        self.context.losses.add("annotation", why, self.name, sum(orphans.values()))
        for element in stream(self.context.root / self.name, skim=True):
            value = element.value if isinstance(element.value, dict) else {}
            if element.array == "annotations" and value and plain_id(value.get("image_id")) in orphans:
                self.put("annotations", element.text)

    def put(self, array: str, text: str) -> None:
        """One more entry."""
        part = self.parts[array]
        part.write((b",\n" if part.tell() else b"") + text.encode("latin-1"))

    def close(self) -> None:
        """Write the file member by member, in the source's order."""
        target = self.context.output.path(self.name)
        with open(target, "wb") as out:
            for index, (key, pieces) in enumerate(self.members):
                out.write((b"," if index else b"{") + b"\n" + json.dumps(key).encode() + b": ")
                self._member(out, key, pieces)
            out.write(b"\n}\n")
        with open(target, "rb") as written:
            self.context.output.sha256[self.name] = hashlib.file_digest(written, "sha256").hexdigest()

    def _member(self, out: BinaryIO, key: str, pieces: list[str] | str) -> None:
        if isinstance(pieces, str):
            out.write(pieces.encode("latin-1"))
        elif key not in self.parts:
            out.write(f"[{', '.join(pieces)}]".encode("latin-1"))
        else:
            with self.parts[key] as part:
                part.seek(0)
                out.write(b"[\n")
                while block := part.read(1 << 20):
                    out.write(block)
                out.write(b"\n]")
            Path(part.name).unlink()


class CocoWriter:
    """Another format to COCO: `<split>2017` and `annotations/instances_<split>2017.json`; the source's categories."""

    png_only = False

    def __init__(self, context: WriteContext) -> None:
        self.context = context
        self.categories = {name: i + 1 for i, name in enumerate(context.classes.of(_KINDS))}
        self.stuff: set[str] = set()
        self.images: dict[str, list[str]] = {}
        self.annotations: dict[str, ListWriter] = {}
        self._list(split_name(context.split))
        self.count = 0

    def _list(self, split: str) -> ListWriter:
        if split not in self.annotations:
            name = f"annotations/instances_{split}2017.json"
            self.annotations[split] = ListWriter(self.context.output, name, b'{"annotations": [\n', b"")
            self.images[split] = []
        return self.annotations[split]

    def image_name(self, image: ConvertedImage) -> str:
        """Where the image goes."""
        return f"{image.split}2017/{image.stem}{image.mark}{image.suffix}"

    def add(self, image: ConvertedImage) -> None:
        """One image and its annotations."""
        annotations, images, before = self._list(image.split), self.images[image.split], self.count
        number, (width, height) = sum(map(len, self.images.values())) + 1, image.size
        name = f"{image.stem}{image.mark}{image.suffix}"
        attributes = image.attributes | ({"domain": image.domain} if image.domain else {})
        entry = {"id": number, "file_name": name, "width": width, "height": height, "attributes": attributes}
        images.append(_AS_JSON(entry))
        for found in image.objects:
            if found.kind == "polyline":
                self.context.losses.add("polyline", "COCO has no open lines", image.where)
            else:
                annotations.append(_AS_JSON(self._annotation(image, number, found)).encode())

        self.context.labels[self.image_name(image)] = self.count - before

    def _annotation(self, image: ConvertedImage, number: int, found: SceneObject) -> dict[str, Any]:
        self.count += 1
        x1, y1, x2, y2 = found.bbox
        category = self.categories.setdefault(found.category, len(self.categories) + 1)
        if found.kind == "stuff" and not found.crowd:
            self.stuff.add(found.category)
        attributes = {"source_id": found.object_id, "occluded": found.occluded, "truncated": found.truncated}
        if found.signal:
            attributes["signal"] = found.signal
        head = {"id": self.count, "image_id": number, "category_id": category, "bbox": [x1, y1, x2 - x1, y2 - y1]}
        return head | segmentation(found) | {"iscrowd": int(image.is_ignored(found)), "attributes": attributes}

    def finish(self) -> None:
        """Images and categories, which are known now."""
        listed = []
        for name, number in self.categories.items():
            kind = "stuff" if name in self.stuff else "thing"
            listed.append({"id": number, "name": name, "supercategory": kind, "isthing": int(kind == "thing")})
        categories = _AS_JSON(listed)
        for split, written in self.annotations.items():
            images = ",\n".join(self.images[split])
            written.tail = f'\n],\n"images": [\n{images}\n],\n"categories": {categories}}}\n'.encode()
            written.close()


def segmentation(found: SceneObject) -> dict[str, Any]:
    """A label's `segmentation` and `area`: its mask, else its closed outlines, else its box alone."""
    x1, y1, x2, y2 = found.bbox
    if found.mask is not None:
        return {"segmentation": encode(found.mask), "area": float(found.mask.sum())}
    outlines = [o for o in found.outlines if len(o) >= 3]
    if outlines:
        return {"segmentation": [o.ravel().tolist() for o in outlines], "area": sum(map(area, outlines))}
    return {"segmentation": [], "area": (x2 - x1) * (y2 - y1)}
