"""What a worker warns of reaches the run folder: logs/worker-<host>-<process>.log, made with its first line."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable

from s2st_aug.engine.attempts import Seat
from s2st_aug.engine.context import RunContext
from s2st_aug.engine.proof import Proof
from s2st_aug.errors import S2STError
from s2st_aug.storage.run_folder import LOGS, RunFolder
from s2st_aug.storage.store import Store

PACKAGE = "s2st_aug"
LINES = 10_000  # the last ones of a worker
FORM = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class WorkerLog(logging.Handler):
    """Keeps a worker's lines and writes them whole: object stores cannot append."""

    def __init__(self, store: Store, name: str, first: str, may_write: Callable[[], bool]) -> None:
        super().__init__(logging.WARNING)
        self.setFormatter(logging.Formatter(FORM))
        self._store, self._name, self._may_write = store, name, may_write
        self._lines, self._new = [first], False

    def emit(self, record: logging.LogRecord) -> None:
        """One line more; an error is written at once, for nobody knows what comes after it."""
        self._lines = [*self._lines[-LINES:], self.format(record)]
        self._new = True
        if record.levelno >= logging.ERROR:
            self.flush()

    def flush(self) -> None:
        """What is new, to the run folder; nothing where it is not here, or not this run's any more."""
        if not self._new:
            return
        try:
            if not self._may_write():
                return
            self._store.write_many({self._name: "".join(f"{line}\n" for line in self._lines).encode()})
            self._new = False
        except (OSError, S2STError):
            return


def log_to_run(context: RunContext, seat: Seat, proof: Proof) -> WorkerLog:
    """This process's warnings to the run's logs, from now on; `flush` after each batch."""
    name = f"{LOGS}/worker-{socket.gethostname()}-{os.getpid()}.log"
    first = f"worker {seat.name} at {seat.place}"
    handler = WorkerLog(RunFolder(context.run).store, name, first, proof.may_write)
    logging.getLogger(PACKAGE).addHandler(handler)
    return handler
