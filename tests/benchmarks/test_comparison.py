"""The table against peers: what its columns mean, and that a baseline without an edit gives its source back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks import baselines
from benchmarks.comparison import OURS, Row, as_markdown, at_structure, draw_pareto, summarise
from s2st_aug.images import resize
from s2st_aug.records.profile import DomainProfile
from s2st_aug.testing.models import tiny_latent_model

MODEL = tiny_latent_model()
FLAT = np.zeros((4, 4, 32), np.float32)
ONES = {"day": np.ones((4, 4), np.float32)}
NIGHT = DomainProfile("night", "a night photo", "a day photo", MODEL.sha256, FLAT, FLAT, ONES, ONES, (), (), None, "")


def photo() -> np.ndarray:
    coarse = np.random.default_rng(0).integers(20, 235, (6, 8, 3)).astype(np.float32)
    return np.clip(resize(coarse, (96, 64)), 0, 255).astype(np.uint8)


def decoded(image: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        pixels = (MODEL.decode(baselines.encode(MODEL, image))[0] + 1) * 127.5
    height, width = image.shape[:2]
    return np.clip(resize(np.ascontiguousarray(pixels.permute(1, 2, 0).numpy(), np.float32), (width, height)), 0, 255)


def test_ledits_without_an_edit_gives_the_source_back_through_its_noise():
    made = baselines.ledits(MODEL, photo(), NIGHT, guidance=0.0)
    assert np.abs(made.image - decoded(photo())).mean() < 1.0


def test_ledits_edits_more_with_guidance_and_less_where_its_mask_is_narrow():
    still = decoded(photo())
    moved = [np.abs(baselines.ledits(MODEL, photo(), NIGHT, guidance=g).image - still).mean() for g in (2.0, 8.0)]
    masked = np.abs(baselines.ledits(MODEL, photo(), NIGHT, guidance=8.0, threshold=0.9).image - still).mean()
    assert 0 < moved[0] < moved[1]
    assert masked < 0.6 * moved[1]


def test_ledits_counts_its_evaluations():
    assert baselines.ledits(MODEL, photo(), NIGHT, guidance=2.0, steps=20, skip=0.15).forward == 17 * 3


def row(method: str, knob: float, street: int, distance: float, structure: float) -> Row:
    return Row(method, knob, street, "night", distance, structure, 0.7, 0.9, True, 20.0, 2.0)


ROWS = [
    *(row(OURS, k, s, d + 0.1 * s, q) for s in (0, 1) for k, d, q in ((1.0, 0.8, 1.2), (4.0, 0.4, 1.0))),
    *(row("peer", k, s, d + 0.1 * s, q) for s in (0, 1) for k, d, q in ((1.0, 0.9, 1.1), (2.0, 0.7, 1.0))),
]


def test_ours_is_read_at_the_others_structure():
    curve = [row(OURS, 4.0, 0, 0.4, 1.0), row(OURS, 1.0, 0, 0.8, 1.2)]
    assert at_structure(curve, 1.1) == pytest.approx(0.6)
    assert at_structure(curve, 0.5) is at_structure(curve, 2.0) is at_structure([], 1.0) is None, (
        "what it does not reach is not compared"
    )


def test_the_best_knob_is_the_nearest_and_differences_are_paired():
    found = {(s.method, s.knob): s for s in summarise(ROWS)}
    assert [key for key, s in found.items() if s.best] == [(OURS, 4.0), ("peer", 2.0)]
    assert found["peer", 2.0].ours_less_theirs[0] == pytest.approx(-0.3)
    assert found["peer", 1.0].ours_less_theirs[0] == pytest.approx(-0.3)
    assert found["peer", 1.0].reached == 2
    assert found[OURS, 4.0].ours_less_theirs is None
    far = summarise([*ROWS, row("far", 1.0, 0, 0.9, 1.5), row("far", 1.0, 1, 0.9, 1.1)])[-1]
    assert far.reached == 1 and far.ours_less_theirs[0] == pytest.approx(0.7 - 0.9)


def test_table_and_plot_name_every_method():
    table, plot = as_markdown(summarise(ROWS), "about"), draw_pareto(summarise(ROWS))
    assert table.index(f"**{OURS}** | 4") < table.index("**peer** | 2")
    assert "-0.30 (-0.30 to -0.30)" in table
    assert plot.startswith("<?xml") and "peer" in plot
