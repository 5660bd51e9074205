"""Suite `cluster`: kills survived, the same rows after them, scaling, overhead, and a million scenes in the driver.

The translator waits instead of computing (the engine's public fake), so that the figures are the engine's own. Rates
are taken between the first and the last commit: what starting Ray costs is no part of scaling.

The suite is made of pieces (`benchmarks.pieces`): `python -m benchmarks.cluster piece NAME DIR` makes one of them by
itself.
"""

from __future__ import annotations

import json
import logging
import os
import random
import resource
import sys
import tempfile
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

from benchmarks.all_on import all_on, all_on_figures
from benchmarks.chaos import KILLS, Shooting, Target, digests, shoot
from benchmarks.figure import Figure, measured, undecided
from benchmarks.million import draw_memory, memory, memory_figures, million, million_figures, stream
from benchmarks.node_faults import KINDS as FAULTS
from benchmarks.node_faults import SILENCE, NoNamespaces, node_faults
from benchmarks.pieces import folder_or, kept, wanted
from s2st_aug.config import AugmentConfig
from s2st_aug.config.augment import ClusterConfig
from s2st_aug.storage.progress import Snapshot
from s2st_aug.storage.run_folder import RunFolder
from s2st_aug.storage.verify import verify
from s2st_aug.testing.datasets import make_config, make_dataset

log = logging.getLogger(__name__)

WAIT = 1.2  # seconds a batch of four images: a model of 0.3 s a variant
ROUND, ROUNDS = (
    20,
    6,
)  # kills of one run, runs: one more than a hundred kills need, since a run may end before its last shot
MIX, MIXES = 25, 9  # faults of one mix on two nodes, mixes: one more than 200 need, since its time may run out before
SIMULATED_WAIT = 4.8  # seconds a batch: two cores stand for 64 GPUs' machines
WARM = 3  # rounds of all GPUs that are not measured: as many batches are under way for each before the first ends
MEMORY = (1, 10, 100)  # thousands of scenes
CURVE = [f"{step}-{n}" for step in ("memory", "stream") for n in MEMORY]
TARGETS: tuple[Target, ...] = (
    *("actor", "worker", "raylet", "driver", "actor", "worker", "actor", "actor", "raylet"),
    *("worker", "actor", "drain", "actor", "worker", "actor", "raylet", "worker", "actor"),
)
Result = dict[str, Any]


def run(*, quick: bool) -> Iterator[Figure]:
    """Every figure of the suite; `quick`: five kills, fewer batches, a million scenes only where there is time."""
    with tempfile.TemporaryDirectory(prefix="s2st-") as name:
        folder, end = folder_or(Path(name)), "-quick" if quick else ""
        if rounds := _there(folder, *(["chaos-quick"] if quick else [f"chaos-{i}" for i in range(ROUNDS)])):
            yield from _chaos_figures(rounds, 5 if quick else 100)
        if mixes := _there(folder, *(["nodes-quick"] if quick else [f"nodes-{i}" for i in range(MIXES)])):
            yield from _node_figures(mixes, 5 if quick else 200)
        for speed in _there(folder, f"speed{end}"):
            yield from _speed_figures(speed)
        for simulated in _there(folder, *([] if quick else ["simulated"])):
            yield from _simulated_figures(simulated)
        for largest in _there(folder, f"million{end}"):
            yield from million_figures(largest)
            if curve := _there(folder, *(["memory-quick", "stream-quick"] if quick else CURVE)):
                yield from memory_figures([*curve, largest])
        for cost in _there(folder, f"all-on{end}"):
            yield from all_on_figures(cost)


def _there(folder: Path, *names: str) -> list[Result]:
    """The results of those of these pieces that are asked for."""
    return [piece(name, folder) for name in names if wanted(folder, name)]


def piece(name: str, folder: Path) -> Result:
    """A piece's result: the one that is kept, or made now and kept."""
    return kept(folder, name, lambda: _made(name, folder))


