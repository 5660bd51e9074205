"""Scenes as a native Cityscapes tree: leftImg8bit, gtFine polygons, labelIds, labelTrainIds, instanceIds, color."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy import ndimage

from s2st_aug.procedural.categories import CATEGORIES
from s2st_aug.procedural.files import encode_png, write_bytes
from s2st_aug.procedural.labels import StreetImage, StreetLabels
from s2st_aug.records.domains import ConditionName

CITY = "proctown"
LEAST_POLYGON = 6  # pixels; smaller crumbs of foliage are left to what surrounds them
IDS = np.array([c.city_id for c in CATEGORIES], np.uint8)
TRAIN_IDS = np.array([c.train_id for c in CATEGORIES], np.uint8)
COLOURS = np.array([(*c.colour, 255) for c in CATEGORIES], np.uint8)
COUNTED = tuple(c.city_id >= 24 for c in CATEGORIES)  # the classes that have instances in Cityscapes


class CityscapesTree:
    """Writes one condition's tree, scene by scene."""

    def __init__(self, root: Path, splits: tuple[str, ...]) -> None:
        self.root = root
        for split in splits:
            (root / "leftImg8bit" / split / CITY).mkdir(parents=True, exist_ok=True)
            (root / "gtFine" / split / CITY).mkdir(parents=True, exist_ok=True)

    def image_path(self, sample: StreetImage) -> str:
        """Where the sample's image lies, relative to the tree."""
        return f"leftImg8bit/{sample.split}/{CITY}/{stem(sample)}_leftImg8bit.png"

    def add(self, sample: StreetImage, image: bytes, masks: dict[str, bytes], condition: ConditionName) -> None:
        """Write one scene's image and label files."""
        write_bytes(self.root / self.image_path(sample), image)
        for name, data in masks.items():
            write_bytes(self.root / "gtFine" / sample.split / CITY / f"{stem(sample)}_gtFine_{name}", data)

    def close(self) -> None:
        """Nothing is left open."""


def stem(sample: StreetImage) -> str:
    """City, sequence and frame, as Cityscapes names its files."""
    return f"{CITY}_{sample.index:06d}_{sample.frame or 19:06d}"


def label_files(sample: StreetImage) -> dict[str, bytes]:
    """The five files of gtFine by the end of their name."""
    labels = sample.labels
    return {
        "labelIds.png": encode_png(np.take(IDS, labels.category)),
        "labelTrainIds.png": encode_png(np.take(TRAIN_IDS, labels.category)),
        "instanceIds.png": encode_png(instance_ids(labels)),
        "color.png": encode_png(np.take(COLOURS, labels.category, axis=0)),
        "polygons.json": json.dumps(polygons(labels), separators=(",", ":")).encode(),
    }


def instance_ids(labels: StreetLabels) -> np.ndarray:
    """uint16: class id, or class id * 1000 + running number for an instance of a counted class."""
    number = np.zeros(int(labels.owner.max()) + 1, np.uint16)
    seen: dict[int, int] = {}
    for item in labels.objects:
        kind = item.instance.category
        if COUNTED[kind]:
            number[item.instance.number] = CATEGORIES[kind].city_id * 1000 + seen.get(kind, 0)
            seen[kind] = seen.get(kind, 0) + 1
    own = np.take(number, labels.owner)
    return np.where(own > 0, own, np.take(IDS, labels.category)).astype(np.uint16)


def polygons(labels: StreetLabels) -> dict[str, Any]:
    """The polygons.json record: painted in order, they give labelIds back but for the smallest crumbs.

    Every connected patch gives its outer outline; a patch in a hole of another has the smaller filled area and
    is painted later.
    """
    height, width = labels.category.shape
    patches = sorted(_patches(labels), key=lambda p: -p[0])
    objects = [{"label": label, "polygon": outline.tolist()} for _, label, outline in patches]
    return {"imgHeight": height, "imgWidth": width, "objects": objects}


def _patches(labels: StreetLabels) -> Iterator[tuple[float, str, np.ndarray]]:
    """(filled area, label, outline) of every connected patch of one class or one instance."""
    combined = labels.owner + 1 + np.where(labels.owner > 0, len(CATEGORIES), labels.category)
    names = {1 + k: c.cityscapes + ("group" if COUNTED[k] else "") for k, c in enumerate(CATEGORIES)}
    names |= {
        o.instance.number + 1 + len(CATEGORIES): CATEGORIES[o.instance.category].cityscapes for o in labels.objects
    }
    for value, where in enumerate(ndimage.find_objects(combined.astype(np.int32)), start=1):
        if where is None:
            continue
        rows, columns = where
        mask = (combined[where] == value).astype(np.uint8)
        contours, tree = cv2.findContours(
            mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE, offset=(columns.start, rows.start)
        )
        for outline in (
            c for c, node in zip(contours, tree[0], strict=True) if node[3] < 0
        ):  # not the outlines of holes
            area = cv2.contourArea(outline) + len(outline)
            if area >= LEAST_POLYGON and len(outline) >= 3:
                yield area, names[value], outline[:, 0]
