"""What a run folder holds against what was planned: a run is finished when this says so, not when workers did."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from s2st_aug.storage.placing import sweep_images
from s2st_aug.storage.plan import planned_scene_ids
from s2st_aug.storage.repair import set_rows_aside
from s2st_aug.storage.run_folder import IMAGES, RunFolder
from s2st_aug.storage.shards import row_keys


@dataclass(frozen=True, slots=True)
class Books:
    """Rows by status as they stand in the folder, and what is wrong with them."""

    planned: int
    ok: int
    rejected: int
    failed: int
    absent: int
    """planned variants without a row"""
    without_image: int = 0
    """rows whose image is not there: they are in quarantine/ now, and count as absent"""
    doubled: int = 0
    """rows beyond the first of a variant, and rows of what was never planned"""
    swept: int = 0
    """images that no row names: they are in quarantine/ now"""

    @property
    def complete(self) -> bool:
        """One row of each planned variant, and one image of each that has one."""
        return not self.absent and not self.doubled


def count_books(run: RunFolder) -> Books:
    """Rows against the plan, read and not changed. Needs a gathered manifest."""
    rows = run.read_manifest(["scene_id", "domain", "status"])
    return _books(run, rows)


def reconcile(run: RunFolder) -> Books:
    """Rows and images against the plan, once nobody writes any more.

    Rows without their image, and images without a row, go to quarantine/: resuming makes the first again. Needs the
    run's lock and a gathered manifest.
    """
    rows = run.read_manifest(["scene_id", "domain", "status", "image"])
    there = pa.array(run.store.names(IMAGES), pa.string())
    lost = pc.and_(pc.is_valid(rows["image"]), pc.invert(pc.is_in(rows["image"], value_set=there)))
    gone = row_keys(rows.filter(lost)).to_pylist()
    if gone:
        set_rows_aside(run, gone)
        rows = run.read_manifest(["scene_id", "domain", "status", "image"])
    swept = sweep_images(run, there.to_pylist(), rows["image"].to_pylist())
    return _books(run, rows, len(gone), len(swept))


def _books(run: RunFolder, rows: pa.Table, without_image: int = 0, swept: int = 0) -> Books:
    ids = planned_scene_ids(run).combine_chunks()
    planned = [pc.binary_join_element_wise(ids, pa.scalar(d), "\t") for d in run.run_json().domains]
    keys = row_keys(rows)
    distinct = pc.unique(keys)
    absent = sum(len(p) - (pc.sum(pc.is_in(p, value_set=distinct)).as_py() or 0) for p in planned)
    total = sum(map(len, planned))
    count = {s: pc.sum(pc.equal(rows["status"], s)).as_py() or 0 for s in ("ok", "rejected", "failed")}
    return Books(
        total, **count, absent=absent, without_image=without_image, doubled=len(keys) - total + absent, swept=swept
    )
