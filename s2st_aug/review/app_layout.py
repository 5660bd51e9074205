"""How a run looks in the App: declared fields, colours of verdicts, the sidebar, saved views."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from s2st_aug.records.columns import columns_of
from s2st_aug.records.manifest import ManifestRow
from s2st_aug.records.verdicts import ObjectVerdict
from s2st_aug.review.documents import MEASURE_FIELDS, TEXT_FIELDS

VERDICT_COLOURS = {"keep": "#009ed7", "ignore": "#f0b428", "lost": "#e13c00"}  # the report's, after Okabe and Ito
INVENTED_COLOUR = "#cc79a7"
DOMAIN_COLOUR = "#58a6ff"
TO_REVIEW = "to review: least sure first"
FREQUENT = 8  # labelled classes with a saved view of their own
_TEXT = (
    "variant_id",
    "scene_id",
    "dataset",
    "split",
    "domain",
    "status",
    "model",
    "decision",
    "source_path",
    "overlay_path",
    "fingerprint",
)
_NUMBERS = ("structure", "structure_raw", "strength", "worst_structure", "doubt")
_COUNTS = ("objects_keep", "objects_ignore", "objects_lost")
OWN_FIELDS = {
    "decision": "what people decided last: accept, reject, ignore (of a label) or undecided",
    "journal": "every decision with who took it and when; it only grows",
    "source_path": "the source image on this machine",
    "overlay_path": "the picture that shows why a rejected variant was rejected",
    "fingerprint": "changes when what a reviewer sees of the variant changes",
    "worst_structure": "structure of the weakest kept label",
    "doubt": "1 minus worst_structure, or the score of the surest hallucination where it is higher: 0 to 1",
    "objects_keep": "labels that are still true",
    "objects_ignore": "labels that cannot be judged",
    "objects_lost": "labels that are no longer true",
    "boxes": "labels as boxes and instance masks, coloured by verdict",
    "lines": "labels as lanes and outlines, coloured by verdict",
    "stuff": "areas by class",
    "signal": "the traffic light's state by the label",
}
"""Fields that are no column of the manifest."""


def declare_fields(fo: ModuleType, dataset: Any) -> None:
    """Every field before the first sample, so that adding needs no look at the schema."""
    scalars = {**dict.fromkeys(_TEXT, fo.StringField), **dict.fromkeys(_NUMBERS, fo.FloatField)}
    for name, kind in {**scalars, **dict.fromkeys(_COUNTS, fo.IntField)}.items():
        dataset.add_sample_field(name, kind, description=_meaning(name))
    dataset.add_sample_field("reasons", fo.ListField, subfield=fo.StringField, description=_meaning("reasons"))
    dataset.add_sample_field("journal", fo.ListField, subfield=fo.DictField, description=_meaning("journal"))
    for name, kind in {
        "boxes": fo.Detections,
        "lines": fo.Polylines,
        "hallucinations": fo.Detections,
        "stuff": fo.Segmentation,
    }.items():
        dataset.add_sample_field(name, fo.EmbeddedDocumentField, embedded_doc_type=kind, description=_meaning(name))
    for path in ("boxes.detections", "lines.polylines"):
        of_labels = {**dict.fromkeys(TEXT_FIELDS, fo.StringField), **dict.fromkeys(MEASURE_FIELDS, fo.FloatField)}
        for name, kind in of_labels.items():
            dataset.add_sample_field(f"{path}.{name}", kind, description=_meaning(name, of_label=True))
    dataset.create_index("variant_id")


def _meaning(name: str, *, of_label: bool = False) -> str:
    """What a field holds: the manifest's own words where it is one of its columns."""
    known = {c.name: c.column for c in columns_of(ObjectVerdict if of_label else ManifestRow)}
    if name in OWN_FIELDS:
        return OWN_FIELDS[name]
    column = known[name]
    return f"{column.meaning}, {column.unit}" if column.unit else column.meaning


def configure_app(fo: ModuleType, dataset: Any) -> None:
    """Colours, sidebar and saved views; the same again on every push."""
    dataset.app_config.color_scheme = _colours(fo)
    dataset.app_config.sidebar_groups = _sidebar()
    dataset.app_config.active_fields = fo.ActiveFields(
        paths=["boxes", "lines", "hallucinations", "domain", "decision", "strength"]
    )
    variants = variant_slices(dataset)
    if variants and dataset.default_group_slice not in variants:
        dataset.default_group_slice = variants[0]  # what the grid shows at first: variants are to be looked at
    dataset.save()
    for name, (view, why) in _views(fo, dataset).items():
        dataset.save_view(name, view, description=why, color=DOMAIN_COLOUR, overwrite=True)


def _colours(fo: ModuleType) -> Any:
    values = [{"value": verdict, "color": colour} for verdict, colour in VERDICT_COLOURS.items()]
    by_verdict = [
        {"path": path, "colorByAttribute": "verdict", "fieldColor": "#8b949e", "valueColors": values}
        for path in ("boxes", "lines")
    ]
    return fo.ColorScheme(
        color_by="value", opacity=0.5, fields=[*by_verdict, {"path": "hallucinations", "fieldColor": INVENTED_COLOUR}]
    )


def _sidebar() -> list[Any]:
    from fiftyone.core.odm import SidebarGroupDocument

    groups = {
        "decision": ["tags", "decision", "status", "reasons"],
        "what": ["domain", "scene_id", "split"],
        "measures": [*_NUMBERS, *_COUNTS],
        "labels": ["boxes", "lines", "stuff", "hallucinations"],
    }
    groups["other"] = [
        "id",
        "filepath",
        "metadata",
        "created_at",
        "last_modified_at",
        "dataset",
        "model",
        "variant_id",
        "source_path",
        "overlay_path",
    ]
    return [SidebarGroupDocument(name=name, paths=paths, expanded=name != "other") for name, paths in groups.items()]


def variant_slices(dataset: Any) -> list[str]:
    """The slices that hold variants, in the order of their names."""
    return sorted(s for s in dataset.group_slices or () if s != "source" and not s.startswith("true_"))


def _views(fo: ModuleType, dataset: Any) -> dict[str, tuple[Any, str]]:
    """The saved views by name; all but the last ones hold variants of every domain."""
    field = fo.ViewField
    slices = variant_slices(dataset)
    if not slices:
        return {}
    every = dataset.select_group_slices(slices)
    undecided = every.match((field("decision") == "undecided") & (field("status") == "ok"))
    lights = field("boxes.detections").filter(field("label").is_in(["traffic light", "traffic sign"])).length() > 0
    views = {
        TO_REVIEW: (
            undecided.sort_by("doubt", reverse=True),
            "ok, undecided; doubt is the weakest kept object or the surest invention",
        ),
        "rejected by gate": (
            every.match(field("status") == "rejected"),
            "what the checks refused; the reasons are in `reasons`",
        ),
        "strongest": (every.sort_by("strength", reverse=True), "the farthest from the source's domain first"),
        "traffic lights": (every.match(lights).sort_by("doubt", reverse=True), "variants with a signal or a sign"),
        "decided": (every.match(field("decision") != "undecided"), "accepted or rejected by a person"),
    }
    counts = every.count_values("boxes.detections.label")
    for label in sorted(counts, key=lambda one: -counts[one])[:FREQUENT]:
        of_class = field("boxes.detections").filter(field("label") == label)
        weakest = of_class.map(field("structure")).min()
        worst = every.match(weakest >= -1).sort_by(weakest)
        views[f"worst structure: {label}"] = (worst, f"weakest {label} first")
    return views | {f"domain: {name}": (dataset.select_group_slices([name]), f"{name} alone") for name in slices}
