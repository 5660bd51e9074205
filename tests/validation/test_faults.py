from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from s2st_aug.validation.faults import FAULTS, Pair
from s2st_aug.validation.judge import judge
from s2st_aug.validation.settings import ValidationSettings

SETTINGS = ValidationSettings()


def struck(pair, name, object_id, key=0):
    item = next((o for o in pair.objects if o.object_id == object_id), None)
    planted = FAULTS[name](pair, item, np.random.default_rng(key))
    assert planted is not None
    found = judge(pair.source, planted.variant, planted.variant, pair.objects, None, SETTINGS)
    return planted, found, {o.object_id: o for o in found.objects}


@pytest.mark.parametrize("name", ["erased", "shift8", "shift16"])
@pytest.mark.parametrize("object_id", ["car", "person"])
def test_faults_of_an_object_are_seen_there_and_nowhere_else(pair, name, object_id):
    _, _, objects = struck(pair, name, object_id)
    assert objects[object_id].verdict != "keep"
    assert [o.verdict for k, o in objects.items() if k != object_id] == ["keep", "keep"]


def test_a_shift_is_measured_to_half_a_pixel(pair):
    for name, px in (("shift4", 4), ("shift8", 8)):
        _, _, objects = struck(pair, name, "car")
        assert objects["car"].shift_px == pytest.approx(px, abs=0.5)
        assert objects["car"].verdict == "lost"
        assert objects["car"].reason.startswith("moved")


def test_a_changed_signal_is_lost_and_rejects_the_image(pair):
    _, found, objects = struck(pair, "signal_changed", "light")
    assert objects["light"].verdict == "lost"
    assert objects["light"].reason.startswith("signal changed: red became")
    assert found.status == "rejected"
    assert any(r.startswith("lost: 1 traffic light") for r in found.reasons)


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


def test_a_fault_that_cannot_strike_says_so(pair):
    rng = np.random.default_rng(0)
    assert FAULTS["signal_changed"](pair, pair.objects[0], rng) is None
    assert FAULTS["erased"](pair, None, rng) is None
    everywhere = replace(pair.objects[0], bbox=(0.0, 0.0, 320.0, 240.0))
    assert FAULTS["pasted_light"](replace(pair, objects=(everywhere,)), None, rng) is None
