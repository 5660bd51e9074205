from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from pydantic import ValidationError

from s2st_aug.records.classes import count_categories
from s2st_aug.records.manifest import ManifestRow, rows_to_table
from s2st_aug.records.verdicts import Hallucination, Judgement, ObjectVerdict
from s2st_aug.validation import gates
from s2st_aug.validation.judge import judge
from s2st_aug.validation.settings import ValidationSettings

SETTINGS = ValidationSettings()
BOX = (10.0, 10.0, 60.0, 60.0)


def measured(structure: float | None, **given) -> ObjectVerdict:
    fields = {
        "object_id": "a",
        "kind": "box",
        "category": "car",
        "bbox": BOX,
        "verdict": "keep",
        "structure": structure,
        "structure_raw": 0.9,
    }
    return ObjectVerdict(**{**fields, "visibility": 5.0, "shift_px": 0.1, **given})


@pytest.mark.parametrize(
    ("item", "verdict", "cause"),
    [
        (measured(0.8), "keep", None),
        (measured(0.8, shift_px=9.0), "lost", "moved"),
        (measured(0.97, shift_px=9.0), "keep", None),
        (measured(0.1, shift_px=12.0, kind="polyline"), "lost", "moved"),
        (measured(0.5, shift_px=12.0, kind="polyline"), "ignore", "moved"),
        (measured(0.8, shift_px=9.0, shift_unsure=True), "ignore", "moved"),
        (measured(0.02), "ignore", "hidden"),
        (measured(0.02, around=0.5), "lost", "vanished"),
        (measured(0.15), "ignore", "hidden"),
        (measured(0.02, around=0.0), "ignore", "hidden"),
        (measured(0.02, around=0.04), "ignore", "hidden"),
        (measured(0.2, around=0.3), "keep", None),
        (measured(0.2, around=0.5), "ignore", "hidden"),
        (measured(0.2, around=0.7), "ignore", "hidden"),
        (measured(0.2, around=0.9), "lost", "vanished"),
        (measured(0.8, signal_source="red", signal_variant="green"), "lost", "signal_changed"),
        (measured(0.8, signal_source="red", signal_variant="red"), "keep", None),
        (measured(0.8, signal_source="red"), "ignore", "signal_unreadable"),
        (measured(0.8, crowd=True), "ignore", "crowd"),
        (measured(None), "ignore", "flat_source"),
        (measured(0.8, bbox=(10.0, 10.0, 13.0, 60.0)), "ignore", "tiny"),
        (measured(0.02, bbox=(10.0, 10.0, 22.0, 60.0)), "ignore", "hidden"),
        (measured(0.8, shift_px=9.0, bbox=(10.0, 10.0, 22.0, 60.0)), "ignore", "moved"),
        (measured(0.8, structure_raw=-0.2), "ignore", "dissolved"),
    ],
)
def test_stored_measures_decide_the_verdict_and_name_why(item, verdict, cause):
    found = gates.decide(item, SETTINGS, 1280)
    assert (found.verdict, found.cause) == (verdict, cause)
    assert (found.reason is None) == (verdict == "keep")
    misleading = replace(found, reason="crowd: never judged | signal changed: red became green", verdict="lost")
    assert gates.decide(misleading, SETTINGS, 1280) == found, "deciding again changes nothing, and reads no sentence"


def lost(category: str) -> ObjectVerdict:
    return gates.decide(measured(0.02, category=category, around=0.5), SETTINGS, 1280)


def rejections(objects, hallucinations=(), settings=SETTINGS) -> list[tuple[str, str]]:
    return list(gates.object_rejections(objects, hallucinations, settings))


@pytest.mark.parametrize(
    ("category", "rejects"),
    [("pedestrian", True), ("rider", True), ("traffic light", True), ("traffic sign", True), ("car", False)],
)
def test_a_lost_person_light_or_sign_rejects_the_image_and_a_lost_car_does_not(category, rejects):
    others = [gates.decide(measured(0.8), SETTINGS, 1280)] * 4
    assert bool(rejections([lost(category), *others])) is rejects


