"""progress.json: what a run has done so far, rewritten in one step after each commit, read by `status`."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter, deque
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

import pyarrow.compute as pc

from s2st_aug.errors import RunFolderError, S2STError, counted
from s2st_aug.storage.lock import is_live, read_holder
from s2st_aug.storage.run_folder import PROGRESS, RunFolder
from s2st_aug.storage.shards import list_shards

State = Literal["running", "finished", "stopped", "failed"]
RATE_WINDOW = 64  # commits
LOOK_SECONDS = 5.0  # between two versions of progress.json while nothing is committed
STALL_SECONDS, STALL_TIMES = 20.0, 3.0  # without a commit, and as many times the usual pause: nothing moves
START_SECONDS = 180.0  # the same before the first two commits of a start: models are loaded
WRITE_SECONDS = 0.25  # between two versions of progress.json: each is flushed to disk


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Counts of rows (scene, domain); `rate` is in rows a second over the last commits, null at first."""

    state: State
    """running, finished, stopped or failed"""
    total: int
    """rows that are planned"""
    ok: int
    """accepted variants"""
    rejected: int
    """rejected variants"""
    failed: int
    """failed rows"""
    updated: float
    """when this was written, Unix seconds"""
    started: float
    """when the first start began, Unix seconds"""
    busy_seconds: float
    """of all starts together that had something to do"""
    rate: float | None = None
    """rows a second over the last commits; null at first"""
    reasons: dict[str, int] = field(default_factory=dict)
    """check to the number of variants that it rejected"""
    failures: dict[str, int] = field(default_factory=dict)
    """cause of failure to the number of rows"""
    actors: dict[str, int] = field(default_factory=dict)
    """worker to its rows, of this start"""
    message: str = ""
    """why it stopped or failed, in words"""
    silent_seconds: float = 0.0
    """since the last commit, or since the start; as of `updated`"""
    usual_seconds: float | None = None
    """between two commits of late; null at first"""
    under_way: str = ""
    """the batch that has been begun for the longest, and where"""

    @property
    def stalled(self) -> bool:
        """Whether a run under way has committed nothing for much longer than usual."""
        usual = START_SECONDS if self.usual_seconds is None else max(STALL_SECONDS, STALL_TIMES * self.usual_seconds)
        return self.state == "running" and self.silent_seconds > usual

    @property
    def done(self) -> int:
        """Rows that have an outcome."""
        return self.ok + self.rejected + self.failed

    @property
    def eta_seconds(self) -> float | None:
        """Time left at the present rate; None while nothing moves."""
        return (self.total - self.done) / self.rate if self.rate and not self.stalled else None


class Progress:
    """Counts on, with a clock that cannot jump, and writes each state whole."""

    def __init__(self, run: RunFolder, first: Snapshot) -> None:
        self._run = run
        self._first = first
        self._start = time.monotonic()
        self._commits: deque[tuple[float, int]] = deque([(self._start, first.done)], maxlen=RATE_WINDOW)
        self._counts = Counter(ok=first.ok, rejected=first.rejected, failed=first.failed)
        self._reasons, self._failures = Counter(first.reasons), Counter(first.failures)
        self._actors: Counter[str] = Counter()
        self._written = 0.0
        self._under_way = ""
        self._lock = threading.RLock()  # two threads: commits are counted in one, the other looks whether there are any
        self.slowest = 0.0
        """seconds of the slowest batch"""

    def add(self, statuses: list[str], causes: list[list[str]], actor: str, seconds: float = 0.0) -> None:
        """One committed batch: of each row its status, and what rejected it or why it failed; how long it took."""
        with self._lock:
            self._counts.update(statuses)
            self._actors[actor] += len(statuses)
            for status, why in zip(statuses, causes, strict=True):
                (self._failures if status == "failed" else self._reasons).update(why)
            self._commits.append((time.monotonic(), sum(self._counts.values())))
            self.slowest = max(self.slowest, seconds)

    def settle(self, ok: int, rejected: int, failed: int, *, retried: bool) -> None:
        """The counts that the folder shows, in place of those that were heard.

        With `retried` failed rows that this start did not reach are not counted: they are still to be tried.
        """
        heard = self._counts["failed"]
        self._counts = Counter(ok=ok, rejected=rejected, failed=min(heard, failed) if retried else failed)

    def snapshot(self, state: State, message: str = "") -> Snapshot:
        """The present state. The rate is of the last commits, and falls while none comes."""
        with self._lock:
            (t0, n0), (t1, n1) = self._commits[0], self._commits[-1]
            silent = time.monotonic() - t1
            usual = (t1 - t0) / (len(self._commits) - 1) if len(self._commits) > 2 else None
            rate = (n1 - n0) / (t1 - t0 + max(silent - (usual or silent), 0.0)) if t1 > t0 else None
            passed = time.monotonic() - self._start if self._first.done != self._first.total else 0.0
            return Snapshot(
                state,
                self._first.total,
                ok=self._counts["ok"],
                rejected=self._counts["rejected"],
                failed=self._counts["failed"],
                updated=time.time(),
                started=self._first.started,
                busy_seconds=self._first.busy_seconds + passed,
                rate=rate,
                reasons=dict(self._reasons),
                failures=dict(self._failures),
                actors=dict(self._actors),
                message=message,
                silent_seconds=silent if state == "running" else 0.0,
                usual_seconds=usual,
                under_way=self._under_way if state == "running" else "",
            )

    def tick(self) -> Snapshot:
        """The state of a run under way; progress.json is replaced where the last time is long enough ago."""
        if time.monotonic() - self._written < WRITE_SECONDS:
            return self.snapshot("running")
        return self.write("running")

    def look(self, under_way: str) -> Snapshot:
        """The state while the driver waits, `under_way` being what it waits for the longest; written from time to time.

        A folder that cannot be written to right now is written to later.
        """
        self._under_way = under_way
        snapshot = self.snapshot("running")
        if time.monotonic() - self._written > LOOK_SECONDS:
            with suppress(OSError, S2STError):
                return self.write("running")
        return snapshot

    def write(self, state: State, message: str = "") -> Snapshot:
        """Replace progress.json."""
        with self._lock:
            self._written = time.monotonic()
            snapshot = self.snapshot(state, message)
            write_snapshot(self._run, snapshot)
            return snapshot


