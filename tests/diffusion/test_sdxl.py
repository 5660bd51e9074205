"""SDXL: two text encoders, pooled prompts and sizes; the same latents as diffusers' own pipeline."""

from __future__ import annotations

import logging
import math
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from backbones import run_whole_method, write_sdxl
from original_names import open_clip, original_unet, original_vae
from safetensors.torch import load_file, save_file

from s2st_aug.diffusion import ddim
from s2st_aug.diffusion.denoiser import guided, with_context
from s2st_aug.diffusion.lora import fuse_lora, read_lora
from s2st_aug.diffusion.model_choice import ModelChoice, spell_choice
from s2st_aug.diffusion.model_files import hash_files
from s2st_aug.diffusion.selftest import measure_model
from s2st_aug.diffusion.stable_diffusion import load_model
from s2st_aug.errors import ModelError

load_random = partial(load_model, self_test=False)
PROMPT = "a street at night"
SECOND = "conditioner.embedders.1.model."  # of the second text encoder in a checkpoint of one file


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_sdxl(tmp_path_factory.mktemp("sdxl"))


@pytest.fixture(scope="module")
def model(folder):
    return load_random(folder)


def test_facts_of_a_folder(folder, model):
    assert (model.native_size, model.stride, model.latent_channels, model.latent_factor) == ((64, 48), 4, 4, 2)
    context = model.embed([PROMPT, "a road"])
    assert (context.tokens.shape, context.pooled.shape) == ((2, 12, 40), (2, 10))
    assert {name.split("/")[0] for name in hash_files(folder)} == {"unet", "vae", "text_encoder", "text_encoder_2"}


def test_the_empty_prompt_is_zeros_as_in_training_unless_the_index_says_otherwise(folder, model, tmp_path):
    context = model.embed(["", PROMPT])
    assert not context.tokens[0].any() and not context.pooled[0].any() and context.tokens[1].any()
    shutil.copytree(folder, tmp_path / "m")
    (tmp_path / "m" / "model_index.json").write_text(
        '{"_class_name": "StableDiffusionXLPipeline", "force_zeros_for_empty_prompt": false}'
    )
    assert load_random(tmp_path / "m").embed([""]).tokens.any()


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_ddim_goes_as_the_pipeline_does(folder, model, guidance):
    from diffusers import DDIMScheduler, StableDiffusionXLPipeline

    pipeline = StableDiffusionXLPipeline.from_pretrained(folder, local_files_only=True, add_watermarker=False)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    seed = torch.randn(2, 4, 24, 32, generator=torch.Generator().manual_seed(3))
    theirs = pipeline(
        [PROMPT, "a road"], height=48, width=64, num_inference_steps=10, guidance_scale=guidance, latents=seed,
        output_type="latent",
    ).images  # fmt: skip
    with torch.no_grad():
        denoise = guided(model.denoiser, model.embed([""]), guidance)
        ours = ddim.sample(with_context(denoise, model.embed([PROMPT, "a road"])), seed, model.schedule, 10)
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


def test_the_self_test_runs_and_refuses_random_weights(model):
    found = measure_model(model)
    assert all(map(math.isfinite, (found.round_trip_db, found.residual, found.spread)))
    assert found.residual > 0.8


@pytest.mark.parametrize("to_method", ["latents", "null_text", "direct"])
def test_the_whole_method_runs(model, to_method):
    done = run_whole_method(model, to_method)
    assert done.image.shape == (47, 65, 3) and done.image.dtype == np.uint8


def test_an_autoencoder_that_overflows_in_half_runs_in_float32_and_says_so_once(folder, caplog):
    with caplog.at_level(logging.WARNING):
        model = load_random(folder, dtype=torch.float16)
    assert [r.message for r in caplog.records if "not stable in float16 and runs in float32" in r.message] != []
    assert len(caplog.records) == 1 and model.dtype == torch.float16
    pixels = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        assert torch.equal(model.encode(pixels), load_random(folder).encode(pixels))


def test_a_checkpoint_in_one_file_is_the_model_of_its_folder(folder, model, tmp_path):
    weights = "diffusion_pytorch_model.safetensors"
    unet = load_file(folder / "unet" / weights).items()
    state = {original_unet(k, layers=2, attends=(1, 0)): v for k, v in unet}
    for key, value in load_file(folder / "vae" / weights).items():
        conv = "attentions" in key and "group_norm" not in key and key.endswith("weight")
        state[original_vae(key, 2)] = value[:, :, None, None].contiguous() if conv else value
    for key, value in load_file(folder / "text_encoder" / "model.safetensors").items():
        state[f"conditioner.embedders.0.transformer.text_model.{key.removeprefix('text_model.')}"] = value
    save_file(
        state | open_clip(load_file(folder / "text_encoder_2" / "model.safetensors"), SECOND),
        tmp_path / "xl.safetensors",
    )
    shutil.copytree(folder, tmp_path / "configs", ignore=shutil.ignore_patterns("*.safetensors"))
    one = load_random(
        spell_choice(ModelChoice(base=str(tmp_path / "xl.safetensors"), config=str(tmp_path / "configs")))
    )
    context, z = model.embed([PROMPT]), torch.randn(1, 4, 24, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(one.embed([PROMPT]).tokens, context.tokens, atol=1e-6, rtol=0)
    torch.testing.assert_close(one.embed([PROMPT]).pooled, context.pooled, atol=1e-6, rtol=0)
    with torch.no_grad():
        assert torch.allclose(one.denoiser(z, 500, context), model.denoiser(z, 500, context), atol=1e-5)


def test_kohyas_adapter_is_found_under_the_original_codes_names(folder, tmp_path):
    model = load_random(folder)
    unet = model.compiling.__self__
    layer = unet.down_blocks[1].attentions[1].transformer_blocks[0].attn1.to_q
    before = layer.weight.clone()
    key = "lora_unet_input_blocks_5_1_transformer_blocks_0_attn1_to_q"
    save_file(
        {f"{key}.lora_down.weight": torch.ones(2, 16), f"{key}.lora_up.weight": torch.ones(16, 2)},
        tmp_path / "l.safetensors",
    )
    assert fuse_lora({"unet": unet}, read_lora(tmp_path / "l.safetensors"), 0.5) == 1
    torch.testing.assert_close(layer.weight, before + 1.0)


def test_sdxls_refiner_and_turbo_are_refused_by_the_name_of_what_to_use(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "sdxl-turbo", ignore=shutil.ignore_patterns("*.safetensors"))
    with pytest.raises(ModelError, match=r"sdxl-turbo is distilled.*use stabilityai/stable-diffusion-xl-base-1\.0"):
        load_model(tmp_path / "sdxl-turbo")
