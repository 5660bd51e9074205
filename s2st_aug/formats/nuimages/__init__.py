"""nuImages: tables of JSON rows that point at one another by tokens, masks as run lengths."""

from __future__ import annotations

from s2st_aug.formats.base import DatasetFormat
from s2st_aug.formats.nuimages.consumer import open_export
from s2st_aug.formats.nuimages.read import declared_size, listed_classes, read_objects, read_scenes, split_files
from s2st_aug.formats.nuimages.write import TablesWriter

FORMAT = DatasetFormat(
    name="nuimages",
    title="nuImages",
    read_scenes=read_scenes,
    read_objects=read_objects,
    open_export=open_export,
    declared_size=declared_size,
    label_kinds=frozenset({"sample_data", "objects", "surfaces", "samples", "table"}),
    lists_name_images=True,
    own_layout=True,
    holds_ignored=False,
    class_names=listed_classes,
    split_files=split_files,
    native_writer=TablesWriter,
    not_carried="attributes of objects, calibration, poses",
)
