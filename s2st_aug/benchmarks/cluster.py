"""Suite `cluster`: kills survived, the same rows after them, scaling, overhead, and a million scenes in the driver.

The translator waits instead of computing (the engine's public fake), so that the figures are the engine's own. Rates are taken
between the first and the last commit: what starting Ray costs is no part of scaling.

The suite is made of pieces. With `S2ST_PIECES=DIR` each piece's result is kept there as JSON, and a suite that is run again takes
what it finds: `python -m s2st_aug.benchmarks.cluster piece NAME DIR` makes one of them by itself.
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
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from s2st_aug.benchmarks.chaos import KILLS, Shooting, Target, digests, shoot
from s2st_aug.benchmarks.figure import Figure, measured, undecided
from s2st_aug.config import AugmentConfig
from s2st_aug.config.augment import ClusterConfig
from s2st_aug.distributed.fake_dataset import make_config, make_dataset
from s2st_aug.storage.run_folder import RunFolder
from s2st_aug.storage.verify import verify

log = logging.getLogger(__name__)

WAIT = 1.0  # seconds a batch, as issue 7 asks
ROUND, ROUNDS = 20, 5  # kills of one run, runs
TARGETS: tuple[Target, ...] = ("actor", "worker", "raylet", "actor", "worker", "driver", "actor", "drain", "raylet", "actor", "worker")
Result = dict[str, Any]


def run(*, quick: bool) -> Iterator[Figure]:
    """Every figure of the suite; `quick`: five kills, fewer batches, a million scenes only where there is time."""
    with tempfile.TemporaryDirectory(prefix="s2st-") as name:
        folder = Path(os.environ.get("S2ST_PIECES", name))
        rounds = ["chaos-quick"] if quick else [f"chaos-{i}" for i in range(ROUNDS)]
        yield from _chaos_figures([piece(name, folder) for name in rounds], 5 if quick else 100)
        yield from _speed_figures(piece("speed-quick" if quick else "speed", folder))
        million = piece("million-quick" if quick else "million", folder)
        yield from _million_figures(million)
        yield from _memory_figures(piece("memory-quick" if quick else "memory", folder), million)
        yield from _all_on_figures(piece("all-on-quick" if quick else "all-on", folder))


def piece(name: str, folder: Path) -> Result:
    """A piece's result: the one that is kept, or made now and kept."""
    kept = folder / f"{name}.json"
    if kept.is_file():
        log.info("%s was measured before: %s", name, kept)
        return json.loads(kept.read_text())
    needed = {argument: piece(other, folder) for argument, other in NEEDS.get(name, {}).items()}
    with tempfile.TemporaryDirectory(prefix="s2st-") as work:
        start, cpu = time.perf_counter(), _cpu_seconds()
        result = PIECES[name](Path(work), **needed)
    result |= {"piece_seconds": time.perf_counter() - start, "piece_cpu_seconds": _cpu_seconds() - cpu, "load": os.getloadavg()[0]}
    folder.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(result, indent=1) + "\n")
    return result


def _cpu_seconds() -> float:
    """Of this process and its ended children."""
    uses = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(use.ru_utime + use.ru_stime for use in uses)


def _calm(folder: Path, scenes: int) -> Result:
    """What an undisturbed run says: a digest of every row."""
    config = _shot_config(folder, scenes)
    with _quiet_ray(config.cluster):
        _start(config, folder / "calm")
    return {"scenes": scenes, "rows": digests(folder / "calm")}


def _chaos(folder: Path, kills: int, nodes: int, key: int, calm: Result) -> Result:
    """One run that is shot at: so many SIGKILLs, and drains by SIGTERM between them; then compared with the undisturbed one."""
    order = Shooting(_shot_config(folder, calm["scenes"]), folder / "shot", sleep=0.4, nodes=nodes, pause=(0.05, 0.7))
    tally = shoot(order, list(_targets(kills, nodes)), random.Random(key))
    report, rows = verify(RunFolder(folder / "shot")), digests(folder / "shot")
    differ = sum(rows.get(k) != calm["rows"].get(k) for k in rows.keys() | calm["rows"].keys())
    counts = {"kills": tally.kills, "starts": tally.starts, "crashes": tally.crashes}
    found = len(report.findings) + report.unfinished
    return {"hits": dict(tally.hits), **counts, "differ": differ, "findings": found, "rows": report.rows}


