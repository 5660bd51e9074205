"""Where a dataset's tree lies: at its root, or below folders that an archive or a download page put around its parts.

Kaggle's BDD100K lies in `bdd100k/bdd100k/images` and `bdd100k_labels_release/bdd100k/labels`, its COCO in `coco2017`;
unpacked twice, `train2017` holds one folder, `train2017`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from s2st_aug.formats.base import Card, LabelTree
from s2st_aug.formats.names import IMAGE_SUFFIXES
from s2st_aug.formats.tree import SPELLINGS

DEPTH = 3
"""folders that may lie around a tree"""
MOST = 500
"""folders that are looked into"""


def located(card: Card, root: Path) -> Card:
    """The card with its paths as they are below the root; as it is where its images lie as it says, or nowhere."""
    folders = [""] if _holds(root, "", card.images, card) else list(_folders(root))
    base = next((folder for folder in folders if _holds(root, folder, card.images, card)), None)
    if base is None:
        return card
    images = _inner(root, base + card.images, card)
    if base == "" and images == card.images:
        return card
    folders = folders if base else ["", *_folders(root)]
    return card.model_copy(
        update={"images": images, "labels": tuple(_tree(card, root, [base, *folders], tree) for tree in card.labels)}
    )


def nested_root(card: Card, root: Path) -> str | None:
    """The folder below the root in which the card's images lie, where they do not lie at the root itself."""
    if _holds(root, "", card.images, card):
        return None
    return next((folder.rstrip("/") for folder in _folders(root) if _holds(root, folder, card.images, card)), None)


def expected_and_found(card: Card, root: Path) -> str:
    """Where the card's images and labels are looked for, and what lies at the root instead, as half a sentence."""
    below = nested_root(card, root)
    if below:
        return f"such a tree lies in {below}: give that folder"
    split = card.splits[0]
    labels = " or ".join(tree.path.format(split=split, stem="NAME") for tree in card.labels[:2])
    folders = [folder for folder in ("", *_folders(root)) if _has_image(root / folder)]
    files = sorted(entry.name for entry in root.iterdir() if entry.suffix.lower() not in IMAGE_SUFFIXES)
    found = [f"images in {folders[0] or 'the folder itself'}" if folders else "no image", *files[:3]]
    return (
        f"expected, for example, images in {card.images.format(split=split)} and labels at {labels}; "
        f"found {', '.join(found)}{', ...' if len(files) > 3 else ''}"
    )


def _splits(card: Card) -> list[str]:
    return list(dict.fromkeys(name for split in card.splits for name in SPELLINGS.get(split, (split,))))


def _holds(root: Path, folder: str, pattern: str, card: Card) -> bool:
    return any((root / f"{folder}{pattern.format(split=split)}").is_dir() for split in _splits(card))


def _folders(root: Path) -> Iterator[str]:
    """Folders below the root with their slash, nearest first."""
    level, looked = [""], 0
    for _ in range(DEPTH):
        below: list[str] = []
        for folder in level:
            with suppress(OSError):
                below += sorted(f"{folder}{e.name}/" for e in os.scandir(root / folder) if e.is_dir())
            looked += 1
            if looked >= MOST:
                break
        yield from below
        level = below


def _inner(root: Path, pattern: str, card: Card) -> str:
    """The pattern with its last folder twice, where a split's folder holds no image, but a folder of its own name."""
    for split in _splits(card):
        folder = root / pattern.format(split=split)
        if (folder / folder.name).is_dir() and not _has_image(folder):
            return f"{pattern}/{pattern.rpartition('/')[2]}"
    return pattern


def _has_image(folder: Path) -> bool:
    with suppress(OSError), os.scandir(folder) as entries:
        return any(os.path.splitext(e.name)[1].lower() in IMAGE_SUFFIXES for e in entries)  # noqa: PTH122 - many names
    return False


def _tree(card: Card, root: Path, folders: list[str], tree: LabelTree) -> LabelTree:
    """The label tree in the first of the folders that holds it, else in the images' own."""
    place = next((folder for folder in folders if _is_there(root, folder + tree.path, card)), folders[0])
    images = tree.images
    if images is not None:
        near = place if _holds(root, place, images, card) else folders[0]
        images = _inner(root, near + images, card)
    return tree.model_copy(update={"path": place + tree.path, "images": images})


def _is_there(root: Path, pattern: str, card: Card) -> bool:
    """Whether a file of the pattern, or the folder in which its files lie, is there for any split."""
    for split in _splits(card):
        prefix, star, _ = pattern.format(split=split, stem="*").partition("*")
        place = root / (prefix.rpartition("/")[0] if star else prefix)
        if place.is_dir() if star else place.is_file():
            return True
    return False
