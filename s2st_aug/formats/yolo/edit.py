"""A YOLO label file as its variant's: lines of labels to ignore are left out, for YOLO has no region to ignore."""

from __future__ import annotations

import json
import re
from collections.abc import Container

import yaml

from s2st_aug.formats.text_lines import without_lines

_SPLITS = ("train", "val", "valid", "test")
_ALIKE = {"valid": "val"}
_ODD = re.compile(r"[^0-9A-Za-z_./-]")


def edit_lines(data: bytes, lost: frozenset[str]) -> bytes:
    """The file without the lines (by their number, from 0) of labels to ignore; those that stay keep their bytes."""
    return without_lines(data, lost)


def edit_data_yaml(
    data: bytes, lead: dict[str, list[str]], drop: Container[str] = (), names: list[str] | None = None
) -> bytes:
    """The source's data.yaml with `path` left out (the file's own folder holds then) and its splits led to the export.

    Every other byte is the source's; a split in `lead` that the file does not name is added at its end, and so are
    `names`, where they are given. A place that is not in `lead` and names a folder in full is left out with its key: it
    would lead back to the source. So is a split to `drop`.
    """
    text = data.decode("utf-8-sig")
    root = yaml.compose(text, Loader=yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader)
    members = {key.value: (key, value) for key, value in root.value} if isinstance(root, yaml.MappingNode) else {}
    spelled = {
        ("valid" if split == "val" and "val" not in members and "valid" in members else split): _places(places)
        for split, places in lead.items()
    }
    spelled |= {} if names is None else {"names": json.dumps(names, ensure_ascii=False)}
    gone = {
        name
        for name, (_, value) in members.items()
        if name == "path" or (name in _SPLITS and (_ALIKE.get(name, name) in drop or _leads_away(value)))
    }
    if isinstance(root, yaml.MappingNode) and root.flow_style:
        return _edit_flow(text, root, spelled, gone).encode()
    edits: list[tuple[int, int, str]] = []
    for name, (key, value) in members.items():
        if name in spelled:
            edits.append((key.start_mark.index, value.end_mark.index, f"{name}: {spelled[name]}"))
        elif name in gone:
            edits.append((key.start_mark.index, _line_end(text, value.end_mark.index), ""))
    at = len(text) if root is None else root.end_mark.index  # before the `...` that may end it
    more = "".join(f"{name}: {value}\n" for name, value in spelled.items() if name not in members)
    edits.append((at, at, ("" if text[:at].endswith("\n") or not at else "\n") + more))
    for start, end, new in sorted(edits, reverse=True):
        tail = text[start:end]
        keep = tail[len(tail.rstrip()) :] if new else ""
        text = text[:start] + new + keep + text[end:]
    return text.encode()


def _edit_flow(text: str, root: yaml.MappingNode, spelled: dict[str, str], gone: set[str]) -> str:
    """A mapping in braces, its members parted anew: those that stay keep their bytes."""
    kept = {key.value: text[key.start_mark.index : value.end_mark.index] for key, value in root.value}
    whole = {n: t for n, t in kept.items() if n not in gone} | {n: f"{n}: {value}" for n, value in spelled.items()}
    start, end = root.start_mark.index, root.end_mark.index
    return f"{text[:start]}{{{', '.join(whole.values())}}}{text[end:]}" + ("" if text.endswith("\n") else "\n")


def _line_end(text: str, index: int) -> int:
    end = text.find("\n", index)
    return len(text) if end < 0 else end + 1


def _leads_away(value: yaml.Node) -> bool:
    """Whether a place is named in full, or from the folder above."""
    nodes = value.value if isinstance(value, yaml.SequenceNode) else [value]
    return any(str(node.value).startswith(("/", "~")) or str(node.value)[1:2] == ":" for node in nodes)


def _places(places: list[str]) -> str:
    quoted = [json.dumps(place, ensure_ascii=False) if _ODD.search(place) else place for place in places]
    return quoted[0] if len(quoted) == 1 else f"[{', '.join(quoted)}]"


def data_yaml_text(folders: dict[str, str], names: list[str]) -> bytes:
    """A data.yaml without `path`: Ultralytics takes the file's own folder then, for a dot the working directory."""
    return "".join(f"{split}: {folder}\n" for split, folder in folders.items()).encode() + names_text(names)


def names_text(names: list[str]) -> bytes:
    """The member `names` of a data.yaml."""
    listed = [f"  {number}: {json.dumps(name, ensure_ascii=False)}" for number, name in enumerate(names)]
    return ("\n".join(["names:" if names else "names: []", *listed]) + "\n").encode()
