"""What the engine does, in this process and without Ray: for tests of everything but Ray."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from s2st_aug.engine.commit import CommitStage
from s2st_aug.engine.context import identify
from s2st_aug.engine.in_process import translate_and_validate
from s2st_aug.engine.options import PLAIN_START, Options
from s2st_aug.engine.prepare import prepare, with_absolute_root
from s2st_aug.errors import Stopped
from s2st_aug.storage.plan import table_to_batches
from s2st_aug.storage.run_folder import RunFolder
from s2st_aug.storage.shards import gather


def run_here(config, place: Path | str, options: Options = PLAIN_START, batches: slice = slice(None)) -> RunFolder:
    """Plans or resumes, and does some of the batches that are left; raises what a full disk raises."""
    config, folder = with_absolute_root(config), RunFolder(place)
    ready = prepare(config, folder, options, identify(config), place=str(place))
    left = [b for name in ready.pending for b in table_to_batches(pq.read_table(_source(folder, name)))]
    commit = CommitStage(ready.context)
    for validated in translate_and_validate(ready.context, left[batches]):
        result = commit(validated)
        if result.stop:
            raise Stopped(result.stop)
        ready.progress.add(result.statuses, result.causes, result.actor)
    gather(folder)
    for name in list(folder.store.names(".state/pending")):
        folder.store.delete(name)
    ready.progress.write("finished" if batches == slice(None) else "running")
    return folder


def rows_of(run: RunFolder) -> dict[tuple[str, str], dict]:
    """Rows by (scene, domain), each there once."""
    rows = run.read_manifest().to_pylist()
    assert len(rows) == len({(r["scene_id"], r["domain"]) for r in rows})
    return {(r["scene_id"], r["domain"]): r for r in rows}


def _source(folder: RunFolder, name: str):
    import pyarrow as pa

    return pa.BufferReader(folder.store.read(name))
