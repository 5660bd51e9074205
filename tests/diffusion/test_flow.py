"""A rectified flow as a diffusion: the equivalence in closed form, its levels, and each architecture's own pipeline."""

from __future__ import annotations

import itertools
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from backbones import FLOWS, batches_of_autoencoders, run_whole_method, their_latents

from s2st_aug.diffusion import ddim
from s2st_aug.diffusion.denoiser import Context, guided, with_context
from s2st_aug.diffusion.flow import (
    eps_from_velocity,
    flow_abar,
    flow_schedule,
    flow_time,
    from_velocity,
    mu_of_flux2,
    mu_of_tokens,
    velocity_from_eps,
)
from s2st_aug.diffusion.model import LatentModel
from s2st_aug.diffusion.schedule import NoiseSchedule
from s2st_aug.diffusion.selftest import measure_model
from s2st_aug.diffusion.stable_diffusion import load_model
from s2st_aug.errors import ModelError

load_random = partial(load_model, self_test=False)
NONE = Context(torch.zeros(1, 1, 1))
PROMPTS = ["a street at night", "a road"]
SCALE, MEAN = 0.7, 0.4  # of the toy's data


def toy_velocity(x: torch.Tensor, s: float, _context: Context) -> torch.Tensor:
    """The exact velocity of Gaussian data: E[n - x0 | x]."""
    variance = (1 - s) ** 2 * SCALE**2 + s**2
    return (s - (1 - s) * SCALE**2) / variance * (x - (1 - s) * MEAN) - MEAN