def _made(name: str, folder: Path) -> Result:
    needed = {argument: piece(other, folder) for argument, other in NEEDS.get(name, {}).items()}
    with tempfile.TemporaryDirectory(prefix="s2st-") as work:
        start, cpu = time.perf_counter(), _cpu_seconds()
        result = PIECES[name](Path(work), **needed)
    result |= {"piece_seconds": time.perf_counter() - start, "piece_cpu_seconds": _cpu_seconds() - cpu}
    return result | {"load": os.getloadavg()[0], "niceness": os.getpriority(os.PRIO_PROCESS, 0)}


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
    """One run that is shot at: so many SIGKILLs, and drains by SIGTERM between them.

    Then compared with the undisturbed one.
    """
    order = Shooting(
        _shot_config(folder, calm["scenes"]),
        folder / "shot",
        sleep=1.0 if nodes > 1 else 0.4,
        nodes=nodes,
        pause=(0.0, 0.7),
    )
    tally = shoot(order, list(_targets(kills, nodes)), random.Random(key))
    report, rows = verify(RunFolder(folder / "shot")), digests(folder / "shot")
    differ = sum(rows.get(k) != calm["rows"].get(k) for k in rows.keys() | calm["rows"].keys())
    counts = {
        "kills": tally.kills,
        "starts": tally.starts,
        "crashes": tally.crashes,
        "late": tally.late,
        "codes": tally.codes,
    }
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
    starts, crashes, late = (sum(r.get(name, 0) for r in rounds) for name in ("starts", "crashes", "late"))
    why = f"SIGKILL of {kinds}; beside them {hits['drain']} drains by SIGTERM; {starts} starts of {len(rounds)} runs"
    why += f", {crashes} crashed, {late} found no Ray in time"
    yield measured("chaos_kills", kills, "kills", goal, "at_least", n=len(rounds), why=why)
    differ, found = (sum(r[name] for r in rounds) for name in ("differ", "findings"))
    why = f"of {rows} rows {differ} differ from undisturbed runs (all columns but times); verify finds {found} faults"
    yield measured("chaos_set_difference", differ + found, "rows", 0, "at_most", n=rows, why=why)


def _node_faults(folder: Path, faults: int, key: int) -> Result:
    """Faults of ten kinds on two Ray nodes; none where this machine does not let us mount for ourselves."""
    try:
        return node_faults(folder, faults, key)
    except NoNamespaces:
        return {"hits": {}, "faults": 0}


def _node_figures(mixes: list[Result], goal: int) -> Iterator[Figure]:
    hits: Counter[str] = Counter()
    for result in mixes:
        hits.update(result["hits"])
    if not hits:
        why = "this machine lets us make no mount of our own"
        yield undecided("node_faults", "faults", goal, why)
        yield undecided("node_faults_difference", "rows", 0, why)
        return
    kinds = ", ".join(f"{hits[kind]} {kind}" for kind in FAULTS)
    rows, starts, runs = (sum(r[name] for r in mixes) for name in ("rows", "starts", "runs"))
    why = f"in random mixes on two Ray nodes: {kinds}; {starts} starts of {runs} runs"
    yield measured("node_faults", sum(hits.values()), "faults", goal, "at_least", n=len(mixes), why=why)
    differ, found = (sum(r[name] for r in mixes) for name in ("differ", "findings"))
    wrong = sum(len(r["wrong"]) for r in mixes)
    silent = sum(told.startswith("driver hangs") for r in mixes for told in r["wrong"])
    why = (
        f"of {rows} rows {differ} differ from an undisturbed run (all columns but times); verify finds {found} faults; "
    )
    if again := sum(r.get("tried_again", 0) for r in mixes):
        why += f"{again} had failed and say so by two attempts; "
    why += f"of {sum(len(r['ends']) for r in mixes)} exit codes {wrong - silent} are untrue"
    why += f"; drivers ended after {SILENCE:g} s without a commit: {silent}" if silent else ""
    yield measured("node_faults_difference", differ + found + wrong, "rows", 0, "at_most", n=rows, why=why)


@contextmanager
def _quiet_ray(cluster: ClusterConfig, num_gpus: int | None = None) -> Iterator[None]:
    from s2st_aug.engine.ray_session import ray_session

    with ray_session(cluster, None, num_gpus=num_gpus):
        yield


