"""`review push`: a run folder into a grouped FiftyOne dataset; again and again without doubling or losing anything."""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from bson import ObjectId
from pymongo import UpdateOne

from s2st_aug.errors import RunFolderError, UsageError
from s2st_aug.review import app_layout, documents
from s2st_aug.review.fiftyone_session import connect
from s2st_aug.review.journal import JOURNAL, TAGS, decision_of, entry_of, record, state_of
from s2st_aug.review.sources import ReviewScene, Row, fingerprint, read_review_scenes
from s2st_aug.storage import RunFolder
from s2st_aug.storage.decisions import Decision, from_table, new_only
from s2st_aug.storage.naming import overlay_name

log = logging.getLogger(__name__)
BATCH = 500  # samples built and written at once
KEPT = ("_id", "_rand", "created_at", "group", "tags", "decision", JOURNAL)
NULLABLE = ("worst_structure", "stuff", "overlay_path")
ROW_FIELDS = (
    "variant_id",
    "scene_id",
    "dataset",
    "split",
    "domain",
    "status",
    "reasons",
    "structure",
    "structure_raw",
    "strength",
    "model",
)


@dataclass(frozen=True, slots=True)
class PushSummary:
    """What a push did: variants added, brought up to date, left as they were; rows without an image are not shown."""

    dataset: str
    added: int
    updated: int
    unchanged: int
    without_image: int
    decisions: int


@dataclass(frozen=True, slots=True)
class _Known:
    """A variant that the dataset already holds."""

    sample_id: str
    fingerprint: str
    journal: tuple[Mapping[str, Any], ...]


def dataset_name(run: RunFolder) -> str:
    """The name a run has in FiftyOne unless told otherwise: folder and plan."""
    return f"s2st-{run.path.resolve().name}-{run.run_json().plan_sha256[:8]}"


def open_dataset(fo: ModuleType, run: RunFolder, name: str | None = None) -> Any:
    """The run's dataset in FiftyOne; raises UsageError where it was never pushed or the name is something else's."""
    name = name or dataset_name(run)
    if not fo.dataset_exists(name):
        raise UsageError(f"FiftyOne holds no dataset {name!r}; run `s2st-aug review push {run.place}` first")
    dataset = fo.load_dataset(name)
    _check_owner(dataset, run)
    return dataset


def push(run: RunFolder, *, name: str | None = None) -> PushSummary:
    """Bring the run's dataset in FiftyOne up to date with its manifest and decisions."""
    fo = connect()
    dataset, whole = _open_or_create(fo, run, name or dataset_name(run))
    rows = {r["variant_id"]: r for r in run.read_manifest().to_pylist()}
    shown = {v: fingerprint(run, r) for v, r in rows.items() if r["image"] is not None}
    known, sources = _present(dataset)
    stale = {v: k for v, k in known.items() if not whole or shown.get(v) != k.fingerprint}
    fresh = {v for v in shown if v not in known or v in stale}
    decided = _decisions(run, known)
    if gone := [k.sample_id for v, k in stale.items() if v not in shown]:
        dataset.delete_samples(gone)
    numbers = {label: int(number) for number, label in dataset.default_mask_targets.items()}
    builder = _Builder(dataset._doc.id, numbers, run, shown, decided)
    _add(
        dataset,
        builder,
        read_review_scenes(run, fresh),
        sources,
        {v: stale[v].sample_id for v in fresh & stale.keys()},
    )
    dataset.default_mask_targets = {number: label for label, number in numbers.items()}
    app_layout.configure_app(fo, dataset)
    _catch_up(dataset, {v: k for v, k in known.items() if v in shown}, decided)
    held = sum(len(d) for d in decided.values())
    return PushSummary(
        dataset.name,
        len(fresh - set(known)),
        len(fresh & set(known)),
        len(shown) - len(fresh),
        len(rows) - len(shown),
        held,
    )