def _shot_config(folder: Path, scenes: int) -> AugmentConfig:
    return make_config(make_dataset(folder / "data", scenes), cluster={"actors": [2, 3], "batch_size": 2})


def _targets(kills: int, nodes: int) -> Iterator[Target]:
    """Kinds in turn until so many kills are among them; raylets only where there are nodes to spare."""
    left = kills
    for target in cycle(TARGETS):
        if target == "raylet" and nodes == 1:
            continue
        left -= target in KILLS
        yield target
        if not left:
            return


def _chaos_figures(rounds: list[Result], goal: int) -> Iterator[Figure]:
    hits: Counter[str] = Counter()
    for result in rounds:
        hits.update(result["hits"])
    kills, rows = sum(hits[k] for k in KILLS), sum(r["rows"] for r in rounds)
    kinds = ", ".join(f"{hits[kind]} {kind}" for kind in KILLS)
    starts, crashes = sum(r["starts"] for r in rounds), sum(r["crashes"] for r in rounds)
    why = f"SIGKILL of {kinds}; beside them {hits['drain']} drains by SIGTERM; {starts} starts of {len(rounds)} runs, {crashes} crashed"
    yield measured("chaos_kills", kills, "kills", goal, "at_least", n=len(rounds), why=why)
    differ, found = (sum(r[name] for r in rounds) for name in ("differ", "findings"))
    why = f"of {rows} rows {differ} differ from undisturbed runs (all columns but times); verify finds {found} faults"
    yield measured("chaos_set_difference", differ + found, "rows", 0, "at_most", n=rows, why=why)


@contextmanager
def _quiet_ray(cluster: ClusterConfig, num_gpus: int | None = None) -> Iterator[None]:
    from s2st_aug.distributed.ray_session import ray_session

    with ray_session(cluster, None, num_gpus=num_gpus):
        yield


def _speed(folder: Path, rounds: int) -> Result:
    """Rates (batches of four a second) of one and of eight actors on logical GPUs, and of a bare `map_batches` of the same Ray."""
    os.environ["S2ST_FAKE_SLEEP"] = str(WAIT)
    try:
        with _quiet_ray(ClusterConfig(actors=(8, 8)), num_gpus=8):
            alone = _rate(folder, "one", 1, 4 * rounds)
            eight = _rate(folder, "eight", 8, 4 * rounds)
            bare = _bare_rate(folder / "eight" / "data", 8, 8 * 4 * rounds)
    finally:
        os.environ.pop("S2ST_FAKE_SLEEP")
    return {"alone": alone, "eight": eight, "bare": bare, "rounds": rounds}


def _speed_figures(result: Result) -> Iterator[Figure]:
    alone, eight, bare, rounds = (result[k] for k in ("alone", "eight", "bare", "rounds"))
    why = f"waits of {WAIT} s a batch of four 64x64 images; load average {result['load']:.1f} on {os.cpu_count()} cores"
    yield measured("scaling_8", eight / (8 * alone), "share of linear", 0.95, "at_least", n=32 * rounds, why=why)
    yield measured("time_vs_bare_map_batches", bare / eight, "ratio", 1.05, "at_most", n=32 * rounds, why=why)
    overhead = (1 / alone - WAIT) / 4 * 1000
    yield measured("overhead_ms_per_sample", overhead, "ms", 10, "at_most", n=16 * rounds, why=f"one actor; {why}")


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


def _start(config: AugmentConfig, run_folder: Path) -> None:
    from s2st_aug.distributed.augment import Options, augment

    summary = augment(config, run_folder, Options(kit="fake"))
    assert summary.exit_code == 0, summary


def _million(folder: Path, files: int) -> Result:
    """Plan, resume and status of `files` x 1000 scenes, each in a process of its own."""
    root = make_frames(folder / "data", files)
    return {"scenes": files * 1000, **{step: _apart(step, root, folder / "run") for step in ("plan", "resume", "status")}}


def _million_figures(result: Result) -> Iterator[Figure]:
    names = {"plan": "plan_seconds_1m", "resume": "resume_seconds_1m", "status": "status_seconds_1m"}
    goals = {"plan": 60.0, "resume": 60.0, "status": 2.0}
    for step, name in names.items():
        seconds, cpu = result[step]["seconds"], result[step]["cpu"]
        yield _decided(name, seconds, "s", goals[step], result["scenes"], f"processor time {cpu:.2g} s, load average {result['load']:.1f}")
        if step == "plan":
            yield _decided("plan_gib_1m", result[step]["gib"], "GiB", 2.0, result["scenes"], "peak resident memory of the driver")