def test_more_than_three_in_ten_measurable_objects_ignored_reject_the_image():
    kept = gates.decide(measured(0.8), SETTINGS, 1280)
    hidden = gates.decide(measured(0.15), SETTINGS, 1280)
    unmeasured = gates.decide(measured(None), SETTINGS, 1280)
    assert rejections([kept] * 7 + [hidden] * 3 + [unmeasured] * 9) == []
    ((gate, why),) = rejections([kept] * 6 + [hidden] * 4)
    assert gate == "ignored" and why.startswith("4 of 10")


def image(**measures) -> Judgement:
    """An image without objects whose measures are all well, but for those given."""
    good = {
        "structure": 0.8,
        "structure_raw": 0.8,
        "strength": 0.9,
        "change": 40.0,
        "tone_explained": 0.6,
        "contrast": 50.0,
    }
    return Judgement("ok", (), (), (), **{**good, "lightness": 30.0, **measures})


@pytest.mark.parametrize(
    ("measures", "rejected_by"),
    [
        ({}, ()),
        ({"strength": 0.01}, ("strength",)),
        ({"strength": 9.0}, ("overshoot",)),
        ({"strength": None, "strength_null": "no_discriminant"}, ()),
        ({"strength": 0.01, "strength_null": "accuracy_low"}, ()),
        ({"strength": 9.0, "strength_null": "accuracy_unknown"}, ()),
        ({"structure": 0.01}, ("structure",)),
        ({"change": 1.4, "tone_explained": 1.0, "contrast": 1.0}, ("identity",)),
        ({"tone_explained": 0.98}, ("darkened",)),
        ({"contrast": 5.0}, ("contrast",)),
        ({"contrast": 5.0, "tone_explained": 0.98, "strength": 0.01}, ("darkened", "contrast", "strength")),
        ({"change": None, "tone_explained": None, "contrast": None, "lightness": None}, ()),
    ],
)
def test_each_measure_of_an_image_has_its_gate(measures, rejected_by):
    found = gates.gated(image(**measures), SETTINGS, 1280)
    assert (found.rejected_by, found.status) == (rejected_by, "rejected" if rejected_by else "ok")
    assert [r.split(":")[0] for r in found.reasons if not r.startswith("note")] == list(rejected_by)
    assert gates.gated(replace(found, reasons=("identity: all made up",)), SETTINGS, 1280) == found


@pytest.mark.parametrize(
    ("cause", "says"),
    [
        ({"strength_null": "source_in_target"}, "already lies in the target"),
        ({"structure_null": "flat_source"}, "too flat"),
    ],
)
def test_a_null_measure_is_explained_and_rejects_nothing(cause, says):
    found = gates.gated(image(**{next(iter(cause)).removesuffix("_null"): None}, **cause), SETTINGS, 1280)
    assert (found.status, found.rejected_by) == ("ok", ())
    assert says in found.reasons[0]