def recount(run: RunFolder) -> None:
    """Give progress.json, where there is one, the manifest's counts, so that `status` says what the manifest says."""
    if run.store.size(PROGRESS) is None:
        return
    rows = run.read_manifest(["status", "rejected_by", "failure"])
    counts = Counter(rows["status"].to_pylist())
    gates, failures = Counter(pc.list_flatten(rows["rejected_by"]).to_pylist()), Counter(rows["failure"].to_pylist())
    del failures[None]
    last = read_snapshot(run)
    done = replace(last, ok=counts["ok"], rejected=counts["rejected"], failed=counts["failed"])
    write_snapshot(run, replace(done, reasons=dict(gates), failures=dict(failures)))


def write_snapshot(run: RunFolder, snapshot: Snapshot) -> None:
    """Replace progress.json in one step."""
    run.store.write_many({PROGRESS: json.dumps(asdict(snapshot), sort_keys=True).encode() + b"\n"})


def read_snapshot(run: RunFolder) -> Snapshot:
    """What progress.json says; raises RunFolderError, which says what is there, where there is none."""
    try:
        raw: dict[str, Any] = json.loads(run.store.read(PROGRESS))
        known = {f.name for f in fields(Snapshot)}
        return Snapshot(**{key: value for key, value in raw.items() if key in known})
    except FileNotFoundError:
        there = counted(run.read_manifest(["status"]).num_rows, "row")
        if waiting := sum(1 for _ in list_shards(run.store)):
            there += f" and {counted(waiting, 'committed batch')}"
        raise RunFolderError(f"{run.place}: no {PROGRESS}; found {there}; the same augment command resumes") from None
    except (ValueError, TypeError) as error:
        raise RunFolderError(f"{run.place}/{PROGRESS}: damaged ({error})") from None


def report_of(place: str) -> dict[str, Any]:
    """How far a run is, from progress.json and the lock alone: the snapshot and what follows from it.

    A `running` state without a living holder of the lock is `interrupted`.
    """
    folder = RunFolder(place)
    folder.raw_run_json()
    snapshot = read_snapshot(folder)
    holder = read_holder(folder)
    running = holder is not None and is_live(holder)
    state = "interrupted" if snapshot.state == "running" and not running else snapshot.state
    if running and snapshot.state == "running":  # a driver that hangs itself writes nothing
        late = max(time.time() - snapshot.updated, 0.0)
        snapshot = replace(snapshot, silent_seconds=snapshot.silent_seconds + late)
    eta = snapshot.eta_seconds if running else None
    return {
        **asdict(snapshot),
        "state": state,
        "done": snapshot.done,
        "left": snapshot.total - snapshot.done,
        "eta_seconds": eta,
        "stalled": running and snapshot.stalled,
    }
