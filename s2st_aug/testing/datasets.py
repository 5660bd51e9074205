"""A public fake of a dataset: a BDD100K tree of small noise images, for trying the engine anywhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from s2st_aug.config import AugmentConfig
from s2st_aug.config.load import parse_config
from s2st_aug.images import encode_png
from s2st_aug.testing.methods import FAKE

Magic = Mapping[int, tuple[int, int, int]]
"""image number -> RGB of its first pixel (`testing.methods.MAGIC`)"""


def make_dataset(root: Path, count: int, *, magic: Magic | None = None, size: tuple[int, int] = (48, 32)) -> Path:
    """`count` images of `size` (w, h) with one box each, added to those that are there; returns the root."""
    images, labels = root / "images/100k/train", root / "labels/det_20"
    images.mkdir(parents=True, exist_ok=True)
    labels.mkdir(parents=True, exist_ok=True)
    first = len(list(images.iterdir()))
    for i in range(first, first + count):
        image = np.random.default_rng(i).integers(30, 250, (size[1], size[0], 3), dtype=np.uint8)
        image[0, 0] = (magic or {}).get(i, image[0, 0])
        (images / f"f{i:06d}.png").write_bytes(encode_png(image))
    frames = [_frame(path.name) for path in sorted(images.iterdir())]
    (labels / "det_train.json").write_text(json.dumps(frames), encoding="utf-8")
    return root


def _frame(name: str) -> dict[str, object]:
    box = {"x1": 5.0, "y1": 5.0, "x2": 30.0, "y2": 25.0}
    label = {"id": f"{name}-0", "category": "car", "attributes": {"occluded": False, "truncated": False}, "box2d": box}
    return {
        "name": name,
        "attributes": {"timeofday": "daytime", "weather": "clear", "scene": "city street"},
        "labels": [label],
    }


def make_config(root: Path, **groups: object) -> AugmentConfig:
    """A config over such a dataset for the fake method: night and rain, one actor; `groups` replace groups of keys."""
    return parse_config(
        {
            "dataset": {"format": "bdd100k", "root": str(root)},
            "domains": ["night", "rain"],
            "cluster": {"actors": [1, 1]},
            "method": {"name": FAKE},
            **groups,
        }
    )
