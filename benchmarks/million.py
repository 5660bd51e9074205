"""A million scenes in the driver: plan, resume, status and streaming, each step in a process of its own.

The memory curve.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.figure import Figure, measured, undecided
from benchmarks.processes import environment, module_command
from benchmarks.svg import svg
from s2st_aug.config import AugmentConfig
from s2st_aug.storage.run_folder import RunFolder
from s2st_aug.testing.datasets import make_config

Result = dict[str, Any]


def million(folder: Path, files: int) -> Result:
    """Plan, resume and status of `files` x 1000 scenes, each in a process of its own."""
    root = make_frames(folder / "data", files)
    return {
        "scenes": files * 1000,
        **{step: _apart(step, root, folder / "run") for step in ("plan", "resume", "status")},
    }


def million_figures(result: Result) -> Iterator[Figure]:
    """Seconds by the wall clock, the driver's peak, and the processor time beside them."""
    names = {"plan": "plan_seconds_1m", "resume": "resume_seconds_1m", "status": "status_seconds_1m"}
    goals = {"plan": 60.0, "resume": 60.0, "status": 2.0}
    for step, name in names.items():
        seconds, cpu = result[step]["seconds"], result[step]["cpu"]
        yield _decided(
            name,
            seconds,
            "s",
            goals[step],
            result["scenes"],
            f"processor time {cpu:.2g} s, load average {result['load']:.1f}",
        )
        if step == "plan":
            yield _decided(
                "plan_gib_1m",
                result[step]["gib"],
                "GiB",
                PLAN_GIB,
                result["scenes"],
                "peak resident memory of the driver",
            )


def _decided(name: str, value: float, unit: str, goal: float, scenes: int, why: str) -> Figure:
    """Below a million nothing is decided."""
    if scenes < 1_000_000:
        return undecided(
            name, unit, goal, f"quick: {value:.3g} {unit} at {scenes} scenes; a million takes the full suite"
        )
    return measured(name, value, unit, goal, "at_most", n=scenes, why=why)


def memory(folder: Path, files: int) -> Result:
    """Peaks of the driver while it plans and resumes `files` x 1000 scenes."""
    root = make_frames(folder / "data", files)
    return {"scenes": files * 1000, **{step: _apart(step, root, folder / "run") for step in ("plan", "resume")}}


def stream(folder: Path, files: int) -> Result:
    """Peaks of the driver and of the object store while the plan of `files` x 1000 scenes goes through Ray's stages."""
    root = make_frames(folder / "data", files)
    _apart("plan", root, folder / "run")
    return {"scenes": files * 1000, "stream": _apart("stream", root, folder / "run")}


def memory_figures(results: list[Result]) -> Iterator[Figure]:
    """Growth of peaks with the number of scenes; no goal is set for it, the whole curve is in the docs."""
    for step, what in CURVES:
        sizes, peaks = curve_of(results, step, what)
        if len(sizes) > 1:
            why = f"from {peaks[0]:.3g} at {sizes[0]} scenes to {peaks[-1]:.3g} at {sizes[-1]}"
            unit = what.removeprefix("store_")
            yield Figure(f"memory_{step}_{what}_growth", peaks[-1] - peaks[0], unit, None, None, sizes[-1], None, why)


def curve_of(results: list[Result], step: str, what: str) -> tuple[list[int], list[float]]:
    """Numbers of scenes and the peaks of a step there, for those results that hold it."""
    found = sorted((r["scenes"], r[step][what]) for r in results if step in r)
    return [n for n, _ in found], [peak for _, peak in found]


def draw_memory(results: list[Result]) -> str:
    """The peaks in GiB over the number of scenes, as SVG text."""
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(7, 4))
    axes = canvas.subplots()
    for (step, what), (label, marker) in CURVES.items():
        sizes, peaks = curve_of(results, step, what)
        if sizes:
            axes.plot(sizes, [p / 1024 if what == "store_mib" else p for p in peaks], label=label, marker=marker)
    axes.axhline(PLAN_GIB, color="grey", linestyle="--", linewidth=1, label="goal for the plan of a million")
    axes.set(xscale="log", xlabel="scenes", ylabel="peak, GiB", ylim=(0, 1.1 * PLAN_GIB))
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    return svg(canvas)


