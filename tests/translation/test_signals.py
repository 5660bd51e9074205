"""Lamps and signs are held, and nothing beside them: pictures of signals before what daylight shows."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from s2st_aug.records.scene import SceneObject
from s2st_aug.translation.signals import hold_signals

BEHIND = {"sky": (90, 150, 225), "foliage": (70, 130, 50), "brick": (160, 75, 55), "yellow wall": (220, 180, 40)}
LAMPS = {"red": (230, 40, 30), "amber": (250, 180, 20), "green": (30, 220, 140)}
BOX = (48.0, 36.0, 72.0, 84.0)
NIGHT = np.full((120, 120, 3), (10, 10, 18), np.uint8)


def signal(behind, lamp=None, *, pale: bool = False) -> np.ndarray:
    image = np.full((120, 120, 3), behind, np.uint8)
    image[40:80, 52:68] = (25, 25, 25)
    if lamp:
        cv2.circle(image, (60, 47), 5, lamp, -1)
    if pale:
        cv2.circle(image, (60, 47), 2, (255, 250, 240), -1)
    return image


def light(state=None, kind="box", **more) -> SceneObject:
    return SceneObject("0", kind, "traffic light", BOX, signal=state, **more)


@pytest.mark.parametrize("behind", BEHIND.values(), ids=BEHIND)
@pytest.mark.parametrize("told", [True, False], ids=["state known", "state unknown"])
@pytest.mark.parametrize("state", LAMPS)
def test_the_lamp_is_held_and_what_is_behind_its_housing_is_not(behind, told, state):
    day = signal(behind, LAMPS[state])
    held = hold_signals(day, NIGHT, [light(state if told else None)])
    assert (held[47, 60] == day[47, 60]).all()
    moved = (held != NIGHT).any(-1)
    assert not moved[:40].any() and not moved[56:].any() and not moved[:, :52].any() and not moved[:, 68:].any()


@pytest.mark.parametrize("behind", BEHIND.values(), ids=BEHIND)
def test_a_signal_without_a_lit_lamp_stays_dark(behind):
    assert (hold_signals(signal(behind), NIGHT, [light()]) == NIGHT).all()


def test_the_pale_middle_of_a_lamp_belongs_to_it():
    day = signal(BEHIND["sky"], LAMPS["green"], pale=True)
    assert hold_signals(day, NIGHT, [light("green")])[47, 60].min() > 200


def test_a_street_light_is_no_signal():
    lamp = SceneObject(
        "0", "polygon", "street light", BOX, outlines=(np.array([[48, 36], [72, 36], [72, 84], [48, 84.0]]),)
    )
    assert (hold_signals(signal(BEHIND["sky"], LAMPS["amber"]), NIGHT, [lamp]) == NIGHT).all()


def test_a_sign_keeps_its_hue_inside_of_its_outline_alone():
    day = np.full((120, 120, 3), (200, 40, 40), np.uint8)
    triangle = np.array([[60, 36], [72, 84], [48, 84.0]])
    dusk = np.full_like(day, (60, 45, 30))
    held = hold_signals(day, dusk, [SceneObject("0", "polygon", "traffic sign", BOX, outlines=(triangle,))])
    assert (held[80, 60] != dusk[80, 60]).any()
    assert (held[40, 50] == dusk[40, 50]).all()


def test_every_part_of_a_classes_mask_is_a_signal_of_its_own():
    day = np.concatenate([signal(BEHIND["sky"], LAMPS["red"]), signal(BEHIND["sky"], LAMPS["green"])], axis=1)
    mask = np.zeros(day.shape[:2], bool)
    mask[40:80, 52:68] = mask[40:80, 172:188] = True
    held = hold_signals(
        day, np.tile(NIGHT, (1, 2, 1)), [SceneObject("0", "stuff", "traffic light", (52, 40, 188, 80), mask=mask)]
    )
    assert (held[47, 60] == day[47, 60]).all() and (held[47, 180] == day[47, 180]).all()
    assert (held[60, 120] == NIGHT[0, 0]).all()
