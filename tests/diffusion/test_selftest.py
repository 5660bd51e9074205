"""The start-up self-test: what it accepts, and that it names why it refuses."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path

import pytest
import torch

from s2st_aug.diffusion import selftest
from s2st_aug.diffusion.denoiser import Context, from_v_prediction, v_from_eps
from s2st_aug.diffusion.model_files import EMBEDDED
from s2st_aug.diffusion.schedule import NoiseSchedule
from s2st_aug.diffusion.stable_diffusion import load_model
from s2st_aug.errors import ModelError
from s2st_aug.testing.models import tiny_latent_model

LINEAR = NoiseSchedule.from_config({"beta_schedule": "linear"})


def knowing_model(schedule: NoiseSchedule | None = None):
    """A model that knows its one picture: eps = (z - sqrt(abar) x0) / sqrt(1-abar), exact under its own schedule."""
    fake = tiny_latent_model()
    truth = schedule or fake.schedule
    x0 = fake.encode(selftest.street_picture(selftest.picture_size(fake)))

    def eps(z: torch.Tensor, t: int, _context: Context) -> torch.Tensor:
        spread = 0.05  # as if the data were a narrow cloud around the picture: a smooth flow
        abar = truth.abar(t)
        return (1 - abar) ** 0.5 * (z - abar**0.5 * x0) / (abar * spread + 1 - abar)

    return dataclasses.replace(fake, denoiser=eps)


def as_v(model):
    """The same network, giving v, correctly labelled."""
    raw = lambda z, t, c: v_from_eps(model.denoiser(z, t, c), z, model.schedule.abar(t))  # noqa: E731
    return dataclasses.replace(
        model, denoiser=from_v_prediction(raw, model.schedule), prediction_type="v_prediction"
    ), raw


def test_a_good_model_passes(tmp_path):
    result = selftest.check_model(knowing_model(), cache=tmp_path)
    assert result.residual < 0.1
    assert result.likely == "epsilon/scaled_linear"
    assert selftest.check_model(as_v(knowing_model())[0], cache=tmp_path).residual == pytest.approx(
        result.residual, rel=1e-3
    )


def test_a_v_network_read_as_epsilon_is_named(tmp_path):
    model, raw = as_v(knowing_model())
    misread = dataclasses.replace(model, denoiser=raw, prediction_type="epsilon")
    with pytest.raises(
        ModelError, match="says epsilon/scaled_linear, but the network answers as v_prediction/scaled_linear"
    ):
        selftest.check_model(misread, cache=tmp_path)


def test_an_epsilon_network_read_as_v_is_named(tmp_path):
    model = knowing_model()
    misread = dataclasses.replace(
        model, denoiser=from_v_prediction(model.denoiser, model.schedule), prediction_type="v_prediction"
    )
    with pytest.raises(
        ModelError, match="says v_prediction/scaled_linear, but the network answers as epsilon/scaled_linear"
    ):
        selftest.check_model(misread, cache=tmp_path)


def test_a_misread_schedule_is_named(tmp_path):
    misread = knowing_model(LINEAR)
    with pytest.raises(ModelError, match="says epsilon/scaled_linear, but the network answers as epsilon/linear"):
        selftest.check_model(misread, cache=tmp_path)


def test_an_untrained_network_is_refused(tmp_path):
    def noise(z: torch.Tensor, t: int, _c: torch.Tensor) -> torch.Tensor:
        return torch.randn(z.shape, generator=torch.Generator().manual_seed(t))

    with pytest.raises(ModelError, match=r"does not predict the noise.*untrained or damaged"):
        selftest.check_model(dataclasses.replace(tiny_latent_model(), denoiser=noise), cache=tmp_path)


def test_nan_weights_are_refused(tmp_path):
    broken = dataclasses.replace(tiny_latent_model(), denoiser=lambda z, t, c: z * float("nan"))
    with pytest.raises(ModelError, match="does not predict the noise"):
        selftest.check_model(broken, cache=tmp_path)


def test_the_result_is_measured_once_per_model(tmp_path, monkeypatch):
    model = knowing_model()
    first = selftest.check_model(model, cache=tmp_path)
    monkeypatch.setattr(selftest, "measure_model", lambda _model: pytest.fail("measured again"))
    assert selftest.check_model(model, cache=tmp_path) == first


@pytest.mark.parametrize(
    "change",
    [
        {"config_sha256": "other"},
        {"dtype": torch.float16},
        {"device": torch.device("meta")},
        "steps_offset",
        "final_alpha",
    ],
)
def test_a_result_is_not_remembered_for_another_config(change):
    model = knowing_model()
    changes = {"schedule": dataclasses.replace(model.schedule, **{change: 0})} if isinstance(change, str) else change
    assert selftest._cache_key(dataclasses.replace(model, **changes)) != selftest._cache_key(model)


def test_a_model_without_signal_in_its_last_step_is_accepted(tmp_path):
    zero_snr = {
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "rescale_betas_zero_snr": True,
    }
    schedule = NoiseSchedule.from_config(zero_snr | {"timestep_spacing": "trailing"})
    result = selftest.check_model(
        as_v(dataclasses.replace(knowing_model(schedule), schedule=schedule))[0], cache=tmp_path
    )
    assert result.likely == "v_prediction/scaled_linear, rescale_betas_zero_snr"


def test_epsilon_without_signal_in_its_last_step_is_refused(tmp_path):
    with pytest.raises(ModelError, match="rescale_betas_zero_snr, which needs prediction_type v_prediction"):
        load_model(edited(tmp_path, "scheduler", {"prediction_type": "epsilon", "rescale_betas_zero_snr": True}))


def test_a_folder_that_cannot_be_written_is_no_failure(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert selftest.check_model(knowing_model(), cache=blocked).residual < 0.1


SHIPPED = EMBEDDED["street-photo"]
"""street-mini learnt with aligned seeds, little fresh noise among them: of schedules as near to each other as these the
self-test cannot tell on it, of wrong predictions and of linear betas it can."""
MISREAD = {
    "all beta keys missing": (
        "scheduler",
        {"beta_schedule": None, "beta_start": None, "beta_end": None},
        "v_prediction/linear,",
    ),
    "linear": ("scheduler", {"beta_schedule": "linear"}, "v_prediction/linear 0.00085 to 0.012 in 1000 steps,"),
    "beta_end": ("scheduler", {"beta_end": 0.02}, "v_prediction/scaled_linear 0.00085 to 0.02 in 1000 steps,"),
    "squaredcos": ("scheduler", {"beta_schedule": "squaredcos_cap_v2"}, "v_prediction/squaredcos_cap_v2,"),
    "zero SNR": ("scheduler", {"rescale_betas_zero_snr": True}, "v_prediction/scaled_linear, rescale_betas_zero_snr,"),
    "500 steps": (
        "scheduler",
        {"num_train_timesteps": 500},
        "v_prediction/scaled_linear 0.00085 to 0.012 in 500 steps,",
    ),
    "2000 steps": (
        "scheduler",
        {"num_train_timesteps": 2000},
        "v_prediction/scaled_linear 0.00085 to 0.012 in 2000 steps,",
    ),
    "prediction": ("scheduler", {"prediction_type": "epsilon"}, "epsilon/scaled_linear,"),
    "both": (
        "scheduler",
        {"prediction_type": "epsilon", "beta_schedule": None, "beta_start": None, "beta_end": None},
        "epsilon/linear,",
    ),
    "small scaling": ("vae", {"scaling_factor": 0.18215}, "spread by 0.26, expected 0.33 to 3; check scaling_factor"),
    "large scaling": ("vae", {"scaling_factor": 5.0}, "spread by 7.13, expected 0.33 to 3; check scaling_factor"),
}


def edited(folder: Path, component: str, changes: dict[str, object]) -> Path:
    """A copy of the shipped model with keys of one config changed, or (None) left out."""
    copy = shutil.copytree(SHIPPED, folder / "model", ignore=shutil.ignore_patterns("profiles"))
    path = copy / component / ("scheduler_config.json" if component == "scheduler" else "config.json")
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    return copy


ALIKE = {
    "linear",
    "beta_end",
    "squaredcos",
    "zero SNR",
    "500 steps",
    "2000 steps",
    "both",
    "large scaling",
}  # each has a quicker fellow that fails for the same reason


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in ALIKE else n for n in MISREAD])
def test_a_wrong_config_of_a_true_model_is_refused_with_its_cause(name, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    component, changes, says = MISREAD[name]
    answers = "v_prediction/scaled_linear would" if component == "scheduler" else ""
    with pytest.raises(ModelError, match=f"{re.escape(says)}.*{answers}"):
        load_model(edited(tmp_path, component, changes))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        pytest.param({"timestep_spacing": "trailing"}, marks=pytest.mark.slow),
        {"steps_offset": 0, "set_alpha_to_one": True},
    ],
)
def test_a_true_model_is_accepted(changes, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    load_model(edited(tmp_path, "scheduler", changes))


@pytest.mark.parametrize(
    ("native", "stride", "picture"),
    [((512, 512), 64, (256, 256)), ((1024, 1024), 16, (512, 512)), ((104, 104), 8, (96, 96)), ((64, 48), 8, (64, 48))],
)
def test_a_small_model_is_not_shown_a_street_of_half_its_size(native, stride, picture):
    model = dataclasses.replace(tiny_latent_model(), native_size=native, stride=stride)
    assert selftest.picture_size(model) == picture
