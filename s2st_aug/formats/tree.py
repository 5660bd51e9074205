"""Where the label files of a tree lie: patterns of a card against a folder, the scene's stem in each."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from s2st_aug.errors import DatasetError
from s2st_aug.formats.base import Card, LabelTree
from s2st_aug.formats.names import list_files
from s2st_aug.formats.references import split_reference
from s2st_aug.records.scene import LabelKey

SPELLINGS = {"val": ("val", "valid", "validation")}
"""What tools call the folder of a split: Roboflow writes `valid`."""


def spelled_in(root: Path, tree: LabelTree, split: str) -> str:
    """What the tree's files call the split."""
    return next((name for name in SPELLINGS.get(split, ()) if _files_of(root, tree, name)), split)


def files_of(root: Path, tree: LabelTree, split: str) -> list[str]:
    """The label files of a tree for a split, below the root, sorted; `*` and `{stem}` stand for any name."""
    found = (_files_of(root, tree, name) for name in SPELLINGS.get(split, (split,)))
    return next((files for files in found if files), [])


def _files_of(root: Path, tree: LabelTree, split: str) -> list[str]:
    prefix, star, suffix = _around(tree.path, split)
    if not star:
        return [prefix] if is_there(root / prefix) else []
    folder, _, start = prefix.rpartition("/")
    names = list_files(root / folder, {"." + suffix.rpartition(".")[2]})
    return [f"{folder}/{name}" for name in names if name.startswith(start) and name.endswith(suffix)]


def is_there(path: Path) -> bool:
    """Whether the file is there; raises DatasetError for a dead link, a folder, a pipe: labels would be missed."""
    if path.is_file():
        return True
    if os.path.lexists(path):
        found = "a link that leads nowhere" if not path.exists() else "a folder" if path.is_dir() else "no regular file"
        raise DatasetError(f"{path}: expected a label file, found {found}")
    return False


def stem_in(tree: LabelTree, split: str, file: str) -> str:
    """What stands for `{stem}` in a file of the tree."""
    around = [_around(tree.path, name) for name in SPELLINGS.get(split, (split,))]
    prefix, _, suffix = next((found for found in around if file.startswith(found[0])), around[0])
    return file[len(prefix) : len(file) - len(suffix)]


def rename_in(tree: LabelTree, file: str, stem: str, new: str) -> str:
    """The file's name with another stem: where the pattern says, or at the end of the name."""
    tail = tree.path.rpartition("{stem}")[2]
    tail = tail if file.endswith(stem + tail) else "." + file.rpartition(".")[2]
    return file[: len(file) - len(stem + tail)] + new + tail


def tree_of(reference: str, split: str, trees: tuple[LabelTree, ...]) -> LabelTree | None:
    """The tree that a label file belongs to."""
    path, _ = split_reference(reference)
    for tree in trees:
        for name in SPELLINGS.get(split, (split,)):
            prefix, star, suffix = _around(tree.path, name)
            if path.startswith(prefix) and path.endswith(suffix) if star else path == prefix:
                return tree
    return None


@lru_cache(maxsize=256)
def _around(pattern: str, split: str) -> tuple[str, str, str]:
    return pattern.format(split=split, stem="*").partition("*")


def file_key(path: Path) -> LabelKey:
    """The key of a label file that holds one scene: all of its bytes, whose memory is not taken."""
    try:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return LabelKey(0, file.tell(), digest)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}") from None


@dataclass(frozen=True, slots=True)
class FilesByStem:
    """The files of many trees by the image's stem, in the card's order."""

    files: dict[str, list[str]]

    @classmethod
    def collect(cls, card: Card, root: Path, split: str, *, leave_out: frozenset[str] = frozenset()) -> FilesByStem:
        """Lists every tree of the card whose kind is not left out."""
        files: dict[str, list[str]] = {}
        for tree in card.labels:
            if tree.kind not in leave_out:
                for file in files_of(root, tree, split):
                    files.setdefault(stem_in(tree, split, file), []).append(file)
        return cls(files)

    def of(self, stem: str) -> tuple[str, ...]:
        """The files of one stem."""
        return tuple(self.files.get(stem, ()))
