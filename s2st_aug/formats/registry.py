"""The dataset formats by name: built in, registered by another package, or named in full."""

from __future__ import annotations

import importlib
from functools import lru_cache
from importlib.metadata import entry_points

from s2st_aug.errors import DatasetError, did_you_mean
from s2st_aug.formats.base import DatasetFormat

GROUP = "s2st_aug.formats"
"""Entry point group in which another package registers its formats: `toy = "my_package.toy:FORMAT"`."""
FORMATS = {
    "bdd100k": "s2st_aug.formats.bdd100k:FORMAT",
    "cityscapes": "s2st_aug.formats.cityscapes:FORMAT",
    "coco": "s2st_aug.formats.coco:FORMAT",
    "yolo": "s2st_aug.formats.yolo:FORMAT",
    "kitti": "s2st_aug.formats.kitti:FORMAT",
}
"""The built-in formats that any dataset can be exported to, each imported when it is asked for."""
NATIVE = {
    "zod": "s2st_aug.formats.zod:FORMAT",
    "nuimages": "s2st_aug.formats.nuimages:FORMAT",
    "comma10k": "s2st_aug.formats.comma10k:FORMAT",
}
"""The built-in forms of single datasets: read, exported as what they are and to the formats above."""
BUILT_IN = FORMATS | NATIVE


def format_names() -> list[str]:
    """The formats that can be named: built-in ones, then those of installed packages."""
    return list(dict.fromkeys([*BUILT_IN, *sorted(entry_points(group=GROUP).names)]))


@lru_cache(maxsize=64)
def find_format(name: str) -> DatasetFormat:
    """The format of that name, or the object at `package.module:OBJECT`; raises DatasetError for what is none."""
    place = BUILT_IN.get(name) or (name if ":" in name else _registered(name))
    module, _, attribute = place.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise DatasetError(f"dataset format {name!r} cannot be loaded: {' '.join(str(error).split())}") from None
    if not isinstance(found, DatasetFormat):
        raise DatasetError(f"dataset format {name!r}: expected a DatasetFormat, {place} is a {type(found).__name__}")
    return found


def _registered(name: str) -> str:
    registered = [point.value for point in entry_points(group=GROUP, name=name)]
    if not registered:
        raise DatasetError(f"no dataset format named {name!r}{did_you_mean(name, format_names())}")
    return registered[0]
