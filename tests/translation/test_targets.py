"""Which of a profile's eta counts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from s2st_aug.api import load_translator
from s2st_aug.errors import ProfileError
from s2st_aug.records.profile import DomainProfile
from s2st_aug.testing.models import tiny_latent_model
from s2st_aug.translation import translator
from s2st_aug.translation.settings import MethodSettings, method_settings
from s2st_aug.translation.targets import eta_of

MODEL = tiny_latent_model()
QUANTILES = np.tile(np.linspace(-2, 0, 32, dtype=np.float32), (4, 4, 1))
LEANING = np.ones((4, 4), np.float32)
LEANING[:, 0] = 8
ETA = {"dusk": LEANING, "day": np.ones((4, 4), np.float32)}
NIGHT = DomainProfile("night", "night", "day", MODEL.sha256, QUANTILES, QUANTILES, ETA, ETA, (), (), None, "")
FEW = {"steps": 4, "st_iterations": 3, "to_iterations": 3, "to_from": 0.0}


def image(profile: DomainProfile, **changes: str | float) -> np.ndarray:
    photo = np.random.default_rng(0).integers(20, 235, (48, 64, 3), np.uint8)
    settings = method_settings("standard", {**FEW, **changes})
    return translator.Translator(MODEL, {"night": profile}, settings).translate([photo], ["night"])[0]["night"].image


def test_the_settings_choose_the_source_whose_eta_counts():
    by_day = image(NIGHT)
    assert (by_day == image(dataclasses.replace(NIGHT, eta={"day": ETA["day"]}, eta_seeds={"day": ETA["day"]}))).all()
    from_dusk = image(NIGHT, source="dusk")
    assert (from_dusk == image(dataclasses.replace(NIGHT, eta={"day": LEANING}, eta_seeds={"day": LEANING}))).all()
    assert (from_dusk != by_day).any()


def test_a_source_that_a_profile_was_not_built_against_is_named_with_those_it_was():
    says = "^profile 'night' was not built against 'rain', only against: dusk, day; set method.source to"
    with pytest.raises(ProfileError, match=says):
        eta_of(NIGHT, MethodSettings(source="rain"), NIGHT.eta)
    with pytest.raises(ProfileError, match="was not built against 'dusk', only against: day"):
        load_translator(["night"], overrides={"source": "dusk"})


def test_a_profile_without_day_stands_in_with_its_first_and_says_so_once(caplog):
    profile = dataclasses.replace(NIGHT, name="a night of its own", eta={"dusk": LEANING})
    for _ in range(3):
        assert eta_of(profile, MethodSettings(), profile.eta) is LEANING
    assert caplog.text.count("was not built against day; its weights against 'dusk' are used") == 1


def test_a_target_that_the_source_already_is_is_refused():
    with pytest.raises(ProfileError, match="profile 'day': source and target are both day") as error:
        load_translator(["day"])
    assert "\n" not in str(error.value)
    assert load_translator(["day"], overrides={"eta": "uniform"})


def test_structure_that_counts_in_labels_alone_counts_nowhere_without_labels():
    free = image(NIGHT, structure_elsewhere=0.0)
    assert (free == image(NIGHT, st_structure=0.0, to_structure=0.0)).all()
    assert (free != image(NIGHT)).any()
