"""Lights and wet road: closed cases, edges, and what the day and the truth themselves score."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.lights import SIZE, LightCounts, count_lights, light_components, sum_counts, wet_road
from s2st_aug.errors import UsageError
from s2st_aug.procedural.drawing import draw_street
from s2st_aug.procedural.render import render_drawn
from s2st_aug.procedural.sampling import sample_street
from s2st_aug.procedural.surfaces import surfaces

W, H = SIZE


def dark(*lights: tuple[int, int, int, int], level: int = 200) -> np.ndarray:
    """A black frame with grey rectangles x y w h."""
    image = np.zeros((H, W, 3), np.uint8)
    for x, y, w, h in lights:
        image[y : y + h, x : x + w] = level
    return image


@pytest.mark.parametrize(
    ("image", "count"),
    [
        (dark(), 0),
        (dark((0, 0, 3, 2)), 1),  # six pixels, in the corner
        (dark((0, 0, 5, 1)), 0),  # five
        (dark((W - 3, H - 2, 3, 2)), 1),
        (dark((10, 10, 4, 4), level=150), 0),  # not above 150
        (dark((10, 10, 4, 4), level=151), 1),
        (dark((10, 10, 3, 3), (13, 13, 3, 3)), 1),  # touch at a corner
        (dark((10, 10, 3, 3), (14, 10, 3, 3)), 2),
    ],
)
def test_a_light_is_a_connected_bright_part(image: np.ndarray, count: int) -> None:
    assert light_components(image[..., 0].astype(np.float32)).max() == count


def test_the_truth_itself_is_perfect() -> None:
    image = dark((10, 10, 5, 5), (100, 50, 8, 3))
    assert count_lights(image, image) == LightCounts(2, 2, 2, 2)


@pytest.mark.parametrize(("shift", "right"), [(4, 1), (8, 1), (9, 0)])
def test_a_light_counts_within_four_pixels(shift: int, right: int) -> None:
    for there in ((50 + shift, 50, 5, 5), (50, 50 + shift, 5, 5)):
        assert count_lights(dark(there), dark((50, 50, 5, 5))).right == right


def test_a_fifth_of_the_core_is_enough() -> None:
    truth = dark((50, 50, 10, 10))
    assert count_lights(dark((50, 50, 10, 3)), truth).found == 1
    assert count_lights(dark((50, 50, 10, 1)), truth).found == 0


def test_counts_add_up_over_scenes() -> None:
    one, none = dark((10, 10, 5, 5)), dark()
    total = sum_counts(count_lights(v, t) for v, t in [(one, one), (none, one), (one, none)])
    assert (total.recall, total.precision, total.f1) == (0.5, 0.5, 0.5)


def test_nothing_to_find_is_no_figure() -> None:
    assert count_lights(dark(), dark()).recall is None
    assert count_lights(dark(), dark()).f1 is None
    assert count_lights(dark(), dark((10, 10, 5, 5))).f1 == 0


def test_wet_road_of_identity_tone_curve_and_truth() -> None:
    rng = np.random.default_rng(0)
    source = np.kron(rng.integers(60, 200, (H // 8, W // 8, 1)), np.ones((8, 8, 3))).astype(np.uint8)
    truth = source.copy()
    truth[300:, 200:300] = 230
    assert wet_road(source, source, truth) == 0
    assert wet_road(source, truth, truth) == pytest.approx(1)
    assert abs(wet_road(source, (source * 0.6).astype(np.uint8), truth)) < 0.2


def test_images_of_two_sizes_are_refused() -> None:
    with pytest.raises(UsageError, match="one size"):
        count_lights(dark(), dark()[:100])


def test_a_street_by_day_has_recall_without_precision() -> None:
    drawn = [draw_street(sample_street(820_017, index, SIZE)) for index in range(4)]
    lit = [surfaces(d) for d in drawn]
    views = [[render_drawn(d, s, c) for c in ("day", "night", "rain")] for d, s in zip(drawn, lit, strict=True)]
    counts = sum_counts(count_lights(day, night) for day, night, _ in views)
    assert counts.recall is not None and counts.precision is not None
    assert counts.recall > 0.8 and counts.precision < 0.5
    assert sum_counts(count_lights(night, night) for _, night, _ in views).f1 == 1
    assert all(wet_road(day, rain, rain) == pytest.approx(1) for day, _, rain in views)
