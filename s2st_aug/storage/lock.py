"""One writer at a time: a lock with a heartbeat, and an epoch that counts up with each holder.

Taking the lock is one step: a file of the next epoch is created, which the store allows once. The holder of the
newest epoch is the folder's writer; whoever finds a newer one than its own writes nothing more, however long it slept.
`lock` is the public copy of the holder's record, with the time of its last heartbeat.
"""

from __future__ import annotations

import copy
import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Collection
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path
from types import TracebackType

import psutil

from s2st_aug.errors import LockLost, RunFolderError, S2STError, Stopped
from s2st_aug.storage.run_folder import LOCK, STATE, RunFolder
from s2st_aug.storage.store import SPARE, Store

log = logging.getLogger(__name__)

EPOCHS = f"{STATE}/epochs"
TAKEN = "the lock was taken by another run; nothing more is written here"
STALE_SECONDS = 150.0
BEAT_SECONDS = 15.0
WATCH_SECONDS = 40.0  # how long a silent record of another machine is watched before it is taken over
TRUST_SECONDS = 1.0  # how long the holder may go on writing after it has seen that the lock is its own
_LEFT: set[str] = set()  # tokens of this process's locks that could not be released
SETTLE_SECONDS = 2.0  # on a store without conditional puts: until the last of two writers at one instant has won


@dataclass(frozen=True, slots=True)
class LockHolder:
    """Who holds a lock and when it sent its last heartbeat (Unix seconds)."""

    token: str
    host: str
    boot: str
    pid: int
    process_started: float
    beat: float
    epoch: int = 0  # 0: of a version without epochs
    released: bool = False


class Fence:
    """Whether the folder's newest epoch is still of one holder; asked at most once in `trust` seconds."""

    def __init__(self, store: Store, token: str, trust: float = TRUST_SECONDS) -> None:
        self._store, self._token, self._trust = store, token, trust
        self._seen = -float("inf")

    def holds(self) -> bool:
        """False once another holder has begun, or where the folder is not the one that the holder sees."""
        now = _clock()
        if now - self._seen < self._trust:
            return True
        newest = _newest(self._store)
        if newest is None or newest.token != self._token or newest.released:
            return False
        self._seen = now
        return True