def _open_or_create(fo: ModuleType, run: RunFolder, name: str) -> tuple[Any, bool]:
    """The dataset, and whether it has all of its fields: those that somebody deleted in the App are declared anew."""
    whole = True
    if fo.dataset_exists(name):
        dataset = fo.load_dataset(name)
        _check_owner(dataset, run)
        whole = app_layout.OWN_FIELDS.keys() - {"signal"} <= dataset.get_field_schema().keys()
    else:
        dataset = fo.Dataset(name, persistent=True)
        dataset.add_group_field("group", default="source")
        app_layout.declare_fields(fo, dataset)
    if not whole:
        app_layout.declare_fields(fo, dataset)
    dataset.info["s2st_aug"] = {"run": str(run.path.resolve()), "plan_sha256": run.run_json().plan_sha256}
    dataset.save()
    return dataset, whole


def _check_owner(dataset: Any, run: RunFolder) -> None:
    owner = (dataset.info or {}).get("s2st_aug", {}).get("plan_sha256")
    plan = run.run_json().plan_sha256
    if owner != plan:
        what = f"another run's (plan {owner[:8]})" if owner else "not made by s2st-aug"
        raise UsageError(
            f"the FiftyOne dataset {dataset.name!r} is {what}, expected plan {plan[:8]}; choose another with --name"
        )


def _present(dataset: Any) -> tuple[dict[str, _Known], set[tuple[str, str]]]:
    """What the dataset holds: its variants by id, and (scene_id, slice) of the samples that are no variants."""
    known, sources = {}, set()
    values = flat(dataset).values(["variant_id", "id", "fingerprint", JOURNAL, "scene_id", "group.name"])
    for variant_id, sample_id, seen, journal, scene_id, slice_name in zip(*values, strict=True):
        if variant_id is None:
            sources.add((scene_id, slice_name))
        else:
            known[variant_id] = _Known(sample_id, seen, tuple(journal or ()))
    return known, sources


def flat(dataset: Any) -> Any:
    """Every sample of every slice."""
    return dataset.select_group_slices(list(dataset.group_slices)) if dataset.group_slices else dataset


def _decisions(run: RunFolder, known: Mapping[str, _Known]) -> dict[str, list[Decision]]:
    """Every decision there is, in the run folder or only in the App, by variant."""
    stored = from_table(run.read_decisions())
    in_app = [decision_of(v, e) for v, k in known.items() for e in k.journal]
    by_variant = defaultdict(list)
    for one in new_only([*stored, *in_app], ()):
        by_variant[one.variant_id].append(one)
    return by_variant


def _catch_up(dataset: Any, known: Mapping[str, _Known], decided: Mapping[str, list[Decision]]) -> None:
    """Decisions that came into the run folder by another way (a JSON file, another database) reach the samples too."""
    for variant_id, one in known.items():
        for decision in new_only(decided.get(variant_id, ()), [decision_of(variant_id, e) for e in one.journal]):
            record(dataset, one.sample_id, decision)


def _add(
    dataset: Any,
    builder: _Builder,
    scenes: Iterator[ReviewScene],
    present: set[tuple[str, str]],
    stale: Mapping[str, str],
) -> None:
    batch: list[documents.Document] = []
    for scene in scenes:
        batch += builder.samples(scene, present)
        if len(batch) >= BATCH:
            _write(dataset, batch, stale)
            batch = []
    _write(dataset, batch, stale)


def _write(dataset: Any, batch: Sequence[documents.Document], stale: Mapping[str, str]) -> None:
    """Into the collection itself, which FiftyOne's own adding ends in too, after a slower way."""
    new = [one for one in batch if one.get("variant_id") not in stale]
    for name in {one["group"]["name"] for one in new} - set(dataset.group_slices):
        dataset.add_group_slice(name, "image")
    if new:
        dataset._sample_collection.insert_many(new, ordered=False)
    changes = [_change(one, stale[one["variant_id"]]) for one in batch if one.get("variant_id") in stale]
    if changes:
        dataset._sample_collection.bulk_write(changes, ordered=False)


