"""The manifest's row and its Parquet schema (docs/reference/run_folder.md#manifest)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from s2st_aug.records.verdicts import Hallucination, ObjectVerdict, Status

SCHEMA_VERSION = 1

OBJECT = pa.struct(
    [
        ("object_id", pa.string()),
        ("kind", pa.string()),
        ("category", pa.string()),
        ("bbox", pa.list_(pa.float64())),
        ("verdict", pa.string()),
        ("reason", pa.string()),
        ("structure", pa.float64()),
        ("structure_raw", pa.float64()),
        ("visibility", pa.float64()),
        ("shift_px", pa.float64()),
    ]
)
HALLUCINATION = pa.struct([("bbox", pa.list_(pa.float64())), ("kind", pa.string()), ("score", pa.float64())])

MANIFEST_SCHEMA = pa.schema(
    [
        pa.field("variant_id", pa.string(), nullable=False),
        pa.field("scene_id", pa.string(), nullable=False),
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("domain", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("reasons", pa.list_(pa.string()), nullable=False),
        pa.field("source_image", pa.string(), nullable=False),
        pa.field("source_sha256", pa.string()),
        pa.field("image", pa.string()),
        pa.field("image_sha256", pa.string()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("label_file", pa.string()),
        pa.field("label_sha256", pa.string()),
        pa.field("label_key", pa.string()),
        pa.field("objects", pa.list_(OBJECT), nullable=False),
        pa.field("hallucinations", pa.list_(HALLUCINATION), nullable=False),
        pa.field("structure", pa.float64()),
        pa.field("structure_raw", pa.float64()),
        pa.field("strength", pa.float64()),
        pa.field("model", pa.string(), nullable=False),
        pa.field("model_sha256", pa.string(), nullable=False),
        pa.field("profile_sha256", pa.string(), nullable=False),
        pa.field("plan_sha256", pa.string(), nullable=False),
        pa.field("validation_sha256", pa.string(), nullable=False),
        pa.field("code_version", pa.string(), nullable=False),
        pa.field("rng_key", pa.int64(), nullable=False),
        pa.field("inversion_steps", pa.int32()),
        pa.field("st_iterations", pa.int32()),
        pa.field("to_iterations", pa.int32()),
        pa.field("forward_evals", pa.float64()),
        pa.field("backward_evals", pa.float64()),
        pa.field("seconds", pa.float64()),
        pa.field("created_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("synthetic", pa.bool_(), nullable=False),
    ],
    metadata={"s2st_aug.schema_version": str(SCHEMA_VERSION)},
)

DECISION_SCHEMA = pa.schema(
    [
        pa.field("variant_id", pa.string(), nullable=False),
        pa.field("object_id", pa.string()),
        pa.field("decision", pa.string(), nullable=False),
        pa.field("reviewer", pa.string(), nullable=False),
        pa.field("time", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("reason", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One (scene, domain) and whatever became of it. Field order is the schema's."""

    variant_id: str
    scene_id: str
    dataset: str
    split: str
    domain: str
    status: Status
    reasons: tuple[str, ...]
    source_image: str
    source_sha256: str | None
    image: str | None
    image_sha256: str | None
    width: int | None
    height: int | None
    label_file: str | None
    label_sha256: str | None
    label_key: str | None
    objects: tuple[ObjectVerdict, ...]
    hallucinations: tuple[Hallucination, ...]
    structure: float | None
    structure_raw: float | None
    strength: float | None
    model: str
    model_sha256: str
    profile_sha256: str
    plan_sha256: str
    validation_sha256: str
    code_version: str
    rng_key: int
    inversion_steps: int | None
    st_iterations: int | None
    to_iterations: int | None
    forward_evals: float | None
    backward_evals: float | None
    seconds: float | None
    created_at: datetime
    synthetic: bool = True


def rows_to_table(rows: list[ManifestRow]) -> pa.Table:
    """Rows as an Arrow table of `MANIFEST_SCHEMA`; raises pyarrow's error on a wrong type."""
    return pa.Table.from_pylist([_plain(row) for row in rows], schema=MANIFEST_SCHEMA)


def _plain(row: ManifestRow) -> dict[str, Any]:
    return asdict(row)