def _speed(folder: Path, rounds: int, turns: int) -> Result:
    """Rates (batches of four a second) of one actor, and in turns of eight on
    logical GPUs and of a bare `map_batches` of the same Ray.
    """
    os.environ["S2ST_FAKE_SLEEP"] = str(WAIT)
    try:
        with _quiet_ray(ClusterConfig(actors=(8, 8)), num_gpus=8):
            alone, _ = _rate(folder / "one", 1, 4 * rounds)
            eight, bare = [], []
            for turn in range(turns):
                eight.append(_rate(folder / f"turn-{turn}", 8, 4 * rounds)[0])
                bare.append(_bare_rate(folder / f"turn-{turn}/data", 8, 8 * 4 * rounds))
    finally:
        os.environ.pop("S2ST_FAKE_SLEEP")
    return {"alone": alone, "eight": eight, "bare": bare, "rounds": rounds}


def _speed_figures(result: Result) -> Iterator[Figure]:
    alone, rounds = result["alone"], result["rounds"]
    shares = sorted(eight / (8 * alone) for eight in result["eight"])
    ratios = sorted(bare / eight for eight, bare in zip(result["eight"], result["bare"], strict=True))
    n, middle = 32 * rounds * len(ratios), len(ratios) // 2
    why = f"waits of {WAIT} s a batch of four 64x64 images; load average {result['load']:.1f} on {os.cpu_count()} cores"
    why += f", niceness {result['niceness']}"
    turns = f"median of {len(ratios)} turns; {why}"
    yield measured(
        "scaling_8",
        shares[middle],
        "share of linear",
        0.95,
        "at_least",
        n=n,
        interval=(shares[0], shares[-1]),
        why=turns,
    )
    yield measured(
        "time_vs_bare_map_batches",
        ratios[middle],
        "ratio",
        1.05,
        "at_most",
        n=n,
        interval=(ratios[0], ratios[-1]),
        why=turns,
    )
    overhead = (1 / alone - WAIT) / 4 * 1000
    yield measured("overhead_ms_per_sample", overhead, "ms", 10, "at_most", n=16 * rounds, why=f"one actor; {why}")


