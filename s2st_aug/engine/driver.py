"""One start of a run on Ray: results are counted and logged, and a signal drains it.

Ray is slow to start, and imported when a start computes: one that is refused, or has nothing left to do, does without.
"""

from __future__ import annotations

import json
import logging
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import asdict
from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from s2st_aug.engine.commit import CommitResult
from s2st_aug.engine.context import RunContext
from s2st_aug.engine.drain import Drain
from s2st_aug.engine.health import Health
from s2st_aug.engine.options import Options
from s2st_aug.engine.overseer import Overseer
from s2st_aug.engine.pending import PENDING
from s2st_aug.errors import Stopped, counted
from s2st_aug.methods.registry import method_source
from s2st_aug.storage.lock import RunLock
from s2st_aug.storage.progress import Progress
from s2st_aug.storage.run_folder import LOGS, RunFolder, parquet_bytes, read_part
from s2st_aug.storage.store import LocalStore, RemoteStore, storage_stopped

log = logging.getLogger(__name__)

IDLE_ROUNDS = 8  # in which nothing was done: a batch that breaks its workers is found in fewer
LAST_ENDED = 4096  # batches that are remembered as ended: more than can ever be under way, however long the run


class Driver:
    """Feeds what is pending to Ray and counts what comes back until the end, a drain, or a full disk.

    What workers could not do through no fault of a sample comes back and goes out again, in another round.
    """

    def __init__(
        self,
        context: RunContext,
        options: Options,
        folder: RunFolder,
        progress: Progress,
        lock: RunLock,
        drain: Drain,
    ) -> None:
        self._context, self._options, self._folder = context, options, folder
        self._progress, self._lock, self._drain = progress, lock, drain
        self._log = _batch_log(folder)
        self._ended: deque[str] = deque(maxlen=LAST_ENDED)
        self._health = Health()
        self._returned: dict[str, str] = {}  # batches of this round that a worker could not do -> where

    def run(self, pending: list[str]) -> str:
        """Why it stopped before its end; empty where it did not. The drain listens as soon as Ray is there."""
        from s2st_aug.engine.ray_session import open_tracker, ray_session

        self._options.watch(self._progress.write("running"))
        config, own = self._context.config, method_source(self._context.config.method.name)
        shipped: dict[str, Any] = {"model": config.model, "ship": [own] if own else []}
        session = ray_session(config.cluster, self._options.address, **shipped)
        drain = self._drain
        with session, open_tracker() as tracker:
            drain.listen()
            overseer = Overseer(
                tracker, drain, self._progress, self._options, self._health, config.cluster.hang_seconds
            )
            watcher = _Watcher(drain, tracker, self._lock, config.cluster.drain_seconds, overseer)
            try:
                self._rounds(pending, tracker, drain, watcher)
            except KeyboardInterrupt:
                drain.request("stopped at once")
            except Stopped as stop:
                drain.request(str(stop))
            except OSError as error:  # of the driver's own log or work lists
                drain.request(str(storage_stopped(self._folder.place, error)))
            finally:
                watcher.close()
        return drain.why

    def _rounds(self, pending: list[str], tracker: Any, drain: Drain, watcher: _Watcher) -> None:
        """Until everything is done, or one round after another does nothing."""
        idle, shun = 0, set[str]()
        while pending and not drain.requested.is_set():
            most, before = len(self._returned) or None, self._progress.snapshot("running").done
            self._returned = {}
            self._stream(pending, tracker, drain, watcher, shun, most)
            shun |= {*self._returned.values()} - {""}
            idle = 0 if self._progress.snapshot("running").done > before else idle + 1
            if self._returned and idle == IDLE_ROUNDS:
                left = f"{counted(len(self._returned), 'batch')} came back undone in each of {idle} rounds"
                raise Stopped(f"{left}; last reason: {self._health.last}")
            pending = self._folder_of_returned(pending)

    def _folder_of_returned(self, pending: list[str]) -> list[str]:
        """A work list of what came back undone; none where all was done."""
        if not self._returned:
            return []
        store, wanted = self._folder.store, pa.array(sorted(self._returned), pa.string())
        tables = [read_part(store, name, None) for name in pending]
        left = pa.concat_tables([t.filter(pc.is_in(t["key"], value_set=wanted)) for t in tables])
        store.delete_many(pending)
        name = f"{PENDING}/{self._lock.epoch:08d}-again.parquet"
        store.write_many({name: parquet_bytes(left)})
        return [name]

    def _stream(
        self, pending: list[str], tracker: Any, drain: Drain, watcher: _Watcher, shun: set[str], most: int | None
    ) -> None:
        from s2st_aug.engine.engine import stream_results

        store = self._folder.store
        remote = store if isinstance(store, RemoteStore) else None
        places = [f"{remote.base}/{name}" if remote else str(self._folder.local_store().file(name)) for name in pending]
        fs = remote.fs if remote else None
        with closing(stream_results(self._context, places, tracker, fs, shun=shun, most=most)) as results:
            for result in results:
                if result.stop:
                    raise Stopped(result.stop)
                self._ended.append(result.key)
                self.note(result, tracker)
                if drain.requested.is_set() and watcher.all_ended(self._ended):
                    return

    def note(self, result: CommitResult, tracker: Any) -> None:
        """What became of a batch: counted, or to be done again."""
        if result.fault:
            self._give_back(result, tracker)
        elif not result.given_back:
            self._book(result, tracker)

    def _book(self, result: CommitResult, tracker: Any) -> None:
        tracker.end.remote([result.key])
        self._health.good(result.place)
        self._health.good(result.finished)
        self._progress.add(result.statuses, result.causes, result.actor, result.seconds)
        self._log({"time": time.time(), **asdict(result)})
        _metrics().count(result)
        self._options.watch(self._progress.tick())

    def _give_back(self, result: CommitResult, tracker: Any) -> None:
        """The batch is no worse for it; the place may be."""
        tracker.give_back.remote(result.key, result.place)
        self._returned[result.key] = result.place
        if result.place in self._health.avoided:
            tracker.avoid.remote([result.place])  # one that was killed and started anew knows of nothing
            return
        if not result.place:
            return
        log.warning("worker %s is faulty and is replaced: %s", f"{result.actor} at {result.place}", result.fault)
        if self._health.fault(result.place, result.key, result.fault, certain=result.certain):
            log.warning("%s gets no more work, its workers failed repeatedly: %s", result.place, result.fault)
            tracker.avoid.remote([result.place])


