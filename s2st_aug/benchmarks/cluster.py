"""Suite `cluster`: kills survived, the same rows after them, scaling, overhead, and a million scenes in the driver.

The translator waits instead of computing (the engine's public fake), so that the figures are the engine's own. Rates are taken
between the first and the last commit: what starting Ray costs is no part of scaling.
"""

from __future__ import annotations

import json
import logging
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from s2st_aug.benchmarks.chaos import Shooting, Target, set_difference, shoot
from s2st_aug.benchmarks.figure import Figure, measured, undecided
from s2st_aug.config import AugmentConfig
from s2st_aug.config.augment import ClusterConfig
from s2st_aug.distributed.fake_dataset import make_config, make_dataset
from s2st_aug.storage.run_folder import RunFolder
from s2st_aug.storage.verify import verify

log = logging.getLogger(__name__)

WAIT = 1.0  # seconds a batch, as issue 7 asks
TARGETS: tuple[Target, ...] = ("actor", "worker", "driver", "raylet", "actor", "drain", "worker")


def run(*, quick: bool) -> Iterator[Figure]:
    """Every figure of the suite; `quick`: five kills, fewer batches, a million scenes only where there is time."""
    with tempfile.TemporaryDirectory(prefix="s2st-") as name:
        folder = Path(name)
        yield from _chaos(folder / "chaos", 5 if quick else 100)
        yield from _speed(folder / "speed", 3 if quick else 12)
        yield from _million(folder / "million", 20 if quick else 1000)


def _chaos(folder: Path, kills: int) -> Iterator[Figure]:
    """Three local nodes shot at: actors, workers, raylets, the driver, and drains by SIGTERM."""
    root = make_dataset(folder / "data", 60 if kills < 100 else 800)
    config = make_config(root, cluster={"actors": [2, 3], "batch_size": 2})
    _in_ray(config, folder / "calm")
    order = Shooting(config, folder / "shot", sleep=0.6, nodes=1 if kills < 100 else 3, pause=(0.1, 1.0))
    targets = [t for t in islice(cycle(TARGETS), kills * 2) if order.nodes > 1 or t != "raylet"][:kills]
    hits = shoot(order, targets, random.Random(0))
    kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(hits.items()))
    yield measured("chaos_kills", sum(hits.values()), "kills", kills, "at_least", n=1, why=kinds)
    report = verify(RunFolder(folder / "shot"))
    difference = set_difference(folder / "calm", folder / "shot") + len(report.findings) + report.unfinished
    yield measured("chaos_set_difference", difference, "rows", 0, "at_most", n=report.rows, why="rows that differ, and verify's findings")


def _speed(folder: Path, rounds: int) -> Iterator[Figure]:
    """Scaling over logical GPUs, and the same waits in a bare `map_batches` of the same Ray."""
    from s2st_aug.distributed.ray_session import ray_session

    os.environ["S2ST_FAKE_SLEEP"] = str(WAIT)
    try:
        with ray_session(ClusterConfig(actors=(8, 8)), None, num_gpus=8):
            alone = _rate(folder, "one", 1, 4 * rounds)
            eight = _rate(folder, "eight", 8, 4 * rounds)
            bare = _bare_rate(folder / "eight" / "data", 8, 8 * 4 * rounds)
    finally:
        os.environ.pop("S2ST_FAKE_SLEEP")
    busy = os.getloadavg()[0]
    why = f"waits of {WAIT} s a batch; load average {busy:.1f} on {os.cpu_count()} cores"
    yield measured("scaling_8", eight / (8 * alone), "share of linear", 0.95, "at_least", n=32 * rounds, why=why)
    yield measured("time_vs_bare_map_batches", bare / eight, "ratio", 1.05, "at_most", n=32 * rounds, why=why)
    overhead = (1 / alone - WAIT) / 4 * 1000
    yield measured(
        "overhead_ms_per_sample", overhead, "ms", 10, "at_most", n=16 * rounds, why=f"one actor, batches of four 64x64 images; {why}"
    )


def _rate(folder: Path, name: str, actors: int, batches: int) -> float:
    """Batches a second between the first and the last commit, one actor per logical GPU."""
    root = make_dataset(folder / name / "data", 4 * batches * actors, size=(64, 64))
    cluster = {"actors": [actors, actors], "gpus_per_actor": 1}
    config = make_config(root, cluster=cluster, domains=["night"])
    _start(config, folder / name / "run")
    lines = [json.loads(x) for path in (folder / name / "run/logs").iterdir() for x in path.read_text().splitlines()]
    return _steady([line["time"] for line in lines], actors)


def _steady(times: list[float], actors: int) -> float:
    """Commits a second, the first and the last round of all actors left out (starting up, running dry)."""
    inner = np.sort(times)[actors - 1 : len(times) - actors + 1]
    return (len(inner) - 1) / (inner[-1] - inner[0])


def _bare_rate(data: Path, actors: int, batches: int) -> float:
    """Batches a second of Ray Data alone: the same number of rows, actors and waits, nothing read and nothing written."""
    import ray
    from ray.data import ActorPoolStrategy

    plan = data / "bare.parquet"
    pq.write_table(pa.table({"id": list(range(batches))}), plan)
    dataset = ray.data.read_parquet(str(plan), num_cpus=0.1).repartition(target_num_rows_per_block=1)
    pool = ActorPoolStrategy(min_size=actors, max_size=actors, max_tasks_in_flight_per_actor=2)
    waiting = dataset.map_batches(_Waits, batch_size=1, batch_format="pyarrow", compute=pool, num_gpus=1)
    times = [time.time() for _ in waiting.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)]
    return _steady(times, actors)


