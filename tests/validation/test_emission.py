"""The pictures that the fault suite judges are those that the product emits."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from benchmarks.fault_cases import CONTROL, Picture, place_of
from benchmarks.fault_emission import Emission, painted, shipped_settings, translated
from benchmarks.fault_scenes import SCENE_FAULTS, STATES, VEHICLES, with_changed
from benchmarks.fault_store import read_pictures, write_pictures
from s2st_aug.diffusion.stable_diffusion import load_model
from s2st_aug.procedural.drawing import draw_street
from s2st_aug.procedural.labels import read_labels
from s2st_aug.profiles.store import find_profile
from s2st_aug.translation.translator import Translator

SMALL = (640, 360)


@pytest.fixture(scope="module")
def place():
    return place_of(3, 0, load_model("street-mini"), SMALL)


def test_a_picture_ends_as_the_translator_would_end_it(place):
    settings = shipped_settings("street-mini").model_copy(update={"steps": 2})
    emission = Emission(place.model, place.day, place.emission.objects, settings)
    picture = translated(place.model, place.day, emission.objects, ["night"], settings)["night"]
    profiles = {"night": find_profile("night", place.model)}
    made = Translator(place.model, profiles, settings).translate([place.day], ["night"], [emission.objects])[0]["night"]
    done = emission.emitted(picture, "night")
    assert_array_equal(done.variant, made.image)
    assert_array_equal(done.raw, made.raw)


def test_a_model_that_does_nothing_emits_its_own_round_trip(place):
    done = place.emission.emitted(painted(place.model, place.day, place.emission.size), "rain")
    assert np.abs(done.raw.astype(int) - place.day).mean() > 1
    assert np.abs(done.variant.astype(int) - place.day).mean() < np.abs(done.raw.astype(int) - place.day).mean()


def street_with(kind):
    streets = (place_of(3, n, None, SMALL).street for n in range(30))
    return next((s, t) for s in streets for t in s.things if t.kind == kind and 8 < t.s < 40)


@pytest.mark.parametrize("name", SCENE_FAULTS)
def test_a_scene_fault_changes_one_thing_and_leaves_the_rest(name):
    street, thing = street_with("signal" if name == "signal_changed" else "car")
    instead = SCENE_FAULTS[name](street, thing, np.random.default_rng(0))
    assert instead is not None
    changed = with_changed(street, thing.uid, instead)
    assert {t for t in changed.things if t.uid != thing.uid} == {t for t in street.things if t.uid != thing.uid}
    assert thing not in changed.things


def boxes_of(street):
    return {o.instance.uid: o.box for o in read_labels(draw_street(street)).objects}


def test_a_shift_is_as_long_as_it_says_and_a_scaled_thing_stays_on_its_line_of_sight():
    street, thing = street_with("car")
    alone = replace(street, things=(thing,))
    before = np.array(boxes_of(alone)[thing.uid])
    rng = np.random.default_rng(0)
    moved = boxes_of(with_changed(alone, thing.uid, SCENE_FAULTS["shift8"](alone, thing, rng)))[thing.uid]
    middles = [(b[0] + b[2]) / 2 for b in (before, moved)]
    assert abs(middles[1] - middles[0]) == pytest.approx(8, abs=2)
    scaled = boxes_of(with_changed(alone, thing.uid, SCENE_FAULTS["scaled"](alone, thing, rng)))[thing.uid]
    grown = (scaled[2] - scaled[0]) / (before[2] - before[0])
    assert grown == pytest.approx(1 / 0.8, abs=0.15) or grown == pytest.approx(1 / 1.3, abs=0.15)


def test_faults_strike_only_what_they_can(place):
    _, walker = street_with("pedestrian")
    rng = np.random.default_rng(0)
    for name in ("replaced_farther", "replaced_class", "reversed", "signal_changed"):
        assert SCENE_FAULTS[name](place.street, walker, rng) is None
    street, car = street_with("car")
    (turned,) = SCENE_FAULTS["reversed"](street, car, rng)
    assert turned.turn == pytest.approx(car.turn + math.pi)
    assert SCENE_FAULTS["replaced_class"](street, car, rng)[0].kind in set(VEHICLES) - {"car"}
    street, signal = street_with("signal")
    state = SCENE_FAULTS["signal_changed"](street, signal, rng)[0].style.split("-")[0]
    assert state in STATES and state != signal.style.split("-")[0]


def test_kept_pictures_come_back_as_they_were(place, tmp_path):
    levels = np.random.default_rng(0).uniform(0, 255, (4, 6, 3)).astype(np.float32)
    pictures = [
        Picture("erased", "night", False, place.objects[:2], levels),
        Picture(CONTROL, "rain", True, (), levels / 2, (1.0, 2.0, 3.0, 4.0)),
    ]
    write_pictures(tmp_path / "a.npz", pictures)
    for before, after in zip(pictures, read_pictures(tmp_path / "a.npz", place.objects), strict=True):
        assert np.abs(after.painted - before.painted).max() < 0.07
        assert [o.object_id for o in after.struck] == [o.object_id for o in before.struck]
        assert (after.fault, after.origin, after.translated, after.box) == (
            before.fault, before.origin, before.translated, before.box,
        )  # fmt: skip