def _decided(name: str, value: float, unit: str, goal: float, scenes: int, why: str) -> Figure:
    """Below a million nothing is decided."""
    if scenes < 1_000_000:
        return undecided(name, unit, goal, f"quick: {value:.3g} {unit} at {scenes} scenes; a million takes the full suite")
    return measured(name, value, unit, goal, "at_most", n=scenes, why=why)


def _memory(folder: Path, thousands: list[int]) -> Result:
    """Peaks of the driver (plan, resume, streaming the plan through Ray) and of the object store, by number of scenes."""
    curve: Result = {}
    for files in thousands:
        place = folder / str(files)
        root = make_frames(place / "data", files)
        curve[str(files * 1000)] = {step: _apart(step, root, place / "run") for step in ("plan", "resume", "stream")}
    return {"curve": curve}


def _memory_figures(result: Result, million: Result) -> Iterator[Figure]:
    """Growth of peaks with the number of scenes; no goal of the contract, the whole curve is in the docs."""
    curve = {**{int(n): steps for n, steps in result["curve"].items()}, million["scenes"]: million}
    for step, what in (("plan", "gib"), ("resume", "gib"), ("stream", "gib"), ("stream", "store_mib")):
        sizes = sorted(n for n, steps in curve.items() if step in steps)
        first, last = (curve[n][step][what] for n in (sizes[0], sizes[-1]))
        why = f"from {first:.3g} at {sizes[0]} scenes to {last:.3g} at {sizes[-1]}"
        yield Figure(f"memory_{step}_{what}_growth", last - first, what.removeprefix("store_"), None, None, sizes[-1], None, why)


def _all_on(folder: Path, batches: int) -> Result:
    """Milliseconds a variant that judging, encoding and writing take, with the real checks, on scenes of 1280x720."""
    from s2st_aug.distributed.commit import CommitStage
    from s2st_aug.distributed.judge import JudgeStage
    from s2st_aug.distributed.planning import plan_batches

    config, orders, translate = _all_on_line(folder, batches)
    judge, commit = JudgeStage(orders), CommitStage(orders)
    spent = {"translate": 0.0, "judge": 0.0, "commit": 0.0}
    variants = 0
    for number, batch in enumerate(plan_batches(config, "plan", tuple(orders.profiles))):
        times = [time.process_time()]
        parcel = translate(batch)
        times.append(time.process_time())
        judged = judge(parcel)
        times.append(time.process_time())
        commit(judged)
        times.append(time.process_time())
        if number:  # the first one loads
            variants += len(judged.rows)
            for name, before, after in zip(spent, times[:-1], times[1:], strict=True):
                spent[name] += after - before
    return {"variants": variants, **{name: seconds / variants * 1000 for name, seconds in spent.items()}}


def _all_on_line(folder: Path, batches: int) -> tuple[AugmentConfig, Any, Any]:
    """The real checks behind a translator that only darkens."""
    from s2st_aug.distributed.augment import Options, orders_of, prepare, with_absolute_root
    from s2st_aug.distributed.kit import find_kit
    from s2st_aug.distributed.ray_session import Desk
    from s2st_aug.distributed.translate import TranslateStage

    words = ["scenes", folder / "scenes", "--count", 2 * batches, "--format", "bdd100k", "--conditions", "day", "--val-share", 0]
    command = [sys.executable, "-c", "from s2st_aug.cli import main; main()", *map(str, words)]
    subprocess.run(command, check=True, capture_output=True)
    config = with_absolute_root(make_config(folder / "scenes/day", cluster={"batch_size": 2}))
    run_folder = RunFolder(folder / "run")
    identity = find_kit("judged").identify(config)
    prepare(config, run_folder, Options(kit="judged"), identity)
    orders = orders_of(run_folder, run_folder.place, config, identity, run_folder.run_json(), "judged")
    return config, orders, TranslateStage(orders, Desk())


def _all_on_figures(result: Result) -> Iterator[Figure]:
    total = sum(result[name] for name in ("translate", "judge", "commit"))
    parts = ", ".join(f"{name} {result[name]:.0f}" for name in ("translate", "judge", "commit"))
    why = (
        f"processor time at 1280x720, 2 domains: {parts} (translate: reading and a translator that only darkens; judge: all checks and PNG)"
    )
    yield Figure("all_on_ms_per_variant", total, "ms", None, None, result["variants"], None, why)


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


