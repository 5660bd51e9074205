"""COCO to COCO: entries spliced; new numbers for variants and their annotations; every other member of a file as it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

from s2st_aug.export.job import Job
from s2st_aug.export.json_edit import Edit, Member, apply, elements, members, renamed, set_member
from s2st_aug.export.selection import Variant
from s2st_aug.formats.json_stream import ARRAY, read_span, stream
from s2st_aug.formats.references import split_reference
from s2st_aug.formats.tree import tree_of
from s2st_aug.images import sha256_file
from s2st_aug.records.scene import Scene

_LISTS = ("images", "annotations")


def export_coco(job: Job) -> None:
    """Every annotation file that the scenes name: the sources' entries, then the variants'."""
    scenes = list(job.scenes())
    files = {file: _File.open(job, file) for scene in scenes for file in _files_of(scene)}
    numbers = _Numbers(*(max((n for f in files.values() for n in (f.numbers[array],)), default=0) for array in _LISTS))
    for scene in scenes:
        if scene.scene_id in job.selection.sources:
            _source(job, scene, files)
    for scene in scenes:
        for variant in job.selection.variants.get(scene.scene_id, ()):
            _variant(job, scene, variant, files, numbers)
    for file in files.values():
        file.close()


def _files_of(scene: Scene) -> list[str]:
    records = [path for path, key in map(split_reference, scene.extra_files) if key]
    return list(dict.fromkeys([*([scene.label_file] if scene.label_file else []), *records]))


@dataclass(slots=True)
class _Numbers:
    """The last ids in use: a variant's image id is the same in every file."""

    image: int
    annotation: int


class _File:
    """One annotation file: what the source says of it, and the lists of the export gathered beside it."""

    def __init__(self, job: Job, name: str, kind: str) -> None:
        self.job, self.name, self.kind = job, name, kind
        self.numbers = dict.fromkeys(_LISTS, 0)
        self.images: dict[str, str] = {}  # file name -> entry
        self.members: list[tuple[str, list[str] | str]] = []
        slug = name.replace("/", "-")
        self.parts: dict[str, BinaryIO] = {a: open(job.output.partial / f".{slug}-{a}", "w+b") for a in _LISTS}  # noqa: SIM115

    @classmethod
    def open(cls, job: Job, name: str) -> _File:
        """One pass over the source's file."""
        tree = tree_of(name, job.split, job.card.labels)
        file = cls(job, name, tree.kind if tree else "instances")
        for element in stream(job.root / name, skim=True):
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
        number = value.get("id") if isinstance(value, dict) else None
        if isinstance(number, int):
            self.numbers[array] = max(self.numbers[array], number)
        if array == "images" and isinstance(value, dict):
            self.images[str(value.get("file_name"))] = text

    def put(self, array: str, text: str) -> None:
        """One more entry."""
        part = self.parts[array]
        part.write((b",\n" if part.tell() else b"") + text.encode("latin-1"))

    def close(self) -> None:
        """Write the file member by member, in the source's order."""
        target = self.job.output.path(self.name)
        with open(target, "wb") as out:
            for index, (key, pieces) in enumerate(self.members):
                out.write((b"," if index else b"{") + b"\n" + json.dumps(key).encode() + b": ")
                self._member(out, key, pieces)
            out.write(b"\n}\n")
        self.job.output.sha256[self.name] = sha256_file(target)

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


class _Record(NamedTuple):
    """One annotation of a scene, or (`text` empty) its panoptic image."""

    path: str
    text: str


def _records(job: Job, scene: Scene) -> Iterator[_Record]:
    """In the adapter's order; the first reference to a file is to its categories."""
    started: set[str] = set()
    for path, key in map(split_reference, scene.extra_files):
        if key is None:
            yield _Record(path, "")
        elif path in started:
            yield _Record(path, read_span(job.root / path, key).decode("latin-1"))
        started.add(path)


def _entries(job: Job, scene: Scene, files: dict[str, _File]) -> Iterator[tuple[_File, str]]:
    """The scene's entry in `images` of every file that lists it."""
    if scene.label_file is None or scene.label_key is None:
        return
    own = read_span(job.root / scene.label_file, scene.label_key).decode("latin-1")
    name = str(json.loads(own.encode("latin-1"))["file_name"])
    for path in _files_of(scene):
        entry = own if path == scene.label_file else files[path].images.get(name)
        if entry is not None:
            yield files[path], entry


def _source(job: Job, scene: Scene, files: dict[str, _File]) -> None:
    job.place_source(scene, scene.image)
    for file, entry in _entries(job, scene, files):
        file.put("images", entry)
    for path, text in _records(job, scene):
        if text:
            files[path].put("annotations", text)
        else:
            job.output.place(path, job.root / path)


def _variant(job: Job, scene: Scene, variant: Variant, files: dict[str, _File], numbers: _Numbers) -> None:
    mark = job.mark(variant, "coco")
    job.place_variant(scene, variant, scene.image.rpartition(".")[0] + mark + job.suffix(scene))
    numbers.image += 1
    for file, entry in _entries(job, scene, files):
        file.put("images", _image(entry, numbers.image, mark, job.suffix(scene)))
    for path, text in _records(job, scene):
        if text:
            files[path].put("annotations", _annotation(text, files[path].kind, variant, mark, numbers))
        else:
            job.output.place(_marked(path, mark), job.root / path)


def _marked(path: str, mark: str, suffix: str | None = None) -> str:
    name = PurePosixPath(path)
    return str(name.with_name(f"{name.stem}{mark}{suffix or name.suffix}"))


def _image(text: str, number: int, mark: str, suffix: str) -> str:
    found = members(text)
    edits = [Edit(m.start, m.end, str(number)) for m in found if m.key == "id"]
    return apply(
        text, edits + [edit for m in found if m.key == "file_name" for edit in _file_name(text, m, mark, suffix)]
    )


def _file_name(text: str, member: Member, mark: str, suffix: str | None = None) -> list[Edit]:
    token = text[member.start : member.end]
    old = str(json.loads(token.encode("latin-1")))
    return [Edit(member.start, member.end, renamed(token, old, _marked(old, mark, suffix)))]


def _annotation(text: str, kind: str, variant: Variant, mark: str, numbers: _Numbers) -> str:
    found = members(text)
    edits = [Edit(m.start, m.end, str(numbers.image)) for m in found if m.key == "image_id"]
    if kind == "panoptic":
        edits += [edit for m in found if m.key == "file_name" for edit in _file_name(text, m, mark)]
        edits += [edit for m in found if m.key == "segments_info" for edit in _segments(text, m, variant.ignored)]
        return apply(text, edits)
    numbers.annotation += 1
    ids = [m for m in found if m.key == "id"]
    edits += [Edit(m.start, m.end, str(numbers.annotation)) for m in ids]
    prefix = "keypoints/" if kind == "keypoints" else ""
    if ids and f"{prefix}{ids[-1].value}" in variant.ignored:
        edits += set_member(text, 0, "iscrowd", value=1)
    return apply(text, edits)


def _segments(text: str, member: Member, ignored: frozenset[str]) -> list[Edit]:
    named = [item for item in elements(text, member.start) if f"panoptic/{item.value['id']}" in ignored]
    return [edit for item in named for edit in set_member(text, item.start, "iscrowd", value=1)]
