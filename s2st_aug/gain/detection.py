"""The detection task: a small CenterNet on labelled scenes, AP through pycocotools by class and size."""

from __future__ import annotations

from s2st_aug.gain.config import GainConfig


def train_and_test(config: GainConfig, arm: str, rng_key: int) -> dict[str, float]:
    """AP in percent of one arm and one rng_key, by test set, class and size."""
    raise NotImplementedError
