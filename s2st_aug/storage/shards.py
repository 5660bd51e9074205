"""Committed batches and how they become the manifest.

A batch is committed when its row shard `.state/rows/<batch key>.<attempt>.parquet` exists; its images
were flushed before. Shards are gathered into `manifest/part-<number>.parquet`, whose metadata names the shards
it took, so that a kill between writing the part and deleting the shards counts nothing twice. Parts are numbered, and
a number can be written once: of two gathers at one time the second finds the first one's part and leaves its shards
out. Failed rows wait in `manifest/failed.parquet`, the only part that is ever rewritten.
"""

from __future__ import annotations

import fcntl
import logging
import re
import time
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from s2st_aug.errors import RunFolderError
from s2st_aug.records.manifest import MANIFEST_SCHEMA
from s2st_aug.storage.run_folder import FAILED_PART, MANIFEST, ROWS, STATE, RunFolder, parquet_bytes, read_part
from s2st_aug.storage.store import LocalStore, Store

log = logging.getLogger(__name__)

TAKEN = b"s2st_aug.shards"
PART_ROWS = 50_000
SHARD = re.compile(r"/([^./]+)\.(\d+)\.parquet$")
NUMBERED = re.compile(r"/part-(\d{8})\.parquet$")
FAILED_LOCK = f"{STATE}/failed.lock"
FAILED_SECONDS = 10.0
MOST_LOST = 1000  # parts that other gathers may have written first


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


def list_shards(store: Store) -> Iterator[Shard]:
    """Every committed batch that no manifest part has taken yet, from one scan of names.

    Others' files are left out, such as those that NFS keeps in place of a deleted one that is still open.
    """
    for name in store.names(ROWS):
        if found := SHARD.search(name):
            yield Shard(found[1], int(found[2]))


def gather(run: RunFolder, *, least: int = 1) -> int:
    """Move committed shards into the manifest where there are `least` or more; the number moved."""
    store = run.store
    parts = _Parts(run)
    parts.drop_taken()
    shards = sorted(list_shards(store), key=lambda s: (s.attempt, s.key))
    if len(shards) < least:
        return 0
    return sum(_gather_group(run, parts, group) for group in _groups(store, shards))


def _groups(store: Store, shards: list[Shard]) -> Iterator[dict[str, pa.Table]]:
    """Shards' tables by name, in groups of about PART_ROWS rows: memory does not grow with the run."""
    group: dict[str, pa.Table] = {}
    rows = 0
    with ThreadPoolExecutor(4) as pool:
        for start in range(0, len(shards), 2000):
            names = [shard.name for shard in shards[start : start + 2000]]
            for name, table in zip(names, pool.map(partial(_read_shard, store), names), strict=True):
                if table is None:
                    continue
                group[name] = table
                rows += table.num_rows
                if rows >= PART_ROWS:
                    yield group
                    group, rows = {}, 0
    if group:
        yield group


def _read_shard(store: Store, name: str) -> pa.Table | None:
    """None where another gather has just taken it."""
    try:
        return read_part(store, name, None)
    except RunFolderError:
        if store.size(name) is None:
            return None
        raise


def _gather_group(run: RunFolder, parts: _Parts, group: dict[str, pa.Table]) -> int:
    """One part of these shards, less those that another part takes first; the number taken."""
    while group:
        rows = pa.concat_tables(group.values()).cast(MANIFEST_SCHEMA)
        failed = pc.equal(rows["status"], "failed")
        finished = rows.filter(pc.invert(failed))
        if parts.write_next(finished, group):
            merge_failed(run, rows.filter(failed), finished)
            run.store.delete_many(group)
            return len(group)
        group = {name: table for name, table in group.items() if name not in parts.taken}
    return 0