def _change(one: documents.Document, sample_id: str) -> UpdateOne:
    """What the run says anew, in place: the journal stays, so neither a kill nor a reviewer costs a decision."""
    values = {name: value for name, value in one.items() if name not in KEPT}
    gone = {name: "" for name in ROW_FIELDS + NULLABLE if name not in one}
    return UpdateOne({"_id": ObjectId(sample_id)}, {"$set": values} | ({"$unset": gone} if gone else {}))


@dataclass(frozen=True, slots=True, eq=False)
class _Builder:
    """Makes the samples of one scene: the source, its true renders, its variants."""

    dataset_id: Any
    numbers: dict[str, int]  # stuff classes in masks; grows
    run: RunFolder
    fingerprints: Mapping[str, str]
    decided: Mapping[str, list[Decision]]

    def samples(self, scene: ReviewScene, present: set[tuple[str, str]]) -> Iterator[documents.Document]:
        """Samples that the dataset does not hold yet."""
        row = scene.rows[0]
        labels = documents.Labels.of(scene.objects, row["objects"], _size(row), self.numbers)
        for name, path in {
            "source": scene.source,
            **{f"true_{name}": path for name, path in scene.renders.items()},
        }.items():
            if (scene.scene_id, name) not in present:
                fields = (
                    {k: row[k] for k in ("scene_id", "dataset", "split")} | {"domain": name} | labels.fields((), {})
                )
                yield documents.sample(
                    self.dataset_id, str(path), group_id(scene.scene_id), name, fields, size=_size(row)
                )
        for row in scene.rows:
            yield self._variant(scene, row, labels)

    def _variant(self, scene: ReviewScene, row: Row, labels: documents.Labels) -> documents.Document:
        decisions = self.decided.get(row["variant_id"], [])
        whole, by_object = state_of(decisions)
        fields = labels.fields(row["objects"], by_object) | {name: row[name] for name in ROW_FIELDS} | measures(row)
        fields |= {"decision": whole, JOURNAL: [entry_of(d) for d in decisions]}
        fields |= {"hallucinations": documents.hallucinations(row["hallucinations"], _size(row))}
        fields |= {
            "overlay_path": str(self.run.local_store().file(overlay_name(row["image"])))
            if row["status"] == "rejected"
            else None
        }
        fields |= {"source_path": str(scene.source), "fingerprint": self.fingerprints[row["variant_id"]]}
        tags = [TAGS[whole]] if whole in TAGS else []
        path = str(self.run.image_file(row["image"]))
        group = group_id(scene.scene_id)
        return documents.sample(self.dataset_id, path, group, row["domain"], fields, tags, size=_size(row))


def measures(row: Row) -> dict[str, float | int | None]:
    """What the saved views sort by. `doubt` is 1 minus the weakest kept object's structure, or the strongest
    hallucination's score where that is more: in 0..1, the least sure variant has the most."""
    kept = [o["structure"] for o in row["objects"] if o["verdict"] == "keep" and o["structure"] is not None]
    scores = [h["score"] for h in row["hallucinations"]]
    verdicts = [o["verdict"] for o in row["objects"]]
    counts = {f"objects_{v}": verdicts.count(v) for v in ("keep", "ignore", "lost")}
    doubt = max([1 - max(0.0, min(1.0, s)) for s in kept] + scores, default=0.0)
    return {"worst_structure": min(kept, default=None), "doubt": doubt, **counts}


def group_id(scene_id: str) -> str:
    """A scene's group in FiftyOne, the same in every push."""
    return hashlib.sha256(scene_id.encode()).hexdigest()[:24]


def _size(row: Row) -> tuple[int, int]:
    if not row["width"] or not row["height"]:
        raise RunFolderError(f"variant {row['variant_id']} has an image but no size in the manifest")
    return row["width"], row["height"]
