"""Extra label files by reference: `path`, or `path#start:length:sha256` for one record of a larger file."""

from __future__ import annotations

import re
from collections.abc import Iterator

from s2st_aug.records.scene import LabelKey, Scene

_REFERENCE = re.compile(r"(.+)#(\d+:\d+:[0-9a-f]{64})", re.DOTALL)


def split_reference(reference: str) -> tuple[str, LabelKey | None]:
    """Path and, where the reference names one, the record's key."""
    match = _REFERENCE.fullmatch(reference)
    return (match[1], LabelKey.parse(match[2])) if match else (reference, None)


def join_reference(path: str, key: LabelKey | None) -> str:
    """The inverse of `split_reference`."""
    return path if key is None else f"{path}#{key}"


def label_files(scene: Scene) -> Iterator[tuple[str, LabelKey | None]]:
    """The scene's own label file, where it has one, then its extra ones: path, and the key of its record there."""
    if scene.label_file:
        yield scene.label_file, scene.label_key
    yield from map(split_reference, scene.extra_files)