def _simulated(folder: Path, nodes: int, gpus: int, rounds: int) -> Result:
    """So many Ray nodes of so many logical GPUs on this machine, an actor each, against one GPU alone."""
    import ray
    from ray.cluster_utils import Cluster

    from s2st_aug.engine.ray_session import LEAN

    wait = SIMULATED_WAIT
    os.environ |= {**LEAN, "S2ST_FAKE_SLEEP": str(wait)}
    node: dict[str, Any] = {"num_cpus": 4, "num_gpus": gpus, "object_store_memory": 100 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    try:
        for _ in range(nodes - 1):
            cluster.add_node(**node)
        ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
        alone, _ = _rate(folder / "one", 1, 8)
        together, driver_ms = _rate(folder / "all", nodes, rounds * gpus, gpus, warm=rounds // 2)
    finally:
        ray.shutdown()
        cluster.shutdown()
        os.environ.pop("S2ST_FAKE_SLEEP")
    counts = {"nodes": nodes, "gpus": nodes * gpus, "batches": nodes * gpus * rounds, "wait": wait}
    return {**counts, "alone": alone, "together": together, "driver_ms_a_batch": driver_ms}


def _simulated_figures(result: Result) -> Iterator[Figure]:
    gpus, share = result["gpus"], result["together"] / (result["gpus"] * result["alone"])
    why = f"{result['nodes']} Ray nodes of {gpus // result['nodes']} logical GPUs on one machine, an actor a node; "
    why += f"waits of {result['wait']} s a batch of four, the second half of {result['batches']} batches; "
    why += f"load average {result['load']:.1f} on {os.cpu_count()} cores"
    yield measured(f"scaling_{gpus}", share, "share of linear", 0.9, "at_least", n=result["batches"], why=why)
    yield Figure("driver_ms_per_batch", result["driver_ms_a_batch"], "ms", None, None, result["batches"], None, why)


def _rate(folder: Path, actors: int, batches: int, gpus: int = 1, warm: int = WARM) -> tuple[float, float]:
    """Batches a second, each actor with so many logical GPUs and so many batches; and the driver's processor time, in
    milliseconds a batch. Both without the first `warm` rounds of all GPUs.
    """
    root = make_dataset(folder / "data", 4 * batches * actors, size=(64, 64))
    cluster = {"actors": [actors, actors], "gpus_per_actor": gpus}
    config = make_config(root, cluster=cluster, domains=["night"])
    spent: list[float] = []
    _start(config, folder / "run", lambda snapshot: spent.append(time.process_time()))
    logs = (folder / "run/logs").glob("batches-*.jsonl")
    times = [json.loads(line)["time"] for path in logs for line in path.read_text().splitlines()]
    settled = spent[warm * actors * gpus :]
    return _steady(times, actors * gpus, warm), (settled[-1] - settled[0]) / (len(settled) - 1) * 1000


def _steady(times: list[float], at_once: int, warm: int = WARM) -> float:
    """Commits a second of so many GPUs, without the first rounds (starting up) and the last (running dry).

    From the end of a round to the end of another: GPUs that wait for the same time commit in waves.
    """
    ends = np.sort(times)[at_once - 1 :: at_once][warm - 1 : -1]
    return float(at_once * (len(ends) - 1) / (ends[-1] - ends[0]))


def _bare_rate(data: Path, actors: int, batches: int) -> float:
    """Batches a second of Ray Data alone: the same number of rows, actors
    and waits, nothing read and nothing written.
    """
    import ray
    from ray.data import ActorPoolStrategy

    class Waits:  # inside of the function it is pickled by its value: Ray's workers need not find `benchmarks`
        def __call__(self, table: pa.Table) -> pa.Table:
            time.sleep(WAIT)
            return table

    plan = data / "bare.parquet"
    pq.write_table(pa.table({"id": list(range(batches))}), plan)
    dataset = ray.data.read_parquet(str(plan), num_cpus=0.1).repartition(target_num_rows_per_block=1)
    pool = ActorPoolStrategy(min_size=actors, max_size=actors, max_tasks_in_flight_per_actor=2)
    waiting = dataset.map_batches(Waits, batch_size=1, batch_format="pyarrow", compute=pool, num_gpus=1)
    times = [time.time() for _ in waiting.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)]
    return _steady(times, actors)


def _start(config: AugmentConfig, run_folder: Path, watch: Callable[[Snapshot], None] = lambda snapshot: None) -> None:
    from s2st_aug.engine.augment import Options, augment

    summary = augment(config, run_folder, Options(watch=watch))
    assert summary.exit_code == 0, summary


PIECES: dict[str, Callable[..., Result]] = {
    "calm-quick": lambda folder: _calm(folder, 60),
    "calm": lambda folder: _calm(folder, 240),
    "chaos-quick": lambda folder, calm: _chaos(folder, 5, 1, 0, calm),
    **{f"chaos-{i}": lambda folder, calm, i=i: _chaos(folder, ROUND, 3, i, calm) for i in range(ROUNDS)},
    "nodes-quick": lambda folder: _node_faults(folder, 10, 0),
    **{f"nodes-{i}": lambda folder, i=i: _node_faults(folder, MIX, 100 + i) for i in range(MIXES)},
    "speed-quick": lambda folder: _speed(folder, 3, 1),
    "speed": lambda folder: _speed(folder, 4, 3),
    "simulated": lambda folder: _simulated(folder, 8, 8, 32),
    "million-quick": lambda folder: million(folder, 20),
    "million": lambda folder: million(folder, 1000),
    "memory-quick": lambda folder: memory(folder, 2),
    "stream-quick": lambda folder: stream(folder, 1),
    **{f"memory-{n}": lambda folder, n=n: memory(folder, n) for n in MEMORY},
    **{f"stream-{n}": lambda folder, n=n: stream(folder, n) for n in MEMORY},
    "all-on-quick": lambda folder: all_on(folder, 4),
    "all-on": lambda folder: all_on(folder, 12),
}
NEEDS: dict[str, dict[str, str]] = {
    "chaos-quick": {"calm": "calm-quick"},
    **{f"chaos-{i}": {"calm": "calm"} for i in range(ROUNDS)},
}
"""piece -> argument -> the piece that it is compared with"""


def main(words: list[str]) -> None:
    """`piece NAME DIR`: one piece, kept in DIR. `curve DIR FILE`: the memory curve of the pieces kept there, as SVG."""
    if words[0] == "piece":
        log.info("%s: %s", words[1], piece(words[1], Path(words[2])))
        return
    assert words[0] == "curve", words
    Path(words[2]).write_text(draw_memory(_there(Path(words[1]), "million", *CURVE)), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
