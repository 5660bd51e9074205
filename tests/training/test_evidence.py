"""The classifier of an object before the detail step: numpy computes what was trained, and it learns what is gone."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest
import torch
from safetensors import safe_open

from s2st_aug.training.evidence import EvidenceNet, _named, fit_evidence, planes, with_evidence, write_evidence
from s2st_aug.validation.evidence_network import NUMBERS, Views, logits


@pytest.fixture(scope="module")
def lessons() -> tuple[Views, np.ndarray]:
    """A bright thing that is still there in every second picture."""
    rng = np.random.default_rng(0)
    cutouts = rng.integers(40, 90, (64, 32, 32, 7), dtype=np.uint8)
    cutouts[..., 6] = 0
    cutouts[:, 8:24, 8:24, 6] = 255
    true = np.arange(64) % 2 == 0
    cutouts[:, 8:24, 8:24, :3] = 200
    cutouts[true, 8:24, 8:24, 3:6] = 160
    return Views(cutouts, rng.normal(0, 1, (64, NUMBERS)).astype(np.float32)), true


def test_numpy_computes_what_was_trained(lessons):
    torch.manual_seed(0)
    net, (views, _) = EvidenceNet().eval(), lessons
    mean, spread = views.numbers.mean(0), views.numbers.std(0)
    z = torch.from_numpy(np.clip((views.numbers - mean) / spread, -4, 4))
    with torch.inference_mode():
        expected = net(planes(torch.from_numpy(views.cutouts).permute(0, 3, 1, 2).float()), z).numpy()
    assert logits(_named(net, mean, spread), views) == pytest.approx(expected, abs=1e-4)


def test_what_is_gone_is_learned_and_the_same_lessons_give_the_same_bytes(lessons, tmp_path):
    views, true = lessons
    first, again = (fit_evidence(views, true, steps=40) for _ in range(2))
    assert ((logits(first, views) > 0) == true).mean() > 0.9
    for name, weights in (("a", first), ("b", again)):
        write_evidence(weights, tmp_path / name, "nothing")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_value_is_given_the_evidence_that_is_asked_for(lessons):
    views, true = lessons
    weights = fit_evidence(views, true, steps=5)
    share = 1 / (1 + np.exp(-logits(weights, views)))
    moved = 1 / (1 + np.exp(-logits(with_evidence(float(share[3]), 0.15, weights), views)))
    assert moved[3] == pytest.approx(0.15, abs=1e-3)
    assert (np.argsort(moved) == np.argsort(share)).all()


def test_the_shipped_weights_say_what_they_were_fitted_on():
    with safe_open(str(files("s2st_aug.validation") / "evidence.safetensors"), "np") as file:
        assert "streets of rng_key 4" in file.metadata()["fitted_on"]
