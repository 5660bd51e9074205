from __future__ import annotations

import cv2
import numpy as np
import pytest

from benchmarks.planted_faults import PAINTED_FAULTS
from benchmarks.render_distance import render_distance
from s2st_aug.errors import DatasetError, UsageError
from s2st_aug.records.scene import SceneObject
from s2st_aug.report.overlay import COLOURS, draw_overlay
from s2st_aug.validation import objects
from s2st_aug.validation.appearance import appearance
from s2st_aug.validation.calibration import MOST_EVIDENCE, TrueChange, calibrate, retouched
from s2st_aug.validation.flicker import flicker
from s2st_aug.validation.judge import judge
from s2st_aug.validation.patches import SIDE, frame, in_front, strip_points, window
from s2st_aug.validation.settings import ValidationSettings
from s2st_aug.validation.signals import signal_evidence, signal_state


def test_distance_to_the_true_render_is_one_for_nothing_done_and_zero_for_the_truth(pair):
    assert render_distance(pair.source, pair.source, pair.variant) == pytest.approx(1)
    assert render_distance(pair.source, pair.variant, pair.variant) == 0
    assert render_distance(pair.source, pair.variant, pair.source) is None
    with pytest.raises(UsageError, match="one size"):
        render_distance(pair.source, pair.source[:-2], pair.variant)


def test_flicker_is_one_for_the_sources_themselves_and_grows_with_noise(pair):
    frames = [np.roll(pair.source, 2 * i, 1) for i in range(3)]
    rng = np.random.default_rng(0)
    noisy = [np.clip(f + rng.normal(0, 12, f.shape), 0, 255).astype(np.uint8) for f in frames]
    assert flicker(frames, frames) == pytest.approx(1)
    assert flicker(frames, noisy) > 1.5
    assert flicker(frames[:1], frames[:1]) is None
    with pytest.raises(UsageError, match="one variant per source"):
        flicker(frames, frames[:2])


def test_a_tone_curve_explains_darkening_and_not_a_true_night(pair):
    assert appearance(pair.source, (pair.source * 0.4).astype(np.uint8)).tone_explained > 0.985
    assert appearance(pair.source, pair.variant).tone_explained < 0.9
    assert appearance(pair.source, pair.source).change == 0


@pytest.mark.parametrize("colour", [("red", (255, 50, 40)), ("amber", (255, 170, 30)), ("green", (40, 240, 140))])
@pytest.mark.parametrize("gain", [1.0, 0.45])
def test_the_lit_lamp_is_read_by_day_and_by_night(colour, gain):
    name, rgb = colour
    image = np.full((120, 80, 3), 120, np.uint8)
    cv2.rectangle(image, (30, 30), (47, 80), (25, 25, 25), -1)
    cv2.circle(image, (39, {"red": 39, "amber": 55, "green": 71}[name]), 6, rgb, -1)
    assert signal_state((image * gain).astype(np.uint8), (30, 30, 48, 81)) == name
    assert signal_state(np.full_like(image, 90), (30, 30, 48, 81)) is None


def line_image() -> np.ndarray:
    image = np.full((200, 300, 3), 90, np.uint8)
    cv2.line(image, (40, 190), (260, 20), (235, 235, 235), 5)
    return image


LANE = SceneObject(
    "lane", "polyline", "lane/single white", (40, 20, 260, 190), outlines=(np.array([[40.0, 190], [260, 20]]),)
)


def test_a_lane_is_kept_in_place_and_seen_to_move_across():
    image = line_image()
    source = frame(image)
    kept = objects.measure(LANE, source, source, source)
    assert kept.structure == pytest.approx(1, abs=0.05)
    assert kept.shift_px == pytest.approx(0, abs=0.3)
    moved = frame(np.roll(image, 8, 0))
    found = objects.measure(LANE, source, moved, moved)
    assert found.shift_px == pytest.approx(8 * np.cos(np.arctan2(170, 220)), abs=0.7), (
        "shift is measured along the normal"
    )
    assert judge(image, moved.image, moved.image, [LANE], None, ValidationSettings()).objects[0].verdict == "lost"


