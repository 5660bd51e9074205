"""`review pull`: decisions from FiftyOne, or from the JSON file of the page, into the run folder; nothing else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from s2st_aug.errors import UsageError
from s2st_aug.review.journal import JOURNAL, decision_of
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


class _FileDecision(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    variant_id: str
    object_id: str | None = None
    decision: DecisionKind
    reviewer: str
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
    candidates = read_file(run, file) if file else read_dataset(run, name)
    known = from_table(run.read_decisions())
    fresh = new_only(candidates, known)
    if fresh:
        run.append_decisions(to_table(fresh))
    return summarise([*known, *fresh], len(fresh), len(candidates) - len(fresh))


def summarise(decisions: list[Decision], new: int, already_there: int) -> PullSummary:
    """Counts of what holds after the rule was applied."""
    held = resolve(decisions)
    whole = [d.decision for (_, object_id), d in held.items() if object_id is None]
    ignored = sum(1 for (_, object_id), d in held.items() if object_id is not None and d.decision == "ignore")
    differing = tuple(tuple(group) for group in conflicts(decisions))
    return PullSummary(new, already_there, differing, whole.count("accept"), whole.count("reject"), ignored)


def read_dataset(run: RunFolder, name: str | None = None) -> list[Decision]:
    """Every decision in the journals of the run's dataset in FiftyOne."""
    from s2st_aug.review.fiftyone_session import connect

    fo = connect()
    from s2st_aug.review.push import flat, open_dataset

    dataset = open_dataset(fo, run, name)
    ids, journals = flat(dataset).values(["variant_id", JOURNAL])
    return [decision_of(v, entry) for v, journal in zip(ids, journals, strict=True) if v for entry in journal or ()]


def read_file(run: RunFolder, file: Path) -> list[Decision]:
    """The decisions of a JSON file; raises UsageError for another run's file, an unknown variant, or a wrong form.

    A time without a zone is taken as UTC.
    """
    raw = _read_json(file)
    try:
        parsed = _File.model_validate({("schema_" if k == "schema" else k): v for k, v in raw.items()})
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(
            f"{file}: {'.'.join(str(p) for p in first['loc'])}: {first['msg']} ({error.error_count()} problems)"
        ) from None
    plan = run.run_json().plan_sha256
    if parsed.run != plan:
        raise UsageError(f"{file}: decisions on plan {parsed.run[:8]}, but {run.place} holds plan {plan[:8]}")
    known = set(run.read_manifest(["variant_id"])["variant_id"].to_pylist())
    unknown = [d.variant_id for d in parsed.decisions if d.variant_id not in known]
    if unknown:
        raise UsageError(
            f"{file}: {len(unknown)} decisions on variants that the run does not have, the first {unknown[0]!r}"
        )
    taken = []
    for one in parsed.decisions:
        time = (one.time if one.time.tzinfo else one.time.replace(tzinfo=UTC)).astimezone(UTC)
        taken.append(Decision(one.variant_id, one.object_id, one.decision, one.reviewer, time, one.reason))
    return taken


def _read_json(file: Path) -> dict[str, Any]:
    try:
        raw = json.loads(file.read_text())
    except OSError as error:
        raise UsageError(f"{file}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise UsageError(f"{file}: not JSON ({error})") from None
    if not isinstance(raw, dict):
        raise UsageError(f"{file}: expected an object with schema, run and decisions, got {type(raw).__name__}")
    return raw
