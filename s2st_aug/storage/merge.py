"""Two runs of one plan into one: the union of their rows, images and decisions."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from s2st_aug.errors import RunFolderError
from s2st_aug.records.manifest import MANIFEST_SCHEMA
from s2st_aug.storage.plan import PlannedBatch, batch_key, read_plan, table_to_batches, write_plan
from s2st_aug.storage.progress import Snapshot, read_snapshot, write_snapshot
from s2st_aug.storage.run_folder import FAILED_PART, PROGRESS, RunFolder, RunInfo, parquet_bytes
from s2st_aug.storage.shards import gather, row_keys, write_part


def merge(runs: list[RunFolder], out: RunFolder) -> int:
    """Write a new run folder; the number of its rows.

    A finished row goes before a failed one, the first run before the second. Raises RunFolderError where the plans or
    thresholds differ, or `out` exists.
    """
    infos = [run.run_json() for run in runs]
    _refuse(runs, infos, out)
    for run in runs:
        gather(run)
    rows, owners = _union([run.read_manifest() for run in runs])
    for number, run in enumerate(runs):
        mine = rows.filter(pa.array([o == number for o in owners]))
        _link_images(run, out, (i for i in mine["image"].to_pylist() if i))
        out.append_decisions(run.read_decisions())
    failed = pc.equal(rows["status"], "failed")
    write_part(out, rows.filter(pc.invert(failed)))
    if pc.any(failed).as_py():
        out.store.write_many({FAILED_PART: parquet_bytes(rows.filter(failed))})
    files, scenes = write_plan(out, _union_of_plans(runs, infos[0].plan_sha256))
    out.write_run_json(replace(infos[0], plan_files=files, planned_scenes=scenes))
    write_snapshot(out, _snapshot(runs, rows, scenes * len(infos[0].domains)))
    return rows.num_rows


def _refuse(runs: list[RunFolder], infos: list[RunInfo], out: RunFolder) -> None:
    if out.exists() or any(out.store.names("", deep=False)):
        raise RunFolderError(f"{out.place}: exists already; merge writes a new run folder")
    for run, info in zip(runs[1:], infos[1:], strict=True):
        if info.plan_sha256 != infos[0].plan_sha256:
            held = f"{infos[0].plan_sha256[:16]} and {info.plan_sha256[:16]}"
            raise RunFolderError(f"{run.place}: runs of two plans ({held}) cannot be merged")
        if info.validation_sha256 != infos[0].validation_sha256:
            raise RunFolderError(
                f"{run.place}: checked with other thresholds than {runs[0].place}; run `s2st-aug rescore` on both first"
            )


def _union(tables: list[pa.Table]) -> tuple[pa.Table, list[int]]:
    """One row per (scene, domain), and the number of the run that it comes from."""
    best: dict[str, tuple[bool, int, int]] = {}
    for number, table in enumerate(tables):
        states = table["status"].to_pylist()
        for index, key in enumerate(row_keys(table).to_pylist()):
            candidate = (states[index] == "failed", number, index)
            best[key] = min(best.get(key, candidate), candidate)
    chosen = sorted((number, index) for _, number, index in best.values())
    parts = [t.take(pa.array([i for n, i in chosen if n == number], pa.int64())) for number, t in enumerate(tables)]
    return pa.concat_tables(parts).cast(MANIFEST_SCHEMA), [number for number, _ in chosen]


def _union_of_plans(runs: list[RunFolder], plan_sha256: str) -> Iterable[PlannedBatch]:
    """The first run's batches, then those of the others without scenes that are there already.

    Runs that grew put their scenes into other batches: what is left of one is named by the scenes that it keeps.
    """
    known: set[str] = set()
    for run in runs:
        for table in read_plan(run):
            for batch in table_to_batches(table):
                new = [i for i, s in enumerate(batch.scenes) if s.scene.scene_id not in known]
                known.update(s.scene.scene_id for s in batch.scenes)
                if 0 < len(new) < len(batch.scenes):
                    scenes, todo = tuple(batch.scenes[i] for i in new), tuple(batch.todo[i] for i in new)
                    yield replace(batch, key=batch_key(plan_sha256, scenes), scenes=scenes, todo=todo)
                elif new:
                    yield batch


def _link_images(source: RunFolder, target: RunFolder, names: Iterable[str]) -> None:
    """Hard links where both lie on one file system, else copies; raises RunFolderError for an image outside."""
    for name in names:
        image, to = source.image_file(name), target.image_file(name)
        to.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(image, to)
        except OSError:
            shutil.copyfile(image, to)


def _snapshot(runs: list[RunFolder], rows: pa.Table, total: int) -> Snapshot:
    counts = {s: pc.sum(pc.equal(rows["status"], s)).as_py() or 0 for s in ("ok", "rejected", "failed")}
    old = [read_snapshot(run) for run in runs if run.store.size(PROGRESS) is not None]
    busy, started = sum(s.busy_seconds for s in old), min((s.started for s in old), default=0.0)
    updated = max((s.updated for s in old), default=0.0)
    state = "finished" if rows.num_rows == total else "stopped"
    return Snapshot(state, total, **counts, updated=updated, started=started, busy_seconds=busy, message="merged")  # type: ignore[arg-type]
