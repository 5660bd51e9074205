"""What a person at a terminal sees of a run, what a pipe sees, and what Ctrl-C does."""

from __future__ import annotations

import io
import json
import logging
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from rich.console import Console

from s2st_aug.cli import progress
from s2st_aug.cli.progress import LINE_SECONDS, ProgressLines
from s2st_aug.cli.terminal import fail, log_as_json
from s2st_aug.engine.driver import Drain
from s2st_aug.storage.progress import Snapshot

NOW = Snapshot("running", 40, 9, 2, 1, time.time(), time.time() - 60, 1800.0, rate=0.25, actors={"a": 6, "b": 6})


def shown(monkeypatch: pytest.MonkeyPatch, *, terminal: bool, gpus: float) -> str:
    said = io.StringIO()
    monkeypatch.setattr(progress, "err", Console(file=said, force_terminal=terminal, width=160))
    with progress.show_progress(gpus) as watch:
        watch(NOW)
    return said.getvalue()


def test_a_terminal_shows_count_rate_time_left_verdicts_and_gpu_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    told = shown(monkeypatch, terminal=True, gpus=1)
    assert all(part in told for part in ("12/40", "0.25/s", "9 accepted", "2 rejected", "1 failed", "1.00 GPU h", ":"))
    assert "GPU" not in shown(monkeypatch, terminal=True, gpus=0)


def test_off_a_terminal_a_line_every_thirty_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter([0.0, 10.0, LINE_SECONDS, LINE_SECONDS + 1, 2 * LINE_SECONDS, 2 * LINE_SECONDS + 1])
    lines = ProgressLines(0, clock=lambda: next(clock))
    for _ in range(5):
        lines(NOW)
    lines(replace(NOW, ok=37))
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "12 of 40, 0.25/s, 9 accepted, 2 rejected, 1 failed, 2 min left"
    assert len(told) == 4 and told[3].startswith("40 of 40, "), told
    assert told[3].endswith("failed"), "nothing is left"


@pytest.fixture
def forms_come_back() -> Iterator[None]:
    """Log handlers as they were: what a command changes lasts as long as its process."""
    before = [(handler, handler.formatter) for handler in logging.getLogger().handlers]
    yield
    for handler, form in before:
        handler.setFormatter(form)


def test_json_lines_hold_counts_and_warnings(forms_come_back: None, capsys: pytest.CaptureFixture[str]) -> None:
    handler = logging.StreamHandler(sys.stderr)
    logging.getLogger().addHandler(handler)
    try:
        log_as_json()
        ProgressLines(0, "json")(NOW)
        logging.getLogger("s2st_aug.test").warning("two\nlines of %s", "text")
        assert fail("no such\nmodel", 2) == 2
    finally:
        logging.getLogger().removeHandler(handler)
    first, second, third = map(json.loads, capsys.readouterr().err.splitlines())
    assert first == {
        **{"event": "progress", "done": 12, "total": 40, "accepted": 9, "rejected": 2, "failed": 1},
        **{"rate": 0.25, "eta_seconds": 112.0, "silent_seconds": 0.0},
    }
    assert (second["event"], second["level"], second["message"]) == ("log", "warning", "two\nlines of text")
    assert third == {"event": "error", "message": "no such model", "exit_code": 2}


def test_ctrl_c_once_drains_and_says_so_twice_stops_and_term_never_does(caplog: pytest.LogCaptureFixture) -> None:
    before = signal.getsignal(signal.SIGINT)
    with caplog.at_level(logging.WARNING), Drain() as drain:
        drain.listen()
        signal.raise_signal(signal.SIGINT)
        assert (drain.requested.is_set(), drain.why) == (True, "stopped by SIGINT")
        assert "press Ctrl-C again to stop at once" in caplog.text
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
