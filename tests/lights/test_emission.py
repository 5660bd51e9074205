"""Lights laid over a variant: where the map says so, nowhere else, and never in a signal."""

from __future__ import annotations

import numpy as np
import pytest

from s2st_aug.images import luma
from s2st_aug.lights.emission import NIGHTS, add_lights
from s2st_aug.lights.light_map import LightMap
from s2st_aug.lights.network import GROUPS, KINDS

H, W = 90, 160
DAY = np.full((H, W, 3), 120, np.uint8)
DARK = np.full((H, W, 3), 20, np.uint8)
PLACE = (slice(40, 46), slice(60, 68))


def a_map(kind: str | None = None, *, dry: float = 0.0, **more: float) -> LightMap:
    masks = np.full((len(KINDS), H, W), 0.01, np.float32)
    for name, p in ({kind: 0.95} if kind else {}).items() | more.items():
        masks[KINDS.index(name)][PLACE] = p
    radiance = np.full((H, W, 3), (0.9, 0.8, 0.6), np.float32)
    surfaces = np.full((H // 4 + 1, W // 4, 3), dry, np.float32)
    return LightMap(masks, radiance, surfaces, surfaces, np.zeros((len(GROUPS), H, W), np.float32))


@pytest.mark.parametrize("kind", ["head", "tail", "lamp", "pane"])
def test_what_shines_is_bright_and_the_rest_stays_dark(kind):
    lit = luma(add_lights(DAY, DARK, a_map(kind, light=0.9), NIGHTS["night"]))
    assert lit[42:44, 62:66].min() > 150
    assert lit[:20].max() <= 20


def test_a_window_that_is_not_likely_lit_stays_dark():
    assert luma(add_lights(DAY, DARK, a_map("pane", light=0.02), NIGHTS["night"])).max() < 40


@pytest.mark.parametrize("kind", ["head", "tail", "lamp"])
def test_a_signal_is_left_as_it_is(kind):
    variant = DARK.copy()
    variant[PLACE] = (20, 200, 120)
    done = add_lights(DAY, variant, a_map(kind, light=0.9, signal=0.9), NIGHTS["night"])
    np.testing.assert_allclose(done[PLACE].astype(int), variant[PLACE].astype(int), atol=3)


@pytest.mark.parametrize("kind", ["head", "tail", "lamp"])
def test_in_a_labelled_signal_nothing_is_lit_and_what_has_its_colour_stays(kind):
    variant = DARK.copy()
    variant[42:44, 62:66] = (20, 200, 120)
    found = a_map(kind, light=0.9)
    found.labels[GROUPS.index("signal"), 36:50, 56:72] = 1
    done = add_lights(DAY, variant, found, NIGHTS["night"]).astype(int)
    np.testing.assert_allclose(done[42:44, 62:66], variant[42:44, 62:66], atol=3)
    assert done[37:41, 57:71].max() <= 20


def test_a_wet_road_mirrors_what_shines_and_a_dry_one_does_not():
    found = a_map("head", light=0.9)
    below = (slice(45, 60), slice(61, 67))
    wet, dry = (luma(add_lights(DAY, DARK, found, NIGHTS[n]))[below] for n in ("night_rain", "night"))
    assert wet.mean() > dry.mean() + 10


def test_what_is_bright_without_being_a_light_is_pressed_down():
    variant = DARK.copy()
    variant[:20, :] = 190  # a cloud
    done = luma(add_lights(DAY, variant, a_map("lamp"), NIGHTS["night"]))
    assert done[:18].max() < 110
    assert luma(add_lights(DAY, variant, a_map("lamp"), NIGHTS["dusk"]))[:18].min() > 160  # a sky at dusk is bright


def test_where_no_lamp_shines_nothing_gets_brighter():
    assert add_lights(DAY, DARK, a_map(), NIGHTS["night"]).max() <= 20


def test_lamps_light_up_surfaces_as_the_day_shows_them():
    day = DAY.copy()
    day[:, :80] = 240
    done = luma(add_lights(day, DARK, a_map(dry=0.3), NIGHTS["night"]))
    assert done[:, :70].mean() > done[:, 90:].mean() + 20 > 70


def test_strength_zero_adds_nothing():
    np.testing.assert_array_equal(add_lights(DAY, DARK, a_map("lamp", dry=0.2), NIGHTS["night"], 0.0), DARK)


@pytest.mark.parametrize("size", [(90, 160), (360, 640), (721, 1283)])
def test_any_size_of_image(size):
    day, dark = np.full((*size, 3), 120, np.uint8), np.full((*size, 3), 20, np.uint8)
    done = add_lights(day, dark, a_map("head"), NIGHTS["night"])
    assert done.shape == dark.shape
    y, x = round(43 * size[0] / H), round(64 * size[1] / W)
    assert luma(done)[y, x] > 150
