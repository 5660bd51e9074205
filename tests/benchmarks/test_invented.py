"""The examiners' lights: each is painted where it is said to be, shows there, and is known to no training."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.invented import KINDS, LEAST_SHOW, invented, second_lamp
from benchmarks.invented_rates import Case, rates, write_misses
from s2st_aug.images import read_image

NIGHT = np.random.default_rng(0).integers(18, 34, (360, 640, 3), dtype=np.uint8)
HALF = (0.0, 0.0, 320.0, 360.0)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_shows_where_it_is_said_to_be(kind):
    found = invented(kind, NIGHT, (), np.random.default_rng(1))
    assert found is not None
    x1, y1, x2, y2 = map(int, found.box)
    change = np.abs(found.variant.astype(int) - NIGHT).max(-1)
    shown = change > LEAST_SHOW
    assert shown[y1:y2, x1:x2].any()
    room = max(x2 - x1, y2 - y1)  # for its light around it
    shown[max(y1 - room, 0) : y2 + room, max(x1 - room, 0) : x2 + room] = False
    assert not shown.any()


@pytest.mark.parametrize("kind", [k for k in KINDS if not KINDS[k].large])
def test_no_label_is_touched_and_the_same_key_gives_the_same_light(kind):
    found, again = (invented(kind, NIGHT, (HALF,), np.random.default_rng(3)) for _ in range(2))
    assert found is not None
    assert again is not None
    assert found.box[0] >= HALF[2]
    assert np.array_equal(found.variant, again.variant)
    assert invented(kind, NIGHT, ((0.0, 0.0, 640.0, 360.0),), np.random.default_rng(3)) is None


def case(kind, score, condition="night", side=400):
    image = np.full((360, 640, 3), 90, np.uint8)
    return Case(f"{kind}-{score}", condition, kind, score, (side, 100.0, side + 12, 112.0), image, image)


def test_rates_are_over_all_kinds_and_what_has_no_case_is_undecided():
    some = [case("lamp", 0.99), case("lamp", 0.99), case("lamp", 0.1), case(None, 0.99), case(None, 0.1, "fog")]
    figures = {f.name: f for f in rates(some, "_small")}
    assert figures["recall_invented_lamps_small"].value == pytest.approx(2 / 3)
    assert figures["recall_invented_smears_small"].value is None
    assert figures["rejected_for_lights_small"].value == 0.5
    assert figures["rejected_for_lights_night_small"].value == 1


def test_ten_misses_are_drawn_of_all_kinds_and_nothing_that_was_right(tmp_path):
    right = [case("neon", 0.99), case(None, 0.2)]
    wrong = [case("lamp", n / 100) for n in range(20)] + [case("neon", 0.3), case(None, 0.97)]
    paths = write_misses([*right, *wrong], tmp_path)
    assert len(paths) == len(set(paths)) == 10
    assert sorted({p.name.split("-")[0] for p in paths}) == ["lamp", "neon", "true"]
    assert next(p.name for p in paths if p.name.startswith("lamp")) == "lamp-lamp-0.0-0.000.png"
    x, framed = 640 + 400 - 3, read_image(paths[0])
    assert tuple(framed[97, x]) == (255, 0, 255)
    assert write_misses(right, tmp_path) == []


@pytest.mark.parametrize("lit", range(3))
def test_a_second_lamp_shines_in_another_third_of_its_housing(lit):
    found = second_lamp(NIGHT, (100.0, 80.0, 120.0, 140.0), lit, np.random.default_rng(lit))
    rows = np.flatnonzero((np.abs(found.variant.astype(int) - NIGHT).max(-1) > LEAST_SHOW).any(1))
    assert (rows.min() - 80) // 20 == (rows.max() - 80) // 20 != lit
    assert second_lamp(NIGHT, (100.0, 80.0, 160.0, 100.0), lit, np.random.default_rng(0)) is None