def test_an_erased_lane_and_a_filled_drivable_edge_are_not_kept():
    image = line_image()
    variant = np.full_like(image, 90)
    mask = np.zeros(image.shape[:2], bool)
    cv2.fillPoly(m := mask.astype(np.uint8), [np.array([[60, 195], [150, 30], [240, 195]])], 1)
    area = np.where(m[..., None] > 0, np.uint8(150), image)
    stuff = SceneObject("d", "stuff", "drivable area", (60, 30, 241, 196), mask=m.astype(bool))
    assert judge(image, variant, variant, [LANE], None, ValidationSettings()).objects[0].verdict != "keep"
    assert judge(area, area // 2, area // 2, [stuff], None, ValidationSettings()).objects[0].verdict == "keep"
    assert judge(area, image, image, [stuff], None, ValidationSettings()).objects[0].verdict != "keep"


@pytest.mark.parametrize(
    "box", [(0, 0, 1, 1), (100, 50, 140, 90), (0, 0, 1280, 720), (1200, 3, 1280, 700), (-40, -40, 8, 8)]
)
def test_an_object_is_measured_on_at_most_64_by_64_pixels(box):
    at = window(SceneObject("a", "box", "car", tuple(map(float, box))), (720, 1280, 3))
    ys, xs = np.nonzero(at.mask)
    assert max(np.ptp(ys), np.ptp(xs)) + 1 <= SIDE + 4, "the outline is two pixels wider on each side"
    assert at.mask.any()


def test_what_hides_an_object_is_not_measured_as_it():
    far = SceneObject("far", "box", "car", (20.0, 20.0, 60.0, 50.0))
    near = SceneObject("near", "box", "car", (50.0, 25.0, 120.0, 80.0))
    assert in_front([far, near]) == [[near.bbox], []]
    at = window(far, (200, 200, 3), [near.bbox])
    full = window(far, (200, 200, 3))
    assert at.mask.sum() < full.mask.sum()
    assert (window(far, (200, 200, 3), [(0.0, 0.0, 200.0, 200.0)]).mask == full.mask).all(), (
        "wholly hidden: measured as it is"
    )


def test_calibration_reports_the_other_half_and_refuses_too_few(pair):
    photos = [np.roll(pair.source, 13 * i, 1) for i in range(10)]
    changes = [TrueChange(p, v, v) for p, v in ((p, retouched(p, str(i))) for i, p in enumerate(photos))]
    found = calibrate(changes, ValidationSettings(max_shift_px=0.001, max_shift_of_size=0), "ten drawn streets")
    assert found.photos == 10
    assert found.after < found.before
    assert found.settings.calibrated_on == "ten drawn streets"
    with pytest.raises(DatasetError, match="at least 8 photos"):
        calibrate(changes[:3], ValidationSettings(), "")


def test_calibration_sets_the_evidence_that_a_label_must_have(pair):
    """Where a model's pictures are soft, a bar that doubts true labels comes down; where they are sharp, it rises."""
    photos = [np.roll(pair.source, 13 * i, 1) for i in range(8)]
    pairs = [(p, retouched(p, str(i))) for i, p in enumerate(photos)]
    soft = [TrueChange(p, v, cv2.GaussianBlur(v, (0, 0), 6)) for p, v in pairs]
    sharp = [TrueChange(p, v, cv2.GaussianBlur(v, (0, 0), 0.5)) for p, v in pairs]
    strict = calibrate(soft, ValidationSettings(least_evidence=0.9), "")
    assert strict.before > 0.15
    assert strict.settings.least_evidence < 0.9
    assert strict.after < strict.before
    raised = calibrate(sharp, ValidationSettings(), "").settings.least_evidence
    assert ValidationSettings().least_evidence < raised <= MOST_EVIDENCE


def test_the_overlay_marks_what_was_lost(pair):
    struck = PAINTED_FAULTS["erased_painted"](pair, pair.objects[2], np.random.default_rng(0)).variant
    found = judge(pair.source, struck, struck, pair.objects, None, ValidationSettings())
    picture = draw_overlay(pair.source, struck, found)
    assert picture.dtype == np.uint8
    assert picture.shape[1] == 1280
    assert (np.abs(picture.astype(int) - COLOURS["lost"]).max(-1) < 10).sum() > 100, "the lost light is framed"


def test_a_pale_lamp_in_rain_is_still_read():
    image = np.full((120, 80, 3), 120, np.uint8)
    cv2.rectangle(image, (30, 30), (47, 80), (25, 25, 25), -1)
    cv2.circle(image, (39, 71), 6, (40, 240, 140), -1)
    veiled = cv2.addWeighted(image, 0.42, np.full_like(image, 150), 0.58, 0)
    evidence = signal_evidence(veiled, (30, 30, 48, 81))
    assert 0.003 < evidence["green"] < 0.01, "below what was asked for until rain's green was found unreadable"
    assert signal_state(veiled, (30, 30, 48, 81)) == "green"


def test_strips_take_a_point_every_two_pixels_along_a_line_and_the_middle_of_a_short_one():
    points, normals = strip_points((np.array([[10.0, 50], [16, 50], [16, 50], [16, 53]]),), (100, 100), closed=False)
    assert points.tolist() == [[10, 50], [12, 50], [14, 50], [16, 50], [16, 52]]
    assert normals.tolist() == [[0, 1], [0, 1], [0, 1], [-1, 0], [-1, 0]]
    points, _ = strip_points((np.array([[30.0, 40], [31, 40]]),), (100, 100), closed=False)
    assert points.tolist() == [[30.5, 40]]


@pytest.mark.parametrize("closed", [False, True])
def test_the_points_of_many_outlines_are_those_of_each_one_after_the_other(closed):
    outlines = (
        [[10, 10], [30, 12.5]],
        [[50, 50], [50, 50]],
        [[40, 40], [40.5, 40], [40.5, 41]],
        [[60, 20], [70, 20], [70, 33]],
    )
    lines = tuple(np.array(outline, float) for outline in outlines)
    alone = [found for line in lines if (found := strip_points((line,), (100, 100), closed=closed))]
    together = strip_points(lines, (100, 100), closed=closed)
    assert len(alone) == 3 and together is not None  # a line without length has no points
    for one, parts in zip(together, zip(*alone, strict=True), strict=True):
        np.testing.assert_allclose(one, np.concatenate(parts), atol=1e-9)
