"""What may be a made-up light: candidates of every shape, and skies that turned red."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from s2st_aug.records.scene import SceneObject
from s2st_aug.validation.hallucinations import PIECE, candidates, hallucinated_lights, red_sky, unexplained
from s2st_aug.validation.patches import frame
from s2st_aug.validation.settings import ValidationSettings

LEAST = ValidationSettings().max_hallucination or 2.0
DAY = np.full((360, 640, 3), 120, np.uint8)


def night() -> np.ndarray:
    return np.full((360, 640, 3), 28, np.uint8)


def test_a_long_line_is_judged_piece_by_piece_and_a_lamp_as_one_blob():
    lit = cv2.line(night(), (60, 340), (300, 220), (255, 220, 160), 3, cv2.LINE_AA)
    lit = cv2.circle(lit, (500, 80), 5, (255, 255, 250), -1, cv2.LINE_AA)
    seen = candidates(frame(DAY), frame(lit), ())
    assert seen.shapes.count("blob") == 1
    pieces = [b for b, shape in zip(seen.boxes, seen.shapes, strict=True) if shape == "piece"]
    assert len(pieces) >= 8
    assert max(max(x2 - x1, y2 - y1) for x1, y1, x2, y2 in pieces) <= PIECE
    assert seen.patches.shape == (len(seen.boxes), 32, 32, 12)


def test_a_labelled_thing_is_no_candidate():
    lit = cv2.circle(night(), (500, 80), 5, (255, 255, 250), -1, cv2.LINE_AA)
    label = SceneObject("a", "box", "traffic light", (480.0, 60.0, 520.0, 100.0))
    assert not [s for s in candidates(frame(DAY), frame(lit), (label,)).shapes if s != "wide"]


def red(image: np.ndarray) -> np.ndarray:
    """The upper third turned red."""
    out = image.copy()
    out[:120] = np.clip(out[:120] + np.array([110, 0, 10]), 0, 255)
    return out


def test_a_sky_that_turned_red_is_a_glow():
    found = red_sky(frame(DAY), frame(red(night())))
    assert [h.kind for h in found] == ["glow"]
    assert found[0].score >= LEAST
    assert found[0].bbox[3] <= 180


@pytest.mark.parametrize("variant", [night(), np.full((360, 640, 3), 200, np.uint8)])
def test_a_sky_that_only_changed_its_brightness_is_none(variant):
    assert red_sky(frame(DAY), frame(variant)) == []


def test_what_was_red_before_or_has_structure_is_no_sky():
    wall = DAY.copy()
    wall[:120] = (190, 70, 60)
    assert red_sky(frame(wall), frame(red(night()))) == []
    windows = DAY.copy()
    windows[:120:8] = 30
    windows[:, ::8] = 220
    assert red_sky(frame(windows), frame(red(night()))) == []


def test_a_dash_of_paint_that_the_headlights_lit_stands_in_the_source():
    road, lit = DAY.copy(), night()
    for image, level in ((road, 215), (lit, 190)):
        cv2.fillConvexPoly(image, np.array([(310, 250), (318, 250), (312, 275), (296, 275)]), (level,) * 3, cv2.LINE_AA)
    assert all(h.score < LEAST for h in hallucinated_lights(frame(road), frame(lit), ()))


def test_a_light_as_bright_as_what_is_around_it_is_not_taken_for_explained():
    """Green of the same luma as a grey sky has edges in colour alone."""
    day = cv2.rectangle(np.full((360, 640, 3), 180, np.uint8), (100, 60), (140, 84), (150, 150, 150), -1)
    grey = np.full((360, 640, 3), 190, np.uint8)
    for x in (100, 400):
        cv2.rectangle(grey, (x, 60), (x + 40, 84), (117, 247, 118), -1)
    assert unexplained(day, grey, (400.0, 60.0, 441.0, 85.0)) > 0.9
    assert unexplained(day, grey, (100.0, 60.0, 141.0, 85.0)) < 0.35
    assert unexplained(day, grey, (0.0, 0.0, 8.0, 8.0)) == 1.0
