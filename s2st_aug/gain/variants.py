"""The S2ST arms' images: a run's variants by the stem of their source, gated or not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from s2st_aug.arrays import Box, Image
from s2st_aug.errors import RunFolderError, UsageError
from s2st_aug.export.options import UnjudgedPolicy
from s2st_aug.feed import open_feed
from s2st_aug.feed.entries import Sample
from s2st_aug.gain.config import GainConfig
from s2st_aug.images import read_image, resize
from s2st_aug.records.scene import SceneObject
from s2st_aug.storage import RunFolder


@dataclass(frozen=True, slots=True, eq=False)
class TrainVariant:
    """A variant at the training size; `ignored` and `ignored_boxes`
    (source pixels) are labels no longer to be trusted.
    """

    image: Image
    ignored: np.ndarray | None  # bool "h w", at the training size
    ignored_boxes: tuple[Box, ...] = ()


def variants_of(config: GainConfig, arm: str) -> dict[str, list[TrainVariant]]:
    """An S2ST arm's variants; `s2st_gated_unread` leaves labels that the measure could not judge in training, whatever
    the config's `unjudged` says.
    """
    assert config.run is not None
    unjudged: UnjudgedPolicy = "train-all" if arm == "s2st_gated_unread" else config.unjudged
    return read_variants(
        config.run, config.domains, config.training.size, gated=arm != "s2st_ungated", unjudged=unjudged
    )


def read_variants(
    run: Path, domains: Sequence[str], size: tuple[int, int], *, gated: bool, unjudged: UnjudgedPolicy = "ignore"
) -> dict[str, list[TrainVariant]]:
    """Variants by source stem; gated: what `open_feed` lets through, ignored labels marked.

    Else every image, labels untouched. Raises UsageError where two sources in different folders have one name: pictures
    of the one would be trained on with the labels of the other.
    """
    folder = RunFolder(run)
    _refuse_namesakes(folder)
    found = _gated(folder, domains, size, unjudged) if gated else _all(folder, domains, size)
    if not found:
        raise RunFolderError(f"{run}: no {'accepted ' if gated else ''}variant of {', '.join(domains)}")
    return found


def _refuse_namesakes(folder: RunFolder) -> None:
    seen: dict[str, str] = {}
    for image in folder.read_manifest(["source_image"])["source_image"].unique().to_pylist():
        other = seen.setdefault(stem_of(image), image)
        if other != image:
            raise UsageError(f"{folder.place}: gain tells photos apart by name, {other} and {image} have the same")


def stem_of(image: str | Path) -> str:
    """A source's name without folder and ending, and without Cityscapes' suffix."""
    return Path(image).stem.removesuffix("_leftImg8bit")


def _all(folder: RunFolder, domains: Sequence[str], size: tuple[int, int]) -> dict[str, list[TrainVariant]]:
    found = defaultdict(list)
    for row in folder.read_manifest(["domain", "source_image", "image"]).to_pylist():
        if row["image"] is not None and row["domain"] in domains:
            image = resize(read_image(folder.image_file(row["image"])), size)
            found[stem_of(row["source_image"])].append(TrainVariant(image, None))
    return dict(found)


def _gated(
    folder: RunFolder, domains: Sequence[str], size: tuple[int, int], unjudged: UnjudgedPolicy
) -> dict[str, list[TrainVariant]]:
    found = defaultdict(list)
    index = open_feed(folder, domains=domains, unjudged=unjudged)
    for entry in index.entries:
        if entry.synthetic:
            sample = index.read(entry)
            boxes = tuple(o.bbox for o in sample.ignored)
            found[stem_of(entry.scene.image)].append(
                TrainVariant(resize(sample.image, size), _region(sample, size), boxes)
            )
    return dict(found)


def _region(sample: Sample, size: tuple[int, int]) -> np.ndarray | None:
    if not sample.ignored:
        return None
    canvas = np.zeros(sample.image.shape[:2], np.uint8)
    for one in sample.ignored:
        _mark(canvas, one)
    return cv2.resize(canvas, size, interpolation=cv2.INTER_NEAREST) > 0


def _mark(canvas: np.ndarray, one: SceneObject) -> None:
    if one.mask is not None:
        canvas[one.mask] = 1
    elif one.kind in ("polygon", "stuff") and one.outlines:
        cv2.fillPoly(canvas, [np.rint(o).astype(np.int32) for o in one.outlines], 1)
    elif one.kind != "polyline":
        x1, y1, x2, y2 = (max(0, round(v)) for v in one.bbox)
        canvas[y1:y2, x1:x2] = 1
