"""Run folders of an older schema, brought up to date one version at a time; the old files are kept in quarantine/.

Schema 1 kept in sentences what schema 2 keeps in columns. This is the one place that reads those sentences.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from typing import Any, get_args

import pyarrow as pa
import pyarrow.compute as pc

from s2st_aug.errors import FailureKind, RunFolderError
from s2st_aug.records.manifest import MANIFEST_SCHEMA, SCHEMA_VERSION
from s2st_aug.records.verdicts import Cause, Gate
from s2st_aug.storage.generations import finish_replacement
from s2st_aug.storage.progress import recount
from s2st_aug.storage.run_folder import QUARANTINE, ROWS, RUN_JSON, RunFolder, RunInfo, parquet_bytes, read_part
from s2st_aug.storage.shards import gather

Row = dict[str, Any]

S2ST, UNKNOWN, METHOD_VERSION = "s2st", "unknown", "1"
DECIDE_NOTHING = ("preset", "compile", "checkpointing")  # settings of S2ST that no hash of schema 1 covered
EMPTY: Row = {"reasons": [], "objects": [], "hallucinations": [], "synthetic": True}
NUMBER = r"(-?\d+(?:\.\d+)?)"
CAUSES: dict[str, Cause] = {
    "crowd": "crowd",
    "tiny": "tiny",
    "flat in the source": "flat_source",
    "signal changed": "signal_changed",
    "signal not readable": "signal_unreadable",
    "moved": "moved",
    "vanished": "vanished",
    "dissolved before the detail step": "dissolved",
    "too dark or flat": "hidden",
}
FAILURES: dict[str, FailureKind] = {
    "UnreadableImage": "unreadable_image",
    "LabelError": "label_error",
    "SourceChanged": "source_changed",
    "Diverged": "diverged",
    "OutOfMemory": "out_of_memory",
    "MemoryError": "out_of_memory",
    "LostWorker": "lost_worker",
}
# What a rejecting sentence says of its measure, moved by half of its last digit to the side that still rejects.
MEASURES = {
    "change": (rf"^identity: .*mean change {NUMBER} levels", 1.0, -0.0049),
    "tone_explained": (rf"^darkened: .*explains {NUMBER}%", 0.01, 0.00049),
    "contrast": (rf"^contrast: .*spans {NUMBER}$", 1.0, -0.049),
}


def migrate(run: RunFolder) -> tuple[int, int]:
    """(version found, version now); raises RunFolderError for an unknown one. May be interrupted and called again."""
    raw = run.raw_run_json()
    found = raw.get("schema_version")
    if not isinstance(found, int) or found > SCHEMA_VERSION or (found < SCHEMA_VERSION and found not in MIGRATIONS):
        known = ", ".join(map(str, sorted(MIGRATIONS)))
        raise RunFolderError(
            f"{run.place}: schema version {found} cannot be migrated to {SCHEMA_VERSION} (known: {known})"
        )
    if found == SCHEMA_VERSION:
        return found, found
    finish_replacement(run)
    for version in range(found, SCHEMA_VERSION):
        raw = run.raw_run_json()
        keep(run, version)
        run.write_run_json(MIGRATIONS[version](run, raw))  # last: it is the mark
    gather(run)
    recount(run)
    return found, SCHEMA_VERSION


def keep(run: RunFolder, version: int) -> None:
    """Copies of what is about to be rewritten; those of a migration that was interrupted stand."""
    for name in [RUN_JSON, *_tables(run)]:
        run.store.write_new(f"{QUARANTINE}/schema-{version}/{name}", run.store.read(name))


def _tables(run: RunFolder) -> list[str]:
    """Every file that holds rows: the manifest's parts, and committed batches that no part has taken."""
    return [*run.manifest_parts(), *(n for n in run.store.names(ROWS) if n.endswith(".parquet"))]


def _from_0(run: RunFolder, raw: Row) -> Row:
    """Version 0, before the first release, lacked columns that came later: the next step takes them as empty."""
    known = {f.name for f in fields(RunInfo)}
    return {**{k: v for k, v in raw.items() if k in known}, "schema_version": 1}


