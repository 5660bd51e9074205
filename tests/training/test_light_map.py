"""Training of the light map: streets, crops, and a loop that resumes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from s2st_aug.errors import DatasetError
from s2st_aug.lights.network import KINDS
from s2st_aug.procedural.mesh import Glow
from s2st_aug.training.light_map import LightMapSettings, LightTraining
from s2st_aug.training.light_streets import LightStreets, LightStreetSettings, lights_of, render_light_streets

SMALL = LightStreetSettings(rng_key=2, count=1, crop=(64, 32))
SETTINGS = LightMapSettings(streets=SMALL, batch=1, steps=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("streets")
    render_light_streets(folder, SMALL.rng_key, range(1))
    return folder


def test_a_street_says_what_shines_and_what_the_night_is_without(folder):
    with np.load(folder / "2-00000.npz") as street:
        dark, night, kinds, panes = (street[n] for n in ("dark", "night", "kinds", "panes"))
    lamps = kinds == Glow.LAMP
    assert lamps.any()
    assert night[lamps].mean() > dark[lamps].mean() + 60
    lit = np.isin(kinds, (Glow.INTERIOR, Glow.SHOP))
    assert lit.any() and (panes[lit] > 0).all() and (panes > 0).sum() > 1.5 * lit.sum()
    assert lights_of(night)[lamps].mean() > 0.5
    assert lights_of(dark).mean() < 0.2 * lights_of(night).mean()


def test_crops_have_their_shapes_and_labels_are_sometimes_told(folder):
    batch = next(LightStreets(folder, SMALL.model_copy(update={"labels": 1.0}), []).batches(1))
    assert batch["given"].shape == (1, 6, 32, 64)
    assert batch["masks"].shape == (1, len(KINDS), 32, 64)
    assert batch["pools"].shape == (1, 6, 8, 16)
    assert all(bool(torch.isfinite(v).all()) for v in batch.values())


def test_a_folder_without_streets_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="at least 1 streets of rng_key 2"):
        next(LightStreets(tmp_path, SMALL, []).batches(1))


def test_training_resumes_where_it_was(folder, tmp_path):
    streets = LightStreets(folder, SMALL, [])
    training = LightTraining(SETTINGS, tmp_path)
    training.run(streets.batches(1), lambda: training.step >= 2)
    again = LightTraining(SETTINGS, tmp_path)
    assert again.step == 2
    for a, b in zip(training.network.parameters(), again.network.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    again.run(streets.batches(1), lambda: False)
    assert again.step == 3
