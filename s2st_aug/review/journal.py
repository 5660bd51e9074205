"""The journal of a sample in FiftyOne: every decision taken there, added atomically, and the state that follows.

Two reviewers may press a key at the same moment, so the database pushes entries: they are never written back as a list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from s2st_aug.errors import UsageError
from s2st_aug.storage.decisions import DECISIONS, Decision, resolve

JOURNAL = "journal"
TAGS = {"accept": "accepted", "reject": "rejected"}
UNDECIDED = "undecided"


def entry_of(one: Decision) -> dict[str, Any]:
    """A journal entry; the time is text, because the database keeps milliseconds alone."""
    return {
        "object_id": one.object_id,
        "decision": one.decision,
        "reviewer": one.reviewer,
        "time": one.time.isoformat(),
        "reason": one.reason,
    }


def decision_of(variant_id: str, entry: Mapping[str, Any]) -> Decision:
    """The inverse of `entry_of`; raises UsageError for what is no decision."""
    try:
        one = Decision(
            variant_id,
            entry["object_id"],
            entry["decision"],
            entry["reviewer"],
            datetime.fromisoformat(entry["time"]),
            entry["reason"],
        )
    except (KeyError, TypeError, ValueError):
        one = None
    if one is None or one.decision not in DECISIONS or one.time.tzinfo is None:
        raise UsageError(
            f"variant {variant_id}: its field `{JOURNAL}` in FiftyOne holds {ascii(entry)[:80]}, which is no decision;"
            " take it out there"
        )
    return one


def state_of(decisions: Iterable[Decision]) -> tuple[str, dict[str, str]]:
    """accept, reject or undecided for the variant, and what holds for each of its objects."""
    held = resolve(decisions)
    whole = next((d.decision for (_, object_id), d in held.items() if object_id is None), UNDECIDED)
    return whole, {object_id: d.decision for (_, object_id), d in held.items() if object_id is not None}


def record(dataset: Any, sample_id: str, one: Decision) -> str:
    """Add a decision to a sample and bring its state, tags and labels up to date; gives the variant's state."""
    from bson import ObjectId

    collection = dataset._sample_collection  # the one place without a public way: an atomic push
    collection.update_one({"_id": ObjectId(sample_id)}, {"$push": {JOURNAL: entry_of(one)}})
    return refresh(dataset, sample_id)


def refresh(dataset: Any, sample_id: str) -> str:
    """Bring a sample's state in line with its journal; what another process added meanwhile is seen too."""
    sample = dataset[sample_id]
    sample.reload()
    whole, by_object = state_of(decision_of(sample["variant_id"], e) for e in sample[JOURNAL] or ())
    sample["decision"] = whole
    kept = [t for t in sample.tags if t not in TAGS.values()]
    sample.tags = kept + ([TAGS[whole]] if whole in TAGS else [])
    for label in labels_of(sample):
        object_id = attribute(label, "object_id")
        if object_id is not None:  # a label that somebody drew in the App is none of the run's
            decided = by_object.get(object_id)
            label["decision"] = decided
            label.tags = [decided] if decided else []
    sample.save()
    return whole


def labels_of(sample: Any) -> list[Any]:
    """Boxes and lines of a sample; none where somebody emptied or deleted the field in the App."""
    boxes, lines = (sample[name] if sample.has_field(name) else None for name in ("boxes", "lines"))
    return [*(boxes.detections if boxes else ()), *(lines.polylines if lines else ())]


def attribute(label: Any, name: str) -> Any:
    """A label's own attribute, or None where it was never set."""
    return label[name] if label.has_field(name) else None
