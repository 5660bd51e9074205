"""A new manifest generation: all parts replaced as one step that a kill can interrupt and the next command ends."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from s2st_aug.storage.run_folder import FAILED_PART, MANIFEST, OLD, STATE, RunFolder, parquet_bytes, read_part

NEXT = f"{STATE}/next"
READY = f"{STATE}/next.json"


def replace_manifest(
    run: RunFolder, change: Callable[[pa.Table], pa.Table], validation: dict[str, Any], validation_sha256: str
) -> int:
    """Every part through `change`, one at a time; the old ones are kept under manifest/.old/<n>.

    `validation` becomes run.json's, with its hash. Failed rows are no matter of thresholds and stay as they are.
    Returns the new generation.
    """
    finish_replacement(run)
    for name in list(run.store.names(NEXT)):  # of a replacement that never became ready
        run.store.delete(name)
    old = [name for name in run.manifest_parts() if name != FAILED_PART]
    generation = run.run_json().generation + 1
    for name in old:
        table = change(read_part(run.store, name, None))
        run.store.write_many({f"{NEXT}/part-{generation}-{uuid.uuid4().hex}.parquet": parquet_bytes(table)})
    ready = {"generation": generation, "old": old, "validation": validation, "validation_sha256": validation_sha256}
    run.store.write_many({READY: json.dumps(ready).encode()})
    finish_replacement(run)
    return generation


def finish_replacement(run: RunFolder) -> None:
    """Carry out a replacement that is ready; do nothing where none is. May be interrupted and called again."""
    if run.store.size(READY) is None:
        return
    ready, raw = json.loads(run.store.read(READY)), run.raw_run_json()
    aside = f"{OLD}/{ready['generation'] - 1}"
    if run.store.size(FAILED_PART) is not None:
        run.store.write_many({f"{aside}/failed.parquet": run.store.read(FAILED_PART)})
    for name in ready["old"]:
        if run.store.size(name) is not None:
            run.store.move(name, f"{aside}/{name.rsplit('/', 1)[-1]}")
    for name in list(run.store.names(NEXT)):
        run.store.move(name, f"{MANIFEST}/{name.rsplit('/', 1)[-1]}")
    config = {**raw["config"], "validation": ready["validation"]}
    new = {"generation": ready["generation"], "validation_sha256": ready["validation_sha256"], "config": config}
    run.write_run_json({**raw, **new})
    run.store.delete(READY)
