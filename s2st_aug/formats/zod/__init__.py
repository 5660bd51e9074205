"""Zenseact Open Dataset, Frames: a folder a frame, annotations as GeoJSON features, splits listed in one file."""

from __future__ import annotations

from s2st_aug.formats.base import DatasetFormat
from s2st_aug.formats.zod.consumer import open_export
from s2st_aug.formats.zod.read import read_objects, read_scenes
from s2st_aug.formats.zod.write import FrameFolderWriter, variant_names

FORMAT = DatasetFormat(
    name="zod",
    title="ZOD",
    read_scenes=read_scenes,
    read_objects=read_objects,
    open_export=open_export,
    label_kinds=frozenset({"objects", "carried"}),
    own_layout=True,
    variant_names=variant_names,
    native_writer=FrameFolderWriter,
    not_carried="3-D boxes, lane markings, ego road, road condition",
)
