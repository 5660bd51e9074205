"""What the ablations' and the seed check's columns mean, on numbers that are known."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.ablation import (
    PLAIN,
    QUESTIONS,
    Cell,
    Measures,
    ablate,
    as_table,
    by_question,
    draw,
    from_json,
    lost,
    to_json,
)
from benchmarks.beyond import CELLS, SIZE, halves, restained
from benchmarks.seed_check import Means, kept_share
from benchmarks.seed_check import as_markdown as seed_page
from benchmarks.seed_check import draw as draw_means
from s2st_aug.testing.models import tiny_latent_model
from s2st_aug.translation.settings import method_settings


def cell(name: str, *rows: tuple, question: str = "q") -> Cell:
    return Cell(question, name, "street-mini", "draft", "0123", [Measures(*row) for row in rows])


FIRST = cell("first", (0.2, 1.0, 0.7, 26), (0.6, 2.0, 0.9, 26))
OTHER = cell("other", (0.3, 0.9, 0.7, 10), (0.7, 2.0, None, 10))


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_cell_is_a_setting_that_exists(question):
    for overrides in QUESTIONS[question].values():
        changed = {k: v for k, v in overrides.items() if k not in ("model", "trained", "preset")}
        method_settings(overrides.get("preset", "standard"), changed)


def test_losses_are_paired_and_relative_to_the_first_setting():
    assert lost(OTHER, FIRST, 0)[0] == pytest.approx(0.1 / 0.4)
    assert lost(OTHER, FIRST, 1)[0] == pytest.approx(0.05 / 1.5)
    assert lost(OTHER, FIRST, 2) == pytest.approx((0, 0, 0))
    assert math.isnan(lost(cell("bare", (0.1, None, None, 1)), cell("none", (0.1, 1.0, 1.0, 1)), 1)[0])


def test_a_table_and_a_plot_of_every_question():
    table = as_table([FIRST, OTHER])
    assert "| other | 0.500 (0.300 to 0.700) |" in table and "| 10 | +25.0 % " in table
    assert "the model's own presets" in table and "lights F1" not in table
    assert "distance lost" in draw([FIRST, OTHER, cell("alone", (0.1, 1.0, 0.5, 3), question="r")])


def test_a_table_shows_lights_and_wet_roads_where_they_were_measured():
    lit = cell("lit", (0.2, 1.0, 0.7, 8, 0.5), (0.6, 2.0, 0.9, 8, None, 0.7), question=PLAIN[0])
    table = as_table([lit])
    assert "| lights F1 | wet road |" in table and "| 0.50 | 0.70 | 8 |" in table and "the plain presets" in table


def test_settings_that_were_measured_for_one_question_serve_another(monkeypatch):
    monkeypatch.setattr("benchmarks.ablation.rendered", lambda *_: {})
    measured = []
    monkeypatch.setattr(
        "benchmarks.ablation._rows", lambda _, s, *__: measured.append(s) or [Measures(0.1, 1, 1, 8)] * 2
    )
    cells = by_question(ablate(["budget", "lights"], count=1))
    assert len(measured) == len(cells["budget"]) + len(cells["lights"]) - 1
    assert cells["budget"][0].rows == cells["lights"][0].rows


def test_cells_survive_their_file_and_nan_becomes_null():
    text = to_json([FIRST, cell("nan", (math.nan, 1.0, 0.5, 3), question="r")])
    assert "NaN" not in text
    back = by_question(from_json(text))
    assert back["q"] == [FIRST] and back["r"][0].rows == [Measures(None, 1.0, 0.5, 3)]


def test_a_cell_that_is_known_is_not_measured_again(monkeypatch):
    monkeypatch.setattr("benchmarks.ablation.rendered", lambda *_: {})
    monkeypatch.setattr("benchmarks.ablation._rows", lambda *_: [Measures(0.1, 1.0, 0.5, 3)] * 2)
    first = list(ablate(["budget"], count=1))
    monkeypatch.setattr("benchmarks.ablation._rows", lambda *_: pytest.fail("measured again"))
    assert list(ablate(["budget"], count=1, known=first)) == first
    with pytest.raises(pytest.fail.Exception, match="measured again"):
        list(ablate(["budget"], count=1, preset="draft", known=first))


def test_weights_that_are_not_shipped_are_measured_where_they_lie_and_said_to_be_absent(monkeypatch, tmp_path, caplog):
    tiny = tiny_latent_model()
    monkeypatch.setattr("benchmarks.ablation.rendered", lambda *_: {})
    monkeypatch.setattr("benchmarks.ablation._rows", lambda *_: [(0.1, 1.0, 0.5, 3)] * 2)
    monkeypatch.setattr("benchmarks.ablation._loaded", lambda name: replace(tiny, name=name))
    monkeypatch.setattr("benchmarks.ablation.find_profile", lambda *_: SimpleNamespace(sha256="0"))
    (tmp_path / "native").mkdir()
    with caplog.at_level(logging.WARNING):
        cells = list(ablate(["weights", "eta"], count=1, trained=tmp_path))
    assert [c.model for c in cells] == ["street-mini", str(tmp_path / "native"), "street-photo"]
    assert "before the GPU: left out" in caplog.text and str(tmp_path / "aligned") in caplog.text
    assert "eta, uniform: left out" in caplog.text  # the plain presets are measured on the first weights


def test_another_stain_turns_brown_to_pink_and_leaves_bare_glass():
    brown, glass = np.full((4, 4, 3), (150, 100, 60), np.uint8), np.full((4, 4, 3), 250, np.uint8)
    red, green, blue = restained(brown)[0, 0].astype(int)
    assert min(red, blue) > green + 30
    assert np.abs(restained(glass).astype(int) - glass).max() <= 12


def test_the_slide_gives_sources_apart_from_references_and_settings_that_exist():
    references, sources = halves()
    assert (len(references), len(sources)) == (70, 8)
    assert {crop.shape for crop in [*references, *sources]} == {(SIZE[1], SIZE[0], 3)}
    for overrides in CELLS.values():
        method_settings("standard", overrides)


def means(condition: str, level: float) -> Means:
    latent = np.array([level, -level, 0.5 * level, 0.1])
    return Means(condition, latent, 0.07 * latent)


def test_the_share_that_a_seed_keeps_is_the_slope():
    assert kept_share([means("day", 0.4), means("night", -0.7)]) == pytest.approx(0.07)


def test_the_seed_page_names_the_slope_the_ways_and_its_plot():
    rows = [means("day", 0.4), means("day", 0.5), means("night", -0.7), means("night", -0.9)]
    page = seed_page(rows, 0.068, {"source (day)": (60.0, 58.0, 62.0)}, "about")
    assert "keeps 0.070" in page and "0.068" in page and "| source (day) | 60.0 (58.0 to 62.0) |" in page
    assert "night" in draw_means(rows, 0.068)
