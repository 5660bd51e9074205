"""Adapters and another autoencoder on a base: fused as the equation says, hashed, and refused in one line."""

from __future__ import annotations

import json
from functools import partial

import pytest
import torch
from safetensors.torch import save_file

from s2st_aug.config.load import parse_config
from s2st_aug.diffusion.lora import fuse_lora, read_lora
from s2st_aug.diffusion.model_choice import ModelChoice, read_choice, spell_choice, with_absolute_paths
from s2st_aug.diffusion.model_files import find_model
from s2st_aug.diffusion.stable_diffusion import load_model
from s2st_aug.errors import ConfigError, ModelError
from s2st_aug.methods.checks import hash_model

load_random = partial(load_model, self_test=False)
QUERY = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
OUT = "mid_block.attentions.0.transformer_blocks.0.attn2.to_out.0"
CONV = "down_blocks.0.resnets.0.conv1"
TEXT = "text_model.encoder.layers.0.self_attn.q_proj"
RANK, ALPHA = 2, 1.0


def unet_of(model):
    return model.compiling.__self__


def halves(shape, key: int) -> tuple[torch.Tensor, torch.Tensor]:
    """down and up for a layer of this shape."""
    generator = torch.Generator().manual_seed(key)
    down = torch.randn(RANK, *shape[1:], generator=generator)
    up = torch.randn(shape[0], RANK, *(1 for _ in shape[2:]), generator=generator)
    return down, up


def spelled(form: str, path: str, network: str = "unet") -> tuple[str, str, str]:
    """Keys of down, up and alpha as each trainer writes them."""
    if form == "kohya":
        base = {"unet": "lora_unet_", "text_encoder": "lora_te_"}[network] + path.replace(".", "_")
        return f"{base}.lora_down.weight", f"{base}.lora_up.weight", f"{base}.alpha"
    base = f"{network}.{path}"
    if form == "peft":
        return f"{base}.lora_A.weight", f"{base}.lora_B.weight", f"{base}.alpha"
    return f"{base}.lora.down.weight", f"{base}.lora.up.weight", f"{base}.alpha"


@pytest.mark.parametrize("form", ["kohya", "peft", "diffusers"])
def test_an_adapter_is_fused_whoever_wrote_it(tiny_folder, tmp_path, form):
    plain, state, wanted = load_random(tiny_folder), {}, {}
    for key, path in enumerate((QUERY, OUT, CONV)):
        weight = unet_of(plain).get_submodule(path).weight
        down, up = halves(weight.shape, key)
        names = spelled(form, path)
        state |= {names[0]: down, names[1]: up, names[2]: torch.tensor(ALPHA)}
        wanted[path] = weight + 0.5 * ALPHA / RANK * (up.flatten(1) @ down.flatten(1)).reshape(weight.shape)
    down, up = halves((16, 16), 9)
    names = spelled(form, TEXT, "text_encoder")
    save_file(state | {names[0]: down, names[1]: up}, tmp_path / "own.safetensors")
    named = spell_choice(
        ModelChoice(base=str(tiny_folder), loras=({"path": str(tmp_path / "own.safetensors"), "weight": 0.5},))
    )
    fused = load_random(named)
    for path, weight in wanted.items():
        assert torch.allclose(unet_of(fused).get_submodule(path).weight, weight, atol=1e-6)
    assert not torch.allclose(fused.embed(["a street"]).tokens, plain.embed(["a street"]).tokens)
    assert fused.name == named


def test_the_first_form_of_diffusers_is_read_too(tmp_path):
    down, up = halves((16, 16), 0)
    base = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.processor"
    state = {}
    for part in ("to_q", "to_out"):
        state |= {f"{base}.{part}_lora.down.weight": down, f"{base}.{part}_lora.up.weight": up}
    save_file({k: v.clone() for k, v in state.items()}, tmp_path / "old.safetensors")
    assert set(read_lora(tmp_path / "old.safetensors").updates["unet"]) == {
        "mid_block_attentions_0_transformer_blocks_0_attn1_to_q",
        "mid_block_attentions_0_transformer_blocks_0_attn1_to_out_0",
    }


def write(path, **state: torch.Tensor):
    save_file({key.replace("__", "."): value for key, value in state.items()}, path)
    return path


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ({"unet__nowhere__lora_A__weight": (2, 4), "unet__nowhere__lora_B__weight": (4, 2)}, "has no layer nowhere"),
        (
            {"unet__conv_in__lora_A__weight": (2, 5), "unet__conv_in__lora_B__weight": (8, 2)},
            r"unet conv_in has the shape 8x4x3x3, the LoRA's update 8x5; it may be",
        ),
        ({"unet__conv_in__lora_A__weight": (2, 4)}, "has only one of its two matrices"),
        ({"lora_unet_conv_in__hada_w1_a": (2, 4)}, "it is a LoHa, but only plain LoRA"),
        (
            {"unet__conv_in__lora_A__weight": (2, 4), "unet__conv_in__dora_scale": (1,)},
            "it is a DoRA, but only plain LoRA",
        ),
        (
            {"lora_te2_x__lora_down__weight": (2, 4), "lora_te2_x__lora_up__weight": (4, 2)},
            r"changes text_encoder_2, which this model does not have; it may be made for SDXL",
        ),
        ({"something__else": (2, 4)}, "has the weight something.else, which a plain LoRA does not have"),
    ],
)
def test_an_adapter_that_does_not_fit_is_one_line(tiny_folder, tmp_path, state, says):
    file = write(tmp_path / "l.safetensors", **{key: torch.ones(shape) for key, shape in state.items()})
    unet = unet_of(load_random(tiny_folder))
    with pytest.raises(ModelError, match=says) as caught:
        fuse_lora({"unet": unet}, read_lora(file), 1.0)
    assert "\n" not in str(caught.value) and str(file) in str(caught.value)


