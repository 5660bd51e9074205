"""A BDD100K frame as its variant's: name, image attributes, labels to ignore; every other byte is the source's.

A lost or ignored label gets `attributes.ignored: true`, an instance in a bitmask the ignored bit, pixels of other masks
become void.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from s2st_aug.formats.base import VariantEdit
from s2st_aug.formats.bdd100k.labels import own_id
from s2st_aug.formats.json_edit import (
    Edit,
    Member,
    apply,
    elements,
    insertion,
    members,
    object_start,
    renamed,
    set_member,
)
from s2st_aug.formats.label_images import repainted
from s2st_aug.records.domains import BDD_ATTRIBUTES

_IGNORED_BIT = 1
_VOID = {"semantic_mask": 255, "drivable_mask": 2, "lane_mask": 255}


def edit_mask(path: Path, kind: str, ignored: np.ndarray) -> bytes:
    """The mask with what lies under `ignored` (bool `h w`) void: by the ignored bit in bitmasks, else by an id."""

    def paint(pixels: np.ndarray) -> None:
        if kind in _VOID:
            pixels[ignored] = _VOID[kind]
        else:
            pixels[..., 1][ignored] |= _IGNORED_BIT

    return repainted(path, paint)


def edit_frame(data: bytes, edit: VariantEdit, prefix: str = "", offset: int = 0) -> bytes:
    """The record's bytes for the variant.

    `prefix` is what the reader puts before the ids of an extra file's labels (there no attributes are added where the
    record has none), `offset` how many labels of the scene come before this record's.
    """
    text = data.decode("latin-1")
    at = object_start(text)
    found = members(text, at, undecoded=None if edit.ignored else "labels")
    edits = [change for member in found for change in _naming(text, member, edit.names.below)]
    edits += _attributes(text, at, found, edit.domain, has_own=not prefix)
    if edit.ignored:
        ids = _Ids(edit.ignored, prefix, offset)
        edits += [change for member in found for change in _labels(text, member, ids)]
    return apply(text, edits).encode("latin-1")


class _Ids(NamedTuple):
    """Which labels to ignore, by the ids that the reader gives them."""

    ignored: frozenset[str]
    prefix: str
    offset: int


def _naming(text: str, member: Member, image: str) -> list[Edit]:
    """`name` and `videoName` of the variant, whose image is named `video/name` or `name`."""
    if member.key not in ("name", "videoName") or not isinstance(member.value, str):
        return []
    folder, _, name = image.rpartition("/")
    token = text[member.start : member.end]
    old = str(json.loads(token.encode("latin-1")))  # as UTF-8
    if member.key == "videoName":
        return [Edit(member.start, member.end, json.dumps(folder))] if folder and old != folder else []
    new = image if "/" in member.value else name
    if "." not in member.value:  # the legacy form names no suffix
        new = new.rpartition(".")[0]
    return [Edit(member.start, member.end, renamed(token, old, new))] if new != old else []


def _attributes(text: str, at: int, found: list[Member], domain: str, *, has_own: bool) -> list[Edit]:
    """The image's own attributes: the domain's values, the old ones kept beside them."""
    wanted = BDD_ATTRIBUTES.get(domain, {})
    places = [m for m in found if m.key == "attributes"]
    if not wanted:
        return []
    if not any(isinstance(m.value, dict) for m in places):
        plain = json.dumps(wanted)
        put = [Edit(m.start, m.end, plain) for m in places] or [insertion(text, at, f'"attributes": {plain}')]
        return put if has_own else []
    return [
        Edit(m.start, m.end, _of_domain(text[m.start : m.end], domain)) for m in places if isinstance(m.value, dict)
    ]


@lru_cache(maxsize=1024)
def _of_domain(text: str, domain: str) -> str:
    """The image attributes of a variant of the domain, from its source's: few differ from image to image."""
    inside, edits, put = members(text), list[Edit](), list[str]()
    names = {m.key for m in inside}
    for key, value in BDD_ATTRIBUTES[domain].items():
        old = [m for m in inside if m.key == key]
        edits += [Edit(m.start, m.end, json.dumps(value)) for m in old]
        put += [] if old else [f"{json.dumps(key)}: {json.dumps(value)}"]
        if old and f"{key}_source" not in names:
            put.append(f"{json.dumps(f'{key}_source')}: {text[old[-1].start : old[-1].end]}")
    return apply(text, edits + ([insertion(text, 0, ", ".join(put))] if put else []))


def _labels(text: str, member: Member, ids: _Ids) -> list[Edit]:
    """Where the record's labels are: in `labels`, or (the legacy form) in the objects of its one frame."""
    if member.key == "labels" and isinstance(member.value, list):
        return _ignored(text, member.start, ids)
    if member.key == "frames" and isinstance(member.value, list) and member.value:
        first = elements(text, member.start)[0]
        inside = members(text, first.start) if isinstance(first.value, dict) else []
        places = [m for m in inside if m.key == "objects" and isinstance(m.value, list)]
        return [edit for m in places for edit in _ignored(text, m.start, ids)]
    return []


def _ignored(text: str, at: int, ids: _Ids) -> list[Edit]:
    """`ignored: true` for the labels among the array's that a verdict asks for."""
    seen: set[str] = set()
    edits = []
    for index, label in enumerate(elements(text, at)):
        name = label_id(label.value, text[label.start : label.end], ids.prefix, index)
        if (f"{name}#{index + ids.offset}" if name in seen else name) in ids.ignored:
            edits += _ignore(text, label)
        seen.add(name)
    return edits


def label_id(value: object, token: str, prefix: str, index: int) -> str:
    """The id that the reader gives a label, before it is made unique."""
    if not isinstance(value, dict):
        return f"{prefix}{index}"
    found = own_id(value, index)
    if isinstance(found, str) and not found.isascii():
        found = json.loads(token.encode("latin-1"))["id"]
    return prefix + str(found)


def _ignore(text: str, label: Member) -> list[Edit]:
    if not isinstance(label.value, dict):
        return []
    places = [m for m in members(text, label.start) if m.key == "attributes"]
    edits: list[Edit] = []
    for place in places:
        if isinstance(place.value, dict):
            edits += set_member(text, place.start, "ignored", value=True)
        else:
            edits.append(Edit(place.start, place.end, '{"ignored": true}'))
    return edits if places else [insertion(text, label.start, '"attributes": {"ignored": true}')]