def row(found: Judgement, pair) -> ManifestRow:
    h, w = pair.source.shape[:2]
    measures = {name: getattr(found, name) for name in Judgement.__slots__}
    return ManifestRow(
        **measures, variant_id="v", scene_id="s", dataset="d", split="train", domain="night", source_image="a.png",
        source_sha256=None, image="b.png", width=w, height=h, label_file=None, label_sha256=None, label_key=None,
        attempts=1, method="m", method_version="", method_sha256="", model="m", model_sha256="", profile_sha256="",
        plan_sha256="", validation_sha256="old", code_version="", rng_key=0,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip


def test_rescoring_is_judging_anew_without_the_images(pair):
    """The measures that a manifest stores give the images' own verdicts, under the old and under new thresholds."""
    strict = SETTINGS.model_copy(
        update={"least_structure": 0.69, "keep_structure": 0.69, "critical": (), "min_structure": 0.97}
    )
    first = judge(pair.source, pair.variant, pair.variant, pair.objects, None, SETTINGS)
    table = rows_to_table([row(first, pair)])
    assert gates.rescore_rows(table, SETTINGS).to_pylist() == table.to_pylist()
    anew = gates.rescore_rows(table, strict, "new").to_pylist()[0]
    direct = judge(pair.source, pair.variant, pair.variant, pair.objects, None, strict)
    assert [(o["verdict"], o["reason"]) for o in anew["objects"]] == [(o.verdict, o.reason) for o in direct.objects]
    assert (anew["status"], anew["reasons"]) == (direct.status, list(direct.reasons))
    assert anew["rejected_by"] == list(direct.rejected_by)
    assert anew["status"] == "rejected"
    assert anew["validation_sha256"] == "new"


def test_rescoring_leaves_failed_rows_and_keeps_the_schema(pair):
    first = judge(pair.source, pair.source, pair.source, pair.objects, None, SETTINGS)
    table = rows_to_table([row(first, pair)])
    failed = table.set_column(
        table.schema.get_field_index("status"), table.schema.field("status"), pa.array(["failed"])
    )
    assert gates.rescore_rows(failed, SETTINGS, "new").to_pylist() == failed.to_pylist()
    again = gates.rescore_rows(table, SETTINGS)
    assert again.schema == table.schema
    assert again.to_pylist()[0]["rejected_by"] == ["identity"]


@pytest.mark.parametrize(
    "settings", [SETTINGS, SETTINGS.model_copy(update={"keep_structure": 0.7, "min_strength": 0.95})]
)
def test_rescoring_reads_no_sentence(pair, settings):
    """With every sentence replaced by a misleading one, the same verdicts, causes and sentences come out."""
    first = judge(pair.source, pair.variant, pair.variant, pair.objects, None, SETTINGS)
    table = rows_to_table([replace(row(first, pair), oom_split=True)])
    lied = table.to_pylist()
    for item in lied[0]["objects"]:
        item |= {"reason": "vanished: long ago | crowd; around 0.99", "verdict": "lost", "cause": "vanished"}
    lied[0] |= {"reasons": ["identity: a lie", "attempt 9"], "status": "rejected", "rejected_by": ["lost"]}
    told = gates.rescore_rows(pa.Table.from_pylist(lied, schema=table.schema), settings).to_pylist()
    assert told == gates.rescore_rows(table, settings).to_pylist()
    assert "oom_split" in told[0]["reasons"]


def test_a_hallucination_rejects_from_its_threshold_on():
    light = Hallucination(BOX, "lamp", 0.6)
    assert rejections((), [light], SETTINGS.model_copy(update={"max_hallucination": 0.6}))
    assert not rejections((), [light], SETTINGS.model_copy(update={"max_hallucination": 0.61}))
    assert not rejections((), [light], SETTINGS.model_copy(update={"max_hallucination": None}))


def test_unknown_thresholds_are_refused():
    with pytest.raises(ValidationError, match="keep_struct"):
        ValidationSettings(keep_struct=0.3)


@pytest.mark.parametrize(("low", "high"), [("least_structure", "keep_structure"), ("min_side_px", "min_lost_side_px")])
def test_thresholds_that_cross_are_refused(low, high):
    with pytest.raises(ValueError, match=f"{low} 0.6 is above {high} 0.5"):
        ValidationSettings(**{low: 0.6, high: 0.5})


CRITICAL_SPELLINGS = [
    "Pedestrian",
    "Person_sitting",
    "Cyclist",
    "other person",
    "stop sign",
    "traffic_light",
    "TrafficLight",
    "rider",
]


@pytest.mark.parametrize("category", CRITICAL_SPELLINGS)
def test_whatever_a_data_set_calls_it_a_lost_person_signal_or_sign_rejects_the_image(category):
    lost = measured(0.02, category=category, verdict="lost")
    assert rejections([lost]) == [("lost", f"1 x {category}")]
    others = [replace(lost, category=other) for other in ("rider", category, "Van")]
    assert rejections([lost, *others]) == [("lost", count_categories(["rider", category, category]))]  # as the report
    assert rejections([measured(0.02, category="Van", verdict="lost")]) == []
    assert rejections([lost], [], SETTINGS.model_copy(update={"critical": ("car",)})) == []
