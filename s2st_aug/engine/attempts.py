"""What workers have begun: finds a batch that kills its workers or hangs, holds back a draining run and bad places."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import Any, Protocol

DRAINING, AVOIDED = 0, -1
"""answers of `begin` that mean: do not"""
FINISHING = " (finishing)"
"""ends the place of a worker that judges and commits: a node that cannot do that may translate, and the reverse"""


@dataclass(frozen=True, slots=True)
class Seat:
    """A worker's process and where it runs: a node, and which of its GPUs."""

    name: str = ""
    place: str = ""


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A batch that a worker has begun, and for how many seconds it has been at its present stage."""

    key: str
    worker: str
    seconds: float


@dataclass(slots=True)
class Worker:
    """A process of the run: where it translates (nowhere: it finishes), its actor, and whether it has had a batch."""

    place: str
    handle: Any
    entered: float  # monotonic time
    tried: bool = False


NOWHERE = Seat()


def is_on(place: str, node_id: str) -> bool:
    """Whether a place is on the Ray node of this id."""
    return f"/{node_id[:8]}" in place


class Tracker(Protocol):
    """Where a worker announces what it begins; `AttemptTracker`, or the same over Ray."""

    def begin(self, what: str, seat: Seat = NOWHERE) -> int:
        """How often this was begun and not ended, this time included; DRAINING or AVOIDED: do not begin."""
        ...

    def passed(self, what: str, seat: Seat) -> list[str]:
        """A begun batch is another worker's now; the places to avoid, where that worker's is one of them."""
        ...

    def end(self, whats: list[str]) -> None:
        """These were survived."""
        ...


class AttemptTracker:
    """Counts what workers begin; once the run drains it tells them to begin nothing more."""

    def __init__(self) -> None:
        self._begun: Counter[str] = Counter()
        self._since: dict[str, tuple[str, float]] = {}  # batch -> worker and monotonic time
        self._workers: dict[str, Worker] = {}  # by name
        self._failed_at: dict[str, set[str]] = {}  # batch -> places whose worker could not do it
        self._avoided: set[str] = set()
        self._draining = False

    def enter(self, seat: Seat, handle: Any = None) -> None:
        """A worker's process has started."""
        self._workers[seat.name] = Worker(seat.place, handle, time.monotonic())

    def leave(self, worker: str) -> None:
        """A worker's process was ended."""
        self._workers.pop(worker, None)

    def begin(self, what: str, seat: Seat = NOWHERE) -> int:
        """How often this was begun, this time included; DRAINING; or AVOIDED, at a place to avoid or where it failed.

        Where it failed it is tried again once no other place is left.
        """
        batch = what.partition("/")[0]
        if self._draining:
            return DRAINING
        failed_at = self._failed_at.get(batch, set())
        elsewhere = set(self.places()) - self._avoided - failed_at
        if what == batch and (seat.place in self._avoided or (seat.place in failed_at and elsewhere)):
            return AVOIDED
        self._begun[what] += 1
        self._hold(batch, seat)
        return self._begun[what]

    def passed(self, what: str, seat: Seat) -> list[str]:
        """A begun batch is another worker's now, the one that judges and commits.

        The places to avoid, where that worker's is one of them: it is to hand the batch on.
        """
        if what in self._since:
            self._hold(what, seat)
        return sorted(self._avoided) if seat.place in self._avoided else []

    def _hold(self, batch: str, seat: Seat) -> None:
        self._since[batch] = (seat.name, time.monotonic())
        if seat.name in self._workers:
            self._workers[seat.name].tried = True

    def end(self, whats: list[str]) -> None:
        """Forget what is committed or was survived, so that memory does not grow with the run."""
        for what in whats:
            self._begun.pop(what, None)
            self._since.pop(what, None)
            self._failed_at.pop(what, None)

    def give_back(self, what: str, place: str = "") -> None:
        """A batch that a worker could not do there: it is under way no more; what was counted of it stays counted."""
        self._since.pop(what, None)
        if place:
            self._failed_at.setdefault(what, set()).add(place)

    def avoid(self, places: list[str]) -> None:
        """Workers at these places are to begin nothing more."""
        self._avoided.update(places)

    def places(self) -> list[str]:
        """Where workers have started that translate, so far."""
        return sorted({worker.place for worker in self._workers.values()} - {""})

    def under_way(self) -> list[UnderWay]:
        """Batches that were begun and have not come back, the longest first."""
        now = time.monotonic()
        found = [UnderWay(key, worker, now - since) for key, (worker, since) in self._since.items()]
        return sorted(found, key=lambda u: -u.seconds)

    def handle_of(self, worker: str) -> Any:
        """A worker's actor; None for one that is not known."""
        return self._workers[worker].handle if worker in self._workers else None

    def idle(self, seconds: float, starting_seconds: float) -> dict[str, Any]:
        """The actors, by name, of workers that hold no batch and have been here so long.

        `starting_seconds` is for those that never had one: they may still be loading the model.
        """
        now, busy = time.monotonic(), {worker for worker, _ in self._since.values()}
        return {
            name: worker.handle
            for name, worker in self._workers.items()
            if name not in busy and now - worker.entered > (seconds if worker.tried else starting_seconds)
        }

    def drain(self) -> list[str]:
        """From now on nothing is begun; what was begun and has not come back."""
        self._draining = True
        return list(self._since)
