"""BDD100K's mask files: instance and panoptic bitmasks (RGBA), semantic ids, lanes (bits), drivable areas."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from s2st_aug.errors import LabelError
from s2st_aug.formats.geometry import mask_box
from s2st_aug.formats.label_images import read_label_image, within
from s2st_aug.records.scene import ObjectKind, SceneObject

INSTANCES = (
    "",
    "pedestrian",
    "rider",
    "car",
    "truck",
    "bus",
    "train",
    "motorcycle",
    "bicycle",
    "traffic light",
    "traffic sign",
)
SEMANTIC = (
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation", "terrain",
    "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
)  # fmt: skip
PANOPTIC = (
    "unlabeled", "dynamic", "ego vehicle", "ground", "static", "parking", "rail track", "road", "sidewalk", "bridge",
    "building", "fence", "garage", "guard rail", "tunnel", "wall", "banner", "billboard", "lane divider",
    "parking sign", "pole", "polegroup", "street light", "traffic cone", "traffic device", "traffic light",
    "traffic sign", "traffic sign frame", "terrain", "vegetation", "sky", "person", "rider", "bicycle", "bus", "car",
    "caravan", "motorcycle", "trailer", "train", "truck",
)  # fmt: skip
PANOPTIC_THINGS = 31
LANES = (
    "crosswalk",
    "double other",
    "double white",
    "double yellow",
    "road curb",
    "single other",
    "single white",
    "single yellow",
)
DRIVABLE = ("direct", "alternative", "background")


def read_mask(path: Path, kind: str, name: str) -> list[SceneObject]:
    """The objects of one mask file; raises LabelError for a file that is not what its kind says."""
    return list(within(READERS[kind](path, name), str(path)))


def _bitmask(path: Path, name: str, categories: tuple[str, ...], things_from: int) -> Iterator[SceneObject]:
    pixels = read_label_image(path)
    if pixels.ndim != 3 or pixels.shape[2] != 4 or pixels.dtype != np.uint8:
        raise LabelError(f"{path}: expected an RGBA bitmask, found shape {pixels.shape} of {pixels.dtype}")
    codes = pixels.view(np.uint32)[..., 0]  # little endian: R | G<<8 | B<<16 | A<<24
    return (
        _instance(codes == code, int(code), name, categories, things_from)
        for code in np.unique(codes)
        if int(code) & 0xFF
    )


def _instance(mask: np.ndarray, code: int, name: str, categories: tuple[str, ...], things_from: int) -> SceneObject:
    category, flags, number = code & 0xFF, code >> 8 & 0xFF, (code >> 16 & 0xFF) << 8 | code >> 24
    thing = category >= things_from
    return SceneObject(
        f"{name}/{number}" if thing else f"{name}/{_named(categories, category)}",
        "mask" if thing else "stuff",
        _named(categories, category),
        mask_box(mask),
        mask=mask,
        truncated=bool(flags & 8),
        occluded=bool(flags & 4),
        crowd=bool(flags & 3),  # crowd, ignored
    )


def _named(names: tuple[str, ...], number: int) -> str:
    return names[number] if number < len(names) else f"class {number}"


def _classes(path: Path, name: str, categories: tuple[str, ...], left_out: frozenset[int]) -> Iterator[SceneObject]:
    ids = _ids(path)
    return (
        _class(ids == n, "stuff", name, _named(categories, int(n))) for n in np.unique(ids) if int(n) not in left_out
    )


def _class(mask: np.ndarray, kind: ObjectKind, name: str, category: str) -> SceneObject:
    return SceneObject(f"{name}/{category}", kind, category, mask_box(mask), mask=mask)


def _ids(path: Path) -> np.ndarray:
    pixels = read_label_image(path)
    if pixels.ndim != 2:
        raise LabelError(f"{path}: expected one channel of class ids, found shape {pixels.shape}")
    return pixels


def _lanes(path: Path, name: str) -> Iterator[SceneObject]:
    """Lane masks: bits 0-2 the kind, bit 3 set means background."""
    ids = _ids(path)
    lane = (ids & 8) == 0
    kinds = ids & 7
    return (_class(lane & (kinds == n), "stuff", name, LANES[n]) for n in range(8) if (lane & (kinds == n)).any())


READERS = {
    "instance_mask": lambda path, name: _bitmask(path, name, INSTANCES, 1),
    "panoptic_mask": lambda path, name: _bitmask(path, name, PANOPTIC, PANOPTIC_THINGS),
    "semantic_mask": lambda path, name: _classes(path, name, SEMANTIC, frozenset({255})),
    "drivable_mask": lambda path, name: _classes(path, name, DRIVABLE, frozenset({2, 255})),
    "lane_mask": _lanes,
}
