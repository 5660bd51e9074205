"""The drain's deadline: it ends a driver that waits, in C too."""

from __future__ import annotations

import queue
import signal
import threading
import time
from types import SimpleNamespace

import pytest

from s2st_aug.engine.driver import Drain, _Watcher


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
        watcher = _Watcher(drain, tracker, lock, 0.3)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            queue.SimpleQueue().get()  # waits in C, without a timeout
        watcher.close()
        assert drain.why == "stopped by SIGTERM"
    assert time.monotonic() - start < 15
