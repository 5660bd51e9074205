"""The classifier of a signal's lamps: numpy computes what was trained, and it learns what changed."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest
import torch
from safetensors import safe_open

from s2st_aug.training.lamps import LampNet, fit_lamps, with_shares, write_lamps
from s2st_aug.validation.lamps import NUMBERS, logits


@pytest.fixture(scope="module")
def lessons() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    numbers, true = rng.normal(0, 1, (64, NUMBERS)).astype(np.float32), np.arange(64) % 2 == 0
    numbers[:, 5] += np.where(true, 2, -2)
    return numbers, true


def test_numpy_computes_what_was_trained(lessons):
    numbers, true = lessons
    weights, net = fit_lamps(numbers, true, steps=5), LampNet().eval()
    net.load_state_dict({k: torch.from_numpy(v.T.copy()) for k, v in weights.items() if not k.startswith("numbers")})
    with torch.inference_mode():
        z = (numbers - weights["numbers.mean"]) / weights["numbers.spread"]
        expected = net(torch.from_numpy(np.clip(z, -5, 5))).numpy()
    assert logits(weights, numbers) == pytest.approx(expected, abs=1e-4)


def test_what_changed_is_learned_and_the_same_lessons_give_the_same_bytes(lessons, tmp_path):
    numbers, true = lessons
    first, again = (fit_lamps(numbers, true, steps=60) for _ in range(2))
    assert ((logits(first, numbers) > 0) == true).mean() > 0.9
    for name, weights in (("a", first), ("b", again)):
        write_lamps(weights, tmp_path / name, "nothing")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_two_outputs_get_the_shares_that_are_asked_for(lessons):
    numbers, true = lessons
    weights = fit_lamps(numbers, true, steps=5)
    low, high = sorted(logits(weights, numbers[:2]).tolist())
    moved = with_shares(weights, (low, high), (0.3, 0.6))
    shares = np.sort(1 / (1 + np.exp(-logits(moved, numbers[:2]))))
    assert shares == pytest.approx([0.3, 0.6], abs=1e-3)


def test_the_shipped_weights_say_what_they_were_fitted_on():
    with safe_open(str(files("s2st_aug.validation") / "lamps.safetensors"), "np") as file:
        assert "streets of rng_key 4" in file.metadata()["fitted_on"]
