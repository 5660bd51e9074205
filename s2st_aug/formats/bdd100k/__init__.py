"""BDD100K: frames in JSON lists (boxes, lanes, areas, tracking), bitmasks, lane and drivable masks."""

from __future__ import annotations

from functools import partial

from s2st_aug.formats.base import DatasetFormat, variant_names
from s2st_aug.formats.bdd100k.consumer import open_export
from s2st_aug.formats.bdd100k.masks import READERS as MASKS
from s2st_aug.formats.bdd100k.read import declared_size, read_objects, read_scenes
from s2st_aug.formats.bdd100k.write import FrameListWriter, FrameTreeWriter

FORMAT = DatasetFormat(
    name="bdd100k",
    title="BDD100K",
    read_scenes=read_scenes,
    read_objects=read_objects,
    open_export=open_export,
    declared_size=declared_size,
    label_kinds=frozenset({"frames", "frame_files", "colormap", *MASKS}),
    lists_name_images=True,
    variant_names=partial(variant_names, by_video=True),
    native_writer=FrameTreeWriter,
    conversion_writer=FrameListWriter,
    not_carried="fields beyond category, geometry, occluded, truncated and light colour "
    "(track ids, lane styles, curve types)",
    holds_image_attributes=True,
)
