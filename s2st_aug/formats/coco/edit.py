"""Entries of a COCO file as a variant's: new numbers and names, `iscrowd: 1` for lost and ignored labels.

Every other byte is the source's.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from s2st_aug.formats.json_edit import Edit, apply, elements, members, renamed, set_member
from s2st_aug.formats.names import marked


def edit_image(text: str, number: int, name: str) -> str:
    """An entry of `images` with the variant's number and file name."""
    return apply(text, [*_numbered(text, "id", number), *_named(text, lambda old: name)])


def edit_annotation(text: str, number: int, image: int, *, ignored: bool) -> str:
    """An entry of `annotations` with its own number and its image's; `iscrowd: 1` where it is to be ignored."""
    edits = [*_numbered(text, "image_id", image), *_numbered(text, "id", number)]
    return apply(text, edits + (set_member(text, 0, "iscrowd", value=1) if ignored else []))


def record_of(text: str) -> dict[str, Any]:
    """What an entry says, as the reader has it: of members of one name the last."""
    return {m.key: m.value for m in members(text)}


def edit_panoptic(text: str, image: int, mark: str, ignored: frozenset[str]) -> str:
    """A panoptic entry of `annotations` with its image's number and the name of its own copy of the PNG."""
    edits = [*_numbered(text, "image_id", image), *_named(text, lambda old: marked(old, mark))]
    for listed in (m for m in members(text) if m.key == "segments_info"):
        for item in elements(text, listed.start):
            if f"panoptic/{item.value['id']}" in ignored:
                edits += set_member(text, item.start, "iscrowd", value=1)
    return apply(text, edits)


def _numbered(text: str, key: str, number: int) -> list[Edit]:
    return [Edit(m.start, m.end, str(number)) for m in members(text) if m.key == key]


def _named(text: str, new: Callable[[str], str]) -> list[Edit]:
    edits = []
    for member in (m for m in members(text) if m.key == "file_name"):
        token = text[member.start : member.end]
        old = str(json.loads(token.encode("latin-1")))
        edits.append(Edit(member.start, member.end, renamed(token, old, new(old))))
    return edits
