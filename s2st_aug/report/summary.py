"""What a run's manifest says in numbers: by domain, by class and size, by reason. Pure functions over Arrow tables."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from s2st_aug.report.palette import STATUSES, VERDICTS

NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w])")
SIZES: tuple[tuple[str, float], ...] = (
    ("small", 32.0**2),
    ("medium", 96.0**2),
    ("large", float("inf")),
)  # box area in px, COCO's


UNGATED = ("accuracy_unknown", "accuracy_low")  # of `strength_null`, where strength is not null


@dataclass(frozen=True, slots=True)
class DomainLine:
    """One domain's rows by status, its objects by verdict, medians of the measures, and what it cost."""

    domain: str
    rows: int
    statuses: dict[str, int]
    verdicts: dict[str, int]
    strength: float | None  # median over the rows that have one
    structure: float | None
    structure_raw: float | None
    seconds: float  # summed
    forward_evals: float
    backward_evals: float
    strength_ungated: str | None = None  # why strength was measured and rejected nothing, as `strength_null` has it


@dataclass(frozen=True, slots=True)
class ClassLine:
    """Verdicts of one category, over all sizes or in one size."""

    category: str
    size: str  # small, medium, large, or all
    counts: dict[str, int]

    @property
    def total(self) -> int:
        """Objects judged."""
        return sum(self.counts.values())

    def share(self, verdict: str) -> float:
        """Share of the objects with that verdict, 0..1."""
        return self.counts[verdict] / self.total if self.total else 0.0


def domain_lines(table: pa.Table, order: Iterable[str] = ()) -> list[DomainLine]:
    """One line per domain, in the given order, then by name."""
    names = in_order(set(table["domain"].to_pylist()), order)
    return [_domain_line(name, table.filter(pc.equal(table["domain"], name))) for name in names]


def in_order(names: Iterable[str], order: Iterable[str]) -> list[str]:
    """The names as `order` has them, what it has not behind, by name."""
    wanted = list(order)
    return sorted(names, key=lambda name: (wanted.index(name) if name in wanted else len(wanted), name))


def class_lines(table: pa.Table) -> list[ClassLine]:
    """Per category: all sizes first, then each size that occurs; the most frequent category first."""
    objects = one_spelling(flat_objects(table))
    lines: list[ClassLine] = []
    for category, _ in _counted(objects["category"]):
        mine = objects.filter(pc.equal(objects["category"], category))
        lines.append(ClassLine(category, "all", verdict_counts(mine["verdict"])))
        sizes = np.array([size_of(b) for b in mine["bbox"].to_pylist()])
        for size, _ in SIZES:
            part = mine.filter(pa.array(sizes == size))
            if len(part):
                lines.append(ClassLine(category, size, verdict_counts(part["verdict"])))
    return lines


def one_spelling(objects: pa.Table) -> pa.Table:
    """The objects with each class under one name, its most frequent one.

    `traffic light`, `traffic_light` and `Traffic Light` are one class.
    """
    named: dict[str, str] = {}
    for category, _ in _counted(objects["category"]):  # the most frequent first
        named.setdefault(re.sub(r"[\s_-]+", " ", category).casefold(), category)
    names = [named[re.sub(r"[\s_-]+", " ", c).casefold()] for c in objects["category"].to_pylist()]
    return objects.set_column(objects.schema.get_field_index("category"), "category", pa.array(names, pa.string()))


def verdict_line(lines: Iterable[DomainLine]) -> str:
    """What the whole run comes to, in a sentence for each of variants and labels."""
    found = list(lines)
    rows = sum(x.rows for x in found)
    ok, rejected, failed = (sum(x.statuses[s] for x in found) for s in ("ok", "rejected", "failed"))
    labels = {v: sum(x.verdicts[v] for x in found) for v in VERDICTS}
    total = sum(labels.values())
    said = f"{ok} of {rows} variants passed the checks; {rejected} were rejected, {failed} failed."
    if total:
        kept, ignored, lost = (f"{100 * labels[v] / total:.0f}\N{NO-BREAK SPACE}%" for v in ("keep", "ignore", "lost"))
        said += f" Of {total} labels, {kept} are still true, {ignored} cannot be judged and {lost} are lost."
    return said


