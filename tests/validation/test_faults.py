from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from benchmarks.planted_faults import LIGHT_FAULTS, PAINTED_FAULTS, WHOLE_FAULTS, Pair, shifted
from s2st_aug.testing.detectors import FakeDetector
from s2st_aug.validation.detectors import Detection
from s2st_aug.validation.hallucinations import hallucinated_lights
from s2st_aug.validation.judge import judge
from s2st_aug.validation.patches import frame
from s2st_aug.validation.settings import ValidationSettings

SETTINGS = ValidationSettings()
LAMPS = LIGHT_FAULTS["pasted_light"]
ADDED = ("pasted_light", "pasted_smear", "pasted_car", "duplicated")
FAULTS = PAINTED_FAULTS | WHOLE_FAULTS
FAULTS |= {"pasted_light": LAMPS["red_disc"], "pasted_smear": LIGHT_FAULTS["pasted_smear"]["smear"]}


def struck(pair, name, object_id, key=0):
    item = next((o for o in pair.objects if o.object_id == object_id), None)
    planted = FAULTS[name](pair, item, np.random.default_rng(key))
    assert planted is not None
    found = judge(pair.source, planted.variant, planted.variant, pair.objects, None, SETTINGS)
    return planted, found, {o.object_id: o for o in found.objects}


def judged(pair, variant):
    return {o.object_id: o for o in judge(pair.source, variant, variant, pair.objects, None, SETTINGS).objects}


@pytest.mark.parametrize("name", ["erased_painted", "shift8_painted"])
@pytest.mark.parametrize("object_id", ["car", "person"])
def test_faults_of_an_object_are_seen_there_and_nowhere_else(pair, name, object_id):
    _, _, objects = struck(pair, name, object_id)
    assert objects[object_id].verdict != "keep"
    assert [o.verdict for k, o in objects.items() if k != object_id] == ["keep", "keep"]


def test_a_shift_is_measured_to_half_a_pixel(pair):
    for px in (4, 8):
        objects = judged(pair, shifted(pair, pair.objects[0], np.random.default_rng(0), px=px).variant)
        assert objects["car"].shift_px == pytest.approx(px, abs=0.5)
        assert objects["car"].verdict == "lost"
        assert objects["car"].reason.startswith("moved")


def test_a_changed_signal_is_lost_and_rejects_the_image(pair):
    green = pair.variant.copy()
    cv2.circle(green, (137, 49), 7, (25, 25, 25), -1)
    cv2.circle(green, (137, 81), 6, (40, 255, 140), -1)
    found = judge(pair.source, green, green, pair.objects, None, SETTINGS)
    objects = {o.object_id: o for o in found.objects}
    assert objects["light"].verdict == "lost"
    assert objects["light"].reason.startswith("signal changed: red became")
    assert found.status == "rejected"
    assert any(r.startswith("lost: 1 x traffic light") for r in found.reasons)


@pytest.mark.parametrize("key", range(4))
def test_a_second_lit_lamp_is_a_changed_signal(pair, key):
    planted, _, objects = struck(pair, "signal_two_lit", "light", key)
    assert objects["light"].cause == "signal_changed"
    assert (planted.variant != pair.variant).any()


def test_a_second_lamp_needs_an_upright_housing_and_a_known_state(pair):
    rng, item = np.random.default_rng(0), pair.objects[2]
    lying = replace(item, bbox=(128.0, 40.0, 179.0, 59.0))
    assert FAULTS["signal_two_lit"](pair, pair.objects[0], rng) is None
    assert FAULTS["signal_two_lit"](pair, replace(item, signal=None), rng) is None
    assert FAULTS["signal_two_lit"](pair, lying, rng) is None


def test_identity_and_darkening_are_rejected_with_that_reason_though_structure_is_high(pair):
    for name in ("identity", "darkened"):
        _, found, _ = struck(pair, name, None)
        assert found.status == "rejected"
        assert found.reasons[0].startswith(name)


