"""How often each batch was begun: what finds a batch that kills its workers, and what a drain waits for."""

from __future__ import annotations

from collections import Counter
from typing import Protocol


class Tracker(Protocol):
    """Where a worker announces what it begins; `AttemptTracker`, or the same over Ray."""

    def begin(self, what: str) -> int:
        """How often this was begun and not ended, this time included; 0: do not begin, the run is draining."""
        ...

    def end(self, whats: list[str]) -> None:
        """These were survived."""
        ...


class AttemptTracker:
    """Counts what workers begin; once the run drains it tells them to begin nothing more."""

    def __init__(self) -> None:
        self._begun: Counter[str] = Counter()
        self._draining = False

    def begin(self, what: str) -> int:
        """How often this was begun, this time included; 0 while draining."""
        if self._draining:
            return 0
        self._begun[what] += 1
        return self._begun[what]

    def end(self, whats: list[str]) -> None:
        """Forget what is committed or was survived, so that memory does not grow with the run."""
        for what in whats:
            self._begun.pop(what, None)

    def drain(self) -> list[str]:
        """From now on nothing is begun; what was begun and is not committed."""
        self._draining = True
        return [what for what in self._begun if "/" not in what]
