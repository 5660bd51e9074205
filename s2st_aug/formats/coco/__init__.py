"""COCO: images, annotations and categories in one file; keypoints and panoptic segments in files beside it."""

from __future__ import annotations

from s2st_aug.formats.base import DatasetFormat
from s2st_aug.formats.coco.classes import listed_classes
from s2st_aug.formats.coco.consumer import open_export
from s2st_aug.formats.coco.read import declared_size, read_objects, read_scenes, remarks
from s2st_aug.formats.coco.write import AnnotationsWriter, CocoWriter, variant_names

FORMAT = DatasetFormat(
    name="coco",
    title="COCO",
    read_scenes=read_scenes,
    read_objects=read_objects,
    open_export=open_export,
    declared_size=declared_size,
    remarks=remarks,
    label_kinds=frozenset({"instances", "keypoints", "panoptic"}),
    class_names=listed_classes,
    variant_names=variant_names,
    native_writer=AnnotationsWriter,
    conversion_writer=CocoWriter,
    not_carried="fields beyond category, geometry and iscrowd (keypoints, captions, licences)",
    holds_image_attributes=True,
)
