from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest
import torch
from safetensors import safe_open

from benchmarks.planted_faults import Pair
from s2st_aug.training.lights import Blobs, LightNet, fit_lights, gathered, write_lights
from s2st_aug.training.lights import _named as weights_of
from s2st_aug.validation.lights import scores, scores_with


@pytest.fixture(scope="module")
def blobs() -> Blobs:
    """A light where the variant has a bright spot that the source has not."""
    rng = np.random.default_rng(0)
    patches = rng.integers(20, 90, (96, 32, 32, 6), dtype=np.uint8)
    made_up = np.arange(96) % 2 == 0
    patches[:, 11:21, 11:21, 3:] = 240
    patches[~made_up, 11:21, 11:21, :3] = 200
    return Blobs(patches, made_up)


def test_numpy_computes_what_was_trained():
    torch.manual_seed(0)
    net = LightNet().eval()
    patches = np.random.default_rng(1).integers(0, 255, (5, 32, 32, 6), dtype=np.uint8)
    with torch.inference_mode():
        expected = torch.sigmoid(net(torch.from_numpy(patches).permute(0, 3, 1, 2).float() / 128 - 1)).numpy()
    assert scores_with(weights_of(net), patches) == pytest.approx(expected, abs=1e-5)


def test_a_light_that_the_source_has_not_is_learned_and_the_same_blobs_give_the_same_bytes(blobs, tmp_path):
    first, again = (fit_lights(blobs, steps=60) for _ in range(2))
    right = (scores_with(first, blobs.patches) > 0.5) == blobs.made_up
    assert right.mean() > 0.9
    for name, weights in (("a", first), ("b", again)):
        write_lights(weights, tmp_path / name, "spots")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_lights_are_pasted_into_what_is_gathered():
    rng = np.random.default_rng(0)
    day = np.repeat(np.repeat(rng.integers(60, 160, (36, 64, 3), dtype=np.uint8), 10, 0), 10, 1)
    found = gathered([("a", Pair(day, day // 3, ()))])
    assert found.made_up.sum() >= 6
    assert found.patches.shape[1:] == (32, 32, 6)


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
    known = [int((~gathered([], [("a", pair, where)]).made_up).sum()) for where in (everywhere, true, nowhere)]
    assert known == [2, 1, 0]


def test_the_shipped_weights_say_what_they_were_fitted_on():
    with safe_open(str(files("s2st_aug.validation").joinpath("lights.safetensors")), "numpy") as file:
        assert "streets of rng_key 4" in file.metadata()["fitted_on"]
    assert scores(np.empty((0, 32, 32, 6), np.uint8)).shape == (0,)