class _Watcher:
    """Tells the tracker to drain as soon as it is asked for, and ends the run at the drain's deadline."""

    def __init__(
        self, drain: Drain, tracker: Any, lock: RunLock, seconds: float, overseer: Overseer | None = None
    ) -> None:
        self._drain, self._tracker, self._lock, self._seconds = drain, tracker, lock, seconds
        self._overseer = overseer
        self._closed = threading.Event()
        self._begun: set[str] | None = None
        self._thread = threading.Thread(target=self._watch, name="s2st-drain", daemon=True)
        self._thread.start()

    def all_ended(self, ended: Collection[str]) -> bool:
        """True once the drain has begun and every batch that was begun is committed or given back."""
        return self._begun is not None and self._begun <= set(ended)

    def close(self) -> None:
        """Ends the thread."""
        self._closed.set()
        self._thread.join(timeout=5)

    def _watch(self) -> None:
        import ray

        while not self._closed.wait(0.1):
            if self._lock.lost.is_set():
                self._drain.request("the lock was taken by another run")
            if self._drain.requested.is_set():
                break
            if self._overseer is not None:
                self._overseer.look()
        else:
            return
        until = time.monotonic() + self._seconds
        try:
            self._begun = set(ray.get(self._tracker.drain.remote(), timeout=self._seconds))
        except Exception as error:  # the deadline holds all the same
            log.warning("workers could not be told to finish up: %s", error)
        if not self._closed.wait(max(until - time.monotonic(), 0.0)):
            log.warning(
                "batches under way did not finish within %.0f s (cluster.drain_seconds); resuming makes them",
                self._seconds,
            )
            signal.pthread_kill(
                threading.main_thread().ident or 0, signal.SIGINT
            )  # a real one: it wakes a main thread that waits in C


class _Metrics:
    """Counters for Ray's metrics agent."""

    def __init__(self) -> None:
        from ray.util.metrics import Counter, Histogram

        self._rows = Counter("s2st_rows", "rows committed", tag_keys=("status",))
        self._seconds = Histogram(
            "s2st_batch_seconds", "seconds of translation a batch", boundaries=[0.1, 1, 10, 60, 600]
        )

    def count(self, result: CommitResult) -> None:
        for status in result.statuses:
            self._rows.inc(tags={"status": status})
        self._seconds.observe(result.seconds)


@cache
def _metrics() -> _Metrics:
    """One a process: Ray refuses a second counter of one name."""
    return _Metrics()


def _batch_log(folder: RunFolder) -> Callable[[dict[str, Any]], None]:
    """Appends one JSON line per batch to logs/; object stores cannot append, so there the lines go to the logger."""
    if not isinstance(folder.store, LocalStore):
        return lambda line: log.info("batch %s", json.dumps(line))
    path = folder.store.file(LOGS) / f"batches-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)

    def append(line: dict[str, Any]) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    return append
