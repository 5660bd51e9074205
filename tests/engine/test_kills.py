"""Kills of actors, workers and the driver, and a drain; then the rows and images of a run that nothing disturbed."""

from __future__ import annotations

import random

import pytest
from engine_here import run_here

from benchmarks.chaos import Shooting, set_difference, shoot
from s2st_aug.storage.run_folder import RunFolder
from s2st_aug.storage.verify import verify
from s2st_aug.testing.datasets import make_config, make_dataset


@pytest.mark.parametrize(
    ("scenes", "targets"),
    [
        pytest.param(16, ["actor", "driver", "worker"], marks=pytest.mark.slow),
        pytest.param(36, ["actor", "worker", "driver", "actor", "drain", "worker"], marks=pytest.mark.slow),
    ],
    ids=["three", "five and a drain"],
)
def test_kills_change_nothing(scenes, targets, tmp_path):
    config = make_config(
        make_dataset(tmp_path / "data", scenes), cluster={"actors": [2, 2], "batch_size": 2, "drain_seconds": 60}
    )
    run_here(config, tmp_path / "calm")
    tally = shoot(Shooting(config, tmp_path / "shot", sleep=0.8, pause=(0.1, 0.5)), targets, random.Random(1))
    drains = targets.count("drain")
    assert (tally.kills, tally.hits["drain"]) == (len(targets) - drains, drains)
    assert verify(RunFolder(tmp_path / "shot")).holds
    assert set_difference(tmp_path / "calm", tmp_path / "shot") == 0
