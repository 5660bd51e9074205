"""Faults of ten kinds in random mixes on two Ray nodes: the finished set is that of an undisturbed run.

The nodes are `ray start`ed in folders of their own; the second has mounts of its own, so that its share can go while
the first's stays. The run folder lies on a small file system that can be full. Drivers join the two, each with a host
name of its own, and run the command line. Faults overlap: one that lasts (a stop, a lost mount, a full disk) is still
there when the next one comes.

`python -m benchmarks.node_faults shoot ORDER.json` is the shooter, in namespaces that end with it and let it mount;
`... drive NOTE.json` is a driver. No process's clock but a driver's or a worker's own is moved.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import psutil
import yaml

from benchmarks.chaos import NO_RAY, contents
from benchmarks.orders import OBEDIENT, TAKEN, obey
from benchmarks.processes import environment, module_command
from benchmarks.refusals import Witness
from s2st_aug.config import AugmentConfig
from s2st_aug.engine.commit import CommitStage
from s2st_aug.engine.context import identify
from s2st_aug.engine.in_process import translate_and_validate
from s2st_aug.engine.options import PLAIN_START
from s2st_aug.engine.prepare import prepare, with_absolute_root
from s2st_aug.errors import CheckFailed
from s2st_aug.storage.lock import EPOCHS, RunLock, read_holder
from s2st_aug.storage.plan import table_to_batches
from s2st_aug.storage.run_folder import RunFolder, read_part
from s2st_aug.storage.shards import gather
from s2st_aug.storage.verify import verify
from s2st_aug.testing.datasets import make_config, make_dataset

KINDS = (
    *("kill", "stop", "hang", "sick worker", "lost mount", "full disk"),
    *("stalled driver", "two drivers", "clock jump", "storage error"),
)
RAY = [sys.executable, "-m", "ray.scripts.scripts"]
ALONE = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"]
ATTEMPTS = "attempts"  # the column that says how often a row was tried
NODE_CPUS = 5  # logical: a stalled driver's workers keep theirs
ACTOR, FINISHER = "ray::MapWorker(MapBatches(TranslateActor))", "ray::MapWorker(MapBatches(FinishActor))"
STALE, WATCH, BEAT = 4.0, 2.0, 0.5  # seconds, in place of the lock's 150, 40 and 15
TRIES = 5  # to start a node
UP = "block forever"  # what `ray start --block` says then
SILENCE = 150.0  # seconds without a new image, a new fault or an end: something hangs
EXPECTED_STOPS = (
    *("the disk is full", "storage fails", "the lock was taken", "no healthy worker", "no node is left", "came back"),
    "are not in the run folder",  # a worker that was stopped while its share was gone wrote where nobody looks
)


Rows: TypeAlias = "dict[str, dict[str, str]]"
"""each row without its times, as text, by `scene_id domain`"""


class NoNamespaces(Exception):
    """This machine lets us neither mount nor rename a host, even for our own processes alone."""


def node_faults(folder: Path, count: int, key: int, *, scenes: int = 24, seconds: float = 540.0) -> dict[str, Any]:
    """So many faults, kinds in turn and shuffled by `key`, against runs of `scenes` in two domains.

    After `seconds` no more are caused. Raises NoNamespaces where this machine does not let us.
    """
    cluster = {"actors": [2, 2], "batch_size": 1, "share_seconds": 2, "hang_seconds": 4, "drain_seconds": 20}
    config = make_config(make_dataset(folder / "data", scenes), cluster=cluster, method={"name": OBEDIENT})
    dice = random.Random(key)
    first = dice.randrange(len(KINDS))
    faults = [KINDS[(first + number) % len(KINDS)] for number in range(count)]
    dice.shuffle(faults)
    return shoot(config, folder, faults, key, undisturbed(config, folder / "calm"), seconds)


def undisturbed(config: AugmentConfig, place: Path) -> Rows:
    """The rows of a run in this process, without Ray."""
    config, folder = with_absolute_root(config), RunFolder(place)
    with RunLock(folder) as lock:
        ready = prepare(config, folder, PLAIN_START, identify(config), place=str(place), lock=lock)
        batches = [b for n in ready.pending for b in table_to_batches(read_part(folder.store, n, None))]
        commit = CommitStage(ready.context)
        for validated in translate_and_validate(ready.context, batches):
            commit(validated)
        gather(folder)
    return rows_of(place)


def rows_of(run: Path) -> Rows:
    """The rows of a run; raises AssertionError where one is doubled."""
    return {" ".join(key): {name: repr(value) for name, value in row.items()} for key, row in contents(run).items()}


def shoot(
    config: AugmentConfig, folder: Path, faults: list[str], key: int, calm: Rows, seconds: float
) -> dict[str, Any]:
    """What became of runs of this config under these faults, in this order; `calm`: the rows of an undisturbed one.

    Raises NoNamespaces where this machine does not let us.
    """
    if subprocess.run([*ALONE, "mount", "-t", "tmpfs", "t", "/mnt"], capture_output=True, check=False).returncode:
        raise NoNamespaces
    order = {"config": config.model_dump(mode="json"), "folder": str(folder), "faults": faults, "key": key}
    path, result = folder / "order.json", folder / "result.json"
    path.write_text(json.dumps({**order, "calm": calm, "seconds": seconds, "result": str(result)}))
    words = ["sh", "-c", '"$@"; exit $?', "sh", *module_command("benchmarks.node_faults", "shoot", path)]
    subprocess.run([*ALONE, *words], env=environment(), check=True)  # the shell reaps what loses its parent
    return json.loads(result.read_text())


@dataclass(slots=True)
class Driver:
    """One start of the command: its process, its host's name, and the exit codes that were asked of it."""

    process: subprocess.Popen
    host: str
    log: Path
    images: int
    since: float = field(default_factory=time.monotonic)
    began: float = field(default_factory=time.time)
    epoch: str = ""  # of the lock when it fell asleep
    codes: set[int] = field(default_factory=set)

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    @property
    def last_words(self) -> str:
        """The last line that it wrote."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""


class Lab:
    """Two Ray nodes and a small share, below this process."""

    def __init__(self, folder: Path, config: AugmentConfig) -> None:
        self.folder, self.share, self.orders = folder, folder / "share", folder / "orders"
        self.data = Path(config.dataset.root)
        for place in (self.share, self.orders / TAKEN, folder / "node-1", folder / "node-2"):
            place.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "share", str(self.share)], check=True)
        self.config = folder / "config.yaml"
        self.config.write_text(yaml.safe_dump(config.model_dump(mode="json", exclude_defaults=True)))
        self.temp = Path(tempfile.mkdtemp(prefix="s2st-n-", dir="/tmp"))  # socket paths must stay short
        from s2st_aug.engine.ray_session import LEAN

        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0"}
        fake = {"S2ST_ORDERS": str(self.orders), "S2ST_FAKE_SLEEP": "0.3", "OMP_NUM_THREADS": "1"}
        self.environment = environment(**LEAN, **token, **fake)
        port = 20000 + secrets.randbelow(10000)
        self.address = f"127.0.0.1:{port}"
        self._head = self._started("node-1", "--head", f"--port={port}", "--include-dashboard=false")
        self.second = self._started("node-2", f"--address={self.address}")

    def _started(self, name: str, *words: str) -> subprocess.Popen:
        """A node that is up. Ray gives a node 30 s to start, which a busy machine does not always make."""
        for _ in range(TRIES):
            node, log = self._ray(name, *words), self.folder / f"{name}.log"
            while node.poll() is None:
                if UP in log.read_text():
                    return node
                time.sleep(0.2)
        raise CheckFailed(f"{name} did not start: {log}")

    def _ray(self, name: str, *words: str) -> subprocess.Popen:
        """A node in a folder, a place for temporaries and mounts of its own."""
        command = [*RAY, "start", "--block", *words, f"--num-cpus={NODE_CPUS}", "--object-store-memory=100000000"]
        command += [f"--temp-dir={self.temp / name}", f"--node-name={name}"]
        with (self.folder / f"{name}.log").open("ab") as log:
            words_ = ["unshare", "--mount", *command]
            return subprocess.Popen(words_, env=self.environment, cwd=self.folder / name, stdout=log, stderr=log)

    def mend(self) -> None:
        """A second node in place of one that is gone; nothing replaces the head."""
        if self.second.poll() is not None:
            self.second = self._ray("node-2", f"--address={self.address}")

    def on_second(self, *words: str) -> bool:
        """A command among the second node's mounts."""
        command = ["nsenter", "-t", str(self.second.pid), "-m", *words]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def drive(self, run: Path, host: str, number: int) -> Driver:
        """A driver for a run, under a host's name."""
        note, log = self.folder / f"driver-{number}.json", self.folder / f"driver-{number}.log"
        note.write_text(json.dumps({"address": self.address, "config": str(self.config), "run": str(run)}))
        inside = ["sh", "-c", 'hostname "$0" && exec "$@"', host]
        words = ["unshare", "--uts", *inside, *module_command("benchmarks.node_faults", "drive", note)]
        with log.open("wb") as file:
            process = subprocess.Popen(words, env=self.environment, stdout=file, stderr=file)
        return Driver(process, host, log, count_images(run))

    def workers(self, *titles: str) -> list[psutil.Process]:
        """Processes of both nodes whose title begins so."""
        found = []
        for process in psutil.process_iter():
            try:
                if " ".join(process.cmdline()).startswith(titles) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def raylet(self) -> psutil.Process | None:
        """The second node's."""
        below = psutil.Process(self.second.pid).children(recursive=True) if self.second.poll() is None else []
        return next((p for p in below if p.name() == "raylet"), None)

    def close(self) -> None:
        """The processes end with their namespace."""
        for node in (self.second, self._head):
            node.kill()
            node.wait()
        shutil.rmtree(self.temp, ignore_errors=True)


