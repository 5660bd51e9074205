"""Run folders of an older schema, brought up to date one version at a time; the old files are kept in quarantine/."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pyarrow as pa

from s2st_aug.errors import RunFolderError
from s2st_aug.records.manifest import MANIFEST_SCHEMA, SCHEMA_VERSION
from s2st_aug.storage.run_folder import QUARANTINE, RUN_JSON, RunFolder, RunInfo, parquet_bytes, read_part

EMPTY: dict[str, Any] = {"hallucinations": [], "objects": [], "reasons": [], "synthetic": True}


def migrate(run: RunFolder) -> tuple[int, int]:
    """(version found, version now). Raises RunFolderError for one that is unknown. May be interrupted and called again."""
    raw = run.raw_run_json()
    found = raw.get("schema_version")
    if not isinstance(found, int) or found > SCHEMA_VERSION or (found < SCHEMA_VERSION and found not in MIGRATIONS):
        known = ", ".join(map(str, sorted(MIGRATIONS)))
        raise RunFolderError(
            f"{run.place}: schema version {found} cannot be migrated to {SCHEMA_VERSION} (known: {known})"
        )
    for version in range(found, SCHEMA_VERSION):
        keep(run, version)
        raw = MIGRATIONS[version](run, raw)
        run.store.write_many({RUN_JSON: json.dumps(raw, indent=2, sort_keys=True).encode()})  # last: it is the mark
    return found, SCHEMA_VERSION


def keep(run: RunFolder, version: int) -> None:
    """Copies of what is about to be rewritten; those of a migration that was interrupted stand."""
    for name in [RUN_JSON, *run.manifest_parts()]:
        run.store.write_new(f"{QUARANTINE}/schema-{version}/{name}", run.store.read(name))


def _from_0(run: RunFolder, raw: dict[str, Any]) -> dict[str, Any]:
    """Version 0 (before the first release) lacked columns that came later; they are empty or null."""
    for name in run.manifest_parts():
        table = read_part(run.store, name, None)
        run.store.write_many({name: parquet_bytes(_with_all_columns(table))})
    known = {f.name for f in fields(RunInfo)}
    return {**{k: v for k, v in raw.items() if k in known}, "schema_version": 1}


def _with_all_columns(table: pa.Table) -> pa.Table:
    columns = [_column(table, field) for field in MANIFEST_SCHEMA]
    meta = {**(table.schema.metadata or {}), **(MANIFEST_SCHEMA.metadata or {})}
    return pa.table(columns, schema=MANIFEST_SCHEMA.with_metadata(meta))


def _column(table: pa.Table, field: pa.Field) -> pa.Array | pa.ChunkedArray:
    if field.name in table.column_names:
        return table[field.name].cast(field.type)
    return pa.array([EMPTY.get(field.name)] * table.num_rows, field.type)


MIGRATIONS: dict[int, Callable[[RunFolder, dict[str, Any]], dict[str, Any]]] = {0: _from_0}
"""version -> what brings a folder of it to the next one; returns the new run.json"""