def test_a_file_that_is_none_is_one_line(tmp_path):
    for name, says in (("a.pt", "pickles are not read"), ("a.safetensors", "no such file")):
        with pytest.raises(ModelError, match=says):
            read_lora(tmp_path / name)
    (tmp_path / "b.safetensors").write_bytes(b"no")
    with pytest.raises(ModelError, match="cannot be read"):
        read_lora(tmp_path / "b.safetensors")


def test_another_autoencoder_takes_the_place_of_the_bases(tiny_folder, tiny_kl_folder):
    named = spell_choice(ModelChoice(base=str(tiny_kl_folder), vae=str(tiny_folder)))
    model, base, other = load_random(named), load_random(tiny_kl_folder), load_random(tiny_folder)
    pixels = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        assert torch.equal(model.encode(pixels), other.encode(pixels))
        assert not torch.equal(model.encode(pixels), base.encode(pixels))
        z, context = torch.zeros(1, 4, 12, 16), base.embed([""])
        assert torch.equal(model.denoiser(z, 500, context), base.denoiser(z, 500, context))
    assert model.sha256 == hash_model(named).shell.sha256 != base.sha256
    with pytest.raises(ModelError, match="vae nowhere: neither a folder nor a hub id"):
        load_random(spell_choice(ModelChoice(base=str(tiny_folder), vae="nowhere")))


SIX_BLOCKS = {"block_out_channels": [8] * 6}
MISFITS = {
    "SDXL's scale": (
        {"scaling_factor": 0.13025},
        "its scaling_factor is 0.13025, but that of .* is 0.18215: it was made",
    ),
    "no scale": ({"scaling_factor": None}, None),
    "a shift": ({"shift_factor": 0.1159}, "its shift_factor is 0.1159, but that of .* is 0.25"),
    "no shift": ({"shift_factor": None}, "its shift_factor is not set, but that of .* is 0.25"),
    "a rounded scale": ({"scaling_factor": 0.1822}, None),
    "means": ({"latents_mean": [0.1] * 4, "latents_std": [2] * 4}, r"its latents_mean is \[0.1, .* is not set"),
    "FLUX.2's channels": ({"latent_channels": 32}, "its latents have 32 channels, but the UNet of .* takes 4"),
    "another size": (SIX_BLOCKS, "it shrinks images by 32, but .* was trained on images shrunk by 4"),
    "TAESD": ({"_class_name": "AutoencoderTiny", "scaling_factor": 1.0, "shift_factor": None}, None),
    "a tiny one of another size": (
        {"_class_name": "AutoencoderTiny", "encoder_block_out_channels": [64] * 4, "block_out_channels": None},
        "it shrinks images by 8, but .* was trained on images shrunk by 4",
    ),
}


@pytest.mark.parametrize("kind", MISFITS)
def test_another_familys_autoencoder_is_refused_where_its_config_shows_it(tiny_kl_folder, tmp_path, kind):
    changes, says = MISFITS[kind]
    config = json.loads((tiny_kl_folder / "vae/config.json").read_text()) | changes
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae/config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not None}))
    named = spell_choice(ModelChoice(base=str(tiny_kl_folder), vae=str(tmp_path)))
    if says is None:
        assert find_model(named) == tiny_kl_folder
        return
    with pytest.raises(ModelError, match=f"^vae {tmp_path}: {says}") as caught:
        find_model(named)
    assert "\n" not in str(caught.value)


def test_what_is_put_on_a_model_is_in_its_hash(tiny_folder, tmp_path):
    down, up = halves((16, 16), 0)
    keys = spelled("peft", QUERY)[:2]

    def digest(weight: float, scale: float = 1.0) -> str:
        path = tmp_path / f"{scale}.safetensors"  # a file of its own: hashes are kept by path, size and time of change
        save_file({keys[0]: down * scale, keys[1]: up}, path)
        choice = ModelChoice(base=str(tiny_folder), loras=({"path": str(path), "weight": weight},))
        return hash_model(spell_choice(choice)).shell.sha256

    plain = hash_model(str(tiny_folder)).shell.sha256
    assert len({plain, digest(1.0), digest(0.5), digest(0.5, 2.0)}) == 4
    assert load_random(tiny_folder).sha256 == plain


def test_a_config_says_it_as_a_group():
    raw = {"dataset": {"format": "bdd100k", "root": "/data"}, "domains": ["night"]}
    assert parse_config({**raw, "model": {"base": "street-mini"}}).model == "street-mini"
    model = parse_config({**raw, "model": {"base": "a/b", "loras": [{"path": "x.safetensors"}]}}).model
    assert json.loads(model) == {"base": "a/b", "loras": [{"path": "x.safetensors", "weight": 1.0}]}
    assert read_choice(model).loras[0].weight == 1.0 and parse_config({**raw, "model": model}).model == model
    with pytest.raises(ConfigError, match=r"model: lora: unknown key"):
        parse_config({**raw, "model": {"base": "a/b", "lora": []}})
    with pytest.raises(ModelError, match="model: "):
        read_choice("{base: no JSON}")


def test_paths_are_absolute_for_a_worker_in_another_folder(tiny_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "l.safetensors").write_bytes(b"")
    named = spell_choice(ModelChoice(base="street-mini", loras=({"path": "l.safetensors"},), vae="owner/taesd"))
    choice = read_choice(with_absolute_paths(named))
    assert (choice.base, choice.loras[0].path, choice.vae) == (
        "street-mini",
        str(tmp_path / "l.safetensors"),
        "owner/taesd",
    )
