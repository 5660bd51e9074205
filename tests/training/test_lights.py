from __future__ import annotations

import ast
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors import safe_open

from s2st_aug.training import false_lights
from s2st_aug.training.false_lights import FAMILIES, LEAST_CHANGE, false_light
from s2st_aug.training.lights import (
    CONDITIONS,
    SIZES,
    Blobs,
    LightNet,
    Translated,
    at_most,
    fit_lights,
    gathered,
    street_pairs,
    surest,
    write_lights,
)
from s2st_aug.training.lights import _named as weights_of
from s2st_aug.training.pasted_lights import Pair
from s2st_aug.validation.hallucinations import candidates
from s2st_aug.validation.lights import logits, scores
from s2st_aug.validation.patches import frame

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def blobs() -> Blobs:
    """A light where the variant has a bright spot that the source has not."""
    rng = np.random.default_rng(0)
    patches = rng.integers(20, 90, (96, 32, 32, 12), dtype=np.uint8)
    made_up = np.arange(96) % 2 == 0
    patches[:, 11:21, 11:21, 3:6] = 240
    patches[~made_up, 11:21, 11:21, :3] = 200
    return Blobs(patches, made_up)


def test_numpy_computes_what_was_trained():
    torch.manual_seed(0)
    net = LightNet().eval()
    patches = np.random.default_rng(1).integers(0, 255, (5, 32, 32, 12), dtype=np.uint8)
    with torch.inference_mode():
        expected = net(torch.from_numpy(patches).permute(0, 3, 1, 2).float() / 128 - 1).numpy()
    assert logits(weights_of(net), patches) == pytest.approx(expected, abs=1e-5)


def test_a_light_that_the_source_has_not_is_learned_and_the_same_blobs_give_the_same_bytes(blobs, tmp_path):
    right = (logits(fit_lights(blobs, steps=60), blobs.patches) > 0) == blobs.made_up
    assert right.mean() > 0.9
    for name in ("a", "b"):
        write_lights(fit_lights(blobs, steps=4), tmp_path / name, "spots")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_lights_are_pasted_into_what_is_gathered():
    rng = np.random.default_rng(0)
    day = np.repeat(np.repeat(rng.integers(60, 160, (36, 64, 3), dtype=np.uint8), 10, 0), 10, 1)
    found = gathered([("a", Pair(day, day // 3, ()))])
    assert found.made_up.sum() >= 6
    assert found.patches.shape[1:] == (32, 32, 12)


@pytest.mark.parametrize("share", [0.0, 0.25])
def test_what_rejects_is_set_on_true_variants(share):
    """Of eight pictures with one lamp each, the surest may reject where a share of them may."""
    torch.manual_seed(0)
    day = np.full((360, 640, 3), 120, np.uint8)
    nights = []
    for level in range(180, 260, 10):
        nights.append(cv2.circle(np.full_like(day, 28), (300, 80), 6, (level,) * 3, -1, cv2.LINE_AA))
    net = weights_of(LightNet())
    net["out.weight"] *= 100
    true = [surest(net, Pair(day, night, ())) for night in nights]
    weights = at_most(share, net, true, [min(true)] * 4)
    seen = [candidates(frame(day), frame(night), ()).patches for night in nights]
    rejected = [(logits(weights, patches) >= np.log(0.95 / 0.05)).any() for patches in seen]
    assert (share > 0) <= sum(rejected) <= share * len(nights)


def test_streets_come_in_all_sizes():
    shapes = [next(street_pairs(4, index))[1].variant.shape[1::-1] for index in range(3)]
    assert shapes == list(SIZES[:3])
    assert len(set(SIZES)) == 4
    assert [name for name, _ in street_pairs(4, 1)] == [f"4-1-{c}" for c in CONDITIONS]


def test_of_a_models_lights_only_the_true_ones_teach():
    rng = np.random.default_rng(0)
    day = np.repeat(np.repeat(rng.integers(60, 160, (36, 64, 3), dtype=np.uint8), 10, 0), 10, 1)
    night = day // 4
    for x in (100, 400):
        night[100:108, x : x + 8] = 250
    true = np.zeros(day.shape[:2], bool)
    true[95:112, 95:112] = True
    pair = Pair(day, night, ())
    everywhere, nowhere = np.ones_like(true), np.zeros_like(true)
    known = [
        int((~gathered([], [("a", Translated(pair, where))]).made_up).sum()) for where in (everywhere, true, nowhere)
    ]
    assert known == [2, 1, 0]


def test_what_stands_in_the_source_is_true_in_a_models_variant_too():
    """A lane dash that the headlights lit is no lamp."""
    day = np.full((360, 640, 3), 70, np.uint8)
    day[250:256, 300:318] = 150
    night = day // 3
    night[250:256, 300:318] = 200
    pair = Pair(day, night, ())
    assert int((~gathered([], [("a", Translated(pair, np.zeros(day.shape[:2], bool)))]).made_up).sum()) >= 1


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_of_false_lights_shows_where_it_is_said_to_be(family, monkeypatch):
    monkeypatch.setattr(false_lights, "FAMILIES", {family: FAMILIES[family]})
    pair = Pair(*(np.full((360, 640, 3), 30, np.uint8) for _ in range(2)), ())
    planted = [p for key in range(8) if (p := false_light(pair, np.random.default_rng(key)))]
    assert planted
    for p in planted:
        x1, y1, x2, y2 = map(int, p.box)
        change = cv2.absdiff(p.variant, pair.variant).max(-1)
        assert change[y1:y2, x1:x2].max() > LEAST_CHANGE
        assert change[y1:y2, x1:x2].max() == change.max()


def test_the_shipped_weights_say_what_they_were_fitted_on():
    with safe_open(str(files("s2st_aug.validation").joinpath("lights.safetensors")), "numpy") as file:
        assert "streets of rng_key 4" in file.metadata()["fitted_on"]
    assert scores(np.empty((0, 32, 32, 12), np.uint8)).shape == (0,)


def test_what_trains_the_checks_imports_no_benchmark():
    """Import contracts hold the packages apart; the pipelines are scripts that none of them sees."""
    for name in ("fit_lights", "train_light_map"):
        tree = ast.parse((ROOT / "pipelines" / f"{name}.py").read_text())
        named = [n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
        named += [a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names]
        assert not [n for n in named if n.split(".")[0] == "benchmarks"], name
