"""The start-up self-test refuses a misread model and names the cause."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from s2st_aug.diffusion.denoiser import eps_from_v, v_from_eps
from s2st_aug.diffusion.fakes import tiny_latent_model
from s2st_aug.errors import ModelError
from s2st_aug.translation.self_test import _drawn_street, self_test

TINY = tiny_latent_model()
CLEAN = TINY.encode(_drawn_street(TINY))


def knowing(z, t, context):
    """A denoiser that knows the test's one picture: the exact noise."""
    abar = TINY.schedule.abar(t)
    return (z - abar**0.5 * CLEAN) / (1 - abar) ** 0.5


def v_read_as_epsilon(z, t, context):
    return v_from_eps(knowing(z, t, context), z, TINY.schedule.abar(t))


def epsilon_read_as_v(z, t, context):
    return eps_from_v(knowing(z, t, context), z, TINY.schedule.abar(t))


def test_a_good_model_passes():
    found = self_test(dataclasses.replace(TINY, denoiser=knowing))
    assert found.noise_error < 1e-6
    assert found.round_trip_db > 30


@pytest.mark.parametrize(
    ("denoiser", "cause"), [(v_read_as_epsilon, "seems to predict v_prediction"), (epsilon_read_as_v, "seems to predict epsilon")]
)
def test_a_misread_prediction_type_is_named(denoiser, cause):
    with pytest.raises(ModelError, match=cause):
        self_test(dataclasses.replace(TINY, denoiser=denoiser))


def test_an_untrained_network_is_refused():
    with pytest.raises(ModelError, match="untrained or damaged"):
        self_test(dataclasses.replace(TINY, denoiser=lambda z, t, c: torch.randn(z.shape, generator=torch.Generator().manual_seed(1))))
