"""nuImages written: rows spliced and not written anew; a variant is a sample of its own with new tokens."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from s2st_aug.formats.base import VariantEdit, WriteContext
from s2st_aug.formats.json_edit import Edit, apply, members
from s2st_aug.formats.json_stream import read_span
from s2st_aug.formats.list_writer import ListWriter, around
from s2st_aug.formats.nuimages.read import ANNOTATED, object_name, row_of, rows, split_files, table
from s2st_aug.formats.references import split_reference
from s2st_aug.records.scene import LabelKey, Scene


class TablesWriter:
    """nuImages to nuImages: the rows of the key frames that went out, other tables whole.

    Rows of labels to ignore are left out: no table has a word for them.
    """

    def __init__(self, context: WriteContext) -> None:
        self.context = context
        self._lists: dict[str, ListWriter] = {}
        self._samples: dict[str, tuple[str, LabelKey]] | None = None

    def add_source(self, scene: Scene) -> None:
        """The frame's rows, as they are."""
        for path, key in self._keys(scene):
            self._append(path, self._text(path, key))

    def add_variant(self, scene: Scene, edit: VariantEdit) -> None:
        """The frame's rows with new tokens and the variant's file; those of labels to ignore are left out."""
        mark, row = edit.names.mark, row_of(self.context.root, scene)
        own, sample = (_renewed(str(row.get(key)), mark) for key in ("token", "sample_token"))
        for path, key in self._keys(scene):
            text = self._text(path, key)
            said = {m.key: m.value for m in members(text)}
            if path == scene.label_file:
                new = {"token": own, "sample_token": sample, "filename": edit.names.image, "prev": "", "next": ""}
                new["fileformat"] = edit.names.image.rpartition(".")[2]
            elif "sample_data_token" not in said:
                new = {"token": sample, "key_camera_token": own}
            elif object_name(said, f"{path} at byte {key.start}") in edit.ignored:
                continue
            else:
                new = {"token": _renewed(str(said.get("token")), mark), "sample_data_token": own}
            self._append(path, _with(text, new))

    def finish(self) -> None:
        """The lists ended, and the tables that are of no single frame."""
        context = self.context
        for kind in ("sample_data", "samples", *ANNOTATED):  # an empty table is one too
            if (file := table(context.card, context.root, context.split, kind)) is not None:
                self._list(file)
        for writer in self._lists.values():
            writer.close()
        for name in split_files(context.root, context.split):
            if name not in context.output.sha256:
                context.output.place(name, context.root / name)
        file = table(context.card, context.root, context.split, "sample_data")
        between = sum(row.get("is_key_frame") is not True for _, row in rows(context.root / file)) if file else 0
        context.losses.add(
            "sample_data", "rows between key frames have no labels: they are left out", str(file), between
        )

    def _keys(self, scene: Scene) -> list[tuple[str, LabelKey]]:
        """Where the rows of a frame are: of its sample, its image, its annotations."""
        sample = self._sample(str(row_of(self.context.root, scene).get("sample_token")))
        own = [(scene.label_file, scene.label_key)] if scene.label_file and scene.label_key else []
        annotated = [(path, key) for path, key in map(split_reference, scene.extra_files) if key is not None]
        return [*([sample] if sample else []), *own, *annotated]

    def _sample(self, token: str) -> tuple[str, LabelKey] | None:
        if self._samples is None:
            context = self.context
            file = table(context.card, context.root, context.split, "samples")
            found = rows(context.root / file) if file else ()
            self._samples = {str(row.get("token")): (str(file), element.key()) for element, row in found}
        return self._samples.get(token)

    def _text(self, path: str, key: LabelKey) -> str:
        return read_span(self.context.root / path, key).decode("latin-1")

    def _append(self, path: str, text: str) -> None:
        self._list(path).append(text.encode("latin-1"))

    def _list(self, path: str) -> ListWriter:
        if path not in self._lists:
            self._lists[path] = ListWriter(self.context.output, path, *around(self.context.root / path, ""))
        return self._lists[path]


def _renewed(token: str, mark: str) -> str:
    """A variant's token: 32 hexadecimal digits, as nuImages' are, that follow from the source's."""
    return hashlib.sha256(f"{token}{mark}".encode()).hexdigest()[:32]


def _with(text: str, new: dict[str, Any]) -> str:
    """The row with new values for the members that it has."""
    return apply(text, [Edit(m.start, m.end, json.dumps(new[m.key])) for m in members(text) if m.key in new])
