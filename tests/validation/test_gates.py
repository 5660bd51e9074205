from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest
from pydantic import ValidationError

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
    ("item", "verdict", "code"),
    [
        (measured(0.8), "keep", ""),
        (measured(0.8, shift_px=9.0), "lost", gates.MOVED),
        (measured(0.97, shift_px=9.0), "keep", ""),
        (measured(0.1, shift_px=12.0, kind="polyline"), "lost", gates.MOVED),
        (measured(0.5, shift_px=12.0, kind="polyline"), "ignore", gates.MOVED),
        (measured(0.8, shift_px=9.0, reason=f"kept | {gates.UNSURE}"), "ignore", gates.MOVED),
        (measured(0.02), "ignore", gates.HIDDEN),
        (measured(0.02, reason=f"kept | {gates.AROUND_IS} 0.50"), "lost", gates.VANISHED),
        (measured(0.15), "ignore", gates.HIDDEN),
        (measured(0.02, reason=f"kept | {gates.AROUND}"), "ignore", gates.HIDDEN),
        (measured(0.02, reason=f"kept | {gates.AROUND_IS} 0.04"), "ignore", gates.HIDDEN),
        (measured(0.2, reason=f"kept | {gates.AROUND_IS} 0.30"), "keep", "kept"),
        (measured(0.2, reason=f"kept | {gates.AROUND_IS} 0.50"), "ignore", gates.HIDDEN),
        (measured(0.2, reason=f"kept | {gates.AROUND_IS} 0.70"), "ignore", gates.HIDDEN),
        (measured(0.2, reason=f"kept | {gates.AROUND_IS} 0.90"), "lost", gates.VANISHED),
        (measured(0.8, reason=f"kept | {gates.SIGNAL}: red became green"), "lost", gates.SIGNAL),
        (measured(0.8, reason=f"kept | {gates.UNREAD}: red in the source"), "ignore", gates.UNREAD),
        (measured(0.8, reason=f"kept | {gates.CROWD}"), "ignore", gates.CROWD),
        (measured(None, reason=f"kept | {gates.FLAT_SOURCE}"), "ignore", gates.FLAT_SOURCE),
        (measured(0.8, bbox=(10.0, 10.0, 13.0, 60.0)), "ignore", gates.TINY),
        (measured(0.02, bbox=(10.0, 10.0, 22.0, 60.0)), "ignore", gates.HIDDEN),
        (measured(0.8, shift_px=9.0, bbox=(10.0, 10.0, 22.0, 60.0)), "ignore", gates.MOVED),
        (measured(0.8, structure_raw=-0.2), "ignore", gates.DISSOLVED),
    ],
)
def test_stored_measures_decide_the_verdict_and_name_why(item, verdict, code):
    found = gates.decide(item, SETTINGS, 1280)
    assert (found.verdict, gates.code(found.reason)) == (verdict, code)
    assert gates.decide(found, SETTINGS, 1280) == found, "deciding twice changes nothing"


def lost(category: str) -> ObjectVerdict:
    return gates.decide(measured(0.02, category=category, reason=f"kept | {gates.AROUND_IS} 0.50"), SETTINGS, 1280)


@pytest.mark.parametrize(
    ("category", "rejects"),
    [("pedestrian", True), ("rider", True), ("traffic light", True), ("traffic sign", True), ("car", False)],
)
def test_a_lost_person_light_or_sign_rejects_the_image_and_a_lost_car_does_not(category, rejects):
    others = [gates.decide(measured(0.8), SETTINGS, 1280)] * 4
    assert bool(gates.judged_image([lost(category), *others], (), SETTINGS)) is rejects


def test_more_than_three_in_ten_measurable_objects_ignored_reject_the_image():
    kept = gates.decide(measured(0.8), SETTINGS, 1280)
    hidden = gates.decide(measured(0.15), SETTINGS, 1280)
    unmeasured = gates.decide(measured(None, reason=f"kept | {gates.FLAT_SOURCE}"), SETTINGS, 1280)
    assert gates.judged_image([kept] * 7 + [hidden] * 3 + [unmeasured] * 9, (), SETTINGS) == []
    assert gates.judged_image([kept] * 6 + [hidden] * 4, (), SETTINGS)[0].startswith("ignored: 4 of 10")


@pytest.mark.parametrize(("strength", "code"), [(0.01, "strength"), (9.0, "overshoot"), (0.9, None), (None, None)])
def test_strength_is_gated_on_both_sides(strength, code):
    reasons = gates.gated_measures(0.8, 0.8, strength, SETTINGS)
    assert [gates.code(r) for r in reasons] == ([code] if code else [])


def row(found: Judgement, pair) -> ManifestRow:
    h, w = pair.source.shape[:2]
    return ManifestRow(
        "v", "s", "d", "train", "night", found.status, found.reasons, "a.png", None, "b.png", None, w, h, None, None, None,
        found.objects, found.hallucinations, found.structure, found.structure_raw, found.strength, "m", "", "", "", "old", "", 0,
        None, None, None, None, None, None, datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip


def test_regate_is_judging_anew_without_the_images(pair):
    """The measures that a manifest stores give the verdicts that the images gave, under the old and under new thresholds."""
    strict = SETTINGS.model_copy(
        update={"least_structure": 0.69, "keep_structure": 0.69, "critical": (), "min_structure": 0.97}
    )
    first = judge(pair.source, pair.variant, pair.variant, pair.objects, None, SETTINGS)
    table = rows_to_table([row(first, pair)])
    assert gates.regate_rows(table, SETTINGS).to_pylist() == table.to_pylist()
    anew = gates.regate_rows(table, strict, "new").to_pylist()[0]
    direct = judge(pair.source, pair.variant, pair.variant, pair.objects, None, strict)
    assert [(o["verdict"], o["reason"]) for o in anew["objects"]] == [(o.verdict, o.reason) for o in direct.objects]
    assert (anew["status"], sorted(anew["reasons"])) == (direct.status, sorted(direct.reasons))
    assert anew["status"] == "rejected"
    assert anew["validation_sha256"] == "new"


def test_regate_leaves_failed_rows_and_keeps_the_schema(pair):
    first = judge(pair.source, pair.source, pair.source, pair.objects, None, SETTINGS)
    table = rows_to_table([row(first, pair)])
    failed = table.set_column(
        table.schema.get_field_index("status"), table.schema.field("status"), pa.array(["failed"])
    )
    assert gates.regate_rows(failed, SETTINGS, "new").to_pylist() == failed.to_pylist()
    again = gates.regate_rows(table, SETTINGS)
    assert again.schema == table.schema
    assert again.to_pylist()[0]["reasons"][0].startswith("identity"), (
        "gates without a stored measure keep what they said"
    )


def test_a_hallucination_rejects_from_its_threshold_on():
    light = Hallucination(BOX, "lamp", 0.6)
    assert gates.judged_image((), [light], SETTINGS.model_copy(update={"max_hallucination": 0.6}))
    assert not gates.judged_image((), [light], SETTINGS.model_copy(update={"max_hallucination": 0.61}))
    assert not gates.judged_image((), [light], SETTINGS.model_copy(update={"max_hallucination": None}))


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
    assert gates.judged_image([lost], [], SETTINGS) == [f"lost: 1 {category}"]
    assert gates.judged_image([measured(0.02, category="Van", verdict="lost")], [], SETTINGS) == []
    assert gates.judged_image([lost], [], SETTINGS.model_copy(update={"critical": ("car",)})) == []
