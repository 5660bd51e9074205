"""Kills on purpose: a run is shot at until it has survived so many kills, then compared with an undisturbed one.

`python -m benchmarks.chaos ORDER.json` is the driver process that gets shot: it starts three local Ray
nodes (one with `"nodes": 1`), tells their processes in the order's `pids` file, and runs the fake method.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from unittest import mock

import psutil

from benchmarks.processes import environment, module_command
from s2st_aug.config import AugmentConfig
from s2st_aug.config.hashes import hash_of
from s2st_aug.errors import CheckFailed
from s2st_aug.storage.run_folder import RunFolder
from s2st_aug.storage.shards import list_shards

log = logging.getLogger(__name__)

Target = Literal["actor", "worker", "raylet", "driver", "drain"]
KILLS: tuple[Target, ...] = (
    "actor",
    "worker",
    "raylet",
    "driver",
)  # by SIGKILL; a drain is asked for by SIGTERM and counted apart
SPARE_STARTS = 5
NO_RAY = 75  # exit code of a driver whose local nodes did not come up in the 30 s that Ray gives them: a busy machine
SILENCE_SECONDS = 240.0  # without a commit: the driver hangs, which is counted as a crash
TIMES = ["seconds", "created_at"]
ACTOR, WORKER = "ray::MapWorker(MapBatches(TranslateActor))", "ray::"


@dataclass(frozen=True, slots=True)
class Shooting:
    """How a run is to be shot at: what, how often, in which order of the dice."""

    config: AugmentConfig
    run: Path
    sleep: float = 0.3  # seconds a batch
    nodes: int = 1
    pause: tuple[float, float] = (0.5, 2.0)  # seconds between kills


def contents(run: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Rows without their times by (scene, domain); raises AssertionError where a row is doubled."""
    rows = RunFolder(run).read_manifest().drop_columns(TIMES).to_pylist()
    found = {(r["scene_id"], r["domain"]): r for r in rows}
    assert len(found) == len(rows), "a (scene, domain) has two rows"
    return found


def set_difference(one: Path, other: Path) -> int:
    """Rows of either run that the other does not hold in the same words."""
    a, b = contents(one), contents(other)
    return sum(a.get(key) != b.get(key) for key in a.keys() | b.keys())


@dataclass(slots=True)
class Tally:
    """What became of a run that was shot at.

    `codes` are the exit codes of starts that ended by themselves with neither 0 nor 4; `late` are starts without Ray,
    before the run was touched.
    """

    hits: Counter[str] = field(default_factory=Counter)
    starts: int = 0
    late: int = 0
    codes: list[int] = field(default_factory=list)

    @property
    def crashes(self) -> int:
        """Starts that ended by themselves, and not well."""
        return len(self.codes)

    @property
    def kills(self) -> int:
        """Processes ended by SIGKILL; drains are none."""
        return sum(self.hits[kind] for kind in KILLS)


def digests(run: Path) -> dict[str, str]:
    """A hash of each row without its times, by `scene_id domain`."""
    return {" ".join(key): hash_of(row) for key, row in contents(run).items()}


def shoot(order: Shooting, targets: list[Target], dice: random.Random) -> Tally:
    """Runs and resumes until every target was hit and the run has ended. Raises CheckFailed where it does not end."""
    tally = Tally()
    waiting = list(targets)
    for _ in range(len(targets) + SPARE_STARTS):
        tally.starts += 1
        with DriverProcess(order) as driver:
            while waiting and _committed_more(order, driver, dice):
                if _kill(waiting[0], driver, order, dice):
                    tally.hits[waiting.pop(0)] += 1
            if driver.wait() == 0:
                return tally
            code = driver.wait()
            tally.late += code == NO_RAY
            if code not in driver.expected | {NO_RAY}:
                tally.codes.append(code)
    raise CheckFailed(f"{order.run}: did not end in {tally.starts} starts; its log is {order.run.with_suffix('.log')}")


