"""What the driver looks at while it waits: does anything move, has a worker hung, is one left that can work?"""

from __future__ import annotations

import logging
import time
from typing import Any

from s2st_aug.engine.attempts import UnderWay
from s2st_aug.engine.drain import Drain
from s2st_aug.engine.health import Health
from s2st_aug.engine.options import Options
from s2st_aug.storage.progress import Progress

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
HUNG_TIMES = 10.0  # as long as the slowest batch so far
ANSWER_SECONDS = 15.0  # in which a worker without a batch answers, if it is not hung
START_SECONDS = 900.0  # in which a worker has loaded its model
HOPE_SECONDS = 15.0  # after the last healthy place is gone, until the run gives up: others may be starting


class Overseer:
    """Looks every LOOK_SECONDS, from the driver's second thread."""

    def __init__(
        self,
        tracker: Any,
        drain: Drain,
        progress: Progress,
        options: Options,
        health: Health,
        hang_seconds: float,
    ) -> None:
        self._tracker, self._drain, self._progress, self._options = tracker, drain, progress, options
        self._health, self._hang_seconds = health, hang_seconds
        self._next = time.monotonic() + LOOK_SECONDS
        self._hopeless_since: float | None = None
        self._said = False
        self._unheard_since: float | None = None  # of the tracker
        self._asked: dict[str, tuple[float, Any]] = {}  # worker without a batch -> when it was asked, and its answer

    def look(self) -> None:
        """Never raises: who does not answer this time, the tracker or Ray, is asked again."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + LOOK_SECONDS
        try:
            under_way, places = self._ask(now)
            silent = self._say(under_way)
            self._end_hung(under_way)
            self._end_silent(silent, now)
            self._give_up(places, now)
        except Exception as error:
            log.debug("no look this time: %s", error)

    def _ask(self, now: float) -> tuple[list[UnderWay], list[str]]:
        """What is under way, and where workers translate; a tracker that hangs, and holds them all, starts anew."""
        import ray  # slow to start: a run with nothing left to do does without

        try:
            calls = [self._tracker.under_way.remote(), self._tracker.places.remote()]
            under_way, places = ray.get(calls, timeout=LOOK_SECONDS)
        except Exception:
            self._unheard_since = self._unheard_since or now
            if now - self._unheard_since > self._limit():
                log.warning("the tracker has not answered for %.0f s; it is started anew", now - self._unheard_since)
                self._unheard_since = None
                ray.kill(self._tracker, no_restart=False)
            raise
        self._unheard_since = None
        return under_way, places

    def _end_hung(self, under_way: list[UnderWay]) -> None:
        """Ends the processes whose batches take too long; Ray starts others and runs the batches again."""
        import ray

        for batch in (b for b in under_way if b.seconds > self._limit()):
            handle = ray.get(self._tracker.handle_of.remote(batch.worker), timeout=LOOK_SECONDS)
            log.warning(
                "batch %s has not finished on %s after %.0f s; that worker is stopped",
                batch.key,
                batch.worker,
                batch.seconds,
            )
            self._tracker.give_back.remote(batch.key)
            if handle is not None:
                ray.kill(handle, no_restart=False)

    def _end_silent(self, silent: float, now: float) -> None:
        """Ends the processes that hold no batch and do not answer, where nothing has been committed for too long.

        One that hangs between two batches is on no batch's clock, and Ray waits for it: what it is to do next is lost.
        """
        import ray

        if silent <= self._limit():
            self._asked.clear()
            return
        starting = max(self._hang_seconds, START_SECONDS)
        idle = ray.get(self._tracker.idle.remote(self._limit(), starting), timeout=LOOK_SECONDS)
        self._asked = {worker: asked for worker, asked in self._asked.items() if worker in idle}
        for worker, handle in idle.items():
            since, answer = self._asked.setdefault(worker, (now, handle.__ray_ready__.remote()))
            if ray.wait([answer], timeout=0)[0]:
                del self._asked[worker]
            elif now - since > ANSWER_SECONDS:
                log.warning(
                    "nothing has been committed for %.0f s, and %s does not answer; that worker is stopped",
                    silent,
                    worker,
                )
                self._tracker.leave.remote(worker)
                ray.kill(handle, no_restart=False)

    def _limit(self) -> float:
        return max(self._hang_seconds, HUNG_TIMES * self._progress.slowest)

    def _say(self, under_way: list[UnderWay]) -> float:
        """progress.json with the time since the last commit, which it gives; one line when that is much too long."""
        oldest = under_way[0] if under_way else None
        note = (
            f"batch {oldest.key} on {oldest.worker} for {oldest.seconds:.0f} s" if oldest else "no batch is under way"
        )
        snapshot = self._progress.look(note)
        if not snapshot.stalled:
            self._said = False
            return snapshot.silent_seconds
        self._options.waiting(snapshot)
        if not self._said:
            log.warning("nothing has been committed for %.0f s; longest under way: %s", snapshot.silent_seconds, note)
        self._said = True
        return snapshot.silent_seconds

    def _give_up(self, places: list[str], now: float) -> None:
        why = self._health.hopeless(places)
        if not why and self._health.cannot_finish:
            from s2st_aug.engine.ray_session import LIGHT_CPUS, nodes_with

            why = self._health.nobody_finishes(nodes_with({"CPU": LIGHT_CPUS}))
        self._hopeless_since = (self._hopeless_since or now) if why else None
        if self._hopeless_since is not None and now - self._hopeless_since > HOPE_SECONDS:
            self._drain.request(why)
