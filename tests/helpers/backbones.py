"""Tiny random models of every family that is read, as folders in diffusers' format."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
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


def write_scheduler(folder: Path, **config: Any) -> None:
    content = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 3.0, **config}
    package._write_json(folder / "scheduler" / "scheduler_config.json", content)


def write_flow_index(folder: Path, pipeline: str, *names: str, **more: Any) -> None:
    """An index that names, as `folder=library.Class`, what the pipeline loads."""
    parts = {name: where.split(".") for name, _, where in (entry.partition("=") for entry in names)}
    write_index(folder, pipeline, scheduler=["diffusers", "FlowMatchEulerDiscreteScheduler"], **parts, **more)


def write_t5(folder: Path, number: str, width: int) -> None:
    from transformers import T5Config, T5EncoderModel, T5Tokenizer

    pieces = ["<pad>", "</s>", "<unk>", "\u2581", *sorted(set("".join(WORDS).replace(" ", "")))]
    tokenizer = T5Tokenizer(vocab=[(piece, -float(i)) for i, piece in enumerate(pieces)], extra_ids=0)
    tokenizer.save_pretrained(folder / f"tokenizer{number}")
    config = T5Config(vocab_size=len(tokenizer), d_model=width, d_kv=4, d_ff=16, num_layers=1, num_heads=2)
    T5EncoderModel(config).save_pretrained(folder / f"text_encoder{number}")


CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}"
)


def write_qwen_tokenizer(folder: Path) -> int:
    """A byte-level tokenizer with a chat template; the size of its vocabulary."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import Qwen2Tokenizer

    letters = {letter: i for i, letter in enumerate(sorted(ByteLevel.alphabet()))}
    tokenizer = Qwen2Tokenizer(vocab=letters, merges=[])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder / "tokenizer")
    return len(tokenizer)


def write_qwen3(folder: Path, width: int, layers: int) -> None:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=write_qwen_tokenizer(folder), hidden_size=width, intermediate_size=2 * width,
        num_hidden_layers=layers, num_attention_heads=2, num_key_value_heads=1, head_dim=8,
    )  # fmt: skip
    Qwen3ForCausalLM(config).save_pretrained(folder / "text_encoder")


def write_sd3(folder: Path) -> Path:
    """Three text encoders, 16 channels, a shift factor, native 64 squared."""
    from diffusers import AutoencoderKL, SD3Transformer2DModel

    torch.manual_seed(0)
    SD3Transformer2DModel(
        sample_size=32, patch_size=2, in_channels=16, num_layers=2, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=48, caption_projection_dim=16, pooled_projection_dim=26, out_channels=16,
        pos_embed_max_size=32, dual_attention_layers=(0,), qk_norm="rms_norm",
    ).save_pretrained(folder / "transformer")  # fmt: skip
    AutoencoderKL(
        **KL, latent_channels=16, scaling_factor=1.5305, shift_factor=0.0609, use_quant_conv=False,
        use_post_quant_conv=False,
    ).save_pretrained(folder / "vae")  # fmt: skip
    write_clip(folder, "", width=16, projection=16)
    write_clip(folder, "_2", width=24, projection=10, act="gelu")
    write_t5(folder, "_3", 48)
    write_scheduler(folder)
    clip = "=transformers.CLIPTextModelWithProjection"
    write_flow_index(
        folder, "StableDiffusion3Pipeline", "transformer=diffusers.SD3Transformer2DModel",
        "vae=diffusers.AutoencoderKL",
        f"text_encoder{clip}", f"text_encoder_2{clip}", "text_encoder_3=transformers.T5EncoderModel",
        "tokenizer=transformers.CLIPTokenizer", "tokenizer_2=transformers.CLIPTokenizer",
        "tokenizer_3=transformers.T5Tokenizer",
    )  # fmt: skip
    return folder


def write_flux2(folder: Path) -> Path:
    """32 channels in patches of four cells, a batch norm with statistics of its own."""
    from diffusers import AutoencoderKLFlux2, Flux2Transformer2DModel

    torch.manual_seed(0)
    Flux2Transformer2DModel(
        patch_size=1, in_channels=128, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=48, timestep_guidance_channels=16, axes_dims_rope=(4, 4, 4, 4), guidance_embeds=False,
    ).save_pretrained(folder / "transformer")  # fmt: skip
    vae = AutoencoderKLFlux2(**KL, latent_channels=32)
    vae.bn.running_mean.normal_(0, 0.1)
    vae.bn.running_var.uniform_(0.02, 0.1)
    vae.save_pretrained(folder / "vae")
    write_qwen3(folder, 16, 28)
    write_scheduler(folder)
    write_flow_index(
        folder, "Flux2KleinPipeline", "transformer=diffusers.Flux2Transformer2DModel",
        "vae=diffusers.AutoencoderKLFlux2", "text_encoder=transformers.Qwen3ForCausalLM",
        "tokenizer=transformers.Qwen2Tokenizer", is_distilled=False,
    )  # fmt: skip
    return folder


