"""`--check-sources` on a run that exists: every planned source is hashed; what rests on other bytes is done anew."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from s2st_aug.config.augment import DatasetConfig
from s2st_aug.engine.remote_dataset import fetched
from s2st_aug.images import sha256_file
from s2st_aug.storage.plan import PlannedBatch, PlannedScene, batches_to_table, plan_files, table_to_batches
from s2st_aug.storage.repair import set_rows_aside
from s2st_aug.storage.run_folder import RunFolder, parquet_bytes, read_part

log = logging.getLogger(__name__)

THREADS = 4
SHOWN = 5


def recheck_sources(run: RunFolder, dataset: DatasetConfig) -> list[str]:
    """The scenes whose source is not the one their rows tell of; their rows and images go to quarantine/, to be redone.

    The plan takes the sizes, times and hashes of today. A source that is absent today changes nothing: its rows stand,
    and `verify` names it. Needs a gathered manifest and the run's lock.
    """
    told, today = _told(run), partial(_today, dataset)
    changed: set[str] = set()
    with ThreadPoolExecutor(THREADS) as pool:
        for name in plan_files(run):
            before = table_to_batches(read_part(run.store, name, None))
            after = [replace(b, scenes=tuple(pool.map(today, b.scenes))) for b in before]
            changed.update(_changed(before, after, told))
            if after != before:
                run.store.write_many({name: parquet_bytes(batches_to_table(after))})
    set_rows_aside(run, {f"{scene}\t{domain}" for scene in changed for domain in run.run_json().domains})
    if changed:
        first = ", ".join(sorted(changed)[:SHOWN]) + (", ..." if len(changed) > SHOWN else "")
        log.warning("%d sources changed (%s): their rows are in quarantine/", len(changed), first)
    return sorted(changed)


def _told(run: RunFolder) -> dict[str, tuple[str, str | None]]:
    """scene_id -> (status, source_sha256) of one of its rows, a failed one where there is any."""
    rows = run.read_manifest(["scene_id", "status", "source_sha256"]).sort_by([("status", "descending")])
    columns = (rows[c].to_pylist() for c in ("scene_id", "status", "source_sha256"))
    told: dict[str, tuple[str, str | None]] = {}
    for scene_id, status, digest in zip(*columns, strict=True):
        if told.get(scene_id, ("",))[0] != "failed":
            told[scene_id] = (status, digest)
    return told


def _today(dataset: DatasetConfig, planned: PlannedScene) -> PlannedScene:
    """What is planned, as its source is today; from an object store the image is fetched for it."""
    try:
        with fetched(dataset.root, planned.scene) as root:
            path = root / planned.scene.image
            stat = path.stat()
            return replace(planned, size=stat.st_size, mtime_ns=stat.st_mtime_ns, sha256=sha256_file(path))
    except OSError:
        return planned


def _changed(
    before: list[PlannedBatch], after: list[PlannedBatch], told: dict[str, tuple[str, str | None]]
) -> Iterator[str]:
    """Scenes with rows of other bytes; of failed rows, those whose plan is another one now: they failed for it."""
    for old, new in (
        (o, n) for b, a in zip(before, after, strict=True) for o, n in zip(b.scenes, a.scenes, strict=True)
    ):
        status, digest = told.get(new.scene.scene_id, ("", None))
        other_plan = (old.size, old.mtime_ns) != (new.size, new.mtime_ns)
        if (status == "failed" and other_plan) or (status and new.sha256 and digest and digest != new.sha256):
            yield new.scene.scene_id
