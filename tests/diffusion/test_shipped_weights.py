"""The weights in this repository: small, licensed, honest in their card, and the same through a plain pipeline."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from s2st_aug.diffusion import ddim, selftest
from s2st_aug.diffusion.denoiser import guided, with_context
from s2st_aug.diffusion.model_files import EMBEDDED
from s2st_aug.diffusion.stable_diffusion import load_model

SHIPPED = [name for name, folder in EMBEDDED.items() if (folder / "model_index.json").is_file()]


@pytest.fixture(scope="module", params=SHIPPED)
def model(request):
    return load_model(request.param)


def test_street_mini_is_shipped():
    assert "street-mini" in SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_a_set_is_small_and_has_its_card(name):
    folder = EMBEDDED[name]
    assert sum(p.stat().st_size for p in folder.rglob("*.safetensors") if "profiles" not in p.parts) < 30e6
    card = (folder / "README.md").read_text()
    assert "## Trained on" in card
    if name == "street-photo":
        assert "CC BY-NC" in card
        assert "non-commercial" in (folder / "LICENSE").read_text().lower()
    else:
        assert "license: apache-2.0" in card


def test_it_is_what_its_config_says(model, tmp_path):
    native = {"street-mini": (288, 160), "street-photo": (256, 192)}
    assert (model.native_size, model.stride, model.latent_factor) == (native[model.name], 16, 4)
    assert selftest.check_model(model, cache=tmp_path).round_trip_db > 25


def test_a_plain_pipeline_gives_the_same_image(model):
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(
        EMBEDDED[model.name], use_safetensors=True, local_files_only=True
    )
    pipeline.set_progress_bar_config(disable=True)
    seed = torch.randn(1, 4, 24, 32, generator=torch.Generator().manual_seed(0))
    theirs = pipeline(
        "a street at night",
        height=96,
        width=128,
        num_inference_steps=4,
        guidance_scale=2.0,
        latents=seed,
        output_type="np",
    ).images
    with torch.no_grad():
        denoise = with_context(guided(model.denoiser, model.embed([""]), 2.0), model.embed(["a street at night"]))
        pixels = model.decode(ddim.sample(denoise, seed, model.schedule, 4))
    ours = pixels.add(1).div(2).clamp(0, 1).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(ours, theirs, atol=2e-3)


def test_prompts_decide_the_light(model):
    """From one and the same noise, at one step, night is predicted darker than day and fog."""
    prompts = ["a street at night", "a street by day", "a street in fog"]
    seed = torch.randn(1, 4, 24, 32, generator=torch.Generator().manual_seed(0)).expand(3, -1, -1, -1)
    with torch.no_grad():
        eps = guided(model.denoiser, model.embed([""]), 3.0)(seed, 981, model.embed(prompts))
        night, day, fog = model.decode(ddim.predicted_x0(seed, eps, model.schedule.abar(981))).mean((1, 2, 3)).tolist()
    assert night < day
    assert night < fog
