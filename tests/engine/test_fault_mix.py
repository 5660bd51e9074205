"""Faults of ten kinds in random mixes, in this process: the finished set is that of an undisturbed run.

Ray's part (processes that die, nodes that go) is in test_kills.py and test_two_nodes.py; here workers are the stages
themselves, so that a hundred faults take seconds, and a fault can hit between any two writes.
"""

from __future__ import annotations

import errno
import json
import os
import random
import time
from collections import Counter, deque
from dataclasses import replace

import pytest
from engine_here import run_here

from benchmarks.chaos import set_difference
from s2st_aug.engine import translate
from s2st_aug.engine.attempts import AttemptTracker, Seat
from s2st_aug.engine.augment import _finish
from s2st_aug.engine.commit import CommitStage
from s2st_aug.engine.context import identify
from s2st_aug.engine.options import PLAIN_START
from s2st_aug.engine.prepare import prepare, with_absolute_root
from s2st_aug.engine.proof import Proof
from s2st_aug.engine.translate import TranslateStage
from s2st_aug.engine.validate import ValidateStage
from s2st_aug.errors import LockLost, RunFolderError, WorkerFault
from s2st_aug.storage.lock import RunLock
from s2st_aug.storage.plan import table_to_batches
from s2st_aug.storage.run_folder import RunFolder, read_part
from s2st_aug.storage.shards import list_shards
from s2st_aug.storage.store import LocalStore
from s2st_aug.storage.verify import verify
from s2st_aug.testing.datasets import make_config, make_dataset

WORKERS = ("kill", "stop", "hang", "sick worker", "lost mount", "full disk", "storage error")
DRIVERS = ("stalled driver", "two drivers", "clock jump", "dead driver")
KINDS = WORKERS + DRIVERS
ILL = ("device", "load", "raise")


class Killed(BaseException):
    """Stands for SIGKILL: nothing below catches it."""


