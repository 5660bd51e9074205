from __future__ import annotations

import numpy as np
import pytest

from s2st_aug.validation import strength as module
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


def test_too_few_photos_are_refused(domains):
    with pytest.raises(ValueError, match="at least 4 photos"):
        fit_discriminant(domains[0][:3], domains[1], "drawn streets")


def test_accuracy_counts_both_domains_alike(domains):
    day, night = domains
    d = fit_discriminant(day, night, "drawn streets")
    assert module.accuracy(d, day, night) == 1
    assert module.accuracy(d, night, day) == 0
