"""From measures to verdicts: of an object, of an image, and of a whole stored manifest (`regate`)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from s2st_aug.records.classes import canonical_category
from s2st_aug.records.scene import LINES
from s2st_aug.records.verdicts import Hallucination, ObjectVerdict, Status, VerdictKind
from s2st_aug.validation.patches import STRIP
from s2st_aug.validation.settings import ValidationSettings

# What only the images say: facts that a reason carries after " | ", so that `regate` needs no image.
CROWD, FLAT_SOURCE, SIGNAL, UNREAD, AROUND, UNSURE = (
    "crowd", "flat in the source", "signal changed", "signal not readable", "surroundings changed", "best place unsure",
)  # fmt: skip
# Codes that a reason starts with, beside those facts that decide alone.
TINY, MOVED, VANISHED, DISSOLVED, HIDDEN = (
    "tiny",
    "moved",
    "vanished",
    "dissolved before the detail step",
    "too dark or flat",
)
AROUND_IS = "around"  # a fact with a number: the structure of what surrounds the object
IN_PLACE = (
    0.9  # structure from which an object stands where it stood: a pole's edges fit as well further along themselves
)
AROUND_UNKNOWN = 0.45  # taken where nothing around an object has structure, or an older manifest does not say
NOTE = "note"  # starts a reason that rejects nothing, such as why a measure is null
LIGHTS = ("lamp", "signal", "tail_light", "overlay")  # kinds of made-up things that no detector names
UNMEASURED = (CROWD, FLAT_SOURCE, TINY)


def code(reason: str | None) -> str:
    """The machine-readable part of a reason: what stands before the first colon or bar.

    >>> code("moved: by 8.1 px | surroundings changed")
    'moved'
    """
    return (reason or "").split(" | ")[0].split(":")[0]


def facts_of(reason: str | None) -> tuple[str, ...]:
    """The facts that a reason carries after the bar."""
    _, bar, rest = (reason or "").partition(" | ")
    return tuple(rest.split("; ")) if bar else ()


def with_facts(reason: str | None, facts: Sequence[str]) -> str | None:
    """A reason that carries facts; None where there is neither."""
    return f"{reason or 'kept'} | {'; '.join(facts)}" if facts else reason


def decide(item: ObjectVerdict, settings: ValidationSettings, width: int) -> ObjectVerdict:
    """The verdict that the stored measures and facts of an object give under these settings; `width` is the image's, in pixels."""
    facts = facts_of(item.reason)
    verdict, reason = _verdict(item, facts, settings, width)
    return replace(item, verdict=verdict, reason=with_facts(reason, facts))


def _verdict(
    item: ObjectVerdict, facts: tuple[str, ...], s: ValidationSettings, width: int
) -> tuple[VerdictKind, str | None]:
    if CROWD in facts:
        return "ignore", f"{CROWD}: never judged"
    if _is_tiny(item, s):
        return "ignore", f"{TINY}: a side below {s.min_side_px:g} px"
    if item.structure is None:
        return "ignore", f"{FLAT_SOURCE}: too little structure to judge by"
    if (changed := _fact(facts, SIGNAL)) is not None:
        return "lost", changed
    return _by_structure(item, facts, s, width)


def _fact(facts: tuple[str, ...], name: str) -> str | None:
    return next((f for f in facts if f.startswith(name)), None)


def _by_structure(
    item: ObjectVerdict, facts: tuple[str, ...], s: ValidationSettings, width: int
) -> tuple[VerdictKind, str | None]:
    structure = item.structure or 0.0
    least_shift = max(s.max_shift_px, s.max_shift_of_size * _longest(item))
    if item.shift_px is not None and structure < IN_PLACE and item.shift_px >= least_shift:
        # a line that is still there and fits better a strip away met its neighbour
        another = item.kind in LINES and structure >= s.keep_structure and item.shift_px > STRIP
        return "ignore" if another or UNSURE in facts or _is_small(
            item, s
        ) else "lost", f"{MOVED}: by {item.shift_px:.1f} px"
    least = keep_threshold(around_of(facts), s)
    if structure >= least:
        if _dissolved(item, s, width):
            return "ignore", f"{DISSOLVED}: structure_raw {item.structure_raw:.2f} < {s.keep_structure_raw:g}"
        unread = _fact(facts, UNREAD)
        return ("ignore", unread) if unread else ("keep", None)
    around = around_of(facts) or 0.0
    if structure < s.lost_of_around * around and not _is_small(item, s):
        return "lost", f"{VANISHED}: structure {structure:.2f} where its surroundings kept {around:.2f}"
    return "ignore", f"{HIDDEN}: structure {structure:.2f} < {least:.2f}"


def around_of(facts: Sequence[str]) -> float | None:
    """The structure of an object's surroundings, as its facts say; None where they do not."""
    if AROUND in facts:
        return 0.0
    found = _fact(tuple(facts), f"{AROUND_IS} ")
    return float(found.split(" ")[1]) if found else None


def keep_threshold(around: float | None, s: ValidationSettings) -> float:
    """The structure from which an object is there: a share of its surroundings', within bounds."""
    wanted = s.keep_of_around * (AROUND_UNKNOWN if around is None else around)
    return min(max(wanted, s.least_structure), s.keep_structure)