class _Waits:
    def __call__(self, table: pa.Table) -> pa.Table:
        time.sleep(WAIT)
        return table


def _in_ray(config: AugmentConfig, run_folder: Path) -> None:
    from s2st_aug.distributed.ray_session import ray_session

    with ray_session(config.cluster, None):
        _start(config, run_folder)


def _start(config: AugmentConfig, run_folder: Path) -> None:
    from s2st_aug.distributed.augment import Options, augment

    summary = augment(config, run_folder, Options(kit="fake"))
    assert summary.exit_code == 0, summary


def _million(folder: Path, files: int) -> Iterator[Figure]:
    """Plan, resume and status of `files` x 1000 scenes, each in a process of its own; below a million nothing is decided."""
    root = make_frames(folder / "data", files)
    names = {"plan": "plan_seconds_1m", "resume": "resume_seconds_1m", "status": "status_seconds_1m"}
    goals = {"plan": 60.0, "resume": 60.0, "status": 2.0}
    for step, name in names.items():
        seconds, gib = _apart(step, root, folder / "run")
        yield _decided(name, seconds, "s", goals[step], files)
        if step == "plan":
            yield _decided("plan_gib_1m", gib, "GiB", 2.0, files)


def _decided(name: str, value: float, unit: str, goal: float, files: int) -> Figure:
    if files < 1000:
        return undecided(name, unit, goal, f"quick: {value:.3g} {unit} at {files * 1000} scenes; a million takes the full suite")
    return measured(name, value, unit, goal, "at_most", n=files * 1000)


def make_frames(root: Path, files: int) -> Path:
    """Label files of 1000 frames each in BDD100K's tracking form; the images are never read here and are not there."""
    labels = root / "labels/box_track_20/train"
    labels.mkdir(parents=True)
    (root / "images/track/train").mkdir(parents=True)
    for number in range(files):
        frames = [_frame(f"v{number:05d}", index) for index in range(1000)]
        (labels / f"v{number:05d}.json").write_text(json.dumps(frames))
    return root


def _frame(video: str, index: int) -> dict[str, Any]:
    box = {"id": str(index), "category": "car", "box2d": {"x1": 1.0, "y1": 2.0, "x2": 30.0, "y2": 40.0}}
    return {
        "name": f"{video}-{index:07d}.jpg",
        "videoName": video,
        "frameIndex": index,
        "attributes": {"timeofday": "daytime"},
        "labels": [box],
    }


def _apart(step: str, root: Path, run_folder: Path) -> tuple[float, float]:
    """(seconds, peak GiB) of one step in a fresh process."""
    done = subprocess.run([sys.executable, "-m", __name__, step, root, run_folder], capture_output=True, text=True, check=True)
    seconds, gib = done.stdout.split()[-2:]
    return float(seconds), float(gib)


def _step(step: str, root: Path, run_folder: Path) -> None:
    """What the process of `_apart` does."""
    config = make_config(root, dataset={"format": "bdd100k_track", "root": str(root)}, domains=["night"])
    folder = RunFolder(run_folder)
    start = time.perf_counter()
    STEPS[step](config, folder)
    seconds = time.perf_counter() - start
    sys.stdout.write(f"{seconds} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}\n")
    sys.stdout.flush()
    if step == "plan":
        _finish_all(folder)


def _plan(config: AugmentConfig, folder: RunFolder) -> None:
    from s2st_aug.distributed.augment import Options, prepare
    from s2st_aug.distributed.kit import find_kit

    prepare(config, folder, Options(kit="fake"), find_kit("fake").identify(config))


def _resume(config: AugmentConfig, folder: RunFolder) -> None:
    """Everything that comes before the first batch: the plan, the manifest's scan, the work list."""
    _plan(config, folder)


def _status(config: AugmentConfig, folder: RunFolder) -> None:
    from s2st_aug.storage.status import report_of

    assert report_of(folder.place)["total"] > 0


STEPS = {"plan": _plan, "resume": _resume, "status": _status}


def _finish_all(folder: RunFolder) -> None:
    """Rows for every planned scene but the last batch, as a run would have left them."""
    from s2st_aug.records.manifest import MANIFEST_SCHEMA
    from s2st_aug.storage.plan import planned_scene_ids
    from s2st_aug.storage.progress import Snapshot, write_snapshot
    from s2st_aug.storage.shards import write_part

    ids = planned_scene_ids(folder).combine_chunks()
    total = len(ids)
    for start in range(0, total - 4, 50_000):
        chunk = ids.slice(start, min(50_000, total - 4 - start))
        write_part(folder, pa.table([_filled(field, chunk) for field in MANIFEST_SCHEMA], schema=MANIFEST_SCHEMA))
    write_snapshot(folder, Snapshot("stopped", total, total - 4, 0, 0, time.time(), time.time(), 1.0))


def _filled(field: pa.Field, ids: pa.Array) -> pa.Array:
    """A plausible column: the ids themselves, constants, or nulls."""
    fixed = {"domain": "night", "status": "ok", "synthetic": True, "rng_key": 0, "reasons": [], "objects": [], "hallucinations": []}
    if field.name == "scene_id":
        return ids
    if field.name == "created_at":
        return pa.array([0] * len(ids), pa.int64()).cast(field.type)
    value = fixed.get(field.name, "x" if pa.types.is_string(field.type) else None)
    return pa.array([value] * len(ids), field.type)


if __name__ == "__main__":
    _step(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
