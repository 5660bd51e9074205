"""What a person at a terminal sees of a run, what a pipe sees, and what Ctrl-C does."""

from __future__ import annotations

import io
import logging
import signal
import time

import pytest
from rich.console import Console

from s2st_aug.cli import augment
from s2st_aug.engine.driver import Drain
from s2st_aug.storage.progress import Snapshot

NOW = Snapshot("running", 40, 9, 2, 1, time.time(), time.time() - 60, 1800.0, rate=0.25, actors={"a": 6, "b": 6})


def shown(monkeypatch: pytest.MonkeyPatch, *, terminal: bool, gpus: float) -> str:
    said = io.StringIO()
    monkeypatch.setattr(augment, "err", Console(file=said, force_terminal=terminal, width=160))
    with augment.progress_bar(gpus) as watch:
        watch(NOW)
    return said.getvalue()


def test_a_terminal_shows_count_rate_time_left_verdicts_and_gpu_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    told = shown(monkeypatch, terminal=True, gpus=1)
    assert all(part in told for part in ("12/40", "0.25/s", "9 accepted", "2 rejected", "1 failed", "1.00 GPU h", ":"))
    assert "GPU" not in shown(monkeypatch, terminal=True, gpus=0)


def test_a_pipe_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, terminal=False, gpus=1) == ""


def test_ctrl_c_once_drains_and_says_so_twice_stops_and_term_never_does(caplog: pytest.LogCaptureFixture) -> None:
    before = signal.getsignal(signal.SIGINT)
    with caplog.at_level(logging.WARNING), Drain() as drain:
        signal.raise_signal(signal.SIGINT)
        assert (drain.requested.is_set(), drain.why) == (True, "stopped by SIGINT")
        assert "Ctrl-C once more stops at once" in caplog.text
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
