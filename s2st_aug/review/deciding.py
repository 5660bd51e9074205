"""What the operators do: find the variants meant, add to their journals, find the next one.

Free of the App, so that it can be tested.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from s2st_aug.review.journal import JOURNAL, UNDECIDED, attribute, decision_of, labels_of, record
from s2st_aug.storage.decisions import Decision, DecisionKind, resolve

REVIEWER = "S2ST_AUG_REVIEWER"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an operator says, and whether anything changed."""

    message: str
    changed: int


def reviewer() -> str:
    """Who decides: `review open --reviewer`, else the login name, else (in a container) the user's number."""
    try:
        return os.environ.get(REVIEWER) or getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def targets(ctx: Any) -> list[str]:
    """Ids of the selected samples, or of the one that is open."""
    return list(ctx.selected) or ([ctx.current_sample] if ctx.current_sample else [])


def decide(dataset: Any, sample_ids: Sequence[str], decision: DecisionKind, *, reason: str | None = None) -> Outcome:
    """Take one decision on each variant among the samples; sources are no variants and are passed over."""
    variants = [(i, variant_id) for i, variant_id in _variants(dataset, sample_ids) if variant_id]
    for sample_id, variant_id in variants:
        record(dataset, sample_id, _now(variant_id, None, decision, reason))
    if not variants:
        return Outcome("select a variant, or open one: a source cannot be decided on", 0)
    return Outcome(f"{decision}: {len(variants)} variant{'s' if len(variants) > 1 else ''}", len(variants))


def ignore(dataset: Any, selected_labels: Sequence[Mapping[str, Any]]) -> Outcome:
    """Ignore the selected labels; each entry has `label_id` and `sample_id`."""
    done = 0
    for chosen in selected_labels:
        sample = _sample(dataset, chosen["sample_id"])
        label = next((one for one in labels_of(sample) if one.id == chosen["label_id"]), None) if sample else None
        object_id = attribute(label, "object_id") if label is not None else None
        if sample is not None and sample["variant_id"] and object_id is not None:
            record(dataset, sample.id, _now(sample["variant_id"], object_id, "ignore", None))
            done += 1
    return Outcome(f"{done} objects are ignored" if done else "click on the labels of a variant first", done)


def undo(dataset: Any, sample_ids: Sequence[str]) -> Outcome:
    """Take back the last standing decision on each sample, whoever took it and on whatever target."""
    done = 0
    for sample_id, variant_id in _variants(dataset, sample_ids):
        held = (
            resolve(decision_of(variant_id, entry) for entry in dataset[sample_id][JOURNAL] or ()) if variant_id else {}
        )
        if variant_id and held:
            last = max(held.values(), key=lambda d: d.time)
            record(dataset, sample_id, _now(variant_id, last.object_id, "undo", None))
            done += 1
    return Outcome(f"undone on {done} variants" if done else "there is nothing to undo here", done)


def next_undecided(dataset: Any, current: str | None) -> str | None:
    """The id of the undecided `ok` variant of the most doubt, other than the one that is open."""
    query = {"status": "ok", "decision": UNDECIDED}
    found = dataset._sample_collection.find(query, {"_id": 1}).sort([("doubt", -1), ("variant_id", 1)]).limit(2)
    return next((str(one["_id"]) for one in found if str(one["_id"]) != current), None)


def panel_data(dataset: Any, sample_id: str | None) -> dict[str, Any]:
    """Paths of source and variant, measures, boxes with verdicts, and how far the review is."""
    stages = [{"$match": {"status": "ok"}}, {"$group": {"_id": "$decision", "n": {"$sum": 1}}}]
    progress = {str(d["_id"]): d["n"] for d in dataset._sample_collection.aggregate(stages)}
    sample = _sample(dataset, sample_id) if sample_id else None
    if sample is None or not sample["variant_id"]:
        return {"progress": progress, "variant": None}
    boxes = [
        {"box": one.bounding_box, "label": one.label} | {name: attribute(one, name) for name in ("verdict", "decision")}
        for one in labels_of(sample)
        if one.has_field("bounding_box")
    ]
    measures = {name: sample[name] for name in ("strength", "structure", "structure_raw", "worst_structure", "doubt")}
    counts = {name: sample[f"objects_{name}"] for name in ("keep", "ignore", "lost")}
    shown = {
        "variant": sample.filepath,
        "source": sample["source_path"],
        "domain": sample["domain"],
        "scene": sample["scene_id"],
    }
    state = {"decision": sample["decision"], "status": sample["status"], "reasons_of": list(sample["reasons"] or ())}
    why = sample["overlay_path"]
    shown |= {"why": why if why and Path(why).is_file() else None}
    return (
        shown
        | state
        | {"measures": measures, "counts": counts, "boxes": boxes, "progress": progress, "reviewer": reviewer()}
    )


def _now(variant_id: str, object_id: str | None, decision: DecisionKind, reason: str | None) -> Decision:
    return Decision(variant_id, object_id, decision, reviewer(), datetime.now(UTC), reason)


def _variants(dataset: Any, sample_ids: Sequence[str]) -> list[tuple[str, str | None]]:
    """The samples that are there, with the ids of their variants; None for a source."""
    found = ((sample_id, _sample(dataset, sample_id)) for sample_id in sample_ids)
    return [(sample_id, sample["variant_id"]) for sample_id, sample in found if sample is not None]


def _sample(dataset: Any, sample_id: str) -> Any:
    """A sample; None where somebody deleted it since the page was drawn."""
    try:
        return dataset[sample_id]
    except KeyError:
        return None
