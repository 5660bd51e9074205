"""The start-up self-test: what it accepts, and that it names why it refuses."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from s2st_aug.diffusion import selftest
from s2st_aug.diffusion.denoiser import from_v_prediction, v_from_eps
from s2st_aug.diffusion.fakes import tiny_latent_model
from s2st_aug.diffusion.schedule import NoiseSchedule
from s2st_aug.errors import ModelError

LINEAR = NoiseSchedule.from_config({"beta_schedule": "linear"})


def knowing_model(schedule: NoiseSchedule | None = None):
    """A model that knows its one picture: eps = (z - sqrt(abar) x0) / sqrt(1-abar), exact under its own schedule."""
    fake = tiny_latent_model()
    truth = schedule or fake.schedule
    x0 = fake.encode(selftest.street_picture(selftest._small_size(fake)))

    def eps(z: torch.Tensor, t: int, _context: torch.Tensor) -> torch.Tensor:
        spread = 0.05  # as if the data were a narrow cloud around the picture: a smooth flow
        abar = truth.abar(t)
        return (1 - abar) ** 0.5 * (z - abar**0.5 * x0) / (abar * spread + 1 - abar)

    return dataclasses.replace(fake, denoiser=eps)


def as_v(model):
    """The same network, giving v, correctly labelled."""
    raw = lambda z, t, c: v_from_eps(model.denoiser(z, t, c), z, model.schedule.abar(t))  # noqa: E731
    return dataclasses.replace(model, denoiser=from_v_prediction(raw, model.schedule), prediction_type="v_prediction"), raw


def test_a_good_model_passes(tmp_path):
    result = selftest.check_model(knowing_model(), cache=tmp_path)
    assert result.residual < 0.1
    assert result.likely == "epsilon/scaled_linear"
    assert selftest.check_model(as_v(knowing_model())[0], cache=tmp_path).residual == pytest.approx(result.residual, rel=1e-3)


def test_a_v_network_read_as_epsilon_is_named(tmp_path):
    model, raw = as_v(knowing_model())
    misread = dataclasses.replace(model, denoiser=raw, prediction_type="epsilon")
    with pytest.raises(ModelError, match="says epsilon/scaled_linear, but the network answers as v_prediction/scaled_linear"):
        selftest.check_model(misread, cache=tmp_path)


def test_an_epsilon_network_read_as_v_is_named(tmp_path):
    model = knowing_model()
    misread = dataclasses.replace(model, denoiser=from_v_prediction(model.denoiser, model.schedule), prediction_type="v_prediction")
    with pytest.raises(ModelError, match="says v_prediction/scaled_linear, but the network answers as epsilon/scaled_linear"):
        selftest.check_model(misread, cache=tmp_path)


def test_a_misread_schedule_is_named(tmp_path):
    misread = knowing_model(LINEAR)
    with pytest.raises(ModelError, match="says epsilon/scaled_linear, but the network answers as epsilon/linear"):
        selftest.check_model(misread, cache=tmp_path)


def test_an_untrained_network_is_refused(tmp_path):
    def noise(z: torch.Tensor, t: int, _c: torch.Tensor) -> torch.Tensor:
        return torch.randn(z.shape, generator=torch.Generator().manual_seed(t))

    with pytest.raises(ModelError, match=r"does not find the noise.*untrained or damaged"):
        selftest.check_model(dataclasses.replace(tiny_latent_model(), denoiser=noise), cache=tmp_path)


def test_nan_weights_are_refused(tmp_path):
    broken = dataclasses.replace(tiny_latent_model(), denoiser=lambda z, t, c: z * float("nan"))
    with pytest.raises(ModelError, match="does not find the noise"):
        selftest.check_model(broken, cache=tmp_path)


def test_the_result_is_measured_once_per_model(tmp_path, monkeypatch):
    model = knowing_model()
    first = selftest.check_model(model, cache=tmp_path)
    monkeypatch.setattr(selftest, "measure_model", lambda _model: pytest.fail("measured again"))
    assert selftest.check_model(model, cache=tmp_path) == first


def test_a_folder_that_cannot_be_written_is_no_failure(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert selftest.check_model(knowing_model(), cache=blocked).residual < 0.1
