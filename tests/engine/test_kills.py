"""Five kills of five kinds, and a drain; then the same set of rows and images as an undisturbed run."""

from __future__ import annotations

import random

import pytest

from benchmarks.chaos import Shooting, set_difference, shoot
from s2st_aug.engine.augment import Options, augment
from s2st_aug.storage.run_folder import RunFolder
from s2st_aug.storage.verify import verify
from s2st_aug.testing.datasets import make_config, make_dataset


@pytest.fixture
def undisturbed(ray_here, tmp_path):
    root = make_dataset(tmp_path / "data", 36)
    config = make_config(root, cluster={"actors": [2, 2], "batch_size": 2, "drain_seconds": 60})
    assert augment(config, tmp_path / "calm", Options(kit="fake")).exit_code == 0
    return config


def test_five_kills_change_nothing(undisturbed, tmp_path):
    order = Shooting(undisturbed, tmp_path / "shot", sleep=0.8, pause=(0.1, 0.5))
    tally = shoot(order, ["actor", "worker", "driver", "actor", "drain", "worker"], random.Random(1))
    assert (tally.kills, tally.hits["drain"]) == (5, 1)
    assert verify(RunFolder(tmp_path / "shot")).holds
    assert set_difference(tmp_path / "calm", tmp_path / "shot") == 0
