"""A checkpoint in one file, with configs that another model lends: the same model as the folder it was made from."""

from __future__ import annotations

import re
import shutil
from functools import partial

import pytest
import torch
from safetensors.torch import load_file, save_file

from s2st_aug.diffusion.model_choice import ModelChoice, spell_choice
from s2st_aug.diffusion.stable_diffusion import load_model
from s2st_aug.errors import ModelError
from s2st_aug.methods.checks import hash_model

load_random = partial(load_model, self_test=False)
RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "norm2": "out_layers.0", "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1", "conv_shortcut": "skip_connection",
}  # fmt: skip
ENDS = {
    "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2", "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0", "conv_out": "out.2", "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1", "mid_block.resnets.1": "middle_block.2",
}  # fmt: skip
ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
LAYERS, ATTENDS_UP = 1, (False, True)


def original_unet(key: str) -> str:
    """A UNet's key as the original code spells it."""

    def block(match: re.Match) -> str:
        side, i, kind, j = match[1], int(match[2]), match[3], int(match[4])
        if side == "down":
            if kind == "downsamplers":
                return f"input_blocks.{(LAYERS + 1) * (i + 1)}.0.op"
            return f"input_blocks.{(LAYERS + 1) * i + j + 1}.{int(kind == 'attentions')}"
        if kind == "upsamplers":
            return f"output_blocks.{(LAYERS + 1) * i + LAYERS}.{2 if ATTENDS_UP[i] else 1}.conv"
        return f"output_blocks.{(LAYERS + 1) * i + j}.{int(kind == 'attentions')}"

    if "resnets" in key:
        key = re.sub(rf"\.({'|'.join(RESNET)})\.", lambda m: f".{RESNET[m[1]]}.", key)
    key = re.sub(
        r"^(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)(\.conv\b)?", block, key
    )
    for ours, theirs in ENDS.items():
        key = re.sub(rf"^{re.escape(ours)}\.", f"{theirs}.", key)
    return f"model.diffusion_model.{key}"


def original_vae(key: str, levels: int) -> str:
    """An autoencoder's key as the original code spells it."""
    key = re.sub(r"down_blocks\.(\d+)\.resnets", r"down.\1.block", key)
    key = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", key)
    key = re.sub(r"up_blocks\.(\d+)\.resnets", lambda m: f"up.{levels - 1 - int(m[1])}.block", key)
    key = re.sub(r"up_blocks\.(\d+)\.upsamplers\.0", lambda m: f"up.{levels - 1 - int(m[1])}.upsample", key)
    key = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", key)
    if "attentions" in key:
        key = key.replace("mid_block.attentions.0", "mid.attn_1")
        key = re.sub(rf"\.({'|'.join(map(re.escape, ATTENTION))})\.", lambda m: f".{ATTENTION[m[1]]}.", key)
    return "first_stage_model." + key.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")


@pytest.fixture(scope="module")
def pair(tiny_kl_folder, tmp_path_factory):
    """A folder whose UNet the original code could have, and the same weights in one file."""
    from diffusers import UNet2DConditionModel

    folder = tmp_path_factory.mktemp("pair") / "folder"
    shutil.copytree(tiny_kl_folder, folder)
    torch.manual_seed(2)
    UNet2DConditionModel(
        sample_size=(12, 16), block_out_channels=(8, 16), layers_per_block=LAYERS, norm_num_groups=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=16, attention_head_dim=2,
    ).save_pretrained(folder / "unet")  # fmt: skip
    stem = "diffusion_pytorch_model.safetensors"
    state = {original_unet(k): v for k, v in load_file(folder / "unet" / stem).items()}
    for key, value in load_file(folder / "vae" / stem).items():
        conv = "attentions" in key and "group_norm" not in key and key.endswith("weight")
        state[original_vae(key, 3)] = value[:, :, None, None].contiguous() if conv else value
    for key, value in load_file(folder / "text_encoder" / "model.safetensors").items():
        state[f"cond_stage_model.transformer.text_model.{key.removeprefix('text_model.')}"] = value
    file = folder.parent / "checkpoint.safetensors"
    save_file(state, file)
    return folder, file


def test_a_checkpoint_in_one_file_is_the_model_of_its_folder(pair, tmp_path):
    folder, file = pair
    lent = tmp_path / "configs"  # no weights
    shutil.copytree(folder, lent, ignore=shutil.ignore_patterns("*.safetensors"))
    named = spell_choice(ModelChoice(base=str(file), config=str(lent)))
    one, many = load_random(named), load_random(folder)
    pixels = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        context, z = many.embed(["a street"]), many.encode(pixels)
        assert torch.equal(one.embed(["a street"]), context)
        assert torch.equal(one.encode(pixels), z)
        assert torch.allclose(one.denoiser(z, 500, context), many.denoiser(z, 500, context), atol=1e-5)
        assert torch.allclose(one.decode(z), many.decode(z), atol=1e-5)
    assert (one.prediction_type, one.native_size) == (many.prediction_type, many.native_size)
    assert one.sha256 == hash_model(named).shell.sha256 and list(hash_model(named).files) == ["checkpoint.safetensors"]


def test_what_does_not_fit_is_one_line(pair, tmp_path):
    folder, _ = pair
    with pytest.raises(ModelError, match=r"model\.config nowhere: no such folder, nor a hub id"):
        load_random(spell_choice(ModelChoice(base=str(pair[1]), config="nowhere")))
    (tmp_path / "cut.safetensors").write_bytes(pair[1].read_bytes()[:500])
    for name, says in (("cut", "does not load with the configs of"), ("absent", "no such file")):
        file = tmp_path / f"{name}.safetensors"
        with pytest.raises(ModelError, match=says) as caught:
            load_random(spell_choice(ModelChoice(base=str(file), config=str(folder))))
        assert "\n" not in str(caught.value)