class _Parts:
    """The manifest's parts as they are known: which shards they took, and the next one's number."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._read: set[str] = set()
        self._number = self._lost = 0
        self.taken: set[str] = set()

    def look(self) -> None:
        """Reads the metadata of the parts that are new, and counts those of earlier generations."""
        names = list(self._run.store.names(MANIFEST))
        self._number = max((int(found[1]) for name in names if (found := NUMBERED.search(name))), default=0)
        for name in (n for n in names if n.count("/") == 1 and n.endswith(".parquet") and n not in self._read):
            self.taken |= _taken_by(self._run.store, name)
            self._read.add(name)

    def write_next(self, rows: pa.Table, taken: Collection[str] = ()) -> bool:
        """One new part; False, and nothing written, where one of the shards is taken or another part came first."""
        self.look()
        if not self.taken.isdisjoint(taken):
            return False
        meta = {**(MANIFEST_SCHEMA.metadata or {}), TAKEN: ",".join(taken).encode()}
        table = rows.cast(MANIFEST_SCHEMA).replace_schema_metadata(meta)
        name = f"{MANIFEST}/part-{self._number + 1:08d}.parquet"
        if self._run.store.write_new(name, parquet_bytes(table)):
            return True
        self._lost += 1
        if self._lost > MOST_LOST:
            raise RunFolderError(f"{self._run.place}/{name}: exists already; is another run writing to this folder?")
        time.sleep(0.05)  # until the other gather's part is listed here too
        return False

    def drop_taken(self) -> None:
        """Shards that a kill left behind although a part holds their rows; failed ones that it does not hold come over.

        A worker that was thought dead may commit a batch once more: that is dropped too.
        """
        run = self._run
        left = {shard.name for shard in list_shards(run.store)}
        if not left:
            return
        self.look()
        taken = sorted(left & self.taken)
        failed = [MANIFEST_SCHEMA.empty_table()]
        for name in taken:
            log.info("deleting %s: its rows are in the manifest", name)
            rows = _read_shard(run.store, name)
            if rows is not None:
                failed.append(rows.filter(pc.equal(rows["status"], "failed")).cast(MANIFEST_SCHEMA))
        if taken:
            _complete_failed(run, pa.concat_tables(failed))
        run.store.delete_many(taken)


def write_part(run: RunFolder, rows: pa.Table) -> None:
    """One new manifest part."""
    parts = _Parts(run)
    while not parts.write_next(rows):
        pass


def merge_failed(run: RunFolder, failed: pa.Table, finished: pa.Table) -> None:
    """The failed rows of the manifest: the new ones, and the old ones that neither failed again nor were finished."""
    with _alone(run.store):
        has = run.store.size(FAILED_PART) is not None
        if not failed.num_rows and not has:
            return
        old = read_part(run.store, FAILED_PART, None).cast(MANIFEST_SCHEMA) if has else MANIFEST_SCHEMA.empty_table()
        failed = _without(failed, row_keys(finished))
        kept = _without(_without(old, row_keys(finished)), row_keys(failed))
        if failed.num_rows or kept.num_rows < old.num_rows:
            run.store.write_many({FAILED_PART: parquet_bytes(pa.concat_tables([kept, failed]))})


def _complete_failed(run: RunFolder, failed: pa.Table) -> None:
    """The failed rows as they would stand had nothing come between a part and them.

    `failed` are those of shards that parts have taken. Of each variant the last attempt counts, and where a part holds
    its finished row, none does.
    """
    if not failed.num_rows and run.store.size(FAILED_PART) is None:
        return
    known = run.read_manifest(["scene_id", "domain", "status", "attempts"])
    is_failed = pc.equal(known["status"], "failed")
    tried = dict(_attempts(known.filter(is_failed)))
    newest: dict[str, int] = {}
    for index, (key, attempt) in enumerate(_attempts(failed)):
        if attempt > tried.get(key, 0):
            tried[key], newest[key] = attempt, index
    chosen = failed.take(pa.array(sorted(newest.values()), pa.int64()))
    merge_failed(run, chosen, known.filter(pc.invert(is_failed)))


def _attempts(rows: pa.Table) -> Iterator[tuple[str, int]]:
    return zip(row_keys(rows).to_pylist(), pc.fill_null(rows["attempts"], 1).to_pylist(), strict=True)


@contextmanager
def _alone(store: Store) -> Iterator[None]:
    """While failed rows are read and written back no other process of this machine does; it waits for FAILED_SECONDS.

    Across machines, and on object stores, the run's lock is what keeps a second gather away.
    """
    if not isinstance(store, LocalStore):
        yield
        return
    place = store.file(FAILED_LOCK)
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("ab") as file:
        until = time.monotonic() + FAILED_SECONDS
        while time.monotonic() < until:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.02)
            except OSError:  # a file system without locks
                break
        yield


def _without(rows: pa.Table, keys: pa.Array) -> pa.Table:
    return rows.filter(pc.invert(pc.is_in(row_keys(rows), value_set=keys)))


def row_keys(rows: pa.Table) -> pa.Array:
    """`scene_id TAB domain` of each row, as one array of strings."""
    keys = pc.binary_join_element_wise(rows["scene_id"].cast(pa.string()), rows["domain"].cast(pa.string()), "\t")
    return keys.combine_chunks() if isinstance(keys, pa.ChunkedArray) else keys


def _taken_by(store: Store, part: str) -> set[str]:
    """Names of the shards that a part has taken; none of one that has just been moved away."""
    try:
        source = store.file(part) if isinstance(store, LocalStore) else pa.BufferReader(store.read(part))
        taken = (pq.read_schema(source).metadata or {}).get(TAKEN, b"")
    except FileNotFoundError:
        return set()
    return {name for name in taken.decode().split(",") if name}
