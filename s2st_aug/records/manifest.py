"""The manifest's row (docs/reference/run_folder.md#manifest).

Its Parquet schema and its reference page are made from the fields of `ManifestRow`, and nowhere written again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import pyarrow as pa

from s2st_aug.errors import FailureKind
from s2st_aug.records.columns import Column, arrow_schema
from s2st_aug.records.verdicts import (
    TELLING_FROM_PX,
    Gate,
    Hallucination,
    Judgement,
    ObjectVerdict,
    Status,
    StrengthNull,
    StructureNull,
)

SCHEMA_VERSION = 2
SCHEMA_1 = "not known of rows that `migrate` took from schema 1"
FAILED = "status is failed"
INT32 = pa.int32()
SHA256 = "SHA-256, 64 hex digits"


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestRow:
    """One (scene, domain) and whatever became of it."""

    variant_id: Annotated[str, Column("names the variant: a hash over all that decides its pixels", "40 hex digits")]
    scene_id: Annotated[str, Column("`<split>/<name without suffix>`, with the video's folder where there is one")]
    dataset: Annotated[str, Column("the dataset card's name")]
    split: Annotated[str, Column("the dataset's split")]
    domain: Annotated[str, Column("the target domain")]
    status: Annotated[Status, Column("ok, rejected by a check, or failed: there is no variant")]
    reasons: Annotated[
        tuple[str, ...],
        Column("why, in sentences for people, and `oom_split`; nothing reads them: see the columns of words below"),
    ]
    failure: Annotated[FailureKind | None, Column("why it failed", null="status is not failed")] = None
    rejected_by: Annotated[
        tuple[Gate, ...], Column("the checks that rejected it; empty unless status is rejected")
    ] = ()
    oom_split: Annotated[
        bool,
        Column(
            "whether its batch was split because memory ran out: single pixels may differ from those of another run"
        ),
    ] = False
    attempts: Annotated[
        int | None, Column("how many starts have tried it, this one included", null=SCHEMA_1, arrow=INT32)
    ]
    source_image: Annotated[str, Column("path of the source, relative to `dataset_root` in run.json")]
    source_sha256: Annotated[str | None, Column("of the source's bytes", SHA256, "the source could not be read")]
    image: Annotated[str | None, Column("path of the variant, relative to the run folder", null=FAILED)] = None
    image_sha256: Annotated[str | None, Column("of the variant's bytes", SHA256, FAILED)] = None
    width: Annotated[int | None, Column("of source and variant", "pixels", FAILED, INT32)] = None
    height: Annotated[int | None, Column("of source and variant", "pixels", FAILED, INT32)] = None
    label_file: Annotated[
        str | None, Column("path of the label file, relative to `dataset_root`", null="the scene has no label file")
    ]
    label_sha256: Annotated[str | None, Column("of the label file's bytes", SHA256, "as label_file")]
    label_key: Annotated[
        str | None,
        Column(
            "where the scene's record lies in its label file: `start:length:sha256` of its bytes", null="as label_file"
        ),
    ]
    objects: Annotated[
        tuple[ObjectVerdict, ...], Column("one entry per label record; empty where status is failed")
    ] = ()
    hallucinations: Annotated[tuple[Hallucination, ...], Column("what the variant shows and its source does not")] = ()
    structure: Annotated[
        float | None,
        Column(
            "do the variant's edges run where and as the source's do", "[-1, 1], identity 1", "structure_null says why"
        ),
    ] = None
    structure_raw: Annotated[float | None, Column("structure before the detail step", "[-1, 1]", "as structure")] = None
    structure_null: Annotated[
        StructureNull | None, Column("why structure is null", null="structure is not, or status is failed")
    ] = None
    strength: Annotated[
        float | None,
        Column(
            "how far it moved from the source's domain to the target's",
            "identity 0, target 1",
            "strength_null says why",
        ),
    ] = None
    strength_null: Annotated[
        StrengthNull | None,
        Column("why strength is null or rejects nothing", null="strength may reject, or status is failed"),
    ] = None
    change: Annotated[
        float | None,
        Column("mean absolute difference to the source", "levels, 0 to 255", f"{FAILED}; {SCHEMA_1}"),
    ] = None
    tone_explained: Annotated[
        float | None,
        Column(
            "share of the variant's luma that one tone curve of the source explains",
            "up to 1: merely darker or brighter",
            f"{FAILED}; {SCHEMA_1}",
        ),
    ] = None
    contrast: Annotated[
        float | None, Column("5 to 95 % range of the variant's L*", "L*, 0 to 100", f"{FAILED}; {SCHEMA_1}")
    ] = None
    lightness: Annotated[float | None, Column("mean of the variant's L*", "L*, 0 to 100", f"{FAILED}; {SCHEMA_1}")] = (
        None
    )
    method: Annotated[str, Column("the translator's name; `unknown` where a run of schema 1 cannot tell")]
    method_version: Annotated[str, Column("the translator's own version")]
    method_sha256: Annotated[str, Column("of its settings that decide pixels", SHA256)]
    model: Annotated[str, Column("the model as the config names it; empty for a method without one")]
    model_sha256: Annotated[str, Column("of the model's weights; empty for a method without a model", SHA256)]
    profile_sha256: Annotated[str, Column("of the domain's profile; empty for a domain without one", SHA256)]
    plan_sha256: Annotated[str, Column("of the plan that this row belongs to", SHA256)]
    validation_sha256: Annotated[str, Column("of what its verdicts rest on", SHA256)]
    code_version: Annotated[str, Column("of the package that made it")]
    rng_key: Annotated[int, Column("the run's random integer (`--seed`)")]
    inversion_steps: Annotated[
        int | None, Column("steps of the inversion", null="the method has none, or status is failed", arrow=INT32)
    ] = None
    st_iterations: Annotated[
        int | None, Column("iterations of the seed translation", null="as inversion_steps", arrow=INT32)
    ] = None
    to_iterations: Annotated[
        int | None, Column("iterations of the trajectory optimisation", null="as inversion_steps", arrow=INT32)
    ] = None
    forward_evals: Annotated[
        float | None,
        Column(
            "evaluations of the network; what domains share is counted as a fraction each", null="as inversion_steps"
        ),
    ] = None
    backward_evals: Annotated[float | None, Column("the same, with gradients", null="as inversion_steps")] = None
    seconds: Annotated[float | None, Column("of translating: its share of the batch", "s", FAILED)] = None
    created_at: Annotated[datetime, Column("when the row was made", "UTC, microseconds")]
    synthetic: Annotated[bool, Column("always true: this is no photo")] = True


MANIFEST_SCHEMA = arrow_schema(
    ManifestRow,
    {
        "s2st_aug.schema_version": str(SCHEMA_VERSION),
        "s2st_aug.verdicts_telling_from_px": str(TELLING_FROM_PX),  # who reads the file alone shall know it too
    },
)


def rows_to_table(rows: Iterable[ManifestRow]) -> pa.Table:
    """Rows as an Arrow table of `MANIFEST_SCHEMA`; raises pyarrow's error on a wrong type."""

    def columns(record: ManifestRow | ObjectVerdict | Hallucination) -> dict[str, Any]:
        return {name: getattr(record, name) for name in record.__slots__}  # a tenth of what asdict's copies cost

    structs = ("objects", "hallucinations")
    plain = [columns(row) | {name: [columns(s) for s in getattr(row, name)] for name in structs} for row in rows]
    return pa.Table.from_pylist(plain, schema=MANIFEST_SCHEMA)


def judgement_of(row: Mapping[str, Any]) -> Judgement:
    """The judgement that a row of the manifest holds."""
    lists: dict[str, Any] = {
        "objects": tuple(ObjectVerdict(**{**o, "bbox": tuple(o["bbox"])}) for o in row["objects"]),
        "hallucinations": tuple(Hallucination(tuple(h["bbox"]), h["kind"], h["score"]) for h in row["hallucinations"]),
        "reasons": tuple(row["reasons"]),
        "rejected_by": tuple(row["rejected_by"]),
    }
    return Judgement(**{name: row[name] for name in Judgement.__slots__} | lists)
