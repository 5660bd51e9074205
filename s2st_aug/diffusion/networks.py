"""The shapes of the small networks that the training builds: the only place that names diffusers' classes for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import torch

AutoencoderTiny: TypeAlias = Any  # diffusers and transformers are lazy modules that a type checker does not see through
UNet2DConditionModel: TypeAlias = Any
SD3Transformer2DModel: TypeAlias = Any
CLIPTextModel: TypeAlias = Any
CLIPTokenizer: TypeAlias = Any

POOLED_PROMPT_SCALE = 0.5  # of the pooled prompt beside the time embedding, at the start of training
TOKEN_SCALE = 50.0
"""Token embeddings start with unit variance: from CLIP's 0.02 one direction outgrew all words within 500 steps."""
SCHEDULER_CONFIG = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "timestep_spacing": "leading",
    "prediction_type": "v_prediction",
}
"""Stable Diffusion's own schedule, with v-prediction as in 2.1.

With epsilon the error of x0 near pure noise weighs too little in the loss to be learnt.
"""


def build_autoencoder(*, channels: int, blocks: tuple[int, ...], latent_channels: int = 4) -> AutoencoderTiny:
    """An AutoencoderTiny whose latents have unit variance by training, so its scaling factor is 1.

    `blocks`: residual blocks per level, from the pixels down; each level after the first halves the size.
    """
    import diffusers

    return diffusers.AutoencoderTiny(
        encoder_block_out_channels=(channels,) * len(blocks),
        decoder_block_out_channels=(channels,) * len(blocks),
        num_encoder_blocks=blocks,
        num_decoder_blocks=blocks[::-1],
        latent_channels=latent_channels,
        scaling_factor=1.0,
    )


def build_unet(
    *,
    channels: tuple[int, ...],
    context_dim: int,
    sample_size: tuple[int, int],
    latent_channels: int = 4,
    attention_levels: int = 1,
) -> UNet2DConditionModel:
    """A UNet with one residual block per level and attention at the `attention_levels` lowest levels only.

    `sample_size` is (h, w) of the latents. The prompt also reaches every block pooled, through the time embedding:
    cross-attention alone learned nothing of it in 500 steps.
    """
    import diffusers

    plain = len(channels) - attention_levels
    unet: Any = diffusers.UNet2DConditionModel(
        sample_size=sample_size,
        in_channels=latent_channels,
        out_channels=latent_channels,
        block_out_channels=channels,
        layers_per_block=1,
        down_block_types=("DownBlock2D",) * plain + ("CrossAttnDownBlock2D",) * attention_levels,
        up_block_types=("CrossAttnUpBlock2D",) * attention_levels + ("UpBlock2D",) * plain,
        mid_block_type="UNetMidBlock2DCrossAttn",
        cross_attention_dim=context_dim,
        attention_head_dim=4,  # diffusers reads this as the number of heads
        norm_num_groups=min(32, channels[0] // 2),
        addition_embed_type="text",
        addition_embed_type_num_heads=8,
    )
    torch.nn.init.constant_(unet.add_embedding.norm2.weight, POOLED_PROMPT_SCALE)
    return unet


def build_tokenizer(vocab: dict[str, int], merges: list[tuple[str, str]], *, max_length: int) -> CLIPTokenizer:
    """CLIP's tokenizer over a vocabulary of our own."""
    import transformers

    pairs: Any = merges
    return transformers.CLIPTokenizer(vocab=vocab, merges=pairs, model_max_length=max_length)


def build_sd3_transformer(
    *, heads: int, head_width: int, layers: int, text_width: int, sample_size: tuple[int, int], latent_channels: int
) -> SD3Transformer2DModel:
    """A small transformer of Stable Diffusion 3, for two text encoders of `text_width` each.

    `sample_size` is (h, w) of the latents that it is trained on; its native size is the square of about that area.
    """
    import diffusers

    height, width = sample_size
    return diffusers.SD3Transformer2DModel(
        sample_size=2 * round((height * width) ** 0.5 / 2),
        patch_size=2,
        in_channels=latent_channels,
        out_channels=latent_channels,
        num_layers=layers,
        attention_head_dim=head_width,
        num_attention_heads=heads,
        joint_attention_dim=2 * text_width,
        caption_projection_dim=heads * head_width,
        pooled_projection_dim=2 * text_width,
        pos_embed_max_size=max(sample_size),  # in tokens: room for a side of twice the length
        qk_norm="rms_norm",
    )


def build_text_encoder(tokenizer: CLIPTokenizer, *, width: int, layers: int, projection: bool = False) -> CLIPTextModel:
    """A small CLIPTextModel for that tokenizer; with a projection of the whole prompt, as Stable Diffusion 3 has it."""
    import transformers

    kind = transformers.CLIPTextModelWithProjection if projection else transformers.CLIPTextModel
    encoder: Any = kind(
        transformers.CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=layers,
            num_attention_heads=max(1, width // 32),
            max_position_embeddings=tokenizer.model_max_length,
            projection_dim=width,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    with torch.no_grad():
        encoder.get_input_embeddings().weight.mul_(TOKEN_SCALE)
    return encoder


def read_autoencoder(folder: Path) -> AutoencoderTiny:
    """The AutoencoderTiny of a folder in Stable Diffusion format, in float32, for further training."""
    import diffusers

    return diffusers.AutoencoderTiny.from_pretrained(
        folder / "vae", use_safetensors=True, local_files_only=True
    ).float()
