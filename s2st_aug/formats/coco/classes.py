"""The categories that a COCO dataset lists."""

from __future__ import annotations

from pathlib import Path

from s2st_aug.formats.base import Card
from s2st_aug.formats.coco.read import categories_of
from s2st_aug.formats.references import split_reference
from s2st_aug.formats.values import plain_name
from s2st_aug.records.scene import Scene


def listed_classes(card: Card, root: Path, scenes: list[Scene]) -> list[str]:
    """The names in `categories` by their ids, of every annotation file that the scenes name."""
    names: dict[str, None] = {}
    files: set[str] = set()
    for scene in scenes:
        for reference in scene.extra_files:
            if reference.partition("#")[0] in files:
                continue
            path, key = split_reference(reference)
            if key is not None:  # a file's first record is its categories
                files.add(path)
                known = categories_of(root / path, str(key), f"{path} at byte {key.start}")
                numbers = sorted(known, key=lambda number: (isinstance(number, str), number))
                named = (plain_name(known[number].get("name")) for number in numbers)
                names |= dict.fromkeys(name for name in named if name is not None)
    return list(names)
