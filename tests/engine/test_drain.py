"""The drain's deadline ends a driver that waits, in C too; a signal after the last commit is no stop."""

from __future__ import annotations

import queue
import signal
import threading
import time
from types import SimpleNamespace

import pytest

from s2st_aug.engine.augment import augment
from s2st_aug.engine.commit import CommitStage
from s2st_aug.engine.driver import Drain, Driver, _Watcher
from s2st_aug.engine.in_process import translate_and_validate
from s2st_aug.storage.plan import table_to_batches
from s2st_aug.storage.progress import read_snapshot
from s2st_aug.storage.run_folder import RunFolder, read_part
from s2st_aug.storage.shards import gather
from s2st_aug.storage.verify import verify
from s2st_aug.testing.datasets import make_config, make_dataset


@pytest.fixture
def in_time():
    """Instead of hanging for ever the test is ended."""
    signal.signal(signal.SIGALRM, lambda number, frame: pytest.fail("the deadline woke nobody"))
    signal.alarm(20)
    yield
    signal.alarm(0)


def answers(reference, timeout):
    return reference


def is_gone(reference, timeout):
    raise ConnectionError("the tracker's node does not answer")


@pytest.mark.parametrize("get", [answers, is_gone])
def test_the_deadline_wakes_a_driver_that_waits_for_a_receipt(get, in_time, monkeypatch):
    monkeypatch.setattr("ray.get", get)
    tracker = SimpleNamespace(drain=SimpleNamespace(remote=lambda: ["a batch whose worker is gone"]))
    lock = SimpleNamespace(lost=threading.Event())
    start = time.monotonic()
    with Drain() as drain:
        drain.listen()
        watcher = _Watcher(drain, tracker, lock, 0.3)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            queue.SimpleQueue().get()  # waits in C, without a timeout
        watcher.close()
        assert drain.why == "stopped by SIGTERM"
    assert time.monotonic() - start < 15


@pytest.fixture
def stopped_after(monkeypatch):
    """A driver without Ray that does so many batches (None: all that are left) and then hears a signal (0: none)."""

    def install(most, number=signal.SIGTERM):
        def run(driver, pending):
            driver._drain.listen()
            tables = [read_part(driver._folder.store, name, None) for name in pending]
            batches = [b for table in tables for b in table_to_batches(table)][:most]
            for validated in translate_and_validate(driver._context, batches):
                done = CommitStage(driver._context)(validated)
                driver._progress.add(done.statuses, done.causes, done.actor)
            if number:
                signal.raise_signal(number)
            return driver._drain.why

        monkeypatch.setattr(Driver, "run", run)

    return install


def test_a_stop_after_the_last_commit_is_a_finished_run(stopped_after, tmp_path):
    """It ended with exit code 4 and "0 of 8 are left"."""
    config = make_config(make_dataset(tmp_path / "data", 4), cluster={"actors": [1, 1], "batch_size": 1})
    stopped_after(3)
    first = augment(config, tmp_path / "run")
    assert (first.exit_code, first.snapshot.state, first.snapshot.done) == (4, "stopped", 6)
    stopped_after(None)
    last = augment(config, tmp_path / "run")
    assert (last.exit_code, last.stopped, last.snapshot.state, last.snapshot.message) == (0, "", "finished", "")
    assert last.sheet
    assert verify(RunFolder(tmp_path / "run")).holds


def test_a_stop_before_failed_rows_were_tried_again_is_a_stop(stopped_after, tmp_path):
    root = make_dataset(tmp_path / "data", 3)
    (root / "images/100k/train/f000000.png").write_bytes(b"no image")
    (root / "images/100k/train/f000002.png").write_bytes(b"no image")
    config = make_config(root, cluster={"actors": [1, 1], "batch_size": 1})
    stopped_after(None)
    assert augment(config, tmp_path / "run").exit_code == 1  # each row is there, and each failed one was tried
    stopped_after(1)
    again = augment(config, tmp_path / "run")
    assert (again.exit_code, again.snapshot.done, again.snapshot.total) == (4, 4, 6)


def test_a_stop_does_not_hide_that_an_image_is_missing(stopped_after, tmp_path):
    config = make_config(make_dataset(tmp_path / "data", 2), cluster={"actors": [1, 1], "batch_size": 1})
    stopped_after(1)
    augment(config, tmp_path / "run")
    next((tmp_path / "run/images").rglob("*.png")).unlink()
    stopped_after(None)
    last = augment(config, tmp_path / "run")
    assert (last.exit_code, last.snapshot.total - last.snapshot.done) == (4, 1)
    assert "1 of 4 variants are missing" in last.stopped


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_a_run_is_summed_up_lets_it_finish(stopped_after, number, tmp_path, monkeypatch):
    """It ended with exit code 4, the rows still in their shards."""

    def interrupted(folder):
        signal.raise_signal(number)
        return gather(folder)

    config = make_config(make_dataset(tmp_path / "data", 1))
    stopped_after(None, number=0)
    monkeypatch.setattr("s2st_aug.engine.augment.gather", interrupted)
    before = signal.getsignal(number)
    for _ in ("started", "resumed with nothing left"):
        assert augment(config, tmp_path / "run").exit_code == 0
        assert read_snapshot(RunFolder(tmp_path / "run")).state == "finished"
    assert signal.getsignal(number) is before
