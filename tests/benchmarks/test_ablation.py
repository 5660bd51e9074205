"""What the ablations' and the seed check's columns mean, on numbers that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from s2st_aug.benchmarks.ablation import QUESTIONS, Cell, _lost, as_markdown
from s2st_aug.benchmarks.seed_check import Means, draw, kept_share
from s2st_aug.benchmarks.seed_check import as_markdown as seed_page
from s2st_aug.translation.settings import method_settings


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_cell_is_a_setting_that_exists(question):
    for overrides in QUESTIONS[question].values():
        method_settings("standard", overrides)


def test_losses_are_paired_and_relative_to_the_first_setting():
    first, rows = [(0.2, 1.0), (0.6, 2.0)], [(0.3, 0.9), (0.7, 2.0)]
    assert _lost(rows, first, 0, 1)[0] == pytest.approx(0.1 / 0.4)
    assert _lost(rows, first, 1, -1)[0] == pytest.approx(0.05 / 1.5)
    assert _lost([(None, 1.0), (0.7, 2.0)], first, 0, 1) == pytest.approx((0.1 / 0.6,) * 3)
    assert math.isnan(_lost([(None, 1.0)], first[:1], 0, 1)[0])


def test_a_table_for_each_question():
    cells = [
        Cell(q, "name", 4, (0.5, 0.4, 0.6), (1.0, 0.9, 1.1), (0.7, 0.6, 0.8), 26.0, (0.01, 0.0, 0.02), (0.0, 0.0, 0.0)) for q in ("a", "b")
    ]
    page = as_markdown(cells, "about")
    assert page.count("| name | 0.500 (0.400 to 0.600) |") == 2
    assert "+1.0 % (to +2.0 %)" in page


def means(condition: str, level: float) -> Means:
    latent = np.array([level, -level, 0.5 * level, 0.1])
    return Means(condition, latent, 0.07 * latent)


def test_the_share_that_a_seed_keeps_is_the_slope():
    assert kept_share([means("day", 0.4), means("night", -0.7)]) == pytest.approx(0.07)


def test_the_seed_page_names_the_slope_the_ways_and_its_plot():
    rows = [means("day", 0.4), means("day", 0.5), means("night", -0.7), means("night", -0.9)]
    page = seed_page(rows, 0.068, {"source (day)": (60.0, 58.0, 62.0)}, "about")
    assert "keeps 0.070" in page and "0.068" in page and "| source (day) | 60.0 (58.0 to 62.0) |" in page
    assert "night" in draw(rows, 0.068)
