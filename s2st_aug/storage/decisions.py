"""What people decided (docs/reference/run_folder.md#decisions).

The last decision by time wins; ties go to the most cautious, above all reject.

An `undo`, where it is the last, leaves its target undecided, whoever took the decision before it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal, get_args

import pyarrow as pa

from s2st_aug.errors import RunFolderError
from s2st_aug.records.columns import Column, arrow_schema

DecisionKind = Literal["accept", "reject", "ignore", "undo"]
DECISIONS: tuple[str, ...] = get_args(DecisionKind)
NEEDED = ("variant_id", "decision", "reviewer", "time")  # columns that are never null
Target = tuple[str, str | None]  # variant_id, object_id (None: the whole variant)
_CAUTION = {"accept": 0, "undo": 1, "ignore": 2, "reject": 3}


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision of one reviewer on a variant or, with `object_id`, on one of its labels."""

    variant_id: Annotated[str, Column("the variant that it is about")]
    object_id: Annotated[str | None, Column("the label that it is about", null="it is about the whole variant")]
    decision: Annotated[DecisionKind, Column("what was decided; `undo` takes back whatever was decided before")]
    reviewer: Annotated[str, Column("who decided")]
    time: Annotated[datetime, Column("when", "UTC, microseconds")]
    reason: Annotated[str | None, Column("why, in the reviewer's words", null="none was given")] = None

    @property
    def target(self) -> Target:
        """What it is about."""
        return self.variant_id, self.object_id


DECISION_SCHEMA = arrow_schema(Decision)


def from_table(table: pa.Table) -> list[Decision]:
    """Rows of `DECISION_SCHEMA` as records.

    Raises RunFolderError for a row that decides nothing: another word than DECISIONS, or nothing where a value must be.
    A file that somebody else wrote may hold such rows, and none of them may be dropped in silence.
    """
    rows = table.to_pylist()
    for row in rows:
        missing = [name for name in NEEDED if row[name] is None]
        if missing or row["decision"] not in DECISIONS:
            wrong = f"no {missing[0]}" if missing else f"decision {row['decision']!r}"
            about = f"variant {row['variant_id']}, by {row['reviewer']} at {row['time']}"
            raise RunFolderError(
                f"decisions/: a row has {wrong} ({about}); expected {', '.join(DECISIONS)}, and a value in each of "
                f"{', '.join(NEEDED)}. Correct the file that holds it, or move it away"
            )
    return [Decision(**{**row, "time": row["time"].astimezone(UTC)}) for row in rows]


def to_table(decisions: Iterable[Decision]) -> pa.Table:
    """Records as a table of `DECISION_SCHEMA`."""
    return pa.Table.from_pylist([asdict(d) for d in decisions], schema=DECISION_SCHEMA)


def resolve(decisions: Iterable[Decision]) -> dict[Target, Decision]:
    """The decision that holds for each target; targets whose last decision is `undo` are left out."""
    last: dict[Target, Decision] = {}
    for one in decisions:
        held = last.get(one.target)
        if held is None or _order(one) >= _order(held):
            last[one.target] = one
    return {target: one for target, one in last.items() if one.decision != "undo"}


def conflicts(decisions: Iterable[Decision]) -> list[list[Decision]]:
    """Targets on which reviewers' own last decisions differ; each list is in order of time."""
    by_reviewer: dict[Target, dict[str, Decision]] = defaultdict(dict)
    for one in sorted(decisions, key=_order):
        by_reviewer[one.target][one.reviewer] = one
    standing = [[d for d in held.values() if d.decision != "undo"] for held in by_reviewer.values()]
    return [sorted(held, key=_order) for held in standing if len({d.decision for d in held}) > 1]


def new_only(candidates: Iterable[Decision], known: Iterable[Decision]) -> list[Decision]:
    """Candidates that are not yet known, each once; two reasons for the same act at the same time are one decision."""
    seen = {_identity(d) for d in known}
    fresh: dict[tuple[object, ...], Decision] = {}
    for one in candidates:
        if _identity(one) not in seen:
            fresh.setdefault(_identity(one), one)
    return sorted(fresh.values(), key=_order)


def _order(one: Decision) -> tuple[datetime, int]:
    return one.time, _CAUTION[one.decision]


def _identity(one: Decision) -> tuple[object, ...]:
    return one.variant_id, one.object_id, one.decision, one.reviewer, one.time
