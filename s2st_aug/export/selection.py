"""What an export holds: by the gates' verdicts, people's decisions, the share of synthetic images."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from s2st_aug.errors import UsageError
from s2st_aug.export.options import ExportOptions, UnjudgedPolicy
from s2st_aug.export.run_labels import RunLabels
from s2st_aug.records.verdicts import Cause
from s2st_aug.storage.decisions import Decision, Target

COLUMNS = [
    *("variant_id", "scene_id", "dataset", "split", "domain", "status", "source_image", "source_sha256"),
    *("image", "image_sha256", "label_file", "label_sha256", "label_key", "objects"),
]
HELD_OUT = frozenset({"val", "valid", "validation", "test", "testing"})
DOUBTS: tuple[Cause, ...] = ("dissolved", "moved", "vanished", "signal_changed")
"""causes of the verdict ignore where the measure saw something that speaks against the label"""
_LEVELS = ("keep", "ignore", "doubted", "lost", "unsound")
"""verdicts from best to worst; whether the last is ignored is no matter of `unjudged`"""
_KEEP, _IGNORE, _DOUBTED, _LOST, _UNSOUND = range(len(_LEVELS))
_LEAST: dict[UnjudgedPolicy, int] = {"ignore": _IGNORE, "train": _DOUBTED, "train-all": _LOST}
"""the best verdict that is ignored in training"""


@dataclass(frozen=True, slots=True)
class Variant:
    """One synthetic image that goes out, and which of its labels no longer hold as they are."""

    variant_id: str
    scene_id: str
    domain: str
    image: str  # below the run folder
    image_sha256: str
    ignored: frozenset[str]  # object ids: to be ignored in training
    lost: frozenset[str]  # those of them that the variant shows no more
    row: int


@dataclass(frozen=True, slots=True)
class Selection:
    """What goes out: variants by scene, and the sources with their hashes."""

    variants: dict[str, list[Variant]]
    sources: dict[str, str | None]  # scene id -> SHA-256 of the source image, in the run
    label_keys: dict[str, str | None]  # scene id -> where its record was, for every scene that is needed
    classes: dict[str, Counter[str]] = field(default_factory=dict)  # domain ("source" for real) -> labels by class
    ignored: dict[str, int] = field(default_factory=dict)  # domain -> labels that a verdict asks to ignore
    kinds: dict[str, frozenset[str]] = field(default_factory=dict)  # class -> kinds of its labels, in the whole run
    domains: tuple[str, ...] = ()  # of the whole run
    left_out: int = 0  # variants that hold a label to ignore, where that costs them their place
    failed: frozenset[str] = frozenset()  # scenes of which the run has no variant at all
    labels: RunLabels | None = None  # that the run judged

    def scenes(self) -> set[str]:
        """Every scene of which anything goes out."""
        return self.variants.keys() | self.sources.keys()

    @property
    def synthetic(self) -> int:
        """How many variants go out."""
        return sum(map(len, self.variants.values()))


def select(
    table: pa.Table,
    decisions: dict[Target, Decision],
    options: ExportOptions,
    *,
    carries_unsound: bool = True,
    whole_only: bool = False,
    unreadable: frozenset[str] = frozenset(),
) -> Selection:
    """Rows of the manifest to what goes out.

    Labels that were unsound in the source are never judged: `carries_unsound` leaves them to the writer as they are, in
    variants as in the real images, else they are to be ignored in variants. `whole_only` leaves out variants that hold
    a label to ignore, `unreadable` are scenes whose own image nobody can open. Raises UsageError where nothing goes
    out, or the run is of a held-out split or of more than one dataset.
    """
    refuse_held_out(table)
    _refuse_mixed_datasets(table)
    objects, rows = _Objects.of(table, carries_unsound=carries_unsound), table.drop_columns(["objects"]).to_pylist()
    said, least = _on_labels(decisions), _LEAST[options.policy]
    going = [(i, row) for i, row in enumerate(rows) if _goes_out(row, decisions, accepted_only=options.accepted_only)]
    variants = [_variant(row, i, dict(objects.judged(i, least)), said) for i, row in going]
    judged = len(variants)
    variants = [v for v in variants if not (whole_only and v.ignored)]
    left_out = judged - len(variants)
    if options.balance:
        variants = _balanced(variants)
    sources = {row["scene_id"]: row["source_sha256"] for row in rows if row["source_sha256"]}
    sources = {scene: sha256 for scene, sha256 in sources.items() if scene not in unreadable}
    weights, mix = class_weights(variants, objects) if options.by_class else {}, options.mix
    if not variants and mix != 0:
        raise UsageError(_nothing(rows, accepted_only=options.accepted_only, left_out=left_out))
    variants, sources = _mixed(variants, sources, mix, weights)
    if not variants and mix:
        raise UsageError(
            f"--mix {mix} of {len(sources)} real images is less than one synthetic image; use a larger fraction or"
            " more images"
        )
    counted = _counted(variants, sources, rows, objects)
    domains = tuple(sorted({str(row["domain"]) for row in rows}))
    failed = frozenset(str(row["scene_id"]) for row in rows) - {str(r["scene_id"]) for r in rows if r["image"]}
    labels = RunLabels.of(table)
    return replace(counted, kinds=objects.kinds(), domains=domains, left_out=left_out, failed=failed, labels=labels)


def refuse_held_out(table: pa.Table) -> None:
    """Raises UsageError for a run over a split that no training may see."""
    held_out = sorted(set(table["split"].unique().to_pylist()) & HELD_OUT)
    if held_out:
        raise UsageError(
            f"the run is over split {held_out[0]!r}: synthetic images never go into a held-out split;"
            " export a run of train"
        )


def _refuse_mixed_datasets(table: pa.Table) -> None:
    names = sorted(set(table["dataset"].unique().to_pylist()))
    if len(names) > 1:
        raise UsageError(
            f"the manifest holds rows of {len(names)} datasets ({', '.join(names)}); expected a run over one dataset"
        )


def _goes_out(row: dict[str, object], decisions: dict[Target, Decision], *, accepted_only: bool) -> bool:
    decision = decisions.get((str(row["variant_id"]), None))
    said = decision.decision if decision else None
    if row["image"] is None:
        return False
    return said == "accept" if accepted_only else row["status"] == "ok" and said not in ("reject", "ignore")


def _nothing(rows: list[dict[str, object]], *, accepted_only: bool, left_out: int) -> str:
    states = Counter(str(row["status"]) for row in rows)
    told = ", ".join(f"{n} {state}" for state, n in sorted(states.items())) or "no row"
    wanted = "a variant that a person accepted" if accepted_only else "an ok variant that nobody rejected"
    dropped = f", {left_out} of them left out by --lost drop-image" if left_out else ""
    return f"nothing to export: expected {wanted}, the manifest holds {told}{dropped}"


@dataclass(frozen=True, slots=True)
class _Objects:
    """The objects of all rows as flat columns: millions of labels without a Python object each."""

    offsets: np.ndarray
    ids: pa.Array
    categories: np.ndarray
    names: list[str]
    verdicts: np.ndarray
    shapes: pa.Array

    @classmethod
    def of(cls, table: pa.Table, *, carries_unsound: bool) -> _Objects:
        column = table["objects"].combine_chunks()
        lists = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        values = lists.values
        categories = values.field("category").fill_null("").dictionary_encode()
        verdicts = _levels(values)
        names = categories.dictionary.to_pylist()
        ids, numbers = values.field("object_id"), categories.indices.to_numpy()
        unsound = pc.equal(_causes(values), "unsound").fill_null(False)
        verdicts = pc.if_else(unsound, pa.scalar(_KEEP if carries_unsound else _UNSOUND, verdicts.type), verdicts)
        return cls(lists.offsets.to_numpy(), ids, numbers, names, verdicts.to_numpy(), values.field("kind"))

    def judged(self, row: int, least: int) -> Iterator[tuple[str, int]]:
        """Object id and verdict of the row's labels whose verdict is `least` or worse."""
        start, end = int(self.offsets[row]), int(self.offsets[row + 1])
        for index in np.flatnonzero(self.verdicts[start:end] >= least) + start:
            yield self.ids[int(index)].as_py(), int(self.verdicts[index])

    def kinds(self) -> dict[str, frozenset[str]]:
        """The kinds of labels that each class has."""
        table = pa.table({"class": self.categories, "kind": self.shapes}).group_by(["class", "kind"]).aggregate([])
        found: dict[str, set[str]] = {}
        for row in table.to_pylist():
            found.setdefault(self.names[row["class"]], set()).add(str(row["kind"]))
        return {name: frozenset(found[name]) for name in self.names if name in found}  # as they appear in the data

    def count(self, row: int) -> int:
        """How many labels a row has."""
        return int(self.offsets[row + 1] - self.offsets[row])

    def counts(self, row: int) -> np.ndarray:
        """Labels of the row by category number."""
        return np.bincount(self.categories[self.offsets[row] : self.offsets[row + 1]], minlength=len(self.names))


