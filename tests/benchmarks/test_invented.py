"""The examiners' lights: each is painted where it is said to be, shows there, and is known to no training."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.invented import KINDS, LEAST_SHOW, invented
from benchmarks.invented_rates import rates

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


def test_rates_are_over_all_kinds_and_what_has_no_case_is_undecided():
    figures = {
        f.name: f
        for f in rates({**{kind: [] for kind in KINDS}, "lamp": [True, True, False]}, {"night": [True], "fog": [False]})
    }
    assert figures["recall_invented_lamps"].value == pytest.approx(2 / 3)
    assert figures["recall_invented_smears"].value is None
    assert figures["rejected_for_lights"].value == 0.5
    assert figures["rejected_for_lights_night"].value == 1
