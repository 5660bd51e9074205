"""Rates of suite `cluster`, on commits whose rate is known."""

from __future__ import annotations

import json
import random
import time
from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest

from benchmarks.cluster import _steady
from benchmarks.node_faults import STALE, Driver, Mix
from s2st_aug.storage.lock import RunLock, read_holder
from s2st_aug.storage.run_folder import RunFolder


@pytest.mark.parametrize("spread", [0.0, 0.3, 1.1])
@pytest.mark.parametrize("at_once", [1, 8])
def test_a_rate_is_right_whether_commits_come_in_waves_or_evenly(at_once, spread):
    """A wave at one end and none at the other took a sixteenth off eight GPUs that never waited: 0.94 of linear."""
    starting = [40.0 + 0.1 * i for i in range(at_once)]
    later = [50.0 + 1.2 * wave + spread * gpu / at_once for wave in range(14) for gpu in range(at_once)]
    running_dry = [80.0 + 2.0 * gpu for gpu in range(at_once)]
    assert _steady([*starting, *later, *running_dry], at_once) == pytest.approx(at_once / 1.2)


def test_a_gpu_that_stands_still_is_seen():
    times = [50.0 + 1.2 * wave for wave in range(16) for gpu in range(8) if gpu < 7]
    assert _steady(times, 8) == pytest.approx(7 / 1.2, rel=0.1)


@pytest.mark.parametrize(("age", "untrue"), [(STALE - 2, 0), (10 * STALE, 1)])
def test_a_refusal_is_true_as_long_as_the_lock_of_a_dead_driver_is_not_stale(tmp_path, age, untrue):
    """A driver whose disk was full cannot release it; two starts from another host within 4 s counted as untrue."""
    mix = Mix(SimpleNamespace(share=tmp_path), [], random.Random(0), {}, 1.0)
    run = RunFolder(mix.run)
    with RunLock(run):
        left = replace(read_holder(run), beat=time.time() - age)
    run.store.write_many({"lock": json.dumps(asdict(left)).encode()})
    (tmp_path / "log").write_text("error: run-1: locked by another run (process 1 on two, last heartbeat ...)")
    mix._note(Driver(SimpleNamespace(pid=7), "one", tmp_path / "log", 0), 2)
    assert len(mix.wrong) == untrue
