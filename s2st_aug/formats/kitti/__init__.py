"""KITTI: one text file an image, fifteen columns a line."""

from __future__ import annotations

from s2st_aug.formats.base import DatasetFormat
from s2st_aug.formats.kitti.consumer import open_export
from s2st_aug.formats.kitti.read import read_objects, read_scenes, split_files, split_folder
from s2st_aug.formats.kitti.write import KittiTreeWriter, KittiWriter

FORMAT = DatasetFormat(
    name="kitti",
    title="KITTI",
    read_scenes=read_scenes,
    read_objects=read_objects,
    open_export=open_export,
    label_kinds=frozenset({"lines", "calib"}),
    split_folder=split_folder,
    split_files=split_files,
    native_writer=KittiTreeWriter,
    conversion_writer=KittiWriter,
    not_carried="alpha, the 3-D box and calibration",
)
