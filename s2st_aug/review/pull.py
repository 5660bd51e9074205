"""`review pull`: decisions from FiftyOne, or from the JSON file of the page, into the run folder; nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from s2st_aug.errors import UsageError, counted, wrong_values
from s2st_aug.review.journal import JOURNAL, TAGS, decision_of
from s2st_aug.storage import RunFolder
from s2st_aug.storage.decisions import Decision, DecisionKind, conflicts, from_table, new_only, resolve, to_table


@dataclass(frozen=True, slots=True)
class PullSummary:
    """What a pull found: new decisions, those already there, targets on which reviewers differ, and what holds now."""

    new: int
    already_there: int
    conflicts: tuple[tuple[Decision, ...], ...]
    accepted: int
    rejected: int
    ignored_objects: int
    tagged_only: int = 0  # samples tagged accepted or rejected by hand: tags are no decisions


class _FileDecision(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    variant_id: str
    object_id: str | None = None
    decision: DecisionKind
    reviewer: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
    time: datetime
    reason: str | None = None


class _File(BaseModel):
    """The JSON that `report --review` saves."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
    schema_: Literal[1]
    run: str
    decisions: tuple[_FileDecision, ...]


def pull(run: RunFolder, *, name: str | None = None, file: Path | None = None) -> PullSummary:
    """Append what is new to RUN/decisions; pulling twice adds nothing."""
    candidates, tagged_only = (read_file(run, file), 0) if file else read_dataset(run, name)
    known = from_table(run.read_decisions())
    fresh = new_only(candidates, known)
    if fresh:
        run.append_decisions(to_table(fresh))
    found = summarise([*known, *fresh], len(fresh), len(candidates) - len(fresh))
    return replace(found, tagged_only=tagged_only)


def summarise(decisions: list[Decision], new: int, already_there: int) -> PullSummary:
    """Counts of what holds after the rule was applied."""
    held = resolve(decisions)
    whole = [d.decision for (_, object_id), d in held.items() if object_id is None]
    ignored = sum(1 for (_, object_id), d in held.items() if object_id is not None and d.decision == "ignore")
    differing = tuple(tuple(group) for group in conflicts(decisions))
    return PullSummary(new, already_there, differing, whole.count("accept"), whole.count("reject"), ignored)


def read_dataset(run: RunFolder, name: str | None = None) -> tuple[list[Decision], int]:
    """Every decision in the journals of the run's dataset in FiftyOne, and how many samples only a tag speaks of."""
    from s2st_aug.review.fiftyone_session import connect

    fo = connect()
    from s2st_aug.review.push import flat, open_dataset

    dataset = open_dataset(fo, run, name)
    told = [v for v in zip(*flat(dataset).values(["variant_id", JOURNAL, "tags", "decision"]), strict=True) if v[0]]
    by_hand = sum(bool({*TAGS.values()} & set(tags or ()) - {TAGS.get(decision)}) for _, _, tags, decision in told)
    return [decision_of(v, entry) for v, journal, _, _ in told for entry in journal or ()], by_hand


def read_file(run: RunFolder, file: Path) -> list[Decision]:
    """The decisions of a JSON file; raises UsageError for another run's file, an unknown variant, or a wrong form.

    A time without a zone is taken as UTC.
    """
    raw = _read_json(file)
    try:
        parsed = _File.model_validate({("schema_" if k == "schema" else k): v for k, v in raw.items()})
    except ValidationError as error:
        first = wrong_values(error.errors()[:1]).replace("schema_", "schema")
        raise UsageError(f"{file}: {first} ({counted(error.error_count(), 'problem')})") from None
    plan = run.run_json().plan_sha256
    if parsed.run != plan:
        raise UsageError(f"{file}: decisions on plan {parsed.run[:8]}, but {run.place} holds plan {plan[:8]}")
    _refuse_unknown(run, file, parsed.decisions)
    return [
        Decision(one.variant_id, one.object_id, one.decision, one.reviewer, _utc(one.time, file), one.reason)
        for one in parsed.decisions
    ]


def _refuse_unknown(run: RunFolder, file: Path, decisions: Sequence[_FileDecision]) -> None:
    """Raises UsageError for decisions on variants that the run does not have, or on labels that they do not have."""
    table = run.read_manifest(["variant_id", "objects"])
    table = table.filter(
        pc.is_in(table["variant_id"], value_set=pa.array({d.variant_id for d in decisions}, pa.string()))
    )
    known = {row["variant_id"]: {o["object_id"] for o in row["objects"]} for row in table.to_pylist()}
    unknown = [d.variant_id for d in decisions if d.variant_id not in known]
    what = "variants that the run does not have"
    if not unknown:
        unknown = [d.object_id for d in decisions if d.object_id and d.object_id not in known[d.variant_id]]
        what = "labels that their variants do not have"
    if unknown:
        raise UsageError(f"{file}: {counted(len(unknown), 'decision')} on {what}, the first {unknown[0]!r}")


def _utc(time: datetime, file: Path) -> datetime:
    """A time in UTC, which one without a zone is taken for."""
    try:
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        raise UsageError(f"{file}: {time.isoformat()} is no time of a decision") from None


def _read_json(file: Path) -> dict[str, Any]:
    try:
        raw = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{file}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file}: not JSON ({error})") from None
    if not isinstance(raw, dict):
        raise UsageError(f"{file}: expected an object with schema, run and decisions, got {type(raw).__name__}")
    return raw