class RunLock:
    """`with RunLock(run): ...`; raises RunFolderError while another process holds the folder.

    On one machine the holder's process decides; across machines its heartbeat does, and since clocks jump, a record
    that looks stale is watched for a heartbeat before it is taken over. While the block runs, every change through
    `run.store` raises LockLost where the lock is another's by now; so does the block where anything failed after that,
    such as reading a file that the other run has deleted. On a store without conditional puts two starts within
    SETTLE_SECONDS are told apart by who wrote last.
    """

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._store = copy.copy(run.store)  # without the guard: the lock's own files
        self._me = _this_process()
        self._fence = Fence(self._store, self._me.token)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="s2st-lock", daemon=True)
        self.lost = threading.Event()

    @property
    def token(self) -> str:
        """Names this holder: a worker that finds it in the newest epoch sees the driver's own run folder."""
        return self._me.token

    @property
    def epoch(self) -> int:
        """Which holder of the folder this is, counted from 1; known inside the block."""
        return self._me.epoch

    def __enter__(self) -> RunLock:
        newest, lock = _newest(self._store), read_holder(self._run)
        seen = {record.beat for record in (newest, lock) if record}
        for holder in _holders(newest, lock):
            if is_live(holder) or self._shows_life(holder, seen):
                age = time.time() - holder.beat
                who = f"process {holder.pid} on {holder.host}, last heartbeat {age:.0f} s ago"
                freed = f"it is released when that process ends, or after {STALE_SECONDS:.0f} s without a heartbeat"
                raise RunFolderError(f"{self._run.place}: locked by another run ({who}); {freed}")
            log.warning("taking over the stale lock of process %d on %s", holder.pid, holder.host)
        self._me = replace(self._me, epoch=1 + (newest.epoch if newest else 0))
        if not self._created():
            raise RunFolderError(f"{self._run.place}: another run is taking the lock right now; try again")
        self._store.write_many({LOCK: _encode(self._fresh())})
        for name in list(self._store.names(EPOCHS)):
            if _number(name) < self._me.epoch:
                self._store.delete(name)
        self._run.store.guard = self._refuse_if_lost
        self._thread.start()
        return self

    def _created(self) -> bool:
        """Whether the next epoch is this process's."""
        if not self._store.write_new(_name(self._me.epoch), _encode(self._fresh())):
            return False
        if not self._store.exclusive:
            log.warning(
                "%s: no conditional writes here, two runs that start at once are told apart in 2 s", self._run.place
            )
            time.sleep(SETTLE_SECONDS)
        return self._fence.holds()

    def _shows_life(self, holder: LockHolder, seen: Collection[float]) -> bool:
        """Whether another machine's record changes while it is watched; a dead process of this machine gives none.

        `seen` are the times that its files hold already: two, where it ended between them.
        """
        if _is_here(holder):
            return False
        until = time.monotonic() + WATCH_SECONDS
        while time.monotonic() < until:
            records = [h for h in (_newest(self._store), read_holder(self._run)) if h and not h.released]
            same = [h for h in records if h.token == holder.token]
            if not same:  # released, or replaced by a holder of a version without epochs
                return any(h.epoch == 0 for h in records)
            if any(h.beat not in seen for h in same):
                return True
            time.sleep(min(1.0, WATCH_SECONDS / 10))
        return False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._run.store.guard = None
        faulty = isinstance(error, (OSError, S2STError)) and not isinstance(error, Stopped)
        lost = faulty and self._is_taken()  # before it is released: whoever takes it then takes nothing away
        try:
            if self._holds():
                self._store.write_many({_name(self.epoch): _encode(replace(self._fresh(), released=True))})
                self._store.delete(LOCK)
        except (OSError, Stopped) as failure:  # it goes with this process, or is stale in a while
            _LEFT.add(self.token)
            log.warning("%s: the lock could not be released: %s", self._run.place, failure)
        if lost:
            raise LockLost(f"{self._run.place}: {TAKEN}") from error

    def _is_taken(self) -> bool:
        """Whether another run has begun in the folder; False where that cannot be told."""
        try:
            newest = _newest(self._store)
        except (OSError, S2STError):
            return False
        return newest is not None and newest.token != self._me.token

    def _keep(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            try:
                if not self._holds():
                    self.lost.set()
                    return
                record = _encode(self._fresh())
                self._store.write_many({_name(self.epoch): record, LOCK: record})
            except Exception:
                log.warning("the heartbeat could not be written; trying again in %.0f s", BEAT_SECONDS, exc_info=True)

    def _holds(self) -> bool:
        return not self.lost.is_set() and Fence(self._store, self._me.token).holds()

    def _refuse_if_lost(self) -> None:
        if self.lost.is_set() or not self._fence.holds():
            self.lost.set()
            raise LockLost(f"{self._run.place}: {TAKEN}")

    def _fresh(self) -> LockHolder:
        return replace(self._me, beat=time.time())


def read_holder(run: RunFolder) -> LockHolder | None:
    """The lock's record; None where there is none or it cannot be read."""
    return _read(run.store, LOCK)


def _holders(newest: LockHolder | None, lock: LockHolder | None) -> list[LockHolder]:
    """Those who may be writing: the newest epoch's holder, and who is in `lock` without being an earlier one."""
    found = [] if newest is None or newest.released else [newest]
    superseded = lock is not None and newest is not None and not newest.released and 0 < lock.epoch <= newest.epoch
    return found if lock is None or superseded else [*found, lock]


def _newest(store: Store) -> LockHolder | None:
    """The holder of the newest epoch, released or not.

    Where a file cannot be renamed over, a heartbeat takes the epoch's file away for an instant and leaves its spare.
    """
    looks = (max(store.names(folder), default="") for folder in (EPOCHS, f"{SPARE}/{EPOCHS}", EPOCHS))
    name = next(filter(None, looks), "").removeprefix(f"{SPARE}/")
    if not name:
        return None
    return _read(store, name) or LockHolder("", "", "", 0, 0.0, 0.0, _number(name))


def _read(store: Store, name: str) -> LockHolder | None:
    known = {f.name for f in fields(LockHolder)}
    try:
        return LockHolder(**{k: v for k, v in json.loads(store.read(name)).items() if k in known})
    except (FileNotFoundError, ValueError, TypeError, AttributeError):
        return None


def _name(epoch: int) -> str:
    return f"{EPOCHS}/{epoch:08d}"


def _number(name: str) -> int:
    last = name.rpartition("/")[2]
    return int(last) if last.isdigit() else 0


def is_live(holder: LockHolder) -> bool:
    """Whether the holder may still be writing, by its process or its heartbeat.

    A heartbeat far in the future, from a clock that jumped, is none.
    """
    if _is_here(holder):
        return _runs(holder.pid, holder.process_started) and not _is_left(holder)
    return abs(time.time() - holder.beat) < STALE_SECONDS


def _is_left(holder: LockHolder) -> bool:
    """Whether a lock of this very process has ended without being released: its storage failed."""
    return holder.pid == os.getpid() and holder.token in _LEFT


def _is_here(holder: LockHolder) -> bool:
    return (holder.host, holder.boot) == _this_machine()


def _runs(pid: int, started: float) -> bool:
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - started) < 2 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


@cache
def _this_machine() -> tuple[str, str]:
    boot = Path("/proc/sys/kernel/random/boot_id")
    return socket.gethostname(), boot.read_text().strip() if boot.exists() else ""


def _this_process() -> LockHolder:
    host, boot = _this_machine()
    return LockHolder(uuid.uuid4().hex, host, boot, os.getpid(), psutil.Process().create_time(), 0.0)


def _clock() -> float:
    """Seconds that go on while the machine is suspended, where the system counts them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def _encode(holder: LockHolder) -> bytes:
    return json.dumps(asdict(holder)).encode() + b"\n"
