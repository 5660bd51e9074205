"""A lock against two runs in one folder: a record with a heartbeat, stale after 150 s without one."""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
import uuid
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType

import psutil

from s2st_aug.errors import RunFolderError
from s2st_aug.storage.run_folder import LOCK, RunFolder

log = logging.getLogger(__name__)

STALE_SECONDS = 150.0
BEAT_SECONDS = 15.0
WATCH_SECONDS = 40.0  # how long a silent record of another machine is watched before it is taken over


@dataclass(frozen=True, slots=True)
class LockHolder:
    """Who holds a lock and when it sent its last heartbeat (Unix seconds)."""

    token: str
    host: str
    boot: str
    pid: int
    process_started: float
    beat: float


class RunLock:
    """`with RunLock(run): ...`; raises RunFolderError while another process holds the folder.

    On one machine the holder's process decides; across machines its heartbeat does, and since clocks jump, a record
    that looks stale is watched for a heartbeat before it is taken over. On object stores two starts within the
    same second are not told apart: best effort.
    """

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._me = _this_process()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="s2st-lock", daemon=True)
        self.lost = threading.Event()

    def __enter__(self) -> RunLock:
        for _ in range(3):
            if self._run.store.write_new(LOCK, _encode(self._fresh())):
                self._thread.start()
                return self
            holder = read_holder(self._run)
            if holder is not None and (is_live(holder) or self._shows_life(holder)):
                age = time.time() - holder.beat
                who = f"process {holder.pid} on {holder.host}, last heartbeat {age:.0f} s ago"
                raise RunFolderError(f"{self._run.place}: locked by another run ({who})")
            log.warning("taking over a stale lock of %s", holder)
            self._run.store.delete(LOCK)
        raise RunFolderError(f"{self._run.place}: another run is taking the lock at this moment")

    def _shows_life(self, holder: LockHolder) -> bool:
        """Whether another machine's record changes while it is watched; a dead process of this machine gives none."""
        if _is_here(holder):
            return False
        until = time.monotonic() + WATCH_SECONDS
        while time.monotonic() < until:
            now = read_holder(self._run)
            if now != holder:
                return now is not None
            time.sleep(min(1.0, WATCH_SECONDS / 10))
        return False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if self._holds():
            self._run.store.delete(LOCK)

    def _keep(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            try:
                if not self._holds():
                    self.lost.set()
                    return
                self._run.store.write_many({LOCK: _encode(self._fresh())})
            except Exception:
                log.warning("no heartbeat this time", exc_info=True)

    def _holds(self) -> bool:
        holder = read_holder(self._run)
        return holder is not None and holder.token == self._me.token

    def _fresh(self) -> LockHolder:
        return replace(self._me, beat=time.time())


def read_holder(run: RunFolder) -> LockHolder | None:
    """The lock's record; None where there is none or it cannot be read."""
    try:
        return LockHolder(**json.loads(run.store.read(LOCK)))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def is_live(holder: LockHolder) -> bool:
    """Whether the holder may still be writing, by its process or its heartbeat.

    A heartbeat far in the future, from a clock that jumped, is none.
    """
    if _is_here(holder):
        return _runs(holder.pid, holder.process_started)
    return abs(time.time() - holder.beat) < STALE_SECONDS


def _is_here(holder: LockHolder) -> bool:
    me = _this_process()
    return (holder.host, holder.boot) == (me.host, me.boot)


def _runs(pid: int, started: float) -> bool:
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - started) < 2 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _this_process() -> LockHolder:
    started = psutil.Process().create_time()
    boot = Path("/proc/sys/kernel/random/boot_id")
    boot_id = boot.read_text().strip() if boot.exists() else ""
    return LockHolder(uuid.uuid4().hex, socket.gethostname(), boot_id, os.getpid(), started, 0.0)


def _encode(holder: LockHolder) -> bytes:
    return json.dumps(asdict(holder)).encode() + b"\n"
