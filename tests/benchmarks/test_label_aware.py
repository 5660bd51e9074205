"""What labels are worth: kept at equal strength, by hand."""

from __future__ import annotations

import pytest

from benchmarks.figure import measured
from benchmarks.label_aware import Kept, _gained


def scene(told: tuple[int, float], *bare: tuple[int, float]) -> dict[str, list[Kept]]:
    return {"night": [Kept(kept, 10, strength) for kept, strength in (told, *bare)]}


def test_kept_is_compared_at_the_strength_with_labels():
    alone = [scene((9, 0.6), (5, 0.9), (7, 0.7), (9, 0.5))]  # without labels 0.8 would be kept at 0.6
    assert _gained(alone) == pytest.approx(0.1)
    assert _gained([scene((9, 0.6), (9, 0.5), (7, 0.7), (5, 0.9))]) == pytest.approx(0.1), "in any order of the curve"
    assert _gained([scene((9, 0.9), (5, 0.9), (7, 0.7), (9, 0.5))]) == pytest.approx(0.4)


def test_labels_are_pooled_over_scenes_and_domains_are_averaged():
    scenes = [scene((10, 0.4), (8, 0.4), (8, 0.2)), scene((4, 0.4), (8, 0.4), (8, 0.2))]
    assert _gained(scenes) == pytest.approx(-0.1)
    better = {"rain": [Kept(10, 10, 0.4), Kept(0, 10, 0.4), Kept(0, 10, 0.2)]}
    assert _gained([s | better for s in scenes]) == pytest.approx((1 - 0.1) / 2)


def test_no_gain_is_not_above_nothing():
    assert measured("kept_at_equal_strength", 0.0, "share", 0.0, "above", n=1).holds is False
    assert measured("kept_at_equal_strength", 0.001, "share", 0.0, "above", n=1).holds is True
