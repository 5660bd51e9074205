"""What the source's own pixels, put back by the detail step, cannot make: evidence of what was there before."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from benchmarks.planted_faults import PAINTED_FAULTS
from s2st_aug.records.verdicts import ObjectVerdict
from s2st_aug.validation.evidence import coarse, evidence
from s2st_aug.validation.gates import decide
from s2st_aug.validation.judge import judge
from s2st_aug.validation.lamps import lamps_kept
from s2st_aug.validation.settings import ValidationSettings
from s2st_aug.validation.signals import is_lit

SETTINGS = ValidationSettings()
SMALL = (0.0, 0.0, 12.0, 30.0)
KEPT = ObjectVerdict("a", "box", "car", (0.0, 0.0, 40.0, 40.0), "keep", None, 0.9, 0.9, 2.0, 0.0, evidence=0.9)


def softened(image):
    """As a small model paints it: a third of its pixels."""
    small = cv2.resize(image, None, fx=1 / 3, fy=1 / 3, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_CUBIC)


def test_what_the_detail_step_pastes_is_no_evidence(pair):
    """The variant shows the car as the source has it; before the step there was none."""
    car = pair.objects[0]
    gone = PAINTED_FAULTS["erased_painted"](pair, car, np.random.default_rng(0)).variant
    true, false = (judge(pair.source, pair.variant, softened(raw), pair.objects, None, SETTINGS).objects[0]
                   for raw in (pair.variant, gone))  # fmt: skip
    assert true.verdict == "keep"
    assert false.verdict == "ignore" and false.cause == "dissolved"
    assert false.structure == true.structure
    assert false.evidence < SETTINGS.least_evidence < true.evidence


@pytest.mark.parametrize("grey", [10, 60, 128, 250])
def test_of_a_model_that_paints_nothing_no_label_is_kept_whatever_was_pasted(pair, grey):
    found = judge(pair.source, pair.variant, np.full_like(pair.source, grey), pair.objects, None, SETTINGS)
    assert {o.verdict for o in found.objects} <= {"ignore", "lost"}
    assert found.structure > 0.7


def test_no_detail_step_asks_for_no_such_evidence(pair):
    found = judge(pair.source, pair.variant, pair.variant, pair.objects, None, SETTINGS)
    assert [o.evidence for o in found.objects] == [None] * 3


def test_evidence_falls_where_an_object_fades_away_and_is_none_where_the_source_is_flat(pair):
    car, day = pair.objects[0], coarse(pair.source)
    flat = pair.variant[130:183, 150:215].mean((0, 1))
    seen = []
    for share in (1.0, 0.5, 0.0):
        raw = pair.variant.astype(float)
        raw[125:188, 145:220] = flat + share * (raw[125:188, 145:220] - flat)
        seen += evidence([car], [()], day, coarse(raw.astype(np.uint8)), 320)
    assert min(seen[:2]) > 0.5 > SETTINGS.least_evidence > seen[2]
    plain = np.full_like(pair.source, 90)
    assert evidence([car], [()], coarse(plain), coarse(pair.variant), 320) == [None]


def test_a_picture_without_edges_is_evidence_of_nothing_at_any_place(pair):
    """Whatever the network makes of it: it was never shown a blank picture."""
    boxes = [(x, y, x + 12.0, y + 14.0) for x in range(8, 300, 24) for y in range(60, 160, 20)]
    places = [replace(pair.objects[0], bbox=box) for box in boxes]
    for grey in (0, 40, 120):
        found = evidence(places, [()] * len(places), coarse(pair.source), coarse(np.full_like(pair.source, grey)), 320)
        assert {value for value in found if value is not None} == {0.0}


@pytest.mark.parametrize("box", [(-50.0, -50.0, -10.0, -10.0), (0.0, 0.0, 1e9, 1e9), (float("nan"), 0.0, 5.0, 5.0)])
def test_odd_boxes_raise_nothing(pair, box):
    odd = replace(pair.objects[0], bbox=box)
    (found,) = evidence([odd], [[box]], coarse(pair.source), coarse(pair.variant), 320)
    assert found is None or 0 <= found <= 1


def test_another_lamp_before_the_detail_step_is_a_changed_signal_though_the_variant_shows_the_held_one(pair):
    raw = pair.variant.copy()
    cv2.circle(raw, (137, 49), 7, (12, 12, 12), -1)
    cv2.circle(raw, (137, 81), 6, (40, 255, 140), -1)
    found = judge(pair.source, pair.variant, raw, pair.objects, None, SETTINGS).objects[2]
    assert found.signal_kept < 0.1
    assert found.verdict == "lost" and found.cause == "signal_changed"


@pytest.mark.parametrize("colour", [(255, 200, 40), (190, 230, 235)])
@pytest.mark.parametrize("row", [65, 81])
def test_a_second_lamp_beside_the_true_one_is_never_kept(pair, row, colour):
    """Pale too, as an autoencoder paints green ones; in the variant and before the detail step."""
    raw = pair.variant.copy()
    cv2.circle(raw, (137, row), 6, colour, -1)
    for variant, before in ((pair.variant, raw), (raw, raw)):
        found = judge(pair.source, variant, before, pair.objects, None, SETTINGS).objects[2]
        assert found.verdict != "keep" and found.cause == "signal_changed"


def test_a_signal_as_it_was_is_kept_however_dark_the_rest_of_the_picture(pair):
    for light in (1.0, 0.8, 1.2):
        raw = np.clip(pair.variant * light, 0, 255).astype(np.uint8)
        found = judge(pair.source, pair.variant, raw, pair.objects, None, SETTINGS).objects[2]
        assert found.signal_kept > SETTINGS.least_signal_kept and found.verdict == "keep"


def test_a_lying_or_unlit_signal_tells_nothing(pair):
    assert is_lit(pair.source, pair.objects[2].bbox)
    assert not is_lit(pair.source, (120.0, 60.0, 160.0, 70.0))
    assert not is_lit(np.zeros_like(pair.source), pair.objects[2].bbox)


@pytest.mark.parametrize("box", [(-50.0, -50.0, -10.0, -10.0), (0.0, 0.0, 1e9, 1e9), (float("nan"), 0.0, 5.0, 5.0)])
def test_odd_boxes_of_signals_raise_nothing(pair, box):
    odd = replace(pair.objects[2], bbox=box)
    (found,) = judge(pair.source, pair.variant, pair.source, [odd], None, SETTINGS).objects
    assert found.signal_kept is None or 0 <= found.signal_kept <= 1
    assert 0 <= lamps_kept(pair.source, pair.variant, box) <= 1


@pytest.mark.parametrize(
    ("changed", "verdict", "cause"),
    [
        ({}, "keep", None),
        ({"evidence": 0.1}, "ignore", "dissolved"),
        ({"evidence": None, "structure_raw": 0.05}, "ignore", "dissolved"),
        ({"structure_raw": 0.05}, "keep", None),
        ({"signal_kept": 0.9}, "keep", None),
        ({"signal_kept": 0.2}, "ignore", "signal_changed"),
        (
            {"signal_kept": 0.2, "bbox": SMALL, "signal_source": "red", "signal_variant": "red"},
            "ignore",
            "signal_changed",
        ),
        ({"signal_kept": 0.5, "bbox": SMALL, "signal_source": "red", "signal_variant": "red"}, "keep", None),
        ({"signal_kept": 0.5, "signal_source": "red", "signal_variant": "red"}, "ignore", "signal_changed"),
        ({"signal_kept": 0.2, "signal_source": "red", "signal_variant": "red"}, "lost", "signal_changed"),
    ],
)
def test_what_the_gates_make_of_it(changed, verdict, cause):
    found = decide(replace(KEPT, **changed), SETTINGS, 640)
    assert (found.verdict, found.cause) == (verdict, cause)