def count_images(run: Path) -> int:
    """Files in images/: what grows while a run works, whoever gathers."""
    return sum(len(files) for _, _, files in os.walk(run / "images"))


def newest_epoch(run: Path) -> str:
    """Which holder of the lock is the last one."""
    return max((path.name for path in (run / EPOCHS).glob("*")), default="")


class Mix:
    """Runs under fire, one after the other, until every fault has hit and the last run has ended well."""

    def __init__(self, lab: Lab, faults: list[str], dice: random.Random, calm: Rows, seconds: float) -> None:
        self.lab, self.dice, self.calm = lab, dice, calm
        self.began, self.seconds_left = time.monotonic(), seconds
        self.waiting, self.hits = deque(faults), Counter[str]()
        self.later: list[tuple[float, Callable[[], object]]] = []
        self.ordered: dict[str, str] = {}  # orders that nobody has taken yet -> kind
        self.sleepers: list[Driver] = []
        self.seconds: list[Driver] = []  # drivers that must find the folder locked
        self.driver: Driver | None = None
        self.drivers: list[Driver] = []  # all that were started
        self.witness = Witness(STALE)
        self.host, self.numbers, self.starts, self.runs = "one", 0, 0, 1
        self.ends: list[dict[str, Any]] = []
        self.wrong: list[str] = []
        self.told: list[str] = []
        self.ended: dict[int, tuple[int, int, int]] = {}  # run -> its rows, those that differ, what verify finds
        self.lock_free = self.moved = self.next_fault = time.monotonic()
        self.seen = 0
        self.over = False
        self.tried_again = 0

    @property
    def run(self) -> Path:
        """The run folder that is under fire."""
        return self.lab.share / f"run-{self.runs}"

    def fire(self) -> dict[str, Any]:
        """Until the end; the result."""
        while not self.over:
            self._step()
            time.sleep(0.1)
        return {
            "hits": dict(self.hits),
            "faults": sum(self.hits.values()),
            "runs": self.runs,
            "starts": self.starts,
            **dict(zip(("rows", "differ", "findings"), map(sum, zip(*self.ended.values(), strict=True)), strict=True)),
            "tried_again": self.tried_again,
            "wrong": self.wrong,
            "ends": self.ends,
            "told": self.told,
            "shot_seconds": time.monotonic() - self.began,
        }

    def _step(self) -> None:
        now = time.monotonic()
        self._witness()
        for entry in [e for e in self.later if e[0] <= now]:
            self.later.remove(entry)
            entry[1]()
        self.lab.mend()
        for name in [n for n in self.ordered if not (self.lab.orders / n).exists()]:
            self._hit(self.ordered.pop(name))
        self._look_at_seconds()
        self._look_at_sleepers()
        self._look_at_driver(now)
        if (images := count_images(self.run)) != self.seen:
            self.seen, self.moved = images, now
            self.next_fault = min(self.next_fault, now + self.dice.uniform(0.2, 2.0))
        if now - self.began > self.seconds_left:
            self.waiting.clear()
        if now - self.moved > SILENCE:
            self._unstick()
        if now >= self.next_fault and self.waiting and self.driver and self.driver.alive:
            self.next_fault = float("inf")  # until something is committed
            for _ in range(len(self.waiting)):
                kind = self.waiting[0]
                if self._cause(kind):
                    self.told.append(f"{now - self.began:.0f} s, run {self.runs}: {kind}")
                    self.moved = now
                    self.waiting.popleft()
                    break
                self.waiting.rotate(-1)
            else:
                self.next_fault = now + 1

    def _witness(self) -> None:
        """What refusals are judged by."""
        self.witness.look(self.run)
        self.witness.end([d.process.pid for d in self.drivers if not d.alive], time.time())

    def _hit(self, kind: str) -> None:
        self.hits[kind] += 1
        self.moved = time.monotonic()

    def _unstick(self) -> None:
        """Something hangs: say where, end the driver, go on."""
        self.moved = time.monotonic()
        if self.driver and self.driver.alive:
            self.driver.process.send_signal(signal.SIGUSR1)
            time.sleep(0.5)
            self.wrong.append(f"driver hangs: {self.driver.log.read_text(errors='replace')[-3000:]}")
            self.driver.codes.add(-9)
            self.driver.process.kill()

    # the drivers

    def _look_at_driver(self, now: float) -> None:
        if self.driver is None:
            ended = self.runs in self.ended
            if ended and (self.sleepers or self.seconds or self.later):
                return
            self.over = ended and not (self.waiting or self.ordered)
            if now >= self.lock_free and not self.over:
                self.runs += ended
                self._start()
            return
        code = self.driver.process.poll()
        if code is None or (code == 2 and self.seconds):  # of twins the other one won: it takes this one's place
            return
        driver, self.driver = self.driver, None
        if code == 0:
            self._ended_well()
        self._note(driver, code)
        if code == 0:
            return
        if code == 2:
            self.lock_free = now + 1

    def _start(self) -> None:
        self.driver = self._another(self.host)
        self.starts += 1

    def _another(self, host: str) -> Driver:
        self.numbers += 1
        self.drivers.append(self.lab.drive(self.run, host, self.numbers))
        return self.drivers[-1]

    def _note(self, driver: Driver, code: int) -> None:
        """An exit code, and whether it says the truth."""
        words = driver.last_words
        after, pid = time.monotonic() - self.began, driver.process.pid
        end = {"code": code, "words": words[:300], "host": driver.host, "pid": pid, "run": self.runs, "after": after}
        self.ends.append(end)
        true = code in driver.codes or code in (0, NO_RAY)
        true |= code == 4 and any(reason in words for reason in EXPECTED_STOPS)
        if code == 2:
            self._witness()
            true = self.witness.allows(words, pid, driver.host, driver.began, driver.log.stat().st_mtime)
        if code == 0:
            true = verify(RunFolder(self.run)).holds
        if code == 1:
            failed = verify(RunFolder(self.run)).failed
            true = failed > 0
        if not true:
            self.wrong.append(f"code {code}: {driver.log.read_text(errors='replace')[-3000:]}")

    def _ended_well(self) -> None:
        """A run that says that it is finished: is it, and is it the undisturbed one?"""
        report, rows = verify(RunFolder(self.run)), rows_of(self.run)
        differ = [k for k in rows.keys() | self.calm.keys() if rows.get(k) != self.calm.get(k)]
        if any(end["run"] == self.runs and end["code"] == 1 for end in self.ends):  # a failed row that was tried again
            again = {k for k in differ if _differs_in(self.calm.get(k), rows.get(k)) == [ATTEMPTS]}
            differ = [k for k in differ if k not in again]
            self.tried_again += len(again)
        found = len(report.findings) + report.unfinished
        self.ended[self.runs] = report.rows, len(differ), found
        if differ or found:
            told = [f"{key}: {_difference(self.calm.get(key), rows.get(key))}" for key in differ[:4]]
            self.wrong.append(f"run {self.runs}, code 0: {len(differ)} differ: {told}; {report.findings[:3]}")
        self.seen = -1

    def _look_at_sleepers(self) -> None:
        """A stalled driver wakes once the next one has committed something, or after 25 s; it must end with 4."""
        for sleeper in list(self.sleepers):
            if sleeper.process.poll() is not None:
                self.sleepers.remove(sleeper)
                self._note(sleeper, sleeper.process.returncode)
                continue
            awake = time.monotonic() - sleeper.since > 25
            next_one = self.driver
            if next_one is not None and newest_epoch(self.run) > sleeper.epoch:
                awake |= count_images(self.run) > next_one.images + 1
            if awake:
                sleeper.process.send_signal(signal.SIGCONT)

    def _look_at_seconds(self) -> None:
        """A second driver is refused; where it was quicker than the first, the first is."""
        for second in list(self.seconds):
            code = second.process.poll()
            if code is None:
                first = self.driver.process.poll() if self.driver else 0
                if first == 2 and self.driver:  # of twins the other one won
                    self.seconds.remove(second)
                    self._note(self.driver, 2)
                    self.driver, self.host = second, second.host
                    self._hit("two drivers")
                continue
            self.seconds.remove(second)
            self._note(second, code)
            if code == 2 and "lock" in second.last_words:
                self._hit("two drivers")
            else:  # it came when the run was over
                self.waiting.append("two drivers")

    # the faults: each says whether it could be caused now

    def _cause(self, kind: str) -> bool:
        try:
            return bool(getattr(self, f"_{kind}".replace(" ", "_"))())
        except psutil.Error:
            return False

    def _kill(self) -> bool:
        target = self.dice.choice(("actor", "actor", "finisher", "raylet", "driver", "drain"))
        if target in ("driver", "drain"):
            return self._end_driver(signal.SIGKILL if target == "driver" else signal.SIGTERM)
        raylet = self.lab.raylet()
        found = self.lab.workers(ACTOR if target == "actor" else FINISHER)
        victims = found if target != "raylet" else [raylet] if raylet else []
        if not victims:
            return False
        self.dice.choice(victims).kill()
        self._hit("kill")
        return True

    def _end_driver(self, number: signal.Signals) -> bool:
        driver = self.driver
        if driver is None or not driver.alive:
            return False
        driver.codes.add(-9 if number == signal.SIGKILL else 4)
        if not self._has_lock(driver):  # it joins Ray before the command begins, which alone answers a signal
            driver.codes.add(-number)
        driver.process.send_signal(number)
        self._hit("kill")
        self._other_host()
        return True

    def _has_lock(self, driver: Driver) -> bool:
        holder = read_holder(RunFolder(self.run))
        return holder is not None and holder.pid == driver.process.pid

    def _other_host(self, *, must: bool = False) -> None:
        """The next driver's host; a lock of another host's dead driver has to be silent for a while."""
        before = self.host
        if must or self.dice.random() < 0.3:
            self.host = "one" if before == "two" else "two"
        self.lock_free = time.monotonic() + (STALE + 1 if self.host != before else 0)

    def _stop(self) -> bool:
        raylet = self.lab.raylet()
        victims = self.lab.workers(ACTOR, FINISHER) + ([raylet] if raylet else [])
        if not victims:
            return False
        victim = self.dice.choice(victims)
        victim.suspend()
        long = victim is not raylet and self.dice.random() < 0.4
        self._in(15.0 if long else self.dice.uniform(1, 4), lambda: _resume(victim))
        self._hit("stop")
        return True

    def _hang(self) -> bool:
        return self._order("hang", "translate", "hang")

    def _sick_worker(self) -> bool:
        who, what = self.dice.choice((("translate", "device"), ("translate", "raise"), ("load", "sick")))
        return self._order("sick worker", who, what)

    def _order(self, kind: str, who: str, what: str) -> bool:
        self.numbers += 1
        name = f"{who}-{what}-{self.numbers}"
        (self.lab.orders / name).touch()
        self.ordered[name] = kind
        return True

    def _lost_mount(self) -> bool:
        place, node = str(self.dice.choice((self.lab.share, self.lab.data))), self.lab.second.pid
        if not self.lab.on_second("mount", "-t", "tmpfs", "-o", "size=1m", "gone", place):
            return False
        self._in(self.dice.uniform(1, 8), lambda: self._back(node, "umount", "-l", place))
        self._hit("lost mount")
        return True

    def _back(self, node: int, *words: str) -> None:
        if self.lab.second.pid == node:
            self.lab.on_second(*words)

    def _full_disk(self) -> bool:
        ballast = self.lab.share / "ballast"
        if ballast.exists():
            return False
        try:
            with ballast.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(1 << 20))
        except OSError:
            pass
        self._in(self.dice.uniform(1, 5), ballast.unlink)
        self._hit("full disk")
        return True

    def _stalled_driver(self) -> bool:
        driver = self.driver
        if driver is None or self.sleepers or self.seconds:
            return False
        driver.process.send_signal(signal.SIGSTOP)
        driver.codes.add(4)
        driver.since, driver.epoch = time.monotonic(), newest_epoch(self.run)
        self.sleepers.append(driver)
        self.driver = None
        self._other_host(must=True)
        self._hit("stalled driver")
        return True

    def _two_drivers(self) -> bool:
        if self.seconds or self.sleepers or self.driver is None:
            return False
        if self.dice.random() < 0.4:  # twins, after a death
            self.driver.codes.add(-9)
            self.driver.process.kill()
            self.driver.process.wait()
            self._note(self.driver, -9)
            time.sleep(0.5)
            self._start()
        self.seconds.append(self._another(self.host if self.dice.random() < 0.5 else f"{self.host}-2"))
        return True

    def _clock_jump(self) -> bool:
        jump = self.dice.choice((-7200, 7200, -90, 3600 * 24 * 400))
        return self._order("clock jump", self.dice.choice(("driver", "driver", "translate", "judge")), f"clock{jump}")

    def _storage_error(self) -> bool:
        node = self.lab.second.pid
        if self.dice.random() < 0.3:  # the second node's share is read-only for a while
            place = str(self.lab.share)
            if not self.lab.on_second("mount", "-o", "remount,bind,ro", place):
                return False
            self._in(self.dice.uniform(1, 8), lambda: self._back(node, "mount", "-o", "remount,bind,rw", place))
            self._hit("storage error")
            return True
        who, often = self.dice.choice((("judge", 1), ("judge", 3), ("judge", 9), ("driver", 2), ("driver", 9)))
        return self._order("storage error", who, f"eio{often}")

    def _in(self, seconds: float, do: Callable[[], object]) -> None:
        self.later.append((time.monotonic() + seconds, do))


