"""Model cards and measures of small models."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from s2st_aug.testing.models import tiny_latent_model
from s2st_aug.training import measure
from s2st_aug.training.card import CardFacts, draw_curves, with_limits, write_card


def test_the_card_states_licence_data_and_figures(tmp_path):
    facts = CardFacts(
        "street-photo",
        "other",
        [("camvid", 204, "CC BY-NC")],
        {"unet": [(25, 0.5), (50, 0.2)]},
        [("psnr", "28.1 dB (n=10)", "held out")],
    )
    write_card(tmp_path, facts)
    text = (tmp_path / "README.md").read_text()
    for expected in (
        "license: other",
        "license_link: LICENSE",
        "| camvid | 204 | CC BY-NC |",
        "28.1 dB (n=10)",
        "configs/train_street_photo.yaml",
        "## What it cannot do",
        "Real day photos come (not measured) of the way to dusk",
    ):
        assert expected in text
    told = with_limits(text, "street-photo", {"strength_dusk_photos": "0.61 (0.5 to 0.7)"})
    assert "Real day photos come 0.61 (0.5 to 0.7) of the way to dusk" in told
    assert "Its autoencoder alone reproduces photos with (not measured)" in told
    assert ET.fromstring((tmp_path / "curves.svg").read_text()).tag.endswith("svg")


def test_curves_stay_inside_the_drawing():
    root = ET.fromstring(draw_curves({"a": [(i, 1 / (i + 1)) for i in range(50)], "short": [(1, 1.0)]}))
    lines = [e for e in root if e.tag.endswith("polyline")]
    assert len(lines) == 1
    places = np.array([[float(v) for v in point.split(",")] for point in lines[0].attrib["points"].split()])
    assert places.min() >= 0
    assert places[:, 0].max() <= 640
    assert places[:, 1].max() <= 240


def photo(level: int = 120) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.clip(rng.normal(level, 5, (48, 64, 3)), 0, 255).astype(np.uint8)


def test_psnr_is_the_usual_one():
    assert measure.psnr(photo(), photo()) > 80
    assert measure.psnr(np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)) == pytest.approx(0)


def test_a_round_trip_loses_no_less_than_the_autoencoder_alone():
    model = tiny_latent_model()
    alone, through = (f(model, photo(), (64, 48)) for f in (measure.autoencoder_psnr, measure.round_trip_psnr))
    assert 20 < through <= alone + 0.1


def test_generation_belongs_to_its_rng_key():
    model = tiny_latent_model()
    first, second = measure.generate(model, "a street at night", [0, 1], steps=3)
    (again,) = measure.generate(model, "a street at night", [1], steps=3)
    assert first.shape == (48, 64, 3)
    assert (second == again).all()
    assert (first != second).any()