def _is_tiny(item: ObjectVerdict, s: ValidationSettings) -> bool:
    return item.kind not in LINES and _shortest(item) < s.min_side_px


def _is_small(item: ObjectVerdict, s: ValidationSettings) -> bool:
    return item.kind not in LINES and _shortest(item) < s.min_lost_side_px


def _shortest(item: ObjectVerdict) -> float:
    return min(item.bbox[2] - item.bbox[0], item.bbox[3] - item.bbox[1])


def _dissolved(item: ObjectVerdict, s: ValidationSettings, width: int) -> bool:
    """An object longer than two latent cells must pass before the detail step too (docs/method.md#structure-raw)."""
    large = _longest(item) > 2 * width / s.latent_cells_across
    return large and item.structure_raw is not None and item.structure_raw < s.keep_structure_raw


def _longest(item: ObjectVerdict) -> float:
    return max(item.bbox[2] - item.bbox[0], item.bbox[3] - item.bbox[1])


def judged_image(
    objects: Sequence[ObjectVerdict], hallucinations: Sequence[Hallucination], s: ValidationSettings
) -> list[str]:
    """Why the objects and hallucinations of an image reject it; empty where they do not."""
    reasons = []
    critical = {canonical_category(category) for category in s.critical}
    lost = Counter(o.category for o in objects if o.verdict == "lost" and canonical_category(o.category) in critical)
    if lost:
        reasons.append("lost: " + ", ".join(f"{n} {category}" for category, n in sorted(lost.items())))
    measurable = [o for o in objects if code(o.reason) not in UNMEASURED]
    ignored = sum(o.verdict == "ignore" for o in measurable)
    if measurable and ignored > s.max_ignored * len(measurable):
        reasons.append(
            f"ignored: {ignored} of {len(measurable)} measurable objects cannot be judged (at most {s.max_ignored:.0%})"
        )
    worst = max((h for h in hallucinations if h.score >= _limit(h, s)), key=lambda h: h.score, default=None)
    if worst:
        reasons.append(
            f"hallucination: {worst.kind} with score {worst.score:.2f} at {', '.join(f'{v:.0f}' for v in worst.bbox)}"
        )
    return reasons


def _limit(made_up: Hallucination, s: ValidationSettings) -> float:
    """The score from which it rejects an image: lights and detections are scored on scales of their own."""
    if made_up.kind not in LIGHTS:
        return s.detector_score
    return math.inf if s.max_hallucination is None else s.max_hallucination


def gated_measures(
    structure: float | None, structure_raw: float | None, strength: float | None, s: ValidationSettings
) -> list[str]:
    """Why the image-level measures that the manifest stores reject a variant."""
    reasons = []
    if strength is not None and s.min_strength is not None and strength < s.min_strength:
        reasons.append(f"strength: {strength:.2f} < {s.min_strength:g}, hardly translated")
    if strength is not None and s.max_strength is not None and strength > s.max_strength:
        reasons.append(f"overshoot: strength {strength:.2f} > {s.max_strength:g}")
    for name, value, least in (
        ("structure", structure, s.min_structure),
        ("structure_raw", structure_raw, s.min_structure_raw),
    ):
        if value is not None and least is not None and value < least:
            reasons.append(f"{name}: {value:.2f} < {least:g}")
    return reasons


def status_of(reasons: Sequence[str]) -> Status:
    """`rejected` where any reason is a gate's (notes such as a null measure's reason start with `note:`)."""
    return (
        "rejected" if any(not r.startswith("note:") and r != "oom_split" for r in reasons) else "ok"
    )  # oom_split: how it was made


REGATED = ("lost", "ignored", "hallucination", "strength", "overshoot", "structure", "structure_raw")


def regate_rows(table: pa.Table, settings: ValidationSettings, validation_sha256: str | None = None) -> pa.Table:
    """Verdicts, statuses and reasons of a manifest under new settings, from its stored measures alone.

    `failed` rows stay as they are. Gates whose measure is not stored (identity, darkened, contrast) keep
    what they said. `validation_sha256`, where given, replaces the column.
    """
    rows = [_regated(row, settings) for row in table.to_pylist()]
    if validation_sha256 is not None:
        rows = [row if row["status"] == "failed" else {**row, "validation_sha256": validation_sha256} for row in rows]
    return pa.Table.from_pylist(rows, schema=table.schema)


def _regated(row: dict[str, Any], s: ValidationSettings) -> dict[str, Any]:
    if row["status"] == "failed":
        return row
    objects = [decide(ObjectVerdict(**{**o, "bbox": tuple(o["bbox"])}), s, row["width"] or 1) for o in row["objects"]]
    found = [Hallucination(tuple(h["bbox"]), h["kind"], h["score"]) for h in row["hallucinations"]]
    kept = [r for r in row["reasons"] if code(r) not in (*REGATED, NOTE)]
    notes = [r for r in row["reasons"] if code(r) == NOTE]
    anew = gated_measures(row["structure"], row["structure_raw"], row["strength"], s) + judged_image(objects, found, s)
    reasons = [*kept, *anew, *notes]
    plain = [{**o, "verdict": v.verdict, "reason": v.reason} for o, v in zip(row["objects"], objects, strict=True)]
    return {**row, "objects": plain, "reasons": reasons, "status": status_of(reasons)}
