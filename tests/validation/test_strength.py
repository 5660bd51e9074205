from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from s2st_aug.validation import strength as module
from s2st_aug.validation.judge import judge
from s2st_aug.validation.settings import ValidationSettings
from s2st_aug.validation.strength import fit_discriminant, strength


@pytest.fixture(scope="module")
def domains(street_photos):
    return street_photos


def test_identity_is_zero_and_a_member_of_the_target_about_one(domains):
    day, night = domains
    d = fit_discriminant(day, night, "drawn streets")
    assert strength(day[0], day[0], d) == 0
    assert strength(day[0], night[0], d) == pytest.approx(1, abs=0.35)
    assert d.fitted_on == "drawn streets"
    assert d.target_low <= d.target_median <= d.target_high


def test_darkening_alone_is_no_translation(domains):
    day, night = domains
    d = fit_discriminant(day, night, "drawn streets")
    assert max(strength(i, (i * 0.35).astype(np.uint8), d) for i in day[:4]) < 0.45


def test_strength_is_null_where_the_source_lies_in_the_target(domains):
    day, night = domains
    assert strength(night[1], night[2], fit_discriminant(day, night, "drawn streets")) is None


@pytest.mark.parametrize(
    ("accuracy", "word"), [(None, "accuracy_unknown"), (0.79, "accuracy_low"), (0.8, None), (1.0, None)]
)
def test_a_discriminant_rejects_only_where_other_photos_bear_it_out(domains, accuracy, word):
    day, night = domains
    fitted = fit_discriminant(day, night, "drawn streets", accuracy=accuracy)
    profile = SimpleNamespace(discriminant=fitted)
    nearly_day = (day[0] * 0.9).astype(np.uint8)
    found = judge(day[0], nearly_day, nearly_day, (), profile, ValidationSettings(max_tone_explained=None))
    assert found.strength is not None
    assert found.strength_null == word
    assert found.rejected_by == (("strength",) if word is None else ())
    assert any("strength rejects nothing" in r for r in found.reasons) == (word is not None)


def test_a_source_that_is_told_as_target_has_no_strength():
    """A bright day that lies past the middle would be measured on what is left of the way."""
    d = SimpleNamespace(source_median=-1.0, target_median=1.0)
    assert module.strength_between(0.1, 0.9, d) is None
    assert module.strength_between(-0.1, 0.9, d) == pytest.approx(1.0 / 1.1)


def test_too_few_photos_are_refused(domains):
    with pytest.raises(ValueError, match="at least 4 photos"):
        fit_discriminant(domains[0][:3], domains[1], "drawn streets")


def test_accuracy_counts_both_domains_alike(domains):
    day, night = domains
    d = fit_discriminant(day, night, "drawn streets")
    assert module.accuracy(d, day, night) == 1
    assert module.accuracy(d, night, day) == 0
