"""comma10k: one colour mask an image, five classes, no instances."""

from __future__ import annotations

from s2st_aug.formats.base import DatasetFormat
from s2st_aug.formats.comma10k.masks import MasksWriter, open_export, read_objects, read_scenes

FORMAT = DatasetFormat(
    name="comma10k",
    title="comma10k",
    read_scenes=read_scenes,
    read_objects=read_objects,
    open_export=open_export,
    label_kinds=frozenset({"colours"}),
    native_writer=MasksWriter,
)