class DriverProcess:
    """The driver process and everything below it; ends with all of it."""

    def __init__(self, order: Shooting) -> None:
        note = {
            "config": order.config.model_dump(mode="json"),
            "run": str(order.run),
            "nodes": order.nodes,
            "pids": str(_pids(order)),
        }
        _pids(order).unlink(missing_ok=True)
        path = order.run.with_suffix(".order.json")
        path.write_text(json.dumps(note))
        log = order.run.with_suffix(".log").open("ab")
        self.process = subprocess.Popen(
            module_command("benchmarks.chaos", path),
            env=environment(S2ST_FAKE_SLEEP=str(order.sleep), OMP_NUM_THREADS="1"),
            stdout=log,
            stderr=log,
        )
        log.close()
        self.expected: set[int] = set()  # exit codes that a shot asks for

    def __enter__(self) -> DriverProcess:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def wait(self) -> int:
        """The process's exit code; one that does not end is killed."""
        try:
            return self.process.wait(SILENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def below(self, name: str) -> list[psutil.Process]:
        """Processes under the driver whose title begins so."""
        found = []
        for process in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if " ".join(process.cmdline()).startswith(name):
                    found.append(process)
            except psutil.Error:
                continue
        return found


def _committed_more(order: Shooting, driver: DriverProcess, dice: random.Random) -> bool:
    """Waits until at least one batch more is committed and a random pause is over.

    False where the driver has ended or hangs.
    """
    before, since = _commits(order), time.monotonic()
    while driver.alive and _commits(order) == before:
        if time.monotonic() - since > SILENCE_SECONDS:
            driver.process.kill()
        time.sleep(0.05)
    time.sleep(dice.uniform(*order.pause))
    return driver.alive


def _commits(order: Shooting) -> int:
    run = RunFolder(order.run)
    return sum(1 for _ in list_shards(run.store))


def _kill(target: Target, driver: DriverProcess, order: Shooting, dice: random.Random) -> bool:
    """One shot; False where nothing of that kind is alive."""
    if target in ("driver", "drain"):
        driver.expected = {4} if target == "drain" else {-signal.SIGKILL}
        driver.process.send_signal(signal.SIGTERM if target == "drain" else signal.SIGKILL)
        return driver.wait() in driver.expected
    try:
        victims = _raylets(order) if target == "raylet" else driver.below(ACTOR if target == "actor" else WORKER)
        if victims:
            dice.choice(victims).kill()
        return bool(victims)
    except (psutil.Error, OSError, ValueError):
        return False


def _raylets(order: Shooting) -> list[psutil.Process]:
    """The raylets of the nodes that are not the driver's; one that was killed is replaced by the driver."""
    found = [psutil.Process(pid) for pid in json.loads(_pids(order).read_text()) if psutil.pid_exists(pid)]
    return [p for p in found if p.status() != psutil.STATUS_ZOMBIE]


def _pids(order: Shooting) -> Path:
    return order.run.with_suffix(".pids.json")


def drive(note: dict[str, Any]) -> int:
    """What the driver process does; the run's exit code."""
    from s2st_aug.config.load import parse_config
    from s2st_aug.engine.augment import Options, augment

    faulthandler.register(signal.SIGUSR1, all_threads=True)  # where a driver hangs
    config = parse_config(note["config"])
    with _nodes(note["nodes"], Path(note["pids"]), config):
        return augment(config, note["run"], Options()).exit_code


@contextmanager
def _nodes(count: int, pids: Path, config: AugmentConfig) -> Iterator[None]:
    """This machine as so many Ray nodes; one: Ray as a user starts it."""
    import ray

    pids.write_text("[]")
    if count == 1:
        yield
        return
    try:
        cluster = Nodes(count, pids)
    except Exception as error:  # Ray raises a bare one
        if "timed out during startup" not in str(error):
            raise
        sys.exit(NO_RAY)
    try:
        ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
        yield
    finally:
        ray.shutdown()
        cluster.close()


class Nodes:
    """A head and spare nodes; a spare node whose raylet was killed is replaced, as a cluster's manager does."""

    def __init__(self, count: int, pids: Path) -> None:
        from ray.cluster_utils import Cluster

        from s2st_aug.engine.ray_session import LEAN

        self._arguments: dict[str, Any] = {"num_cpus": 2, "object_store_memory": 200 << 20}
        os.environ.update(LEAN)
        self._cluster = Cluster(initialize_head=True, head_node_args={**self._arguments, "include_dashboard": False})
        self.address = self._cluster.address
        self._count = count - 1
        self._spare = [self._cluster.add_node(**self._arguments) for _ in range(self._count)]
        self._pids, self._closed = pids, threading.Event()
        self._tell()
        self._thread = threading.Thread(target=self._keep, name="s2st-nodes", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends every node."""
        self._closed.set()
        self._thread.join()
        self._cluster.shutdown()

    def _keep(self) -> None:
        while not self._closed.wait(0.5):
            dead = [node for node in self._spare if _raylet(node).poll() is not None]
            for node in dead:
                self._spare.remove(node)
                self._cluster.remove_node(node, allow_graceful=False)
            missing = self._count - len(self._spare)
            for _ in range(missing):
                self._add()
            if missing:
                self._tell()

    def _add(self) -> None:
        """Ray sets a signal handler with each node, which no thread but the main one may do.

        A late node is asked for again.
        """
        with mock.patch("ray._private.utils.set_sigterm_handler"):
            try:
                self._spare.append(self._cluster.add_node(wait=False, **self._arguments))
            except Exception as error:  # Ray raises a bare one
                log.warning("a spare node did not come up: %s", error)

    def _tell(self) -> None:
        self._pids.write_text(json.dumps([_raylet(node).pid for node in self._spare]))


def _raylet(node: Any) -> Any:
    return node.all_processes["raylet"][0].process


if __name__ == "__main__":
    sys.exit(drive(json.loads(Path(sys.argv[1]).read_text())))
