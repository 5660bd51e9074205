"""YOLO: one text file an image, a class number and fractions of the upright image a line, data.yaml over all of it."""

from __future__ import annotations

from s2st_aug.formats.base import DatasetFormat
from s2st_aug.formats.yolo.consumer import open_export
from s2st_aug.formats.yolo.read import listed_classes, read_objects, read_scenes, remarks, split_files
from s2st_aug.formats.yolo.write import YoloTreeWriter, YoloWriter

FORMAT = DatasetFormat(
    name="yolo",
    title="YOLO",
    read_scenes=read_scenes,
    read_objects=read_objects,
    open_export=open_export,
    label_kinds=frozenset({"lines"}),
    orientation="apply",
    own_layout=True,
    labels_need_image=True,
    holds_ignored=False,
    class_names=listed_classes,
    split_files=split_files,
    remarks=remarks,
    native_writer=YoloTreeWriter,
    conversion_writer=YoloWriter,
)
