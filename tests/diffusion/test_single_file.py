"""A checkpoint in one file, with configs that another model lends: the same model as the folder it was made from."""

from __future__ import annotations

import re
import shutil
from functools import partial

import pytest
import torch
from original_names import open_clip, original_unet, original_vae
from safetensors.torch import load_file, save_file

from s2st_aug.diffusion.model_choice import ModelChoice, spell_choice
from s2st_aug.diffusion.stable_diffusion import load_model
from s2st_aug.errors import ModelError
from s2st_aug.methods.checks import hash_model

load_random = partial(load_model, self_test=False)
LAYERS = 1


@pytest.fixture(scope="module", params=["SD 1.5", "SD 2.1"])
def pair(request, tiny_kl_folder, tmp_path_factory):
    """A folder whose UNet the original code could have, and the same weights in one file, with what such files hold
    beside: averaged weights, positions, and in Stable Diffusion 2 the last layer of the text encoder, which is unused.
    """
    newer = request.param == "SD 2.1"
    from diffusers import UNet2DConditionModel

    folder = tmp_path_factory.mktemp("pair") / "folder"
    shutil.copytree(tiny_kl_folder, folder)
    torch.manual_seed(2)
    UNet2DConditionModel(
        sample_size=(12, 16), block_out_channels=(8, 16), layers_per_block=LAYERS, norm_num_groups=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=16, attention_head_dim=2, use_linear_projection=newer,
    ).save_pretrained(folder / "unet")  # fmt: skip
    stem = "diffusion_pytorch_model.safetensors"
    state = {original_unet(k): v for k, v in load_file(folder / "unet" / stem).items()}
    for key, value in load_file(folder / "vae" / stem).items():
        conv = "attentions" in key and "group_norm" not in key and key.endswith("weight")
        state[original_vae(key, 3)] = value[:, :, None, None].contiguous() if conv else value
    text = load_file(folder / "text_encoder" / "model.safetensors")
    if newer:
        state |= open_clip(text, "cond_stage_model.model.")
        for key in [k for k in state if "resblocks.0" in k]:
            state[key.replace("resblocks.0", "resblocks.23")] = torch.ones(1)
        state["cond_stage_model.model.text_projection"] = torch.ones(16, 16)
        state["cond_stage_model.model.logit_scale"] = torch.ones(())
    else:
        state |= {
            f"cond_stage_model.transformer.text_model.{k.removeprefix('text_model.')}": v for k, v in text.items()
        }
        state["cond_stage_model.transformer.text_model.embeddings.position_ids"] = torch.arange(12)[None]
    state |= {"model_ema.decay": torch.ones(()), "alphas_cumprod": torch.ones(1000)}
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
        assert torch.equal(one.embed(["a street"]).tokens, context.tokens)
        assert torch.equal(one.encode(pixels), z)
        assert torch.allclose(one.denoiser(z, 500, context), many.denoiser(z, 500, context), atol=1e-5)
        assert torch.allclose(one.decode(z), many.decode(z), atol=1e-5)
    assert (one.prediction_type, one.native_size) == (many.prediction_type, many.native_size)
    assert one.sha256 == hash_model(named).shell.sha256 and list(hash_model(named).files) == ["checkpoint.safetensors"]


def test_what_does_not_fit_is_one_line(pair, tmp_path):
    folder, _ = pair
    with pytest.raises(ModelError, match=r"model\.config nowhere: neither a folder nor a hub id"):
        load_random(spell_choice(ModelChoice(base=str(pair[1]), config="nowhere")))
    (tmp_path / "cut.safetensors").write_bytes(pair[1].read_bytes()[:500])
    for name, says in (("cut", "cannot be read as safetensors"), ("absent", "no such file")):
        file = tmp_path / f"{name}.safetensors"
        with pytest.raises(ModelError, match=says) as caught:
            load_random(spell_choice(ModelChoice(base=str(file), config=str(folder))))
        assert "\n" not in str(caught.value)


PARTS = {"unet": "model.diffusion_model.", "vae": "first_stage_model.", "text_encoder": "cond_stage_model."}


@pytest.mark.parametrize("lost", ["the first", "one within", "another", "all"])
@pytest.mark.parametrize("part", PARTS)
def test_a_weight_that_a_file_lacks_is_named(pair, tmp_path, part, lost):
    """Such a network would else be left with an empty tensor, which fails much later."""
    folder, file = pair
    state = load_file(file)
    unused = r"position_ids|resblocks\.23|text_projection|logit_scale"
    own = sorted(key for key in state if key.startswith(PARTS[part]) and not re.search(unused, key))
    within = next((key for key in own if key.endswith("conv.bias")), own[len(own) // 2])  # diffusers looks for these
    optional = next((key for key in own if key.endswith("downsample.conv.bias")), own[-1])  # it takes None for these
    chosen = {"the first": own[:1], "one within": [within], "another": [optional]}
    for key in chosen.get(lost, own):
        del state[key]
    save_file(state, tmp_path / "short.safetensors")
    says = r"lacks the weight \S+( and \d+ others)?; download it again, or name in model\.config a model of the family"
    with pytest.raises(ModelError, match=rf"short\.safetensors: {part} {says}") as caught:
        load_random(spell_choice(ModelChoice(base=str(tmp_path / "short.safetensors"), config=str(folder))))
    assert "\n" not in str(caught.value)


def test_a_file_needs_no_autoencoder_where_another_is_named(pair, tmp_path):
    folder, file = pair
    state = {key: value for key, value in load_file(file).items() if not key.startswith(PARTS["vae"])}
    save_file(state, tmp_path / "short.safetensors")
    choice = ModelChoice(base=str(tmp_path / "short.safetensors"), config=str(folder), vae=str(folder))
    pixels = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert torch.equal(load_random(spell_choice(choice)).encode(pixels), load_random(folder).encode(pixels))