def write_z_image(folder: Path) -> Path:
    """16 channels; the time runs the other way and the answer is negated."""
    from diffusers import AutoencoderKL, ZImageTransformer2DModel

    torch.manual_seed(0)
    net = ZImageTransformer2DModel(
        dim=32, n_layers=1, n_refiner_layers=1, n_heads=2, n_kv_heads=2, cap_feat_dim=16, axes_dims=[4, 6, 6],
        axes_lens=[1024, 64, 64],
    )  # fmt: skip
    for token in (net.x_pad_token, net.cap_pad_token):
        torch.nn.init.normal_(token)  # left uninitialised
    net.save_pretrained(folder / "transformer")
    AutoencoderKL(**KL, latent_channels=16, scaling_factor=1.2, shift_factor=0.1159).save_pretrained(folder / "vae")
    write_qwen3(folder, 16, 3)
    write_scheduler(folder, shift=6.0)
    write_flow_index(
        folder, "ZImagePipeline", "transformer=diffusers.ZImageTransformer2DModel", "vae=diffusers.AutoencoderKL",
        "text_encoder=transformers.Qwen3Model", "tokenizer=transformers.Qwen2Tokenizer",
    )  # fmt: skip
    return folder


def write_qwen_image(folder: Path) -> Path:
    """A video's autoencoder with means and deviations for each of 16 channels."""
    from diffusers import AutoencoderKLQwenImage, QwenImageTransformer2DModel
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    torch.manual_seed(0)
    QwenImageTransformer2DModel(
        in_channels=64, out_channels=16, num_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=16, axes_dims_rope=(4, 6, 6),
    ).save_pretrained(folder / "transformer")  # fmt: skip
    AutoencoderKLQwenImage(
        base_dim=8, dim_mult=[1, 2], num_res_blocks=1, temperal_downsample=[False], latents_std=[0.4] * 16,
        latents_mean=[0.01 * i for i in range(16)],
    ).save_pretrained(folder / "vae")  # fmt: skip
    text = {
        "vocab_size": write_qwen_tokenizer(folder), "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1,
        "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e6},
    }  # fmt: skip
    vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16}
    config = Qwen2_5_VLConfig(text_config=text, vision_config=vision)
    Qwen2_5_VLForConditionalGeneration(config).save_pretrained(folder / "text_encoder")
    write_scheduler(folder, shift_terminal=0.02)
    write_flow_index(
        folder, "QwenImagePipeline", "transformer=diffusers.QwenImageTransformer2DModel",
        "vae=diffusers.AutoencoderKLQwenImage", "text_encoder=transformers.Qwen2_5_VLForConditionalGeneration",
        "tokenizer=transformers.Qwen2Tokenizer",
    )  # fmt: skip
    return folder


FLOWS = {"sd3": write_sd3, "flux2": write_flux2, "z_image": write_z_image, "qwen_image": write_qwen_image}


@contextmanager
def batches_of_autoencoders() -> Iterator[dict[str, list[int]]]:
    """How many images each call of an encoder and of a decoder is given while its block runs."""
    seen: dict[str, list[int]] = {"encoder": [], "decoder": []}

    def note(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        kind = type(module).__name__.lower()
        for side in seen:
            if side in kind and "autoencoder" not in kind and not kind.endswith(("block2d", "layer")):
                seen[side].append(len(inputs[0]))

    hook = torch.nn.modules.module.register_module_forward_pre_hook(note)
    try:
        yield seen
    finally:
        hook.remove()


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


def their_latents(
    folder: Path, prompts: list[str], state: torch.Tensor, sigmas: list[float], guidance: float = 1.0
) -> torch.Tensor:
    """What a flow's own pipeline makes of a state, with the times that we visit: latents as ours are."""
    import diffusers

    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder, local_files_only=True)
    pipeline.scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=1.0)
    pipeline.set_progress_bar_config(disable=True)
    side = pipeline.vae_scale_factor
    size = {"height": side * state.shape[2], "width": side * state.shape[3], "output_type": "latent", "sigmas": sigmas}
    name = type(pipeline).__name__
    if name == "StableDiffusion3Pipeline":
        return pipeline(prompt=prompts, latents=state, guidance_scale=guidance, **size).images
    if name == "ZImagePipeline":  # its scale counts from the prompt, ours from the empty one
        return pipeline(prompt=list(prompts), latents=state, guidance_scale=guidance - 1, **size).images
    packed = torch.nn.functional.pixel_unshuffle(state, 2)
    if name == "Flux2KleinPipeline":
        out = pipeline(prompt=prompts, latents=packed, guidance_scale=guidance, **size).images
        norm = pipeline.vae.bn
        deviation = (norm.running_var + pipeline.vae.config.batch_norm_eps).sqrt()
        cells = (torch.nn.functional.pixel_unshuffle(out, 2) - norm.running_mean[:, None, None]) / deviation[
            :, None, None
        ]
        return torch.nn.functional.pixel_shuffle(cells, 2)
    tokens = packed.flatten(2).transpose(1, 2)
    out = pipeline(prompt=prompts, latents=tokens, true_cfg_scale=1.0, **size).images
    cells = out.transpose(1, 2).unflatten(2, (state.shape[2] // 2, state.shape[3] // 2))
    return torch.nn.functional.pixel_shuffle(cells, 2)
