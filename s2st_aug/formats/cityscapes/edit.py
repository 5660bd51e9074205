"""A Cityscapes frame as its variant's: ignored polygons become `unlabeled`, their pixels void in every label image."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from s2st_aug.formats.cityscapes.read import NOT_JUDGED, SINGLE
from s2st_aug.formats.classes import known
from s2st_aug.formats.json_edit import Edit, apply, elements, members, object_start
from s2st_aug.formats.label_images import repainted

ID_IMAGES = {"label_ids": 0, "instance_ids": 0, "train_ids": 255, "color": 0}
"""kind of label image -> its value for void; colours become black and keep their opacity"""


def edit_polygons(data: bytes, ignored: frozenset[str]) -> bytes:
    """The polygons file with the label of every ignored object replaced; every other byte is the source's."""
    text = data.decode("latin-1")
    edits = [
        Edit(member.start, member.end, json.dumps("unlabeled"))
        for listed in members(text, object_start(text))
        if listed.key == "objects" and isinstance(listed.value, list)
        for index, item in enumerate(elements(text, listed.start))
        if is_ignored(index, item.value, ignored)
        for member in members(text, item.start)
        if member.key == "label"
    ]
    return apply(text, edits).encode("latin-1")


def is_ignored(index: int, item: object, ignored: frozenset[str]) -> bool:
    """Whether a polygon belongs to an ignored object: things by their index, stuff by its class."""
    if not isinstance(item, dict) or item.get("deleted"):
        return False
    name = str(item.get("label", ""))
    label = known(name)
    if name in NOT_JUDGED:
        return False
    return (str(index) if label is None or label.instances or name in SINGLE else name) in ignored


def visible(record: dict[str, object], ignored: frozenset[str], size: tuple[int, int]) -> np.ndarray:
    """Pixels `h w` where an ignored polygon is on top, drawn in the file's order as Cityscapes' own scripts draw."""
    canvas = Image.new("L", size, 0)
    draw = ImageDraw.Draw(canvas)
    objects = record.get("objects")
    for index, item in enumerate(objects if isinstance(objects, list) else []):
        if not isinstance(item, dict) or item.get("deleted") or len(item.get("polygon") or ()) < 2:
            continue
        draw.polygon([tuple(p[:2]) for p in item["polygon"]], fill=255 if is_ignored(index, item, ignored) else 0)
    return np.asarray(canvas) > 0


def edit_id_image(path: Path, kind: str, ignored: np.ndarray) -> bytes:
    """The label image with the pixels under `ignored` (bool `h w`) void."""

    def paint(pixels: np.ndarray) -> None:
        if pixels.ndim == 3:
            pixels[..., :3][ignored] = 0
        else:
            pixels[ignored] = ID_IMAGES[kind]

    return repainted(path, paint)
