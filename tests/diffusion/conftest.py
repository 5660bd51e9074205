"""Tiny random models in Stable Diffusion format, written by this repository's own packaging."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from s2st_aug.diffusion import networks
from s2st_aug.training import package
from s2st_aug.training.tokenizer import learn_vocabulary


def write_tiny(folder: Path) -> Path:
    torch.manual_seed(0)
    vocabulary, merges = learn_vocabulary(["a street at night", "a road by day"], size=600)
    tokenizer = networks.build_tokenizer(vocabulary, merges, max_length=12)
    parts = package.Networks(
        unet=networks.build_unet(channels=(8, 16), context_dim=16, sample_size=(12, 16)),
        vae=networks.build_autoencoder(channels=8, blocks=(1, 1, 1)),
        text_encoder=networks.build_text_encoder(tokenizer, width=16, layers=1),
        vocabulary=vocabulary,
        merges=merges,
    )
    package.write_model(folder, parts, max_tokens=12)
    return folder


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random model with AutoencoderTiny; read only."""
    return write_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def own_folder(tmp_path: Path) -> Path:
    """A small random model that the test may damage."""
    return write_tiny(tmp_path / "model")


@pytest.fixture(scope="session")
def tiny_kl_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with an AutoencoderKL that has a scaling factor and a shift, and v-prediction."""
    from diffusers import AutoencoderKL

    folder = write_tiny(tmp_path_factory.mktemp("tiny_kl"))
    torch.manual_seed(1)
    vae = AutoencoderKL(
        block_out_channels=(8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        norm_num_groups=8,
        scaling_factor=0.18215,
        shift_factor=0.25,
    )
    vae.save_pretrained(folder / "vae", safe_serialization=True)
    edit_json(folder / "scheduler" / "scheduler_config.json", prediction_type="v_prediction")
    edit_json(folder / "model_index.json", vae=["diffusers", "AutoencoderKL"])
    return folder


def edit_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")
