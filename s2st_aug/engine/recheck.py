"""`--check-sources` on a run that exists: every source is hashed, and rows of other bytes are made again."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import chain

from s2st_aug.config.augment import DatasetConfig
from s2st_aug.engine.remote_dataset import fetched
from s2st_aug.errors import counted
from s2st_aug.images import sha256_file
from s2st_aug.storage.plan import PlannedScene, batches_to_table, plan_files, table_to_batches
from s2st_aug.storage.repair import set_rows_aside
from s2st_aug.storage.run_folder import RunFolder, parquet_bytes, read_part

log = logging.getLogger(__name__)

NONE: tuple[str, str | None] = ("", None)  # status and hash of a scene without rows
THREADS = 4
SHOWN = 5


def recheck_sources(run: RunFolder, dataset: DatasetConfig) -> list[str]:
    """The scenes whose source is not the one that their rows were made of.

    Their rows and images go to quarantine/, so that they are made again, and the plan takes the sizes, times and hashes
    of today. A source that is absent today changes nothing: its rows stay, and `verify` names it. Needs a gathered
    manifest and the run's lock.
    """
    recorded, today = _recorded(run), partial(_today, dataset)
    changed: set[str] = set()
    with ThreadPoolExecutor(THREADS) as pool:
        for name in plan_files(run):
            before = table_to_batches(read_part(run.store, name, None))
            after = [replace(b, scenes=tuple(pool.map(today, b.scenes))) for b in before]
            scenes = (chain.from_iterable(batch.scenes for batch in batches) for batches in (before, after))
            for old, new in zip(*scenes, strict=True):
                if _has_changed(old, new, *recorded.get(new.scene.scene_id, NONE)):
                    changed.add(new.scene.scene_id)
            if after != before:
                run.store.write_many({name: parquet_bytes(batches_to_table(after))})
    domains = run.run_json().domains
    set_rows_aside(run, {f"{scene}\t{domain}" for scene in changed for domain in domains})
    if changed:
        first = ", ".join(sorted(changed)[:SHOWN]) + (", ..." if len(changed) > SHOWN else "")
        log.warning(
            "%s changed (%s); rows made from it were moved to quarantine/ and will be made again",
            counted(len(changed), "source image"),
            first,
        )
    return sorted(changed)


def _recorded(run: RunFolder) -> dict[str, tuple[str, str | None]]:
    """scene_id -> (status, source_sha256) of one of its rows, a failed one where there is any."""
    rows = run.read_manifest(["scene_id", "status", "source_sha256"]).sort_by([("status", "descending")])
    columns = (rows[c].to_pylist() for c in ("scene_id", "status", "source_sha256"))
    found: dict[str, tuple[str, str | None]] = {}
    for scene_id, status, digest in zip(*columns, strict=True):
        if found.get(scene_id, NONE)[0] != "failed":
            found[scene_id] = (status, digest)
    return found


def _today(dataset: DatasetConfig, planned: PlannedScene) -> PlannedScene:
    """What is planned, as its source is today; from an object store the image is fetched for it."""
    try:
        with fetched(dataset.root, planned.scene) as root:
            path = root / planned.scene.image
            stat = path.stat()
            return replace(planned, size=stat.st_size, mtime_ns=stat.st_mtime_ns, sha256=sha256_file(path))
    except OSError:
        return planned


def _has_changed(old: PlannedScene, new: PlannedScene, status: str, digest: str | None) -> bool:
    """Whether a scene's rows are of other bytes; for failed rows, whether they failed under another plan."""
    other_plan = (old.size, old.mtime_ns) != (new.size, new.mtime_ns)
    other_bytes = bool(status and new.sha256 and digest and digest != new.sha256)
    return other_bytes or (status == "failed" and other_plan)