def _levels(objects: pa.StructArray) -> pa.Int32Array:
    """The level of each object's verdict; an ignored one whose cause nobody knows is doubted."""
    levels = pc.index_in(objects.field("verdict"), pa.array(_LEVELS)).fill_null(_KEEP)
    doubted = pc.is_in(_causes(objects), pa.array([*DOUBTS, None], pa.string()))
    return pc.if_else(pc.and_(pc.equal(levels, _IGNORE), doubted), pa.scalar(_DOUBTED, levels.type), levels)


def _causes(objects: pa.StructArray) -> pa.StringArray:
    """The objects' causes; all null in manifests of before there were causes."""
    at = objects.type.get_field_index("cause")
    return objects.field(at) if at >= 0 else pa.nulls(len(objects), pa.string())


def _variant(row: dict[str, object], index: int, judged: dict[str, int], said: dict[str, dict[str, int]]) -> Variant:
    name = str(row["variant_id"])
    verdicts = judged | said.get(name, {})
    ignored = frozenset(k for k, v in verdicts.items() if v)
    lost = frozenset(k for k, v in verdicts.items() if v == _LOST)
    scene_id, domain, image, sha256 = (str(row[key]) for key in ("scene_id", "domain", "image", "image_sha256"))
    return Variant(name, scene_id, domain, image, sha256, ignored, lost, index)


