"""A small labelled dataset, and one Ray for all tests of this folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from s2st_aug.config import AugmentConfig
from s2st_aug.config.load import parse_config

MakeDataset = Callable[..., Path]


def make_dataset(root: Path, count: int, *, magic: dict[int, tuple[int, int, int]] | None = None, first: int = 0) -> Path:
    """A BDD100K tree of `count` noise images of 48x32 with one box each; `magic` sets the first pixel (RGB) of some."""
    images, labels = root / "images/100k/train", root / "labels/det_20"
    images.mkdir(parents=True, exist_ok=True)
    labels.mkdir(parents=True, exist_ok=True)
    for i in range(first, first + count):
        image = np.random.default_rng(i).integers(30, 250, (32, 48, 3), dtype=np.uint8)
        image[0, 0] = (magic or {}).get(i, image[0, 0])
        cv2.imwrite(str(images / f"f{i:04d}.png"), image[..., ::-1])
    frames = [_frame(path.name) for path in sorted(images.iterdir())]
    (labels / "det_train.json").write_text(json.dumps(frames))
    return root


def _frame(name: str) -> dict:
    box = {"x1": 5.0, "y1": 5.0, "x2": 30.0, "y2": 25.0}
    label = {"id": f"{name}-0", "category": "car", "attributes": {"occluded": False, "truncated": False}, "box2d": box}
    return {"name": name, "attributes": {"timeofday": "daytime", "weather": "clear", "scene": "city street"}, "labels": [label]}


def make_config(root: Path, **changes: object) -> AugmentConfig:
    """A config for the fake kit; `changes` replace whole groups."""
    raw = {"dataset": {"format": "bdd100k", "root": str(root)}, "domains": ["night", "rain"], "cluster": {"actors": [1, 1]}}
    return parse_config({**raw, **changes})


@pytest.fixture(scope="session")
def ray_here() -> Iterator[None]:
    """One Ray with four logical CPUs and GPUs for every test that computes."""
    from s2st_aug.config.augment import ClusterConfig
    from s2st_aug.distributed.ray_session import ray_session

    with ray_session(ClusterConfig(actors=(1, 4)), None, num_gpus=4):
        yield