def _from_1(run: RunFolder, raw: Row) -> Row:
    """Version 1 kept attempts, causes and some measures in sentences, and did not say which method made a row.

    A finished row is S2ST's where it took the evaluations of its steps; the fakes' rows, which no hash told from it,
    took one. Where there are both, the run is S2ST's and `verify` finds the others, so that `--repair` and resuming
    make them anew; a run of the others alone is of an unknown method: it can be verified and exported, not resumed.
    """
    names = _tables(run)
    if "method" not in raw:  # noted before the first table is rewritten: an interrupted migration keeps it
        finished = {method for name in names for method in _methods(read_part(run.store, name, None), "")} - {""}
        raw = {**raw, "method": UNKNOWN if finished == {UNKNOWN} else S2ST}
        run.write_run_json(raw)
    for name in names:
        table = read_part(run.store, name, None)
        if set(MANIFEST_SCHEMA.names) <= set(table.column_names):
            continue
        same = {"method_version": METHOD_VERSION, "method_sha256": raw.get("method_sha256", "")}
        pairs = zip(table.to_pylist(), _methods(table, raw["method"]), strict=True)
        rows = [{**_row_of_1(row), "method": method, **same} for row, method in pairs]
        meta = {**(table.schema.metadata or {}), **(MANIFEST_SCHEMA.metadata or {})}
        new = pa.Table.from_pylist(rows, schema=MANIFEST_SCHEMA).replace_schema_metadata(meta)
        run.store.write_many({name: parquet_bytes(new)})
    given = raw.get("config", {}).get("method", {})
    settings = {name: value for name, value in given.items() if name not in DECIDE_NOTHING}
    return {**raw, "method_version": METHOD_VERSION, "method_settings": settings, "schema_version": 2}


def _methods(table: pa.Table, of_failed: str) -> list[str]:
    """The method that made each row; S2ST's sampling alone takes an evaluation a step."""
    steps, evals = (
        table[name].to_pylist() if name in table.column_names else [None] * table.num_rows
        for name in ("inversion_steps", "forward_evals")
    )
    return [
        of_failed if failed else UNKNOWN if n and cost is not None and cost < n / 2 else S2ST
        for failed, n, cost in zip(pc.equal(table["status"], "failed").to_pylist(), steps, evals, strict=True)
    ]


def _row_of_1(row: Row) -> Row:
    row = {name: row.get(name, EMPTY.get(name)) for name in MANIFEST_SCHEMA.names}
    reasons, failed = row["reasons"], row["status"] == "failed"
    codes = [reason.split(":")[0] for reason in reasons]
    tries = [int(r.removeprefix("attempt ")) for r in reasons if r.startswith("attempt ")]
    return {
        **row,
        "failure": _failure(reasons) if failed else None,
        "rejected_by": [c for c in codes if c in get_args(Gate)] if row["status"] == "rejected" else [],
        "oom_split": "oom_split" in reasons,
        "attempts": max(tries, default=1) if failed else None,
        "structure_null": "flat_source" if any(r.startswith("note: structure is null") for r in reasons) else None,
        "strength_null": _strength_null(reasons),
        **{name: _measure(reasons, *what) for name, what in MEASURES.items()},
        "objects": [_object_of_1(item) for item in row["objects"]],
    }


def _failure(reasons: list[str]) -> FailureKind:
    first = reasons[0] if reasons else ""
    if first.startswith("UnreadableImage") and "No such file or directory" in first:
        return "absent_image"
    return FAILURES.get(first.split(":")[0], "error")


def _strength_null(reasons: list[str]) -> str | None:
    note = next((r for r in reasons if r.startswith("note: strength is null")), None)
    if note is None:
        return None
    return "no_discriminant" if "discriminant" in note else "source_in_target"


def _measure(reasons: list[str], pattern: str, unit: float, nudge: float) -> float | None:
    found = next((m for m in (re.search(pattern, reason) for reason in reasons) if m), None)
    return None if found is None else float(found[1]) * unit + nudge


def _object_of_1(item: Row) -> Row:
    """The reason held a sentence and, after a bar, facts that only the images tell."""
    sentence, _, told = (item["reason"] or "").partition(" | ")
    facts = told.split("; ") if told else []
    # a fact that decides alone was not always repeated after the bar
    signal = next((re.findall(r"\b(red|amber|green)\b", f) for f in (*facts, sentence) if f.startswith("signal ")), [])
    around = next((float(f.split(" ")[1]) for f in facts if f.startswith("around ")), None)
    kept = item["verdict"] == "keep"
    return {
        **item,
        "reason": None if kept else sentence or None,
        "cause": None if kept else CAUSES.get(sentence.split(":")[0]),
        "around": 0.0 if "surroundings changed" in facts else around,
        "shift_unsure": "best place unsure" in facts,
        "crowd": "crowd" in facts,
        "signal_source": signal[0] if signal else None,
        "signal_variant": signal[1] if len(signal) > 1 else None,
    }


MIGRATIONS: dict[int, Callable[[RunFolder, Row], Row]] = {0: _from_0, 1: _from_1}
"""version -> what brings a folder of it to the next one; returns the new run.json"""
