"""A Cityscapes frame as its variant's: ignored polygons become `unlabeled`, their pixels void in every label image."""

from __future__ import annotations

import json

import numpy as np

from s2st_aug.export.json_edit import Edit, Member, apply, elements, members
from s2st_aug.formats.cityscapes.labels import NOT_JUDGED, SINGLE, known

VOID_LABEL = "unlabeled"


def edit_polygons(data: bytes, ignored: frozenset[str]) -> bytes:
    """The polygons file with the label of every ignored object replaced; every other byte is the source's."""
    text = data.decode("latin-1")
    at = 3 if text.startswith("\xef\xbb\xbf") else 0
    edits = [
        Edit(member.start, member.end, json.dumps(VOID_LABEL))
        for listed in members(text, at)
        if listed.key == "objects" and isinstance(listed.value, list)
        for index, item in enumerate(elements(text, listed.start))
        if is_ignored(index, item.value, ignored)
        for member in _labels(text, item)
    ]
    return apply(text, edits).encode("latin-1")


def _labels(text: str, item: Member) -> list[Member]:
    return [m for m in members(text, item.start) if m.key == "label"]


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
    from PIL import Image, ImageDraw

    canvas = Image.new("L", size, 0)
    draw = ImageDraw.Draw(canvas)
    objects = record.get("objects")
    for index, item in enumerate(objects if isinstance(objects, list) else []):
        if not isinstance(item, dict) or item.get("deleted") or len(item.get("polygon") or ()) < 2:
            continue
        draw.polygon([tuple(p[:2]) for p in item["polygon"]], fill=255 if is_ignored(index, item, ignored) else 0)
    return np.asarray(canvas) > 0
