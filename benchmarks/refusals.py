"""Whether a driver was refused rightly: the rules of docs/cluster.md, held against what the shooter saw by itself.

A lock is released when its process ends, and from another machine once its last heartbeat is so many seconds old.
Heartbeats are dated by the file system: drivers' own clocks jump by order.
"""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from s2st_aug.storage.lock import EPOCHS
from s2st_aug.storage.run_folder import LOCK

LOCKED = re.compile(r"locked by another run \(process (\d+) on (\S+), ")
TAKING = "another run is taking the lock right now"
SLACK = 1.0  # seconds from a look at the lock to the line that says so


class Witness:
    """Heartbeats and deaths of drivers, in seconds of this machine's clock, by process number."""

    def __init__(self, stale: float) -> None:
        self._stale = stale
        self._beats: defaultdict[int, list[float]] = defaultdict(list)
        self._ended: dict[int, float] = {}

    def look(self, run: Path) -> None:
        """Note the newest heartbeat of the holder of a run's lock, in each of the two files that may hold it."""
        for path in (*sorted((run / EPOCHS).glob("*"))[-1:], run / LOCK):
            with suppress(FileNotFoundError, ValueError, KeyError), path.open("rb") as file:
                beats, beat = self._beats[json.load(file)["pid"]], os.fstat(file.fileno()).st_mtime
                if beat not in beats[-2:]:
                    beats.append(beat)

    def end(self, pids: Iterable[int], now: float) -> None:
        """Note that processes have ended, the first time that they are named."""
        for pid in pids:
            self._ended.setdefault(pid, now)

    def allows(self, words: str, pid: int, host: str, began: float, at: float) -> bool:
        """Whether a driver that began then, on this host, may say these words at that time.

        On the holder's host its process has to run, asleep or not; on another one its lease has to be fresh.
        """
        if TAKING in words:
            others = (beat for other, beats in self._beats.items() if other != pid for beat in beats)
            return any(began - SLACK < beat < at + SLACK for beat in others)
        found = LOCKED.search(words)
        if found is None or int(found[1]) not in self._beats:
            return False
        holder = int(found[1])
        if found[2] == host:
            return at < self._ended.get(holder, float("inf")) + SLACK
        return any(at - self._stale - SLACK < beat < at + SLACK for beat in self._beats[holder])