class Mix:
    """One run, started again and again until it ends by itself, under faults in a given order."""

    def __init__(self, config, place, faults, dice, patch):
        self.config, self.place, self.dice, self.patch = config, place, dice, patch
        self.faults = deque(faults)
        self.hits: Counter[str] = Counter()
        self.late: list = []  # commits of workers that were thought dead
        self.asleep: list = []  # drivers that were, too
        self.codes: list[int] = []
        self.reasons: list[str] = []

    def run(self):
        for _ in range(10 * len(self.faults) + 10):
            self.codes.append(self.start())
            if self.codes[-1] == 0 and not self.faults:
                return
            if self.codes[-1] == 0:  # what is left of the order needs work to hit: three batches are made anew
                self.undo()
        pytest.fail("the run does not end")

    def undo(self):
        """Takes rows out, as --check-sources does for changed sources."""
        from s2st_aug.storage.repair import set_rows_aside

        run = RunFolder(self.place)
        with RunLock(run):
            keys = [f"{r['scene_id']}\t{r['domain']}" for r in run.read_manifest(["scene_id", "domain"]).to_pylist()]
            set_rows_aside(run, self.dice.sample(keys, 8))

    def next(self, kinds):
        """The next fault, where it is one of these."""
        if self.faults and self.faults[0] in kinds and self.dice.random() < 0.7:
            self.hits[self.faults[0]] += 1
            return self.faults.popleft()
        return ""

    def start(self) -> int:
        """One driver's life; its exit code, -9 for a kill."""
        folder = RunFolder(self.place)
        lock = RunLock(folder)
        lock.__enter__()
        try:
            return self.drive(folder, lock)
        except Killed:
            self.die(folder, lock)
            return -9
        finally:
            self.patch.undo()
            if not lock.lost.is_set() and lock not in [old for _, _, old in self.asleep]:
                lock.__exit__(None, None, None)

    def drive(self, folder, lock) -> int:
        ready = prepare(self.config, folder, PLAIN_START, identify(self.config), place=str(self.place), lock=lock)
        queue = deque(b for n in ready.pending for b in table_to_batches(read_part(folder.store, n, None)))
        tracker, stopped = AttemptTracker(), ""
        while queue and not stopped:
            if kind := self.next(DRIVERS):
                self.hit_driver(kind, folder, lock, ready)
            batch = queue.popleft()
            stopped, done = self.work(ready, tracker, batch)
            if not done:
                queue.append(batch)
            self.wake()
        self.wake(all_of_them=True)
        summary = _finish(folder, ready, stopped)
        self.reasons.append(summary.stopped)
        return summary.exit_code

    def work(self, ready, tracker, batch) -> tuple[str, bool]:
        """One worker and one batch: why the run must stop, and whether the batch is done."""
        kind, context = self.next(WORKERS), ready.context
        if kind == "hang":
            tracker.begin(batch.key)
            return "", False  # its worker is ended from outside
        if kind == "sick worker":
            self.patch.setenv("S2ST_FAKE_ILL", self.dice.choice(ILL))
        if kind == "lost mount":
            context = replace(context, run=str(self.place.with_name("nowhere")))
        proof = Proof(context)
        stage = TranslateStage(context, tracker, seat=Seat(f"w:{self.dice.random()}", "a"), proof=proof)
        translated = stage(batch)
        self.patch.undo()
        if translated.given_back:
            assert kind in ("sick worker", "lost mount")
            return "", False
        validated = ValidateStage(context, proof)(translated)
        commit = CommitStage(context, proof)
        if kind == "stop":
            self.late.append((commit, validated))
            return "", False
        if kind in ("kill", "full disk", "storage error"):
            self.break_writes(kind, after=self.dice.randrange(5))
        try:
            result = commit(validated)
        except Killed:
            return "", False
        except WorkerFault:
            return "", False
        finally:
            self.patch.undo()
        if result.stop:
            return result.stop, False
        tracker.end([batch.key])
        ready.progress.add(result.statuses, result.causes, "w")
        return "", True

    def break_writes(self, kind, after):
        """The so-manieth flush to disk of this worker is its last, or fails."""
        left, real = [after], os.fsync

        def fsync(fd):
            left[0] -= 1
            if left[0] < 0 and kind == "kill":
                raise Killed
            if left[0] < 0 and kind == "full disk":
                raise OSError(errno.ENOSPC, "full")
            if left[0] == 0 and kind == "storage error":
                raise OSError(errno.EIO, "storage")
            real(fd)

        self.patch.setattr(os, "fsync", fsync)
        self.patch.setattr(time, "sleep", lambda seconds: None)

    def hit_driver(self, kind, folder, lock, ready):
        if kind == "two drivers":
            with pytest.raises(RunFolderError, match="locked by another run"), RunLock(RunFolder(self.place)):
                pass
        elif kind == "clock jump":
            jump, real = self.dice.choice((-7200, 7200)), time.time
            self.patch.setattr(time, "time", lambda: real() + jump)
            ready.progress.write("running")
            self.patch.undo()
        elif kind == "dead driver":
            raise Killed
        else:
            self.asleep.append((folder, ready, lock))
            raise Killed

    def die(self, folder, lock):
        """The driver is gone, or asleep: its lock stays, and looks like one of a process that is no more."""
        lock._stop.set()
        lock._thread.join()
        folder.store.guard = None if lock not in [old for _, _, old in self.asleep] else folder.store.guard
        plain = LocalStore(folder.path)
        for name in ["lock", *plain.names(".state/epochs")]:
            plain.write_many({name: json.dumps({**json.loads(plain.read(name)), "pid": 2**22 + 1}).encode()})
        if lock not in [old for _, _, old in self.asleep]:
            lock.lost.set()

    def wake(self, *, all_of_them=False):
        """Workers that were stopped go on with their commit; drivers that slept gather, sum up and tell."""
        while self.late and (all_of_them or self.dice.random() < 0.5):
            commit, validated = self.late.pop(0)
            try:
                commit(validated)
            except WorkerFault:  # of a driver that is not the folder's any more
                continue
        while self.asleep and (all_of_them or self.dice.random() < 0.5):
            folder, ready, lock = self.asleep[0]
            lock._fence._seen = -float("inf")
            before = {shard.name for shard in list_shards(LocalStore(folder.path))}
            with pytest.raises(LockLost):
                _finish(folder, ready, "")
            assert {shard.name for shard in list_shards(LocalStore(folder.path))} == before
            self.asleep.pop(0)


@pytest.mark.parametrize(
    ("count", "seed"), [(5, 1), (11, 2), *(pytest.param(50, seed, marks=pytest.mark.slow) for seed in range(10, 14))]
)
def test_a_mix_of_faults_leaves_the_set_of_an_undisturbed_run(count, seed, tmp_path, monkeypatch):
    monkeypatch.setattr(translate, "AVOIDED_SECONDS", 0.0)
    dice = random.Random(seed)
    config = with_absolute_root(
        make_config(make_dataset(tmp_path / "data", 10), cluster={"batch_size": 1, "share_seconds": 0.01})
    )
    run_here(config, tmp_path / "calm")
    faults = [KINDS[i % len(KINDS)] for i in range(count)] if count > 5 else dice.sample(KINDS, count)
    dice.shuffle(faults)
    with pytest.MonkeyPatch.context() as patch:
        mix = Mix(config, tmp_path / "run", faults, dice, patch)
        mix.run()
    assert sum(mix.hits.values()) == count
    assert set(mix.codes) <= {0, 4, -9} and mix.codes[-1] == 0
    assert mix.codes.count(4) <= mix.hits["full disk"], mix.reasons  # a batch with little left may end before it
    assert verify(RunFolder(tmp_path / "run")).holds
    assert set_difference(tmp_path / "calm", tmp_path / "run") == 0