@pytest.mark.parametrize("steps", [7, 50])
def test_an_euler_step_of_the_flow_is_our_ddim_move(steps):
    schedule = flow_schedule({"shift": 3.0}, 0.0)
    predict = with_context(from_velocity(toy_velocity, schedule), NONE)
    z = torch.randn(1, 4, 6, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    times = [0.0 if t < 0 else flow_time(schedule.abar(t)) for t in schedule.levels(steps)][::-1]
    x, worst = z * math.hypot(1 - times[0], times[0]), 0.0
    path = ddim.sampling_path(predict, z, schedule, steps)
    for (here, there), ours in zip(itertools.pairwise(times), path, strict=True):
        x = x + (there - here) * toy_velocity(x, here, NONE)
        worst = max(worst, (ours * math.hypot(1 - there, there) - x).abs().max().item())
    assert worst <= 1e-14


def test_inversion_finds_the_seed_of_gaussian_data_in_closed_form():
    """The map is monotone: a value at u deviations of the data goes to u deviations of the noisy marginal."""
    schedule = flow_schedule({}, 0.0)
    predict = with_context(from_velocity(toy_velocity, schedule), NONE)
    u = torch.randn(1, 4, 6, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    seed = ddim.invert(predict, MEAN + SCALE * u, schedule, schedule.total)[-1]
    s = flow_time(schedule.abar(schedule.total - 1))
    exact = ((1 - s) * MEAN + math.hypot((1 - s) * SCALE, s) * u) / math.hypot(1 - s, s)
    assert (seed - exact).abs().max() <= 5e-3


@pytest.mark.parametrize("s", [0.02, 0.3, 0.936])
def test_time_velocity_and_their_inverses(s):
    assert flow_time(flow_abar(s)) == pytest.approx(s, abs=1e-14)
    x0, n = torch.randn(2, 1, 4, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    z = ddim.add_noise(x0, n, flow_abar(s))
    torch.testing.assert_close(eps_from_velocity(n - x0, z, flow_abar(s)), n, atol=1e-13, rtol=0)
    torch.testing.assert_close(velocity_from_eps(n, z, flow_abar(s)), n - x0, atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    ("config", "mu"),
    [({}, 0.0), ({"shift": 3.0}, 0.0), ({"use_dynamic_shifting": True}, 1.15), ({"shift": 6.0}, 0.0)],
)
def test_the_seed_lies_where_stable_diffusions_does(config, mu):
    schedule = flow_schedule(config, mu)
    top, stable = schedule.timesteps(20)[0], NoiseSchedule.stable_diffusion().abar(999)
    assert top == schedule.total - 1
    assert stable <= schedule.abar(top) < 1.05 * stable
    assert flow_time(schedule.abar(top)) == pytest.approx(0.936, abs=1.5e-3)
    assert np.all(np.diff(schedule.alphas_cumprod) < 0) and schedule.abar(-1) == 1.0


@pytest.mark.parametrize("config", [{"shift": 3.0}, {"use_dynamic_shifting": True, "max_shift": 0.9}])
def test_levels_are_those_of_the_scheduler(config):
    from diffusers import FlowMatchEulerDiscreteScheduler

    scheduler = FlowMatchEulerDiscreteScheduler(**config)
    mu, schedule = mu_of_tokens(scheduler.config, 3000), None
    schedule = flow_schedule(scheduler.config, mu)
    even = [(t + 1) / 1000 for t in schedule.timesteps(12)]
    scheduler.set_timesteps(sigmas=even, mu=mu if config.get("use_dynamic_shifting") else None)
    ours = [flow_time(schedule.abar(t)) for t in schedule.timesteps(12)]
    np.testing.assert_allclose(ours, scheduler.sigmas[:-1].numpy(), atol=1e-6)


@pytest.mark.parametrize("tokens", [1024, 4096, 5000])
def test_the_shift_of_flux2_is_its_pipelines(tokens):
    from diffusers.pipelines.flux2.pipeline_flux2_klein import compute_empirical_mu

    assert mu_of_flux2(tokens) == pytest.approx(compute_empirical_mu(tokens, 50), abs=1e-12)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = FLOWS[name](tmp_path_factory.mktemp(name))
        return made[name]

    return folder


@pytest.fixture(scope="module")
def models(folders) -> Callable[[str], LatentModel]:
    made: dict[str, LatentModel] = {}

    def model(name: str) -> LatentModel:
        if name not in made:
            made[name] = replace(load_random(folders(name)), native_size=(64, 48))
        return made[name]

    return model


@pytest.mark.parametrize(
    ("name", "guidance"),
    [
        ("sd3", 1.0),
        ("sd3", 3.0),
        ("flux2", 1.0),
        ("flux2", 3.0),
        ("z_image", 1.0),
        ("z_image", 3.0),
        ("qwen_image", 1.0),
    ],
)
def test_sampling_goes_as_the_pipeline_does(folders, models, name, guidance):
    model = models(name)
    noise = torch.randn(2, model.latent_channels, 24, 32, generator=torch.Generator().manual_seed(3))
    sigmas = [flow_time(model.schedule.abar(t)) for t in model.schedule.timesteps(5)]
    state = noise * math.hypot(sigmas[0], 1 - sigmas[0])
    theirs = their_latents(folders(name), PROMPTS, state, sigmas, guidance)
    with torch.no_grad():
        denoise = guided(model.denoiser, model.embed([""]), guidance)
        ours = ddim.sample(with_context(denoise, model.embed(PROMPTS)), noise, model.schedule, 5)
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


@pytest.mark.parametrize("name", FLOWS)
def test_a_flows_facts_and_its_autoencoder(models, name):
    model = models(name)
    assert (model.stride, model.latent_factor, model.prediction_type) == (4, 2, "velocity")
    assert model.latent_channels == (32 if name == "flux2" else 16)
    pixels = torch.rand(2, 3, 48, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        latents = model.encode(pixels)
        assert latents.shape == (2, model.latent_channels, 24, 32) and model.decode(latents).shape == pixels.shape
    context = model.embed(["a street", "a longer road by day"])
    assert len(context) == 2 and (name == "flux2" or name == "sd3") == (context.mask is None)


@pytest.mark.parametrize("name", FLOWS)
def test_a_prompt_is_the_same_alone_and_beside_a_longer_one(models, name):
    model = models(name)
    z = torch.randn(1, model.latent_channels, 24, 32, generator=torch.Generator().manual_seed(0))
    both = model.embed(["a street", "a longer road by day at night"])
    with torch.no_grad():
        alone = model.denoiser(z, 500, model.embed(["a street"]))
        together = model.denoiser(torch.cat([z, z]), 500, both)[:1]
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", FLOWS)
def test_the_self_test_runs_and_refuses_random_weights(models, name):
    found = measure_model(models(name))
    assert all(map(math.isfinite, (found.round_trip_db, found.residual, found.spread)))
    assert found.residual > 0.8


@pytest.mark.parametrize(
    ("name", "to_method"),
    [*((name, "latents") for name in FLOWS), *((name, "null_text") for name in FLOWS), ("sd3", "direct")],
)
def test_the_whole_method_runs(models, name, to_method):
    done = run_whole_method(models(name), to_method)
    assert done.image.shape == (47, 65, 3) and done.image.dtype == np.uint8


def test_sd3_without_t5_has_zeros_in_its_place(folders, models, tmp_path):
    shutil.copytree(folders("sd3"), tmp_path / "m")
    shutil.rmtree(tmp_path / "m" / "text_encoder_3")
    short, whole = load_random(tmp_path / "m").embed(PROMPTS), models("sd3").embed(PROMPTS)
    assert short.tokens.shape == whole.tokens.shape == (2, 12 + 256, 48)
    assert not short.tokens[:, 12:].any() and whole.tokens[:, 12:].any()
    assert torch.equal(short.tokens[:, :12], whole.tokens[:, :12])


@pytest.mark.parametrize("name", FLOWS)
def test_each_flows_autoencoder_takes_a_batch_image_by_image(models, name):
    pixels = torch.rand(3, 3, 48, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad(), batches_of_autoencoders() as seen:
        models(name).decode(models(name).encode(pixels))
    assert seen == {"encoder": [1, 1, 1], "decoder": [1, 1, 1]}


@pytest.mark.parametrize("name", FLOWS)
def test_each_flows_autoencoder_runs_in_half_precision_and_comes_back(models, name):
    """Two of them scale latents by numbers of their own, which stay in float32."""
    model = models(name)
    pixels = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        whole = model.decode(model.encode(pixels))
        half = model.halving_autoencoder(torch.bfloat16)
        assert half is not None
        cast = model.decode(model.encode(pixels))
        half.undo()
        assert torch.equal(model.decode(model.encode(pixels)), whole)
    assert cast.dtype == torch.float32 and not torch.equal(cast, whole)


def test_a_flow_computes_in_the_precision_of_its_files(folders, tmp_path):
    from diffusers import SD3Transformer2DModel

    shutil.copytree(folders("sd3"), tmp_path / "m")
    net = SD3Transformer2DModel.from_pretrained(folders("sd3") / "transformer").to(torch.bfloat16)
    net.save_pretrained(tmp_path / "m" / "transformer")
    model = load_random(tmp_path / "m")
    z = torch.randn(1, 16, 24, 32, generator=torch.Generator().manual_seed(0))
    assert (model.dtype, model.halving) == (torch.bfloat16, None)
    with torch.no_grad():
        plain = model.denoiser(z, 500, model.embed([""]))
        with torch.autocast("cpu", torch.bfloat16):
            cast = model.denoiser(z, 500, model.embed([""]))
    assert plain.dtype == torch.float32 and (plain - cast.float()).abs().max() < 0.05


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        (
            {"loras": [{"path": "a.safetensors"}]},
            "LoRA adapters cannot be used with Stable Diffusion 3; name the model's folder alone",
        ),
        ({"vae": "owner/other"}, "another vae cannot be used with Stable Diffusion 3"),
        (
            {"base": "x.safetensors"},
            "x.safetensors: a checkpoint in one file cannot be used with Stable Diffusion 3",
        ),
    ],
)
def test_what_is_put_on_a_flow_is_refused_in_one_line_before_anything_is_hashed(folders, tmp_path, choice, says):
    named = {"base": str(folders("sd3")), **choice}
    if choice.get("base"):
        (tmp_path / "x.safetensors").write_bytes(b"")
        named |= {"base": str(tmp_path / "x.safetensors"), "config": str(folders("sd3"))}
    with pytest.raises(ModelError, match=says):
        load_random(json.dumps(named))
