"""Kills on purpose: a run is shot at until it has survived so many kills, then compared with an undisturbed one.

`python -m s2st_aug.benchmarks.chaos ORDER.json` is the driver process that gets shot: it starts three local Ray
nodes (one with `"nodes": 1`), tells their processes in the order's `pids` file, and runs the fake kit.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

from s2st_aug.config import AugmentConfig
from s2st_aug.errors import CheckFailed
from s2st_aug.storage.run_folder import RunFolder
from s2st_aug.storage.shards import list_shards

Target = Literal["actor", "worker", "raylet", "driver", "drain"]
SPARE_STARTS = 5
TIMES = ["seconds", "created_at"]
NAMES: dict[str, str] = {"actor": "ray::MapWorker(MapBatches(TranslateActor))", "worker": "ray::"}


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


def shoot(order: Shooting, targets: list[Target], dice: random.Random) -> Counter[str]:
    """Runs and resumes until every target was hit and the run has ended; the kills by kind."""
    hits: Counter[str] = Counter()
    waiting = list(targets)
    for _ in range(len(targets) + SPARE_STARTS):
        with Driver(order) as driver:
            while waiting and _committed_more(order, driver, dice):
                if _kill(waiting[0], driver, order, dice):
                    hits[waiting.pop(0)] += 1
            if driver.wait() == 0:
                return hits
    raise CheckFailed(f"{order.run}: did not end in {len(targets) + SPARE_STARTS} starts; its log is {order.run.with_suffix('.log')}")


class Driver:
    """The driver process and everything below it; ends with all of it."""

    def __init__(self, order: Shooting) -> None:
        note = {"config": order.config.model_dump(mode="json"), "run": str(order.run), "nodes": order.nodes, "pids": str(_pids(order))}
        _pids(order).unlink(missing_ok=True)
        path = order.run.with_suffix(".order.json")
        path.write_text(json.dumps(note))
        log = order.run.with_suffix(".log").open("ab")
        environment = {**os.environ, "S2ST_FAKE_SLEEP": str(order.sleep), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen([sys.executable, "-m", __name__, str(path)], env=environment, stdout=log, stderr=log)
        log.close()

    def __enter__(self) -> Driver:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def wait(self) -> int:
        """The process's exit code, when it has one."""
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


def _committed_more(order: Shooting, driver: Driver, dice: random.Random) -> bool:
    """Waits until at least one batch more is committed and a random pause is over; False where the driver has ended."""
    before = _commits(order)
    while driver.alive and _commits(order) == before:
        time.sleep(0.05)
    time.sleep(dice.uniform(*order.pause))
    return driver.alive


def _commits(order: Shooting) -> int:
    run = RunFolder(order.run)
    return sum(1 for _ in list_shards(run.store))


def _kill(target: Target, driver: Driver, order: Shooting, dice: random.Random) -> bool:
    """One shot; False where nothing of that kind is alive."""
    try:
        if target in ("driver", "drain"):
            driver.process.send_signal(signal.SIGKILL if target == "driver" else signal.SIGTERM)
            driver.wait()
            return True
        if target == "raylet":
            victims = [psutil.Process(pid) for pid in json.loads(_pids(order).read_text()) if psutil.pid_exists(pid)]
        else:
            victims = driver.below(NAMES[target])
        if not victims:
            return target == "raylet" and _kill("driver", driver, order, dice)  # no spare node is left: the driver restarts them
        dice.choice(victims).kill()
        return True
    except (psutil.Error, OSError, ValueError):
        return False


def _pids(order: Shooting) -> Path:
    return order.run.with_suffix(".pids.json")


def drive(note: dict[str, Any]) -> int:
    """What the driver process does; the run's exit code."""
    from s2st_aug.config.load import parse_config
    from s2st_aug.distributed.augment import Options, augment

    config = parse_config(note["config"])
    with _nodes(note["nodes"], Path(note["pids"]), config):
        return augment(config, note["run"], Options(kit="fake")).exit_code


def _nodes(count: int, pids: Path, config: AugmentConfig) -> Any:
    from contextlib import contextmanager, nullcontext

    import ray

    from s2st_aug.distributed.ray_session import LEAN

    if count == 1:
        pids.write_text("[]")
        return nullcontext()

    @contextmanager
    def several() -> Iterator[None]:
        from ray.cluster_utils import Cluster

        arguments: dict[str, Any] = {"num_cpus": 2, "object_store_memory": 200 << 20}
        cluster = Cluster(initialize_head=True, head_node_args={**arguments, "_system_config": LEAN, "include_dashboard": False})
        spare = [cluster.add_node(**arguments) for _ in range(count - 1)]
        pids.write_text(json.dumps([node.all_processes["raylet"][0].process.pid for node in spare]))
        ray.init(address=cluster.address, log_to_driver=False)
        try:
            yield
        finally:
            ray.shutdown()
            cluster.shutdown()

    return several()


if __name__ == "__main__":
    sys.exit(drive(json.loads(Path(sys.argv[1]).read_text())))
