"""A run folder: where its parts lie, run.json, the manifest and the decisions (docs/reference/run_folder.md)."""

from __future__ import annotations

import io
import json
import uuid
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from s2st_aug.containment import first_outside, stays_below
from s2st_aug.errors import RunFolderError
from s2st_aug.records.manifest import MANIFEST_SCHEMA, SCHEMA_VERSION
from s2st_aug.storage.decisions import DECISION_SCHEMA
from s2st_aug.storage.store import LocalStore, Store, open_store

RUN_JSON, MANIFEST, OLD, DECISIONS, IMAGES = "run.json", "manifest", "manifest/.old", "decisions", "images"
STATE, PLAN, ROWS, PROGRESS, LOCK, QUARANTINE, LOGS = (
    ".state",
    ".state/plan",
    ".state/rows",
    "progress.json",
    "lock",
    "quarantine",
    "logs",
)
FAILED_PART = f"{MANIFEST}/failed.parquet"
PARTS = (RUN_JSON, MANIFEST, DECISIONS, IMAGES, PLAN, ROWS, PROGRESS, LOCK, QUARANTINE, LOGS)
PATHS = {"image": "the run folder", "source_image": "its dataset", "label_file": "its dataset"}
"""columns of the manifest that are paths, and what they must stay in"""


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What run.json holds. Unknown keys of later versions are kept in the file's `config` only."""

    schema_version: int
    """of the run folder and its manifest; `migrate` brings an older one up"""
    package_version: str
    """of the s2st-aug that planned the run"""
    plan_sha256: str
    """the plan hash"""
    validation_sha256: str
    """over all that decides a verdict: thresholds, constants, the small networks"""
    model: str
    """the model as the config names it"""
    model_sha256: str
    """over the hashes of all weight files"""
    dataset_root: str
    """absolute path of the dataset, which the rows' source files are relative to; empty where unknown"""
    config: dict[str, Any]
    """the config with presets and defaults filled in"""
    domains: dict[str, str] = field(default_factory=dict)
    """each domain, and the SHA-256 of its profile"""
    same_plans: tuple[str, ...] = ()
    """plan hashes of configs that `--extend` accepted as the same plan, grown"""
    plan_files: int = 0
    """files of `.state/plan` that count; 0: planning has not ended"""
    planned_scenes: int = 0
    """scenes in the plan"""
    batch_size: int = 0
    """scenes in a batch; keeps the run's first value"""
    method: str = ""
    """the translator's name, as the config spells it; `unknown` where a run of schema 1 cannot tell"""
    method_version: str = ""
    """the translator's own version"""
    method_settings: dict[str, Any] = field(default_factory=dict)
    """its settings that decide pixels, with hashes of the files that they name"""
    method_sha256: str = ""
    """over name, version and settings"""
    algorithm_version: str = ""
    """counts up when the same settings would give other pixels"""
    label_aware: bool = False
    """whether the labels take part in the translation"""
    rng_key: int = 0
    """the run's random integer (`--seed`)"""
    generation: int = 0
    """the manifest's current generation; earlier ones lie in `manifest/.old/<n>`"""
    code_version: str = ""
    """of the s2st-aug that wrote it last"""
    model_files: dict[str, str] = field(default_factory=dict)
    """each weight file, and its SHA-256"""
    model_commit: str = ""
    """the commit that a hub id stood for; empty for an embedded model or a folder"""
    created_at: str = ""
    """when the run was planned, UTC"""


