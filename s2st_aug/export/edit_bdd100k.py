"""A BDD100K frame as its variant's: name, image attributes, `attributes.ignored` of some labels; every other byte is the source's."""

from __future__ import annotations

import json
from typing import NamedTuple

from s2st_aug.errors import LabelError
from s2st_aug.export.change import Change
from s2st_aug.export.json_edit import Edit, Member, apply, elements, insertion, members, renamed, set_member
from s2st_aug.records.domains import BDD_ATTRIBUTES


def edit_frame(data: bytes, change: Change, prefix: str = "", offset: int = 0) -> bytes:
    """The record's bytes for the variant.

    `prefix` is what the adapter puts before the ids of an extra file's labels (there no attributes are added where the record has none),
    `offset` how many labels of the scene come before this record's.
    """
    text = data.decode("latin-1")
    at = 3 if text.startswith("\xef\xbb\xbf") else 0
    found = members(text, at)
    edits = [edit for member in found for edit in _naming(text, member, change)]
    edits += _attributes(text, at, found, change.domain, has_own=not prefix)
    if change.ignored:
        ids = _Ids(change.ignored, prefix, offset)
        edits += [edit for member in found for edit in _labels(text, member, ids)]
    return apply(text, edits).encode("latin-1")


class _Ids(NamedTuple):
    """Which labels to ignore, by the ids that the adapter gives them."""

    ignored: frozenset[str]
    prefix: str
    offset: int


def _naming(text: str, member: Member, change: Change) -> list[Edit]:
    folder, _, name = change.image.rpartition("/")
    if member.key == "name" and isinstance(member.value, str):
        new = change.image if "/" in member.value else name
        if "." not in member.value:  # the legacy form names no suffix
            new = new.rpartition(".")[0]
        value = _as_utf8(text, member)
        return (
            [Edit(member.start, member.end, renamed(text[member.start : member.end], value, new))]
            if new != value
            else []
        )
    if member.key == "videoName" and isinstance(member.value, str) and folder:
        return [Edit(member.start, member.end, json.dumps(folder))] if _as_utf8(text, member) != folder else []
    return []


def _as_utf8(text: str, member: Member) -> str:
    return str(json.loads(text[member.start : member.end].encode("latin-1")))


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
    return [edit for m in places if isinstance(m.value, dict) for edit in _domain(text, m, wanted)]


def _domain(text: str, place: Member, wanted: dict[str, str]) -> list[Edit]:
    inside = members(text, place.start)
    edits, put = [], []
    for key, value in wanted.items():
        old = [m for m in inside if m.key == key]
        edits += [Edit(m.start, m.end, json.dumps(value)) for m in old]
        put += [] if old else [f"{json.dumps(key)}: {json.dumps(value)}"]
        if old and f"{key}_source" not in place.value:
            put.append(f"{json.dumps(f'{key}_source')}: {text[old[-1].start : old[-1].end]}")
    return edits + ([insertion(text, place.start, ", ".join(put))] if put else [])


def _labels(text: str, member: Member, ids: _Ids) -> list[Edit]:
    if member.key == "labels" and isinstance(member.value, list):
        return _ignored(text, member.start, ids)
    if member.key == "frames" and isinstance(member.value, list) and member.value:
        first = elements(text, member.start)[0]
        inside = members(text, first.start) if isinstance(first.value, dict) else []
        places = [m for m in inside if m.key == "objects" and isinstance(m.value, list)]
        return [edit for m in places for edit in _ignored(text, m.start, ids)]
    return []


def _ignored(text: str, at: int, ids: _Ids) -> list[Edit]:
    seen: set[str] = set()
    edits = []
    for index, label in enumerate(elements(text, at)):
        name = label_id(label.value, text[label.start : label.end], ids.prefix, index)
        if (f"{name}#{index + ids.offset}" if name in seen else name) in ids.ignored:
            edits += _ignore(text, label)
        seen.add(name)
    return edits


def label_id(value: object, token: str, prefix: str, index: int) -> str:
    """The id that the adapter gives a label, before it is made unique."""
    if not isinstance(value, dict):
        raise LabelError(f"label {index}: expected an object")
    found = value.get("id", index)
    if isinstance(found, str) and not found.isascii():
        found = json.loads(token.encode("latin-1"))["id"]
    return prefix + str(found)


def _ignore(text: str, label: Member) -> list[Edit]:
    inside = members(text, label.start)
    places = [m for m in inside if m.key == "attributes"]
    if not places:
        return [insertion(text, label.start, '"attributes": {"ignored": true}')]
    return [edit for m in places for edit in _ignore_in(text, m)]


def _ignore_in(text: str, place: Member) -> list[Edit]:
    if isinstance(place.value, dict):
        return set_member(text, place.start, "ignored", value=True)
    return [Edit(place.start, place.end, '{"ignored": true}')]