def found_lights(pair, keys):
    """Of lights pasted into a pair of camera size, how many are found where they are, and how many were pasted."""
    hits = []
    for key in range(keys):
        planted = FAULTS["pasted_light"](pair, None, np.random.default_rng(key))
        if planted is None:
            continue
        found = judge(pair.source, planted.variant, planted.variant, pair.objects, None, SETTINGS)
        x, y = (planted.box[0] + planted.box[2]) / 2, (planted.box[1] + planted.box[3]) / 2
        there = [h for h in found.hallucinations if h.score >= SETTINGS.max_hallucination]
        hits.append(any(h.bbox[0] - 2 <= x <= h.bbox[2] + 2 and h.bbox[1] - 2 <= y <= h.bbox[3] + 2 for h in there))
    return sum(hits), len(hits)


def test_pasted_lights_are_found_where_they_are(pair):
    large = Pair(*(cv2.resize(i, (1280, 960), interpolation=cv2.INTER_CUBIC) for i in (pair.source, pair.variant)), ())
    hits, pasted = found_lights(large, 10)
    assert pasted >= 8
    assert hits >= 0.8 * pasted


@pytest.mark.parametrize(("top", "height", "doubted"), [(160, 7, True), (160, 12, False), (20, 12, True)])
def test_a_streak_on_the_road_is_a_reflection(top, height, doubted):
    source = np.full((240, 320, 3), 70, np.uint8)
    variant = cv2.GaussianBlur(
        cv2.rectangle(source.copy(), (150, top), (156, top + height), (255, 40, 30), -1), (0, 0), 1
    )
    found = hallucinated_lights(frame(source), frame(variant), ())
    assert any(h.score >= SETTINGS.max_hallucination for h in found) == doubted


def test_a_fault_that_cannot_strike_says_so(pair):
    rng = np.random.default_rng(0)
    assert FAULTS["pasted_car"](pair, pair.objects[1], rng) is None
    assert FAULTS["erased_painted"](pair, None, rng) is None
    everywhere = replace(pair.objects[0], bbox=(0.0, 0.0, 320.0, 240.0))
    assert FAULTS["pasted_light"](replace(pair, objects=(everywhere,)), None, rng) is None


@pytest.mark.parametrize("name", sorted(set(FAULTS) - {"identity", "darkened"}))
def test_a_fault_changes_its_own_place_and_nothing_else(pair, name):
    item = pair.objects[2 if name == "signal_two_lit" else 0]
    planted = FAULTS[name](pair, item, np.random.default_rng(0))
    ys, xs = np.nonzero((planted.variant != pair.variant).any(-1))
    x1, y1, x2, y2 = planted.box
    room = 30 if name == "pasted_light" else 20
    assert len(ys) > 30
    assert xs.min() >= x1 - room and xs.max() <= x2 + room and ys.min() >= y1 - room and ys.max() <= y2 + room
    assert planted.object_id == (None if name in ADDED else item.object_id)


@pytest.mark.parametrize("name", ["blurred", "washed_region", "melted"])
def test_what_blurs_melts_or_washes_an_object_out_lowers_its_structure(pair, name):
    before = judge(pair.source, pair.variant, pair.variant, pair.objects, None, SETTINGS).objects[0].structure
    _, _, objects = struck(pair, name, "car")
    assert objects["car"].structure < before - 0.15
    assert objects["person"].verdict == "keep"


def test_a_shift_of_two_pixels_is_measured_though_it_is_within_what_is_allowed(pair):
    objects = judged(pair, shifted(pair, pair.objects[1], np.random.default_rng(0), px=2).variant)
    assert 1 < objects["person"].shift_px < SETTINGS.max_shift_px


@pytest.mark.parametrize("name", ["pasted_car", "duplicated"])
def test_a_pasted_object_needs_a_detector_and_is_found_where_it_stands_with_one(pair, name):
    planted = FAULTS[name](pair, pair.objects[0], np.random.default_rng(1))
    seen = FakeDetector(lambda image: [Detection(planted.box, "car", 0.9)] if image is planted.variant else [])
    found = judge(pair.source, planted.variant, planted.variant, pair.objects, None, SETTINGS, detector=seen)
    assert found.status == "rejected"
    assert [h.bbox for h in found.hallucinations if h.kind == "car"] == [planted.box]