def _differs_in(calm: dict[str, str] | None, row: dict[str, str] | None) -> list[str]:
    """The columns in which a row is not the undisturbed run's; all of them where there is only one of the two."""
    names = (calm or row or {}).keys()
    return [name for name in names if calm is None or row is None or row[name] != calm[name]]


def _difference(calm: dict[str, str] | None, row: dict[str, str] | None) -> str:
    """The columns in which a row is not the undisturbed run's."""
    if calm is None or row is None:
        return "no such row" if row is None else "not in the undisturbed run"
    return ", ".join(f"{name} {row[name]} for {calm[name]}" for name in _differs_in(calm, row))


def _resume(process: psutil.Process) -> None:
    with suppress(psutil.Error):
        process.resume()


def drive(note: dict[str, Any]) -> int:
    """What a driver process does: the command line's `augment`, with a lock that is taken over in seconds."""
    import ray

    from s2st_aug.cli import main
    from s2st_aug.engine import overseer, translate
    from s2st_aug.storage import lock

    faulthandler.register(signal.SIGUSR1, all_threads=True)
    lock.STALE_SECONDS, lock.WATCH_SECONDS, lock.BEAT_SECONDS = STALE, WATCH, BEAT
    overseer.HUNG_TIMES, translate.AVOIDED_SECONDS = 3.0, 0.5
    threading.Thread(target=_take_orders, daemon=True).start()
    try:
        ray.init(address=note["address"], log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray raises a bare one
        sys.stderr.write(f"{error}\n")
        return NO_RAY
    try:
        main(["augment", note["config"], "--run", note["run"]])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def _take_orders() -> None:
    while True:
        obey("driver")
        time.sleep(0.2)


def _shoot(order: dict[str, Any]) -> None:
    from s2st_aug.config.load import parse_config

    config, folder = parse_config(order["config"]), Path(order["folder"])
    lab = Lab(folder, config)
    try:
        result = Mix(lab, order["faults"], random.Random(order["key"]), order["calm"], order["seconds"]).fire()
    finally:
        lab.close()
    Path(order["result"]).write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[2]).read_text())
    if sys.argv[1] == "drive":
        code = drive(given)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # what Ray does at exit is no part of it
    _shoot(given)