def _apart(step: str, root: Path, run_folder: Path) -> Result:
    """What one step took in a fresh process: seconds, processor seconds, peak GiB, and what the step itself has seen."""
    done = subprocess.run([sys.executable, "-m", MODULE, step, root, run_folder], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _step(step: str, root: Path, run_folder: Path) -> None:
    """What the process of `_apart` does."""
    config = make_config(
        root, dataset={"format": "bdd100k_track", "root": str(root)}, domains=["night"], cluster={"batch_size": STEP_BATCH}
    )
    folder = RunFolder(run_folder)
    start, cpu = time.perf_counter(), time.process_time()
    seen = STEPS[step](config, folder) or {}
    spent = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu, "gib": _peak_gib()}
    sys.stdout.write(json.dumps(spent | seen) + "\n")
    sys.stdout.flush()
    if step == "plan":
        _finish_all(folder)


def _peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


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


def _stream(config: AugmentConfig, folder: RunFolder) -> Result:
    """The whole plan through Ray's stages, each batch given back untouched: what streaming itself keeps in memory."""
    import ray

    from s2st_aug.distributed.augment import orders_of
    from s2st_aug.distributed.engine import stream_receipts
    from s2st_aug.distributed.kit import find_kit
    from s2st_aug.distributed.ray_session import open_desk
    from s2st_aug.storage.plan import plan_files

    orders = orders_of(folder, folder.place, config, find_kit("fake").identify(config), folder.run_json(), "fake")
    with _quiet_ray(config.cluster):
        desk = open_desk()
        ray.get(desk.drain.remote())
        peaks, closed = [0], threading.Event()
        watcher = threading.Thread(target=_watch_store, args=(peaks, closed), daemon=True)
        watcher.start()
        receipts = sum(r.given_back for r in stream_receipts(orders, [str(folder.path / n) for n in plan_files(folder)], desk))
        closed.set()
        watcher.join()
    return {"batches": receipts, "store_mib": max(peaks) / 2**20}


def _watch_store(peaks: list[int], closed: threading.Event) -> None:
    """Bytes in use in this node's object store, five times a second."""
    import ray
    from ray._private.internal_api import get_memory_info_reply, get_state_from_address

    state = get_state_from_address(ray.get_runtime_context().gcs_address)
    while not closed.wait(0.2):
        peaks.append(get_memory_info_reply(state).store_stats.object_store_bytes_used)


STEP_BATCH = 4
MODULE = "s2st_aug.benchmarks.cluster"
STEPS: dict[str, Callable[[AugmentConfig, RunFolder], Result | None]] = {
    "plan": _plan,
    "resume": _resume,
    "status": _status,
    "stream": _stream,
}


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


PIECES: dict[str, Callable[..., Result]] = {
    "calm-quick": lambda folder: _calm(folder, 60),
    "calm": lambda folder: _calm(folder, 15 * ROUND),
    "chaos-quick": lambda folder, calm: _chaos(folder, 5, 1, 0, calm),
    **{f"chaos-{i}": lambda folder, calm, i=i: _chaos(folder, ROUND, 3, i, calm) for i in range(ROUNDS)},
    "speed-quick": lambda folder: _speed(folder, 3),
    "speed": lambda folder: _speed(folder, 12),
    "million-quick": lambda folder: _million(folder, 20),
    "million": lambda folder: _million(folder, 1000),
    "memory-quick": lambda folder: _memory(folder, [1, 4]),
    "memory": lambda folder: _memory(folder, [1, 10, 100]),
    "all-on-quick": lambda folder: _all_on(folder, 4),
    "all-on": lambda folder: _all_on(folder, 12),
}
NEEDS: dict[str, dict[str, str]] = {"chaos-quick": {"calm": "calm-quick"}, **{f"chaos-{i}": {"calm": "calm"} for i in range(ROUNDS)}}
"""piece -> argument -> the piece that it is compared with"""


def main(words: list[str]) -> None:
    """`piece NAME DIR`: one piece, kept in DIR; `STEP ROOT RUN`: what a process of `_apart` does."""
    if words[0] == "piece":
        log.info("%s: %s", words[1], piece(words[1], Path(words[2])))
        return
    _step(words[0], Path(words[1]), Path(words[2]))


if __name__ == "__main__":
    main(sys.argv[1:])
