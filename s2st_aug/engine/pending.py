"""What is left to do: the plan less the manifest, from one scan of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from s2st_aug.storage.plan import PlannedBatch, batches_to_table, read_plan, table_to_batches
from s2st_aug.storage.run_folder import FAILED_PART, STATE, RunFolder, read_part
from s2st_aug.storage.shards import row_keys

PENDING = f"{STATE}/pending"


@dataclass(frozen=True, slots=True)
class CompletedRows:
    """What stands in the manifest: keys (`scene_id TAB domain`) that need nothing more, and attempts of failed ones."""

    finished: pa.Array
    attempts: dict[str, int]
    ok: int
    rejected: int
    failed: int  # those that are not tried again


def completed_rows(run: RunFolder, attempts_cap: int) -> CompletedRows:
    """Reads ids and states of the whole manifest in one scan. Failed rows below the cap count as not done."""
    rows = run.read_manifest(["scene_id", "domain", "status"])
    good = rows.filter(pc.not_equal(rows["status"], "failed"))
    attempts: dict[str, int] = {}
    if run.store.size(FAILED_PART) is not None:
        failed = read_part(run.store, FAILED_PART, ["scene_id", "domain", "attempts"])
        tried = pc.fill_null(failed["attempts"], 1).to_pylist()
        attempts = dict(zip(row_keys(failed).to_pylist(), tried, strict=True))
    spent = [key for key, number in attempts.items() if number >= attempts_cap]
    finished = pa.concat_arrays([row_keys(good), pa.array(spent, pa.string())])
    ok = pc.sum(pc.equal(good["status"], "ok")).as_py() or 0
    return CompletedRows(finished, attempts, ok, good.num_rows - ok, len(spent))


def pending_tables(run: RunFolder, domains: Sequence[str], done: CompletedRows) -> Iterator[pa.Table]:
    """PLAN_SCHEMA tables of the batches that have something left, with `todo` and `attempt` set; one per plan file."""
    for table in read_plan(run):
        yield _pending(table, tuple(domains), done)


def _pending(table: pa.Table, domains: tuple[str, ...], done: CompletedRows) -> pa.Table:
    scenes = table["scenes"].combine_chunks()
    ids = scenes.flatten().field("scene_id")
    keys = [pc.binary_join_element_wise(ids, pa.scalar(domain), "\t") for domain in domains]
    by_domain = [pc.is_in(k, value_set=done.finished).to_numpy(zero_copy_only=False) for k in keys]
    is_done = np.stack(by_domain, axis=1)  # scenes x domains
    counts = pc.list_value_length(scenes).to_numpy(zero_copy_only=False)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    left = np.add.reduceat((~is_done).sum(axis=1), starts) if len(starts) else np.zeros(0, int)
    rows = np.flatnonzero(left > 0)
    unfinished = table.take(pa.array(rows))
    if not done.attempts and (left[rows] == counts[rows] * len(domains)).all():
        return unfinished
    batches = zip(table_to_batches(unfinished), rows, strict=True)
    return batches_to_table(_what_is_left(batch, is_done[starts[row] :], domains, done) for batch, row in batches)


def _what_is_left(
    batch: PlannedBatch, is_done: np.ndarray, domains: tuple[str, ...], done: CompletedRows
) -> PlannedBatch:
    """The batch with the domains that each scene still needs, and the number of the attempt that this will be."""
    todo = tuple(tuple(d for j, d in enumerate(domains) if not is_done[i, j]) for i in range(len(batch.scenes)))
    keys = [f"{s.scene.scene_id}\t{d}" for s, ds in zip(batch.scenes, todo, strict=True) for d in ds]
    return replace(batch, todo=todo, attempt=1 + max(done.attempts.get(k, 0) for k in keys))
