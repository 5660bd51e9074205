"""How a run tells of itself: a bar on a terminal, else a line every thirty seconds, as text or as JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from s2st_aug.cli.terminal import err, log_as_json, logs_json

if TYPE_CHECKING:
    from s2st_aug.diffusion.downloads import Download
    from s2st_aug.storage.progress import Snapshot

LINE_SECONDS = 30.0
TERMINAL_SECONDS = 5.0
SMALL_BYTES = 8 * 2**20  # a download that is over before anybody asks


def _chosen(form: str) -> str:
    """Before any other option is read, so that what is wrong with them is told as JSON too."""
    if form == "json":
        log_as_json()
    return form


LogFormat = Annotated[
    Literal["text", "json"],
    typer.Option(
        "--log-format",
        is_eager=True,
        callback=_chosen,
        help="json: write progress and warnings to stderr, one JSON object per line.",
    ),
]


@contextmanager
def show_progress(gpus: float, form: str = "text") -> Iterator[Callable[[Snapshot], None]]:
    """What a run's snapshots are passed to; `gpus` an actor are counted as hours held.

    A rich bar with rate, time left and counts where stderr is a terminal, else `ProgressLines`.
    """
    if form == "json" or not err.is_terminal:
        yield ProgressLines(gpus, form)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("translating"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    bar = Progress(*columns, console=err)
    with bar:
        task = bar.add_task("", total=None, note="starting Ray")
        yield lambda s: bar.update(task, total=s.total, completed=s.done, note=note_of(s, gpus))


class ProgressLines:
    """A line on stderr for the first snapshot, for the last, and every thirty seconds between them."""

    def __init__(self, gpus: float, form: str = "text", clock: Callable[[], float] = time.monotonic) -> None:
        self._gpus, self._form, self._clock = gpus, form, clock
        self._last: float | None = None

    def __call__(self, snapshot: Snapshot) -> None:
        """Prints where thirty seconds have gone by."""
        now = self._clock()
        ended = snapshot.total > 0 and snapshot.done == snapshot.total
        if self._last is not None and now - self._last < LINE_SECONDS and not ended:
            return
        self._last = now
        if self._form == "json":
            _write(json.dumps({"event": "progress", **facts_of(snapshot)}))
            return
        left = _left(snapshot.eta_seconds)
        _write(f"{snapshot.done} of {snapshot.total}, {note_of(snapshot, self._gpus)}{left}")


class DownloadLines:
    """Lines on stderr for a download from the hub: every five seconds on a terminal, else every thirty, and at its end.

    One below 8 MiB, such as a model's configs, says nothing.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: dict[str, float] = {}

    def __call__(self, download: Download) -> None:
        """Prints where it is time."""
        now, every = self._clock(), TERMINAL_SECONDS if err.is_terminal else LINE_SECONDS
        last = self._last.get(download.repository)
        if download.total < SMALL_BYTES or (last is not None and now - last < every and not download.ended):
            return
        self._last[download.repository] = now
        rate = download.rate
        eta = (download.total - download.done) / rate if rate and not download.ended else None
        if logs_json():
            facts = {"repository": download.repository, "bytes": download.done, "bytes_total": download.total}
            rest = None if eta is None else round(eta, 1)
            _write(json.dumps({"event": "download", **facts, "eta_seconds": rest, "ended": download.ended}))
            return
        done, total = download.done / 2**30, download.total / 2**30
        if download.ended:
            err.print(f"downloaded {download.repository}: {total:.2f} GiB in {download.seconds:.0f} s", markup=False)
            return
        speed = f", {rate / 2**20:.0f} MiB/s" if rate else ""
        err.print(f"downloading {download.repository}: {done:.2f} of {total:.2f} GiB{speed}{_left(eta)}", markup=False)


def facts_of(snapshot: Snapshot) -> dict[str, float | int | None]:
    """A snapshot's counts for a log: rate in variants a second, times in seconds, null where not known yet."""
    eta = snapshot.eta_seconds
    return {
        "done": snapshot.done,
        "total": snapshot.total,
        "accepted": snapshot.ok,
        "rejected": snapshot.rejected,
        "failed": snapshot.failed,
        "rate": None if snapshot.rate is None else round(snapshot.rate, 4),
        "eta_seconds": None if eta is None else round(eta, 1),
        "silent_seconds": round(snapshot.silent_seconds, 1),
    }


def note_of(snapshot: Snapshot, gpus: float) -> str:
    """`0.25/s, 3 accepted, 1 rejected, 0 failed, 0.12 GPU h`; the last where actors hold GPUs.

    While nothing moves, for how long is said in place of the rate.
    """
    rate = f"{snapshot.rate:.2f}/s, " if snapshot.rate else ""
    if snapshot.stalled:
        rate = f"nothing committed for {snapshot.silent_seconds:.0f} s, "
    hours = snapshot.busy_seconds * gpus * max(1, len(snapshot.actors)) / 3600
    held = f", {hours:.2f} GPU h" if gpus else ""
    return f"{rate}{snapshot.ok} accepted, {snapshot.rejected} rejected, {snapshot.failed} failed{held}"


def _left(seconds: float | None) -> str:
    """`, 12 min left`; empty where nothing is left, or no rate is known yet."""
    if not seconds:
        return ""
    return f", {seconds / 3600:.1f} h left" if seconds >= 3600 else f", {max(1, round(seconds / 60))} min left"


def _write(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
