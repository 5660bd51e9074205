"""How far a download from the hub is, told to whoever listens: the library itself prints nothing."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

log = logging.getLogger(__name__)
SHOWN_SECONDS = 0.5  # between two looks at one download


@dataclass(frozen=True, slots=True)
class Download:
    """The state of one repository's download; `total` grows while files are still asked for, 0: not known yet."""

    repository: str
    done: int  # bytes that are here
    total: int  # bytes of all files that were asked for
    seconds: float  # since it began
    ended: bool = False

    @property
    def rate(self) -> float | None:
        """Bytes a second; None at first."""
        return self.done / self.seconds if self.seconds > 0 and self.done else None


Listener = Callable[[Download], None]
_listeners: list[Listener] = []


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Within it, `listener` is told of every download of this process, twice a second at most and at the end."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


@contextmanager
def followed(repository: str) -> Iterator[type[Any]]:
    """The class of progress bars that one download gets: they draw nothing, and tell the listeners.

    The hub's client counts bytes received and bytes written in bars of their own, and files in a third: what is told
    is the largest count of bytes. Nothing is told of a repository whose files are all here.
    """
    from tqdm.auto import tqdm  # a tenth of a second that only a download has to pay

    begun, lock = time.monotonic(), threading.Lock()
    state = {"done": 0, "total": 0, "told": 0.0}

    def tell(*, ended: bool = False) -> None:
        state["told"] = time.monotonic()
        found = Download(repository, int(state["done"]), int(state["total"]), state["told"] - begun, ended)
        for listener in [*_listeners]:
            listener(found)

    class Silent(tqdm):
        """A bar that is not drawn."""

        def __init__(self, *given: Any, **named: Any) -> None:
            self.counts_bytes = named.get("unit") == "B"
            self._nowhere = open(os.devnull, "w")  # noqa: SIM115 - closed with the bar
            super().__init__(*given, **{**named, "file": self._nowhere, "disable": False})

        def update(self, n: float | None = 1) -> bool | None:
            """As tqdm's."""
            drawn = super().update(n)
            with lock:
                if self.counts_bytes:
                    state["done"] = max(state["done"], self.n)
                    state["total"] = max(state["total"], self.total or 0, self.n)
                    if time.monotonic() - state["told"] >= SHOWN_SECONDS:
                        tell()
            return drawn

        def close(self) -> None:
            """As tqdm's."""
            super().close()
            self._nowhere.close()

    yield Silent
    if state["done"]:
        log.info("downloaded %s, %.1f GiB in %.0f s", repository, state["done"] / 2**30, time.monotonic() - begun)
        tell(ended=True)
