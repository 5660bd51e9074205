"""An autoencoder in half precision where that is stable, and in float32, with one line, where it overflows."""

from __future__ import annotations

import json
import logging
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from s2st_aug.diffusion.half_weights import HalfWeights
from s2st_aug.diffusion.stable_diffusion import load_model
from s2st_aug.methods import MethodConfig, find_method
from s2st_aug.translation.settings import PRESETS, method_settings

PIXELS = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
LOUD = 1e6


@pytest.fixture
def loud_folder(tiny_kl_folder, tmp_path):
    """A model whose decoder passes float16's range inside and gives the same pixels: a norm follows."""
    folder = tmp_path / "loud"
    shutil.copytree(tiny_kl_folder, folder)
    path = folder / "vae/diffusion_pytorch_model.safetensors"
    state = load_file(path)
    for name in ("decoder.conv_in.weight", "decoder.conv_in.bias"):
        state[name] *= LOUD
    save_file(state, path, {"format": "pt"})
    config = json.loads((folder / "vae/config.json").read_text())
    del config["force_upcast"]  # as in the files of most models: diffusers fills it in
    (folder / "vae/config.json").write_text(json.dumps(config))
    return folder


@torch.no_grad()
def through(model):
    return model.decode(model.encode(PIXELS))


def test_where_it_is_stable_it_runs_in_half_and_float32_comes_back(tiny_kl_folder):
    model = load_model(tiny_kl_folder, self_test=False)
    whole = through(model)
    half = model.in_half(torch.float32, torch.bfloat16)
    error = (through(half) - whole).square().mean().sqrt() * 127.5
    assert 0 < error < 4
    with half.full_weights():
        assert torch.equal(through(half), whole)
    assert not torch.equal(through(half), whole)


def test_one_that_overflows_stays_in_float32_and_one_line_says_why(loud_folder, caplog):
    model = load_model(loud_folder, self_test=False)
    whole = through(model)
    broken = HalfWeights(model.halving_autoencoder.args[0].parameters(), torch.float16)
    assert not torch.isfinite(through(model)).all()
    broken.undo()
    with caplog.at_level(logging.WARNING):
        half = model.in_half(torch.float32, torch.float16)
    assert [record.message for record in caplog.records] == [
        f"{loud_folder}/vae: the autoencoder is not stable in float16 and runs in float32: "
        "a drawn street comes back as NaN"
    ]
    assert half is model and torch.equal(through(half), whole)
    assert torch.isfinite(through(model.in_half(torch.float32, torch.bfloat16))).all()


def test_a_model_that_is_loaded_in_half_keeps_such_a_one_in_float32(loud_folder, caplog):
    """It was NaN: only a config that says force_upcast was heeded."""
    model = load_model(loud_folder, dtype=torch.float16, self_test=False)
    assert torch.equal(through(model), through(load_model(loud_folder, self_test=False)))
    assert "not stable in float16" in caplog.text


def test_what_half_precision_changes_visibly_is_not_stable(tiny_kl_folder, monkeypatch, caplog):
    monkeypatch.setattr("s2st_aug.diffusion.half_autoencoder.MOST_SHARE", 0.0)
    monkeypatch.setattr("s2st_aug.diffusion.half_autoencoder.INVISIBLE", 0.0)
    model = load_model(tiny_kl_folder, self_test=False)
    assert model.in_half(torch.float32, torch.bfloat16) is model
    assert "it changes a drawn street by" in caplog.text


def test_a_worker_is_told_by_its_settings():
    settings = PRESETS["draft"].model_copy(update={"autoencoder_dtype": "bfloat16"})
    made = find_method("s2st").load(MethodConfig("s2st", settings, "street-mini", ("night",)), "cpu")
    vae = made.model.halving_autoencoder.args[0]
    assert {weight.dtype for weight in vae.parameters()} == {torch.bfloat16}


def test_plans_of_before_keep_their_hash_and_half_precision_is_another_plan():
    deciding = find_method("s2st")._deciding
    assert "autoencoder_dtype" not in deciding(PRESETS["draft"])
    assert deciding(method_settings("draft", {"autoencoder_dtype": "float16"}))["autoencoder_dtype"] == "float16"
