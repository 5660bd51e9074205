"""A signal asks a run to drain: what is under way is finished, nothing more is begun."""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType
from typing import Any

log = logging.getLogger(__name__)


class Drain:
    """Turns the first SIGINT or SIGTERM into a request to drain, the second SIGINT into an immediate stop.

    From `listen` to the end of the block, which puts back the handlers that it found at its start.
    """

    def __init__(self) -> None:
        self.requested = threading.Event()
        self.why = ""
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Drain:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler or signal.SIG_DFL)

    def listen(self) -> None:
        """Hear signals from here on; nothing where that is done already, or outside of the main thread."""
        for number in self._before:
            signal.signal(number, self._on_signal)

    def request(self, why: str) -> None:
        """Drain for another reason than a signal."""
        self.why = self.why or why
        self.requested.set()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.requested.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        log.warning("%s: finishing what is under way; press Ctrl-C again to stop at once", signal.Signals(number).name)
        self.request(f"stopped by {signal.Signals(number).name}")
