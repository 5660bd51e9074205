from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

from s2st_aug.errors import UsageError
from s2st_aug.records.scene import SceneObject
from s2st_aug.validation.judge import judge
from s2st_aug.validation.settings import ValidationSettings

SETTINGS = ValidationSettings()


def verdicts(pair, variant, **changes):
    found = judge(pair.source, variant, variant, pair.objects, None, SETTINGS.model_copy(update=changes))
    return {o.object_id: o for o in found.objects}, found


def test_a_true_night_keeps_every_label(pair):
    objects, found = verdicts(pair, pair.variant)
    assert {o.verdict for o in objects.values()} == {"keep"}, objects
    assert found.status == "ok", found.reasons


def test_images_of_different_sizes_are_refused(pair):
    with pytest.raises(UsageError, match="one size"):
        judge(pair.source, pair.variant[:-1], pair.variant, (), None, SETTINGS)


@pytest.mark.parametrize(("level", "reason"), [(0, "black"), (255, "washed out")])
def test_black_and_white_variants_are_rejected_with_that_reason(pair, level, reason):
    _, found = verdicts(pair, np.full_like(pair.source, level))
    assert found.status == "rejected"
    assert any(reason in r for r in found.reasons)


@pytest.mark.parametrize("level", [0, 255])
def test_black_and_white_sources_are_judged_without_a_nan(pair, level):
    found = judge(np.full_like(pair.source, level), pair.variant, pair.variant, pair.objects, None, SETTINGS)
    json.dumps(asdict(found), allow_nan=False)
    assert found.structure is None
    assert any("structure is null" in r for r in found.reasons)
    assert {o.verdict for o in found.objects} == {"ignore"}


def odd_objects(w: int, h: int) -> list[SceneObject]:
    boxes = [
        (0, 0, 1, 1), (0, 0, 20, 20), (w - 20, 0, w, 20), (0, h - 20, 20, h), (w - 20, h - 20, w, h),
        (-50, -50, 10, 10), (w + 5, h + 5, w + 9, h + 9), (40, 40, 41, 41), (50, 50, 50, 50), (60, 60, 40, 40),
        (0, 0, w, h), (5, 0, 6, h), (float("nan"), 0, 10, 10), (0, 0, float("inf"), 9),
    ]  # fmt: skip
    items = [SceneObject(f"b{i}", "box", "car", b) for i, b in enumerate(boxes)]
    items += [SceneObject("p0", "polygon", "car", (5, 5, 30, 30), outlines=(np.array([[5.0, 5], [30, 5], [17, 30]]),))]
    items += [SceneObject("p1", "polygon", "car", (5, 5, 30, 30), outlines=())]
    items += [SceneObject("m", "mask", "car", (5, 5, 30, 30), mask=np.zeros((h, w), bool))]
    items += [SceneObject("c", "box", "car", (5, 5, 30, 30), crowd=True)]
    items += [SceneObject(f"l{i}", "polyline", "lane", (0, 0, w, h), outlines=(line,)) for i, line in enumerate(LINES)]
    items += [
        SceneObject("s0", "stuff", "road", (0, 0, w, h), mask=np.ones((h, w), bool)),
        SceneObject("s1", "stuff", "sky", (0, 0, w, h)),
    ]
    return [*items, SceneObject("t", "box", "traffic light", (-5, -5, 3, 3), signal="green")]


LINES = (
    np.array([[3.0, 3], [3, 3]]),
    np.array([[-9.0, 9], [900, 9]]),
    np.array([[5.0, 5]]),
    np.array([[np.nan, 5], [7, 8]]),
    np.array([[10.0, 10], [60, 80], [61, 80]]),
    np.empty((0, 2)),
)


def test_odd_boxes_lines_and_masks_are_judged_not_raised(pair):
    h, w = pair.source.shape[:2]
    items = odd_objects(w, h)
    found = judge(pair.source, pair.variant, pair.variant, items, None, SETTINGS)
    assert [o.object_id for o in found.objects] == [o.object_id for o in items]
    assert all(o.reason for o in found.objects if o.verdict != "keep")
    measures = [(o.structure, o.structure_raw, o.visibility, o.shift_px) for o in found.objects]
    json.dumps(measures, allow_nan=False)


def test_empty_labels_tiny_images_and_five_hundred_objects(pair):
    assert judge(pair.source, pair.variant, pair.variant, (), None, SETTINGS).objects == ()
    one = np.zeros((1, 1, 3), np.uint8)
    assert judge(one, one, one, (SceneObject("a", "box", "car", (0, 0, 1, 1)),), None, SETTINGS).status == "rejected"
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 200, (500, 2))
    many = [SceneObject(str(i), "box", "car", (x, y, x + 12, y + 14)) for i, (x, y) in enumerate(corners.tolist())]
    assert len(judge(pair.source, pair.variant, pair.variant, many, None, SETTINGS).objects) == 500


def test_a_crowd_and_a_tiny_object_are_ignored_and_do_not_reject(pair):
    items = [
        SceneObject("c", "box", "person", (250, 105, 267, 171), crowd=True),
        SceneObject("t", "box", "person", (250, 105, 254, 109)),
    ]
    found = judge(pair.source, pair.variant, pair.variant, [*items, pair.objects[0]], None, SETTINGS)
    assert [o.verdict for o in found.objects] == ["ignore", "ignore", "keep"]
    assert found.status == "ok", found.reasons


def test_every_null_measure_has_its_reason(pair):
    _, found = verdicts(pair, pair.variant)
    assert found.strength is None
    assert any("strength is null" in r for r in found.reasons)


def test_an_object_that_dissolved_before_the_detail_step_is_not_kept(pair):
    raw = pair.variant.copy()
    raw[125:190, 145:222] = raw[125:190, 145:222].mean((0, 1)).astype(np.uint8)
    found = judge(pair.source, pair.variant, raw, pair.objects, None, SETTINGS)
    car = next(o for o in found.objects if o.object_id == "car")
    assert car.evidence < SETTINGS.least_evidence
    assert car.verdict == "ignore"
    assert car.reason.startswith("not there, or not the same, before the detail step")