def against(reasons: Iterable[str]) -> list[str]:
    """Of a row's reasons, those that speak against it: a note only says why a measure is null or rejects nothing."""
    return [reason for reason in reasons if not reason.startswith("note: ")]


def reason_counts(table: pa.Table, status: str | None = None) -> list[tuple[str, int]]:
    """How often each kind of reason stands in the rows (of one status), the most frequent first."""
    rows = table if status is None else table.filter(pc.equal(table["status"], status))
    counted = dict(_counted(pc.list_flatten(rows["reasons"])))
    return kinds_of((reason, counted[reason]) for reason in against(counted))


def kinds_of(counted: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """Reasons that differ in measured numbers alone as one, the most frequent first; a number that all share stays.

    >>> kinds_of([("blur 0.2 < 0.5", 3), ("blur 0.3 < 0.5", 2), ("dark", 4)])
    [('blur … < 0.5', 5), ('dark', 4)]
    """
    groups: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for reason, count in counted:
        groups[NUMBER.sub("…", reason)].append((reason, count))
    counts = Counter({_shared([reason for reason, _ in group]): sum(n for _, n in group) for group in groups.values()})
    return sorted(counts.items(), key=lambda c: (-c[1], c[0]))


def _shared(reasons: list[str]) -> str:
    """The reasons' common text, with an ellipsis where their numbers differ."""
    same = [
        numbers[0] if len(set(numbers)) == 1 else "…" for numbers in zip(*map(NUMBER.findall, reasons), strict=True)
    ]
    rest = iter(same)
    return NUMBER.sub(lambda _: next(rest), reasons[0])


def object_reason_counts(table: pa.Table, verdict: str) -> list[tuple[str, int]]:
    """How often each kind of reason stands beside objects of that verdict, the most frequent first."""
    objects = flat_objects(table)
    return kinds_of(
        _counted(objects.filter(pc.equal(objects["verdict"], verdict))["reason"].fill_null("no reason given"))
    )


def flat_objects(table: pa.Table) -> pa.Table:
    """Every object of every row as a table of its own."""
    flat = pc.list_flatten(table["objects"]).combine_chunks()
    struct = flat if isinstance(flat, pa.StructArray) else pa.concat_arrays(flat.chunks) if flat.num_chunks else None
    if struct is None or not len(struct):
        return pa.table({f.name: pa.array([], f.type) for f in table.schema.field("objects").type.value_type})
    return pa.Table.from_arrays(struct.flatten(), names=[f.name for f in struct.type])


def verdict_counts(column: Any) -> dict[str, int]:
    """Verdict to count, every verdict named."""
    found = dict(_counted(column))
    return {v: found.get(v, 0) for v in VERDICTS}


def size_of(box: list[float]) -> str:
    """`small`, `medium` or `large` by the box's area."""
    area = (box[2] - box[0]) * (box[3] - box[1])
    return next(name for name, limit in SIZES if area < limit)


def median(column: Any) -> float | None:
    """Median over what is not null, or None."""
    values = np.array(column.drop_null().to_pylist(), dtype=float)
    return float(np.median(values)) if len(values) else None


def _domain_line(name: str, rows: pa.Table) -> DomainLine:
    found = dict(_counted(rows["status"]))
    strength, structure, structure_raw = (median(rows[c]) for c in ("strength", "structure", "structure_raw"))
    seconds, forward, backward = (
        float(pc.sum(rows[c]).as_py() or 0.0) for c in ("seconds", "forward_evals", "backward_evals")
    )
    statuses, verdicts = {s: found.get(s, 0) for s in STATUSES}, verdict_counts(flat_objects(rows)["verdict"])
    return DomainLine(
        name, len(rows), statuses, verdicts, strength, structure, structure_raw, seconds, forward, backward,
        next((word for word, _ in _counted(rows["strength_null"]) if word in UNGATED), None),
    )  # fmt: skip


def _counted(column: Any) -> list[tuple[str, int]]:
    counts = [(c["values"], c["counts"]) for c in pc.value_counts(column).to_pylist()]
    return sorted(counts, key=lambda c: (-c[1], str(c[0])))
