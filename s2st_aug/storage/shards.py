"""Committed batches and how they become the manifest.

A batch is committed when its row shard `.state/rows/<batch key>.<attempt>.parquet` exists; its images
were flushed before. Shards are gathered into `manifest/part-*.parquet`, whose metadata names the shards
it took, so that a kill between writing the part and deleting the shards counts nothing twice. Failed
rows wait in `manifest/failed.parquet`, the only part that is ever rewritten.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from s2st_aug.records.manifest import MANIFEST_SCHEMA
from s2st_aug.storage.run_folder import FAILED_PART, MANIFEST, ROWS, RunFolder, parquet_bytes, read_part
from s2st_aug.storage.store import LocalStore, Store

log = logging.getLogger(__name__)

TAKEN = b"s2st_aug.shards"
PART_ROWS = 50_000


@dataclass(frozen=True, slots=True)
class Shard:
    """A committed batch, known by its file's name alone."""

    key: str
    attempt: int

    @property
    def name(self) -> str:
        """The file's name in the run folder."""
        return f"{ROWS}/{self.key[:2]}/{self.key}.{self.attempt}.parquet"


def commit_shard(store: Store, shard: Shard, rows: pa.Table) -> bool:
    """The commit mark of a batch: False where another worker committed the same attempt first."""
    return store.write_new(shard.name, parquet_bytes(rows))


def replace_shard(store: Store, shard: Shard, rows: pa.Table) -> None:
    """Overwrite a commit whose images this worker has just replaced (two workers ran one batch, bytes differed)."""
    store.write_many({shard.name: parquet_bytes(rows)})


def list_shards(store: Store) -> Iterator[Shard]:
    """Every committed batch that no manifest part has taken yet, from one scan of names."""
    for name in store.names(ROWS):
        key, attempt, suffix = name.rsplit("/", 1)[-1].split(".")
        if suffix == "parquet":
            yield Shard(key, int(attempt))


def gather(run: RunFolder, *, least: int = 1) -> int:
    """Move committed shards into the manifest where there are `least` or more; the number moved."""
    store = run.store
    _drop_taken(run)
    shards = sorted(list_shards(store), key=lambda s: (s.attempt, s.key))
    if len(shards) < least:
        return 0
    for group in _groups(store, shards):
        _gather_group(run, group)
    return len(shards)


def _groups(store: Store, shards: list[Shard]) -> Iterator[list[tuple[Shard, pa.Table]]]:
    """Shards with their tables, in groups of about PART_ROWS rows: memory does not grow with the run."""
    with ThreadPoolExecutor(4) as pool:
        for start in range(0, len(shards), 2000):
            chunk = shards[start : start + 2000]
            tables = pool.map(lambda s: read_part(store, s.name, None), chunk)
            yield from _split_rows(list(zip(chunk, tables, strict=True)))


def _split_rows(pairs: list[tuple[Shard, pa.Table]]) -> Iterator[list[tuple[Shard, pa.Table]]]:
    group: list[tuple[Shard, pa.Table]] = []
    rows = 0
    for pair in pairs:
        group.append(pair)
        rows += pair[1].num_rows
        if rows >= PART_ROWS:
            yield group
            group, rows = [], 0
    if group:
        yield group


def _gather_group(run: RunFolder, group: list[tuple[Shard, pa.Table]]) -> None:
    rows = pa.concat_tables([t for _, t in group]).cast(MANIFEST_SCHEMA)
    failed = pc.equal(rows["status"], "failed")
    merge_failed(run, rows.filter(failed), rows.filter(pc.invert(failed)))
    names = ",".join(s.name for s, _ in group)
    write_part(run, rows.filter(pc.invert(failed)), names)
    for shard, _ in group:
        run.store.delete(shard.name)


def write_part(run: RunFolder, rows: pa.Table, taken: str = "") -> None:
    """One new manifest part; `taken` names the shards it holds."""
    meta = {**(MANIFEST_SCHEMA.metadata or {}), TAKEN: taken.encode()}
    table = rows.cast(MANIFEST_SCHEMA).replace_schema_metadata(meta)
    run.store.write_many({f"{MANIFEST}/part-{uuid.uuid4().hex}.parquet": parquet_bytes(table)})


def merge_failed(run: RunFolder, failed: pa.Table, finished: pa.Table) -> None:
    """The failed rows of the manifest: the new ones, and the old ones that neither failed again nor were finished."""
    has = run.store.size(FAILED_PART) is not None
    if not has and not failed.num_rows:
        return
    old = read_part(run.store, FAILED_PART, None).cast(MANIFEST_SCHEMA) if has else MANIFEST_SCHEMA.empty_table()
    failed = _without(failed, row_keys(finished))
    kept = _without(_without(old, row_keys(finished)), row_keys(failed))
    run.store.write_many({FAILED_PART: parquet_bytes(pa.concat_tables([kept, failed]))})


def _without(rows: pa.Table, keys: pa.Array) -> pa.Table:
    return rows.filter(pc.invert(pc.is_in(row_keys(rows), value_set=keys)))


def row_keys(rows: pa.Table) -> pa.Array:
    """`scene_id TAB domain` of each row, as one array of strings."""
    keys = pc.binary_join_element_wise(rows["scene_id"].cast(pa.string()), rows["domain"].cast(pa.string()), "\t")
    return keys.combine_chunks() if isinstance(keys, pa.ChunkedArray) else keys


def taken_shards(run: RunFolder) -> set[str]:
    """Names of the shards that manifest parts have taken."""
    names: set[str] = set()
    for part in run.manifest_parts():
        store = run.store
        source = store.file(part) if isinstance(store, LocalStore) else pa.BufferReader(store.read(part))
        taken = (pq.read_schema(source).metadata or {}).get(TAKEN, b"")
        names.update(n for n in taken.decode().split(",") if n)
    return names


def _drop_taken(run: RunFolder) -> None:
    """Shards that a kill left behind although a part holds their rows."""
    left = {shard.name for shard in list_shards(run.store)}
    if left:
        for name in left & taken_shards(run):
            log.info("dropping %s: the manifest holds it", name)
            run.store.delete(name)
