"""Cleaning of references before they define a domain: doubles, outliers, and what a camera adds to all its frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool

from s2st_aug.arrays import Image
from s2st_aug.errors import ProfileError, UnreadableImage
from s2st_aug.formats.names import IMAGE_SUFFIXES
from s2st_aug.images import luma, read_image, resize, sha256_bytes, to_lab

SUFFIXES = (*sorted(IMAGE_SUFFIXES), ".ppm")
THUMB = (64, 48)
DOUBLE = 1.5  # mean grey-level difference of two thumbnails below which they show the same
OUTLIER = 6.0  # distance from the median in robust standard deviations
FEW = 8  # below this many photos neither outliers nor overlays can be told
NOTHING = np.zeros(THUMB[::-1], bool)  # the overlay of photos that have none


@dataclass(frozen=True, slots=True)
class ReferencePhotos:
    """A folder (with its sub-folders) and which of its files count."""

    folder: Path
    match: str = "*"


@dataclass(frozen=True, slots=True)
class Reference:
    """One photo of a domain: its name, its bytes' hash, where it lies, and what all photos of its folder show alike."""

    name: str
    path: Path
    sha256: str
    overlay: Bool[np.ndarray, "h w"] = field(default_factory=lambda: NOTHING, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What is left of a folder and what was taken away.

    `overlay` marks cells common to all photos (a bonnet, a logo).
    """

    kept: tuple[Reference, ...]
    unreadable: tuple[str, ...]
    doubles: tuple[str, ...]
    outliers: tuple[str, ...]
    overlay: Bool[np.ndarray, "h w"]

    def lines(self, name: str) -> list[str]:
        """The report, one line for each kind of finding."""
        found = {"unreadable": self.unreadable, "double": self.doubles, "outlier": self.outliers}
        lines = [f"{name}: {len(self.kept)} references kept"]
        lines += [
            f"{name}: {len(names)} {kind}: {', '.join(names[:5])}{' ...' if len(names) > 5 else ''}"
            for kind, names in found.items()
            if names
        ]
        share = float(self.overlay.mean())
        return (
            [
                *lines,
                f"{name}: an overlay common to all covers {share:.0%} of the frame; it is left out of the statistics",
            ]
            if share
            else lines
        )


def clean_references(photos: ReferencePhotos) -> Cleaned:
    """The usable photos of a folder (and its sub-folders), whose name matches, in order.

    Raises ProfileError where there is none.
    """
    folder = photos.folder
    if not folder.is_dir():
        raise ProfileError(f"{folder}: no such folder of references")
    kept, thumbs, unreadable, doubles = _readable(photos)
    outliers = _outliers(thumbs)
    chosen = [i for i in range(len(kept)) if i not in outliers]
    if not chosen:
        raise ProfileError(f"{folder}/{photos.match}: holds no readable photo ({', '.join(SUFFIXES)})")
    names = tuple(kept[i].name for i in sorted(outliers))
    common = overlay([thumbs[i] for i in chosen])
    return Cleaned(tuple(replace(kept[i], overlay=common) for i in chosen), unreadable, doubles, names, common)


def _readable(photos: ReferencePhotos) -> tuple[list[Reference], list[Image], tuple[str, ...], tuple[str, ...]]:
    kept: list[Reference] = []
    thumbs: list[Image] = []
    unreadable, doubles = [], []
    for path in sorted(p for p in photos.folder.rglob(photos.match) if p.suffix.lower() in SUFFIXES):
        name = path.relative_to(photos.folder).as_posix()
        try:
            data = path.read_bytes()
            thumb = resize(read_image(data), THUMB)
        except (OSError, UnreadableImage):
            unreadable.append(name)
            continue
        if any(np.abs(thumb.astype(np.int16) - other).mean() < DOUBLE for other in thumbs):
            doubles.append(name)
            continue
        kept.append(Reference(name, path, sha256_bytes(data)))
        thumbs.append(thumb)
    return kept, thumbs, tuple(unreadable), tuple(doubles)


def _outliers(thumbs: Sequence[Image]) -> set[int]:
    """Photos whose mean colour lies far from the others' median, in robust standard deviations."""
    if len(thumbs) < FEW:
        return set()
    colour = np.stack([to_lab(t).reshape(-1, 3).mean(0) for t in thumbs])
    away = np.abs(colour - np.median(colour, 0))
    spread = 1.4826 * np.median(away, 0) + 1.0
    return {int(i) for i in np.flatnonzero((away / spread).max(1) > OUTLIER)}


def overlay(thumbs: Sequence[Image]) -> Bool[np.ndarray, "h w"]:
    """Cells that show the same edge in nearly every photo: a bonnet, a dashboard, a logo.

    Nothing from fewer than eight photos.
    """
    if len(thumbs) < FEW:
        return NOTHING
    directions = []  # unit gradients, shrunk to nothing where the image is flat
    for thumb in thumbs:
        grey = luma(thumb)
        x, y = cv2.Sobel(grey, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(grey, cv2.CV_32F, 0, 1, scale=1 / 8)
        directions.append(np.dstack([x, y]) / (np.hypot(x, y) + 4)[..., None])
    edges = np.stack(directions)
    common = np.hypot(*np.moveaxis(edges.mean(0), -1, 0))
    present = np.hypot(edges[..., 0], edges[..., 1]).mean(0)
    fixed = (common > 0.8 * present) & (present > 0.75)
    grown = cv2.morphologyEx(fixed.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    grown = cv2.morphologyEx(grown, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    out, low = grown.astype(bool), len(grown) * 2 // 3
    # an edge common to all in the lowest third hides what lies below it, as a bonnet's does
    out[low:] |= np.maximum.accumulate(out[low:], axis=0)
    return out
