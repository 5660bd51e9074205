"""Tiny random models of every family that is read, as folders in diffusers' format."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from s2st_aug.diffusion.denoiser import Context, Latent
from s2st_aug.diffusion.model import LatentModel
from s2st_aug.diffusion.networks import SCHEDULER_CONFIG
from s2st_aug.errors import Diverged
from s2st_aug.images import resize
from s2st_aug.records.profile import DomainProfile
from s2st_aug.records.translated import Translated
from s2st_aug.training import package
from s2st_aug.training.tokenizer import learn_vocabulary
from s2st_aug.translation.settings import MethodSettings
from s2st_aug.translation.translator import Translator

WORDS = ["a street at night", "a road by day"]
LENGTH = 12  # tokens of a prompt
KL = {
    "block_out_channels": (8, 16),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "norm_num_groups": 4,
    "layers_per_block": 1,
}
"""of an AutoencoderKL that halves the sides"""


def write_index(folder: Path, pipeline: str, **more: Any) -> None:
    (folder / "model_index.json").write_text(json.dumps({"_class_name": pipeline, **more}))


def write_clip(
    folder: Path, number: str, *, width: int, projection: int | None = None, act: str = "quick_gelu"
) -> None:
    """A CLIP text encoder and its tokenizer; with a projection where one is asked for."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    vocabulary, merges = learn_vocabulary(WORDS, size=600)
    config = CLIPTextConfig(
        vocab_size=len(vocabulary), hidden_size=width, intermediate_size=2 * width, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=LENGTH, projection_dim=projection or width, hidden_act=act,
        eos_token_id=len(vocabulary) - 1, bos_token_id=len(vocabulary) - 2, pad_token_id=len(vocabulary) - 1,
    )  # fmt: skip
    kind: Any = CLIPTextModelWithProjection if projection else CLIPTextModel
    kind(config).save_pretrained(folder / f"text_encoder{number}")
    package.write_tokenizer(folder / f"tokenizer{number}", vocabulary, merges, max_tokens=LENGTH)


def write_sdxl(folder: Path) -> Path:
    """Two text encoders (16 and 24 wide), sizes, epsilon, latents of 4 channels at half the sides, native 64x48."""
    from diffusers import AutoencoderKL, UNet2DConditionModel

    torch.manual_seed(0)
    UNet2DConditionModel(
        sample_size=(24, 32), block_out_channels=(8, 16), layers_per_block=2, norm_num_groups=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=40, attention_head_dim=2, use_linear_projection=True, addition_embed_type="text_time",
        addition_time_embed_dim=4, projection_class_embeddings_input_dim=6 * 4 + 10,
    ).save_pretrained(folder / "unet")  # fmt: skip
    AutoencoderKL(**KL, scaling_factor=0.13025, force_upcast=True).save_pretrained(folder / "vae")
    write_clip(folder, "", width=16)
    write_clip(folder, "_2", width=24, projection=10, act="gelu")
    package._write_json(
        folder / "scheduler" / "scheduler_config.json", SCHEDULER_CONFIG | {"prediction_type": "epsilon"}
    )
    parts = {
        "vae": ["diffusers", "AutoencoderKL"], "unet": ["diffusers", "UNet2DConditionModel"],
        "text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"],
        "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
        "tokenizer_2": ["transformers", "CLIPTokenizer"], "scheduler": ["diffusers", "EulerDiscreteScheduler"],
    }  # fmt: skip
    write_index(folder, "StableDiffusionXLPipeline", force_zeros_for_empty_prompt=True, **parts)
    return folder


def street(size: tuple[int, int], key: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(key).integers(20, 235, (6, 8, 3)).astype(np.float32)
    return np.clip(resize(coarse, size), 0, 255).astype(np.uint8)


def some_profile(model: LatentModel) -> DomainProfile:
    """A made-up target domain, a little darker than the photo that `street` draws."""
    z = model.encode_photos([street((64, 48))], model.working_size(64, 48))[0].flatten(1)
    levels = torch.quantile(z, torch.linspace(0, 1, 32), dim=1).T.numpy()[None].astype(np.float32) - 0.2
    own, eta = np.repeat(levels, 4, 0), {"day": np.ones((4, len(z)), np.float32)}
    return DomainProfile(
        "night", "a street at night", "a road by day", model.sha256, own, own, eta, eta, (), (), None, ""
    )


def calmed(model: LatentModel) -> LatentModel:
    """A tenth of a random network over the exact denoiser of unit-Gaussian data: by itself its latents explode."""

    def denoise(z: Latent, t: int, context: Context) -> Latent:
        return (1 - model.schedule.abar(t)) ** 0.5 * z + 0.1 * model.schedule.abar(t) ** 0.5 * model.denoiser(
            z, t, context
        )

    return replace(model, denoiser=denoise)


def run_whole_method(model: LatentModel, to_method: str) -> Translated | Diverged:
    """A photo through inversion, seed translation and trajectory optimisation, four steps each way."""
    model = calmed(model)
    settings = MethodSettings(steps=4, st_iterations=2, to_iterations=2, to_from=0.0, guidance=2.0, to_method=to_method)
    return Translator(model, {"night": some_profile(model)}, settings).translate([street((65, 47))], ["night"])[0][
        "night"
    ]
