"""Cityscapes: polygons in JSON, label images of ids, and files beside them that are carried as they are."""

from __future__ import annotations

from functools import partial

from s2st_aug.formats.base import DatasetFormat, variant_names
from s2st_aug.formats.cityscapes.consumer import open_export
from s2st_aug.formats.cityscapes.read import IMAGE_TAIL, declared_size, read_objects, read_scenes
from s2st_aug.formats.cityscapes.write import CityscapesTreeWriter, CityscapesWriter

_CARRIED = ("camera", "disparity", "vehicle", "timestamp")


def mark(domain: str) -> str:
    """Cityscapes' own scripts split names at `_` and count the parts, so the mark holds none.

    >>> mark("night_rain")
    '-night-rain'
    """
    return f"-{domain.replace('_', '-')}"


FORMAT = DatasetFormat(
    name="cityscapes",
    title="Cityscapes",
    read_scenes=read_scenes,
    read_objects=read_objects,
    open_export=open_export,
    declared_size=declared_size,
    label_kinds=frozenset({"polygons", "instance_ids", "label_ids", "train_ids", "color", *_CARRIED}),
    mark=mark,
    variant_names=partial(variant_names, tail=IMAGE_TAIL),
    native_writer=CityscapesTreeWriter,
    conversion_writer=CityscapesWriter,
    not_carried="camera, disparity, vehicle and timestamp files; deleted polygons",
    prefers_outlines=True,
)
