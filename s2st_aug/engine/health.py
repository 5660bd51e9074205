"""Which places can work: a worker's fault is no sample's, and after a few a node or GPU is avoided."""

from __future__ import annotations

from collections.abc import Iterable

from s2st_aug.engine.attempts import FINISHING, is_on

FAULTS = 3  # of one place, with nothing done in between


class Health:
    """Faults by place since it last did anything. A fault that a sample may have caused counts once for its batch."""

    def __init__(self) -> None:
        self._faults: dict[str, set[str]] = {}
        self._last = ""
        self.avoided: dict[str, str] = {}

    def good(self, place: str) -> None:
        """A batch was done there."""
        self._faults.pop(place, None)

    def fault(self, place: str, key: str, reason: str, *, certain: bool) -> bool:
        """A batch came back undone; True where the place is to be avoided from now on."""
        faults = self._faults.setdefault(place, set())
        faults.add(f"{key} {len(faults)}" if certain else key)
        self._last = f"{place}: {reason}"
        if len(faults) < FAULTS or place in self.avoided:
            return False
        self.avoided[place] = reason
        return True

    def hopeless(self, places: Iterable[str]) -> str:
        """Why the run cannot go on: no place is left that is not avoided. Empty while there is one."""
        known = set(places)
        if not known or known - self.avoided.keys():
            return ""
        return f"no healthy worker is left: {len(known)} of {len(known)} failed, last on {self._last}"

    @property
    def cannot_finish(self) -> set[str]:
        """The avoided places of workers that judge and commit."""
        return {place for place in self.avoided if place.endswith(FINISHING)}

    def nobody_finishes(self, nodes: Iterable[str]) -> str:
        """Why the run cannot go on: finishing is avoided on each of these nodes (ids). Empty while one is left."""
        known = set(nodes)
        if any(not any(is_on(place, node) for place in self.cannot_finish) for node in known) or not known:
            return ""
        return f"no node is left that can check and write images; last fault on {self._last}"

    @property
    def last(self) -> str:
        """The last fault, with its place; empty without any."""
        return self._last
