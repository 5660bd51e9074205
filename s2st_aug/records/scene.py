"""A labelled scene as planned (`Scene`, small enough for millions) and its labels (`SceneObject`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from s2st_aug.arrays import Box

ObjectKind = Literal["box", "polygon", "mask", "polyline", "stuff"]
UNKNOWN = "unknown class"
"""the category of a label whose class its dataset does not name; its `unsound` says why"""
LINES = ("polyline", "stuff")  # kinds that are lines to a judge: their extent says nothing
SignalState = Literal["red", "amber", "green"]


@dataclass(frozen=True, slots=True)
class LabelKey:
    """Where a scene's record is in its label file: `start:length:sha256` of those bytes.

    A file that holds one scene is `0:size:sha256`.
    """

    start: int
    length: int
    sha256: str

    def __str__(self) -> str:
        return f"{self.start}:{self.length}:{self.sha256}"

    @classmethod
    def parse(cls, text: str) -> LabelKey:
        """The inverse of `str`; raises ValueError on anything else."""
        start, length, sha256 = text.split(":")
        return cls(int(start), int(length), sha256)


@dataclass(frozen=True, slots=True)
class Scene:
    """One image of a dataset and where its labels are; nothing is decoded yet.

    `scene_id` is unique and stable within a dataset (`<split>/<name without suffix>`, with the
    video folder where there is one). `image` and `label_file` are POSIX paths relative to the
    dataset's root. `extra_files` are further label files of the scene (masks, drivable areas,
    camera), carried on export; a record inside a larger file is `path#start:length:sha256`.
    `attributes` are the image's own (`timeofday`, `weather`, `scene`).
    """

    scene_id: str
    dataset: str
    split: str
    image: str
    label_file: str | None = None
    label_key: LabelKey | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    extra_files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class SceneObject:
    """One label record (stuff: one per class), in source pixels.

    `object_id` is the record's own id, made unique within the scene by its index where needed.
    `outlines` are float arrays `n 2` (x, y): closed for polygons and stuff, open for polylines.
    `mask` is a bool array of the image's size, or None; `crowd` regions are never judged. `unsound` says why a
    label cannot be trusted as it stands (no class, a broken outline, outside of the image): it is never judged either,
    and carried as it is.
    """

    object_id: str
    kind: ObjectKind
    category: str
    bbox: Box
    outlines: tuple[np.ndarray, ...] = ()
    mask: np.ndarray | None = None
    signal: SignalState | None = None
    crowd: bool = False
    occluded: bool = False
    truncated: bool = False
    unsound: str | None = None
