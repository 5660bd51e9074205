"""A rectified flow that was trained: it passes the self-test, inverts, reconstructs and translates.

`flow_toy.safetensors` is the outcome of `configs/flow_toy.yaml` (docs/training.md): a transformer shaped as Stable
Diffusion 3 on the latents of street-mini's autoencoder. The streets here are of a key that it was not trained on.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from s2st_aug.diffusion import ddim
from s2st_aug.diffusion.denoiser import with_context
from s2st_aug.diffusion.flow import flow_time
from s2st_aug.diffusion.model import LatentModel
from s2st_aug.diffusion.selftest import measure_model
from s2st_aug.diffusion.stable_diffusion import load_model
from s2st_aug.errors import ModelError
from s2st_aug.profiles.build import ReferencePhotos, build_profile, measure
from s2st_aug.records.domains import CONDITIONS
from s2st_aug.records.translated import Translated
from s2st_aug.training.aligned_recipe import package_weights
from s2st_aug.training.streets import StreetFolder, StreetSettings
from s2st_aug.translation.settings import MethodSettings
from s2st_aug.translation.translator import Translator

WEIGHTS = Path(__file__).with_name("flow_toy.safetensors")
STREETS = StreetSettings(rng_key=820_017, size=(144, 80), rendered=(288, 160))
DAY, NIGHT = CONDITIONS.index("day"), CONDITIONS.index("night")
DAY_PROMPT, NIGHT_PROMPT = "a street by day", "a street at night"


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    package_weights(WEIGHTS, folder)
    return folder


@pytest.fixture(scope="module")
def model(toy) -> LatentModel:
    return load_model(toy, self_test=False)


@pytest.fixture(scope="module")
def streets(tmp_path_factory) -> torch.Tensor:
    """Three streets under six conditions in [-1, 1], `3 6 3 80 144`."""
    source = StreetFolder(tmp_path_factory.mktemp("streets"), STREETS)
    return torch.stack([source.render(index) for index in range(3)]).float() / 127.5 - 1


def decibels(a: torch.Tensor, b: torch.Tensor) -> float:
    return 10 * math.log10(4 / (a - b).square().mean().item())


def test_a_trained_flow_passes_the_self_test(toy, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = measure_model(load_model(toy))
    assert found.residual < 0.8 and found.round_trip_db > 30
    assert found.likely == "velocity/rectified flow, shift 1"


def test_a_flow_whose_velocity_points_the_other_way_is_refused_by_what_it_answers(toy, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    shutil.copytree(toy, tmp_path / "turned")
    file = tmp_path / "turned" / "transformer" / "diffusion_pytorch_model.safetensors"
    save_file({k: -v if k.startswith("proj_out.") else v for k, v in load_file(file).items()}, file, {"format": "pt"})
    with pytest.raises(ModelError, match="the network answers as velocity from noise to image"):
        load_model(tmp_path / "turned")


@pytest.mark.parametrize(("steps", "least"), [(4, 17.0), (10, 22.0), (20, 26.0)])
def test_inversion_and_sampling_give_the_image_back_the_better_the_more_steps(model, streets, steps, least):
    predict = with_context(model.denoiser, model.embed([DAY_PROMPT] * 3))
    with torch.no_grad():
        z = model.encode(streets[:, DAY])
        seeds = ddim.invert(predict, z, model.schedule, steps)[-1]
        back = ddim.sample(predict, seeds, model.schedule, steps)
    assert 10 * math.log10(36 / (back - z).square().mean().item()) > least
    assert 0.7 < seeds.std() < 1.5


def test_the_seed_of_a_day_leads_to_its_night(model, streets):
    """To this street's night, closer than to its day and than another street's night is."""
    day, night = (with_context(model.denoiser, model.embed([prompt] * 3)) for prompt in (DAY_PROMPT, NIGHT_PROMPT))
    with torch.no_grad():
        seeds = ddim.invert(day, model.encode(streets[:, DAY]), model.schedule, 10)[-1]
        made = model.decode(ddim.sample(night, seeds, model.schedule, 10))
    for index in range(3):
        to_night = decibels(made[index], streets[index, NIGHT])
        assert to_night > decibels(streets[index, DAY], streets[index, NIGHT]) + 5
        assert to_night > decibels(streets[(index + 1) % 3, NIGHT], streets[index, NIGHT]) + 1


def test_the_image_is_that_of_diffusers_pipeline(toy, model):
    """Stable Diffusion 3 without T5 and with an AutoencoderTiny, from the same folder."""
    from diffusers import FlowMatchEulerDiscreteScheduler, StableDiffusion3Pipeline

    pipeline = StableDiffusion3Pipeline.from_pretrained(
        toy, local_files_only=True, text_encoder_3=None, tokenizer_3=None
    )
    pipeline.scheduler = FlowMatchEulerDiscreteScheduler(shift=1.0)
    pipeline.set_progress_bar_config(disable=True)
    noise = torch.randn(1, 4, 20, 36, generator=torch.Generator().manual_seed(0))
    sigmas = [flow_time(model.schedule.abar(t)) for t in model.schedule.timesteps(6)]
    theirs = pipeline(
        prompt=[NIGHT_PROMPT], latents=noise * math.hypot(sigmas[0], 1 - sigmas[0]), guidance_scale=1.0, height=80,
        width=144, sigmas=sigmas, output_type="pt",
    ).images  # fmt: skip
    with torch.no_grad():
        predict = with_context(model.denoiser, model.embed([NIGHT_PROMPT]))
        ours = model.decode(ddim.sample(predict, noise, model.schedule, 6))
    assert ((ours + 1) / 2).clamp(0, 1).sub(theirs).abs().max() < 1e-4


def photos(folder: Path, streets: torch.Tensor, condition: int) -> ReferencePhotos:
    from PIL import Image

    folder.mkdir()
    for index, street in enumerate(streets):
        pixels = ((street[condition] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return ReferencePhotos(folder)


@pytest.fixture(scope="module")
def translated(model, tmp_path_factory) -> tuple[np.ndarray, Mapping[str, Translated]]:
    """A held-out day through the whole method, with a profile of nights that was built with the toy."""
    folder = tmp_path_factory.mktemp("photos")
    source = StreetFolder(folder / "streets", STREETS)
    streets = torch.stack([source.render(index) for index in range(3, 9)]).float() / 127.5 - 1
    day = measure(model, [photos(folder / "day", streets[:-1], DAY)], "day", DAY_PROMPT)
    night = build_profile(model, "night", NIGHT_PROMPT, [photos(folder / "night", streets[:-1], NIGHT)], {"day": day})
    shown = ((streets[-1, DAY] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    settings = MethodSettings(steps=10, st_iterations=5, to_iterations=1, guidance=2.0, to_method="latents")
    done = Translator(model, {"night": night}, settings).translate([shown], ["night"])[0]
    return ((streets[-1, NIGHT] + 1) * 127.5).permute(1, 2, 0).numpy(), done | {"source": shown}


def test_the_whole_method_makes_a_night_of_a_day(translated):
    truth, done = translated
    made = done["night"]
    assert isinstance(made, Translated)
    error, before = (np.abs(image.astype(float) - truth).mean() for image in (made.image, done["source"]))
    assert error < 0.4 * before