class RunFolder:
    """One run folder, local or on an object store; reading needs nothing but its files."""

    def __init__(self, place: str | Path) -> None:
        self.store: Store = open_store(place)
        self.place = self.store.root

    @property
    def path(self) -> Path:
        """The local folder; raises RunFolderError for an object store."""
        return self.local_store().path

    def exists(self) -> bool:
        """True where a run.json is."""
        return self.store.size(RUN_JSON) is not None

    def run_json(self) -> RunInfo:
        """The run's record; raises RunFolderError for no run folder, damage, or another schema version."""
        return _parse_info(self.raw_run_json(), self.place)

    def raw_run_json(self) -> dict[str, Any]:
        """run.json as it stands, of whatever schema version; raises RunFolderError."""
        try:
            raw = json.loads(self.store.read(RUN_JSON))
        except FileNotFoundError:
            raise RunFolderError(f"{self.place}: not a run folder (there is no {RUN_JSON})") from None
        except NotADirectoryError:
            raise RunFolderError(f"{self.place}: a file; expected the run folder that it lies in") from None
        except (ValueError, UnicodeDecodeError) as error:
            raise RunFolderError(f"{self.place}/{RUN_JSON}: not readable as JSON ({error})") from None
        if not isinstance(raw, dict):
            raise RunFolderError(f"{self.place}/{RUN_JSON}: expected an object, got {type(raw).__name__}")
        return raw

    def write_run_json(self, info: RunInfo | dict[str, Any]) -> None:
        """Replace run.json in one step; a dict is one of another schema version."""
        raw = asdict(info) if isinstance(info, RunInfo) else info
        self.store.write_many({RUN_JSON: json.dumps(raw, indent=2, sort_keys=True).encode() + b"\n"})

    def dataset_root(self) -> Path:
        """Where the source images lie."""
        return Path(self.run_json().dataset_root)

    def read_manifest(self, columns: list[str] | None = None) -> pa.Table:
        """The current generation as one table of `MANIFEST_SCHEMA` (or the columns asked for), sorted by nothing.

        Raises RunFolderError for another schema version, a part that is torn or does not fit the schema, or a row whose
        path leads outside.
        """
        self.run_json()
        schema = MANIFEST_SCHEMA if columns is None else pa.schema([MANIFEST_SCHEMA.field(c) for c in columns])
        tables = [self._read_as(name, schema, columns) for name in sorted(self.manifest_parts())]
        for table in tables:
            self._refuse_outside(table)
        return pa.concat_tables(tables) if tables else schema.empty_table()

    def manifest_parts(self) -> list[str]:
        """Names of the current generation's Parquet files."""
        return [n for n in self.store.names(MANIFEST, deep=False) if n.endswith(".parquet")]

    def read_decisions(self) -> pa.Table:
        """Every decision ever taken, oldest first (ties: as stored); raises RunFolderError as `read_manifest`."""
        tables = [self._read_as(name, DECISION_SCHEMA) for name in sorted(self.decision_files())]
        return pa.concat_tables(tables).sort_by("time") if tables else DECISION_SCHEMA.empty_table()

    def decision_files(self) -> list[str]:
        """Names of the Parquet files that hold decisions."""
        return [n for n in self.store.names(DECISIONS, deep=False) if n.endswith(".parquet")]

    def append_decisions(self, decisions: pa.Table) -> None:
        """Add one file of decisions; nothing that stands is touched."""
        self.store.write_new(f"{DECISIONS}/{uuid.uuid4().hex}.parquet", parquet_bytes(decisions.cast(DECISION_SCHEMA)))

    def image_file(self, image: str) -> Path:
        """The local file of a row's `image`; raises RunFolderError for a name that leaves the folder, by a link too."""
        if not image.startswith(f"{IMAGES}/") or not stays_below(image):
            raise RunFolderError(f"{self.place}: the manifest names {image!r}, outside of {IMAGES}/")
        return self.local_store().file(image)

    def local_store(self) -> LocalStore:
        """The store of a local folder; raises RunFolderError for an object store."""
        if isinstance(self.store, LocalStore):
            return self.store
        raise RunFolderError(f"{self.place}: this needs a run folder on a local disk; copy it here first")

    def refuse_links_out(self) -> None:
        """Raises RunFolderError where a part of the run folder is a link to another place."""
        if isinstance(self.store, LocalStore):
            for name in PARTS:
                self.store.file(name)

    def _read_as(self, name: str, schema: pa.Schema, columns: list[str] | None = None) -> pa.Table:
        """One Parquet file in a schema; a file that somebody wrote by hand, or another program, is named."""
        table = read_part(self.store, name, columns)
        try:
            return table.cast(schema)
        except (pa.ArrowException, ValueError) as error:
            why = _misfit(table, schema) or str(error).splitlines()[0]
            raise RunFolderError(
                f"{self.place}/{name}: {why}; expected the columns {', '.join(schema.names)}."
                " Correct the file, or move it away"
            ) from None

    def _refuse_outside(self, rows: pa.Table) -> None:
        for column in set(PATHS) & set(rows.column_names):
            if (name := first_outside(rows[column])) is not None:
                raise RunFolderError(
                    f"{self.place}: the manifest's {column} names {name!r}, outside of {PATHS[column]}; "
                    f"`s2st-aug verify {self.place} --repair` moves the row to quarantine/"
                )


def parquet_bytes(table: pa.Table) -> bytes:
    """A table as the bytes of one Parquet file."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", compression_level=1)
    return sink.getvalue()


def read_part(store: Store, name: str, columns: list[str] | None) -> pa.Table:
    """One Parquet file of a run; raises RunFolderError where it is torn or lacks a column."""
    try:
        if isinstance(store, LocalStore):
            return pq.read_table(store.file(name), columns=columns, partitioning=None, memory_map=False)
        return pq.read_table(pa.BufferReader(store.read(name)), columns=columns)
    except (pa.ArrowException, OSError) as error:
        repairable = name.startswith((MANIFEST, DECISIONS))
        hint = f"; `s2st-aug verify {store.root} --repair` moves it to quarantine/" if repairable else ""
        raise RunFolderError(f"{store.root}/{name}: cannot be read ({str(error).splitlines()[0]}){hint}") from None


def _misfit(table: pa.Table, schema: pa.Schema) -> str | None:
    """Why a table cannot be cast to a schema, where its columns tell."""
    there = table.column_names
    if missing := [c for c in schema.names if c not in there]:
        return f"no column {missing[0]}"
    if unknown := [c for c in there if c not in schema.names]:
        return f"unknown column {unknown[0]}"
    for column in schema:
        try:
            table[column.name].cast(column.type)
        except pa.ArrowException as error:
            return f"column {column.name}: {str(error).splitlines()[0]}"
    if empty := [c.name for c in schema if not c.nullable and table[c.name].null_count]:
        return f"column {empty[0]}: holds a null"
    return "its columns are in another order" if there != schema.names else None


def _parse_info(raw: dict[str, Any], place: str) -> RunInfo:
    version = raw.get("schema_version")
    if version != SCHEMA_VERSION:
        older = isinstance(version, int) and version < SCHEMA_VERSION
        hint = f"run `s2st-aug migrate {place}`" if older else "use a newer s2st-aug"
        raise RunFolderError(f"{place}: schema version {version}, this s2st-aug reads {SCHEMA_VERSION}; {hint}")
    known = {f.name for f in fields(RunInfo)}
    try:
        return RunInfo(
            **{k: v for k, v in raw.items() if k in known} | {"same_plans": tuple(raw.get("same_plans", ()))}
        )
    except TypeError as error:
        raise RunFolderError(f"{place}/{RUN_JSON}: incomplete ({error})") from None
