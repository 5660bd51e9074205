"""`verify --repair`: what is wrong goes to quarantine/, and its row goes too, so that resuming makes it again."""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection
from contextlib import suppress

import pyarrow as pa
import pyarrow.compute as pc

from s2st_aug.containment import stays_below
from s2st_aug.errors import RunFolderError
from s2st_aug.storage.run_folder import FAILED_PART, IMAGES, QUARANTINE, RunFolder, parquet_bytes, read_part
from s2st_aug.storage.shards import TAKEN, row_keys
from s2st_aug.storage.verify import VerifyReport

REPAIRED = ("missing", "extra", "torn", "doubled", "foreign", "left")


def repair(run: RunFolder, report: VerifyReport) -> int:
    """Set aside every file and row that a finding names; the number of findings dealt with. Sources are never touched.

    `report` is of a gathered run: a shard that waits would be taken for new work of its batch.
    """
    set_torn_aside(run, report)
    found = [f for f in report.findings if f.kind in REPAIRED and (f.image or f.key)]
    set_rows_aside(run, {f.key for f in found if f.key}, {f.image for f in found if f.image})
    return len(found)


def set_torn_aside(run: RunFolder, report: VerifyReport) -> int:
    """Parts of the manifest and of the decisions that cannot be read, to quarantine/; how many.

    The images of such a part are `extra` from then on.
    """
    torn = [f.image for f in report.findings if f.kind == "torn" and f.image and f.image.endswith(".parquet")]
    for name in torn:
        _set_aside(run, name, _new_place())
    return len(torn)


def set_rows_aside(run: RunFolder, keys: Collection[str], files: Collection[str] = ()) -> None:
    """Rows by `scene_id TAB domain`, the images that they alone name, and further files, to a new quarantine folder.

    The run must be gathered: its batches may be committed again under the names of shards that were taken.
    """
    where = _new_place()
    images = _drop_rows(run, keys, where) if keys else set()
    for name in sorted({*files, *(i for i in images if stays_below(i) and i.startswith(f"{IMAGES}/"))}):
        _set_aside(run, name, where)


def set_files_aside(run: RunFolder, files: Collection[str]) -> None:
    """Files that no row names, to a new quarantine folder."""
    where = _new_place()
    for name in sorted(files):
        _set_aside(run, name, where)


def _new_place() -> str:
    return f"{QUARANTINE}/{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{uuid.uuid4().hex[:6]}"


def _drop_rows(run: RunFolder, keys: Collection[str], where: str) -> set[str]:
    """Take the rows out of their parts; the images that they named and no remaining row names."""
    dropped: set[str] = set()
    kept: set[str] = set()
    wanted = pa.array(sorted(keys), pa.string())
    if not pc.any(pc.is_in(row_keys(run.read_manifest(["scene_id", "domain"])), value_set=wanted)).as_py():
        return dropped
    # a batch's rows may lie in several parts, failed ones apart from the part that took their shard, and it will be
    # committed again under the same name: with the run gathered, no part needs to know what it took. First of all: a
    # row that is gone while a part still claims its batch could never be made again
    for part in (p for p in run.manifest_parts() if p != FAILED_PART):
        _rewrite(run, part, read_part(run.store, part, None))
    for part in sorted(run.manifest_parts(), key=lambda name: name != FAILED_PART):
        rows = read_part(run.store, part, None)
        bad = pc.is_in(row_keys(rows), value_set=wanted)
        good = pc.invert(bad)
        dropped.update(i for i in rows.filter(bad)["image"].to_pylist() if i)
        kept.update(i for i in rows.filter(good)["image"].to_pylist() if i)
        if pc.any(bad).as_py():
            run.store.write_many({f"{where}/{part.rsplit('/', 1)[-1]}": parquet_bytes(rows.filter(bad))})
            _rewrite(run, part, rows.filter(good))
    return dropped - kept


def _rewrite(run: RunFolder, part: str, rows: pa.Table) -> None:
    """The part with these rows. It forgets which shards it took: their batches are committed by those names again."""
    kept = {k: v for k, v in (rows.schema.metadata or {}).items() if k != TAKEN}
    if rows.num_rows or part == FAILED_PART:
        run.store.write_many({part: parquet_bytes(rows.replace_schema_metadata(kept))})
    else:
        run.store.delete(part)


def _set_aside(run: RunFolder, name: str, where: str) -> None:
    """What lies behind a link out of the folder is not the run's: it stays, a link in the last place moves itself."""
    with suppress(RunFolderError):
        if run.store.size(name) is not None:
            run.store.move(name, f"{where}/{name}")