def _on_labels(decisions: dict[Target, Decision]) -> dict[str, dict[str, int]]:
    """People's verdicts on single labels, by variant: a person's word goes before the gate's."""
    said: dict[str, dict[str, int]] = {}
    for (variant_id, object_id), decision in decisions.items():
        if object_id is not None:
            said.setdefault(variant_id, {})[object_id] = {"accept": _KEEP, "ignore": _IGNORE, "reject": _LOST}[
                decision.decision
            ]
    return said


def _balanced(variants: list[Variant]) -> list[Variant]:
    """As many variants of every domain as of the rarest, chosen by their hash."""
    domains = Counter(v.domain for v in variants)
    least = min(domains.values(), default=0)
    kept = {v.variant_id for domain in domains for v in _first((v for v in variants if v.domain == domain), least)}
    return [v for v in variants if v.variant_id in kept]


def class_weights(variants: list[Variant], objects: _Objects) -> dict[str, float]:
    """Repeat-factor weights (LVIS, arXiv 1908.03195): the rarest class of an image counts.

    A class weighs 1 / sqrt(share of images that hold it).
    """
    held = np.array([objects.counts(v.row) > 0 for v in variants]).reshape(len(variants), -1)
    weight = 1 / np.sqrt(np.maximum(held.mean(axis=0), 1e-9)) if len(variants) else np.zeros(0)
    return {v.variant_id: float(max(weight[row], default=1.0)) for v, row in zip(variants, held, strict=True)}


def _mixed(
    variants: list[Variant], sources: dict[str, str | None], mix: float | None, weights: dict[str, float]
) -> tuple[list[Variant], dict[str, str | None]]:
    """The most images of which the share `mix` is synthetic, to the nearest whole image; all of both without it."""
    if mix is None:
        return variants, sources
    synthetic, real = len(variants), len(sources)
    if mix * real >= (1 - mix) * synthetic:  # too few variants: fewer sources
        real = min(real, round(synthetic * (1 - mix) / mix)) if mix > 0 else real
    else:
        synthetic = min(synthetic, round(real * mix / (1 - mix)))
    kept = {v.variant_id for v in _first(variants, synthetic, weights)}
    drawn = sorted(sources, key=lambda scene_id: hashlib.sha256(scene_id.encode()).hexdigest())
    names = set(drawn[:real])
    return [v for v in variants if v.variant_id in kept], {k: v for k, v in sources.items() if k in names}


def _first(variants: Iterable[Variant], count: int, weights: dict[str, float] | None = None) -> list[Variant]:
    """The first by id, which is a hash; with weights a draw without replacement whose chances are hashes.

    Efraimidis and Spirakis, Weighted random sampling with a reservoir, 2006.
    """
    if not weights:
        return sorted(variants, key=lambda v: v.variant_id)[:count]

    def key(variant: Variant) -> tuple[float, str]:
        name = variant.variant_id
        chance = (int(hashlib.sha256(name.encode()).hexdigest()[:13], 16) + 1) / 2**52  # in (0, 1], the name's own
        return -math.log(chance) / weights[name], name

    return sorted(variants, key=key)[:count]


def _counted(
    variants: list[Variant], sources: dict[str, str | None], rows: list[dict[str, object]], objects: _Objects
) -> Selection:
    by_scene: dict[str, list[Variant]] = {}
    for variant in sorted(variants, key=lambda v: v.domain):
        by_scene.setdefault(variant.scene_id, []).append(variant)
    keys = {str(row["scene_id"]): row["label_key"] for row in rows}
    selection = Selection(by_scene, sources, {k: None if v is None else str(v) for k, v in keys.items()})
    _count_classes(selection, variants, rows, objects)
    return selection


def _count_classes(
    selection: Selection, variants: list[Variant], rows: list[dict[str, object]], objects: _Objects
) -> None:
    totals: dict[str, np.ndarray] = {}
    shown = [
        *((v.domain, v.row) for v in variants),
        *(("source", i) for i in _richest(selection.sources, rows, objects)),
    ]
    for domain, index in shown:
        totals[domain] = totals.get(domain, np.zeros(len(objects.names), np.int64)) + objects.counts(index)
    for domain, counts in totals.items():
        selection.classes[domain] = Counter({objects.names[i]: int(n) for i, n in enumerate(counts) if n})
    for variant in variants:
        selection.ignored[variant.domain] = selection.ignored.get(variant.domain, 0) + len(variant.ignored)


def _richest(sources: dict[str, str | None], rows: list[dict[str, object]], objects: _Objects) -> Iterable[int]:
    """For each source one row that tells its labels: a failed row may hold none."""
    best: dict[str, int] = {}
    for index, row in enumerate(rows):
        scene = str(row["scene_id"])
        if scene in sources and (scene not in best or objects.count(index) > objects.count(best[scene])):
            best[scene] = index
    return best.values()