def make_frames(root: Path, files: int) -> Path:
    """Label files of 1000 frames each in BDD100K's tracking form; the images are never read here, and empty files."""
    labels, images = root / "labels/box_track_20/train", root / "images/track/train"
    labels.mkdir(parents=True)
    for video in (f"v{number:05d}" for number in range(files)):
        frames = [_frame(video, index) for index in range(1000)]
        (labels / f"{video}.json").write_text(json.dumps(frames))
        (images / video).mkdir(parents=True)
        for frame in frames:
            (images / video / frame["name"]).touch()
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
    """What one step took in a fresh process: seconds, processor seconds,
    peak GiB, and what the step itself has seen.
    """
    done = subprocess.run(
        module_command("benchmarks.million", step, root, run_folder),
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def _step(step: str, root: Path, run_folder: Path) -> None:
    """What the process of `_apart` does."""
    config = make_config(
        root,
        dataset={"format": "bdd100k_track", "root": str(root)},
        domains=["night"],
        cluster={"batch_size": STEP_BATCH},
    )
    folder = RunFolder(run_folder)
    start, cpu = time.perf_counter(), time.process_time()
    seen = STEPS[step](config, folder) or {}
    spent = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}
    spent["gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    sys.stdout.write(json.dumps(spent | seen) + "\n")
    sys.stdout.flush()
    if step == "plan":
        _finish_all(folder)


def _plan(config: AugmentConfig, folder: RunFolder) -> None:
    from s2st_aug.engine.context import identify
    from s2st_aug.engine.options import Options
    from s2st_aug.engine.prepare import prepare

    prepare(config, folder, Options(), identify(config))


def _status(config: AugmentConfig, folder: RunFolder) -> None:
    from s2st_aug.storage.progress import report_of

    assert report_of(folder.place)["total"] > 0


def _stream(config: AugmentConfig, folder: RunFolder) -> Result:
    """The whole plan through Ray's stages, each batch given back untouched: what streaming itself keeps in memory."""
    import ray

    from s2st_aug.engine.context import RunContext, identify
    from s2st_aug.engine.engine import stream_results
    from s2st_aug.engine.ray_session import open_tracker, ray_session
    from s2st_aug.storage.plan import plan_files

    context = RunContext.of(folder.place, config, identify(config), folder.run_json())
    with ray_session(config.cluster, None), open_tracker() as tracker:
        ray.get(tracker.drain.remote())
        peaks, closed = [0], threading.Event()
        watcher = threading.Thread(target=_watch_store, args=(peaks, closed), daemon=True)
        watcher.start()
        results = sum(
            r.given_back for r in stream_results(context, [str(folder.path / n) for n in plan_files(folder)], tracker)
        )
        closed.set()
        watcher.join()
    return {"batches": results, "store_mib": max(peaks) / 2**20}


def _watch_store(peaks: list[int], closed: threading.Event) -> None:
    """Bytes in use in this node's object store, five times a second."""
    import ray
    from ray._private.internal_api import get_memory_info_reply, get_state_from_address

    state = get_state_from_address(ray.get_runtime_context().gcs_address)
    while not closed.wait(0.2):
        peaks.append(get_memory_info_reply(state).store_stats.object_store_bytes_used)


STEP_BATCH = 4
PLAN_GIB = 2.0
CURVES = {
    ("plan", "gib"): ("driver, planning", "o"),
    ("resume", "gib"): ("driver, resuming", "s"),
    ("stream", "gib"): ("driver, plan streamed through Ray", "^"),
    ("stream", "store_mib"): ("object store, plan streamed through Ray", "v"),
}
"""step and what of it -> label and marker in the plot"""
STEPS: dict[str, Callable[[AugmentConfig, RunFolder], Result | None]] = {
    "plan": _plan,
    "resume": _plan,  # all that comes before the first batch: the plan, the manifest's scan, the work list
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
    fixed = {
        "domain": "night",
        "status": "ok",
        "synthetic": True,
        "rng_key": 0,
        "reasons": [],
        "rejected_by": [],
        "failure": None,
        "oom_split": False,
        "objects": [],
        "hallucinations": [],
    }
    if field.name == "scene_id":
        return ids
    if field.name == "created_at":
        return pa.array([0] * len(ids), pa.int64()).cast(field.type)
    value = fixed.get(field.name, "x" if pa.types.is_string(field.type) else None)
    return pa.array([value] * len(ids), field.type)


if __name__ == "__main__":
    _step(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
