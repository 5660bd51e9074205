"""Rates of suite `cluster`, on commits whose rate is known."""

from __future__ import annotations

import json
import os
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


ME, HOLDER = 7, 1


def refused(tmp_path, words, *, host="one", beat=0.0, ended=None, asleep=False):
    """The untrue codes of a driver on host `one` that ends with 2 and these words, 100 s after it began.

    The lock's holder is on host `two`, unless the words say otherwise; its last heartbeat is `beat` seconds before
    the refusal, its end `ended` seconds. `asleep`: a stalled driver sleeps beside them.
    """
    mix = Mix(SimpleNamespace(share=tmp_path), [], random.Random(0), {}, 1.0)
    run, now = RunFolder(mix.run), time.time()
    with RunLock(run):
        record = replace(read_holder(run), pid=HOLDER, host=host, beat=now - beat)
    run.store.write_many({"lock": json.dumps(asdict(record)).encode()})
    os.utime(mix.run / "lock", (now - beat, now - beat))
    (mix.run / ".state/epochs/00000001").unlink()
    (tmp_path / "log").write_text(f"error: run-1: {words}")
    holder = Driver(SimpleNamespace(pid=HOLDER, poll=lambda: None), host, tmp_path / "log", 0)
    mix.drivers.append(holder)
    if ended is not None:
        mix.witness.end([HOLDER], now - ended)
    mix.sleepers = [holder] if asleep else []
    mix._note(Driver(SimpleNamespace(pid=ME), "one", tmp_path / "log", 0, began=now - 100), 2)
    return len(mix.wrong)


ON_TWO = "locked by another run (process 1 on two, last heartbeat ...)"
ON_ONE = "locked by another run (process 1 on one, last heartbeat ...)"


@pytest.mark.parametrize(("age", "untrue"), [(STALE - 2, 0), (10 * STALE, 1)])
def test_a_refusal_is_true_as_long_as_the_lock_of_a_dead_driver_is_not_stale(tmp_path, age, untrue):
    """A driver whose disk was full cannot release it; two starts from another host within 4 s counted as untrue."""
    assert refused(tmp_path, ON_TWO, host="two", beat=age, ended=age) == untrue


@pytest.mark.parametrize(("age", "untrue"), [(STALE - 2, 0), (10 * STALE, 1)])
def test_a_stalled_driver_excuses_a_refusal_only_while_its_lock_is_not_stale(tmp_path, age, untrue):
    """As long as one slept, every refusal counted as true."""
    assert refused(tmp_path, ON_TWO, host="two", beat=age, asleep=True) == untrue


@pytest.mark.parametrize(("ended", "untrue"), [(None, 0), (0.5, 0), (10.0, 1)])
def test_on_the_holders_own_machine_its_process_decides(tmp_path, ended, untrue):
    assert refused(tmp_path, ON_ONE, beat=10 * STALE, ended=ended, asleep=ended is None) == untrue


@pytest.mark.parametrize("words", ["dataset.root: no such folder", "locked by another run (process 99 on two, ...)"])
def test_no_other_refusal_is_excused_beside_a_stalled_driver(tmp_path, words):
    assert refused(tmp_path, words, host="two", asleep=True) == 1


@pytest.mark.parametrize(("age", "untrue"), [(10.0, 0), (200.0, 1)])
def test_a_lock_is_being_taken_only_where_another_driver_has_had_it_since(tmp_path, age, untrue):
    assert refused(tmp_path, "another run is taking the lock right now; try again", host="two", beat=age) == untrue
