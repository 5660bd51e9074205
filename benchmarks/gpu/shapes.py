"""Stable Diffusion's own shapes at full size with random weights, built on the device: time needs no training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from s2st_aug.diffusion.denoiser import from_v_prediction
from s2st_aug.diffusion.model import LatentModel
from s2st_aug.diffusion.networks import build_tokenizer
from s2st_aug.diffusion.stable_diffusion import build_model
from s2st_aug.training.tokenizer import learn_vocabulary

_SD2 = {"cross_attention_dim": 1024, "attention_head_dim": (5, 10, 20, 20), "use_linear_projection": True}
UNETS: dict[str, dict[str, Any]] = {  # UNet2DConditionModel's arguments; its defaults are SD 1's
    "sd-1.5": {"cross_attention_dim": 768, "attention_head_dim": 8, "sample_size": 64},
    "sd-2.1-base": {**_SD2, "sample_size": 64},
    "sd-2.1": {**_SD2, "sample_size": 96},
    "sdxl": {
        "cross_attention_dim": 2048,
        "attention_head_dim": (5, 10, 20),
        "use_linear_projection": True,
        "sample_size": 128,
        "block_out_channels": (320, 640, 1280),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 2, 10),
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    },
    "tiny": {  # for a dry run
        "cross_attention_dim": 32,
        "attention_head_dim": 4,
        "sample_size": 8,
        "block_out_channels": (8, 16, 16, 16),
        "norm_num_groups": 4,
        "layers_per_block": 1,
    },
}
AUTOENCODERS: dict[str, dict[str, Any]] = {
    name: {
        "block_out_channels": widths,
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "layers_per_block": layers,
        "norm_num_groups": groups,
    }
    for name, widths, layers, groups in (("sd", (128, 256, 512, 512), 2, 32), ("tiny", (8, 8, 8, 8), 1, 4))
}


def random_network(kind: Any, *args: Any, device: str = "cpu", **kwargs: Any) -> Any:
    """Built without memory, then filled in bfloat16: the default initialisation of 866 M parameters takes minutes."""
    with torch.device("meta"):
        network = kind(*args, **kwargs).to(torch.bfloat16)
    network.to_empty(device=device)
    for parameter in network.parameters():
        torch.nn.init.uniform_(parameter.data, -0.02, 0.02)
    return network.eval().requires_grad_(False)


def random_unet(name: str, device: str) -> Any:
    """The UNet of that shape, channels last."""
    import diffusers

    return random_network(diffusers.UNet2DConditionModel, device=device, **UNETS[name]).to(
        memory_format=torch.channels_last
    )


def unet_inputs(name: str, batch: int, device: str) -> tuple[tuple[torch.Tensor, torch.Tensor], Mapping[str, Any]]:
    """Latents of the native size and a step; the prompt's embedding (77 tokens) and what the shape wants beside it."""
    shape, side = UNETS[name], UNETS[name]["sample_size"]
    half: dict[str, Any] = {"device": device, "dtype": torch.bfloat16}
    latents = torch.randn(batch, 4, side, side, **half).to(memory_format=torch.channels_last)
    more: dict[str, Any] = {"encoder_hidden_states": torch.randn(batch, 77, shape["cross_attention_dim"], **half)}
    if shape.get("addition_embed_type") == "text_time":
        pooled = {"text_embeds": torch.randn(batch, 1280, **half), "time_ids": torch.zeros(batch, 6, **half)}
        more["added_cond_kwargs"] = pooled
    return (latents, torch.full((batch,), 500, device=device)), more


def random_model(name: str, device: str) -> LatentModel:
    """A whole latent diffusion model of that shape (v-prediction). Its UNet predicts 0, so that no path explodes."""
    import diffusers
    import transformers

    shape = UNETS[name]
    unet = random_unet(name, device)
    torch.nn.init.zeros_(unet.conv_out.weight)
    torch.nn.init.zeros_(unet.conv_out.bias)
    vae: Any = diffusers.AutoencoderKL(**AUTOENCODERS["tiny" if name == "tiny" else "sd"])
    vae.to(device, torch.bfloat16, memory_format=torch.channels_last).eval().requires_grad_(False)
    noise = torch.randn(1, 3, 64, 64, device=device, dtype=torch.bfloat16)
    spread = float(vae.encode(noise).latent_dist.mode().std())
    vae.register_to_config(scaling_factor=1 / spread)  # latents as large as those of real weights
    width = shape["cross_attention_dim"]
    tokenizer = build_tokenizer(*learn_vocabulary(["a street by day at night"], size=600), max_length=77)
    config = transformers.CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=2,
        num_attention_heads=max(1, width // 64),
    )
    text_encoder: Any = transformers.CLIPTextModel(config)
    text_encoder.to(device, torch.bfloat16).eval().requires_grad_(False)
    model = build_model(unet, vae, text_encoder, tokenizer)
    denoiser = from_v_prediction(model.denoiser, model.schedule)
    return replace(model, name=f"{name} with random weights", sha256="0" * 64, denoiser=denoiser)
