"""Models that are rectified flows, from their networks: SD 3.5, FLUX.2-klein-base, Z-Image, Qwen-Image.

Each is asked in its own way (time, packing, sign), encodes prompts in its own way, and scales its latents in its own
way; all come out as a LatentModel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor

from s2st_aug.diffusion.components import (
    Autoencoder,
    Network,
    TextEncoder,
    Tokenizer,
    class_of,
    decode_one_by_one,
    decoder_of,
    encoder_of,
    load_network,
    load_tokenizer,
    pixels_per_cell,
)
from s2st_aug.diffusion.denoiser import Context, Latent
from s2st_aug.diffusion.families import FLUX2, QWEN_IMAGE, SD3, Z_IMAGE, Family
from s2st_aug.diffusion.flow import Velocity, flow_schedule, from_velocity, mu_of_flux2, mu_of_tokens
from s2st_aug.diffusion.half_autoencoder import half_autoencoder
from s2st_aug.diffusion.half_weights import half_network
from s2st_aug.diffusion.model import LatentModel
from s2st_aug.diffusion.model_files import read_config, weight_files
from s2st_aug.diffusion.spread import free_room, spread

NATIVE = 1024  # pixels of a side, which these models were trained at
PATCH = 2  # latent cells of a token's side
T5_TOKENS, CHAT_TOKENS, QWEN_TOKENS = 256, 512, 1024  # of a prompt, as their pipelines cut it
FLUX2_LAYERS = (9, 18, 27)  # of Qwen3, whose states are the prompt
QWEN_TEMPLATE = (
    "<|im_start|>system\nDescribe the image by detailing the color, shape, size, texture, quantity, text, spatial "
    "relationships of the objects and background:<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
)
QWEN_TEMPLATE_TOKENS = 34  # of the template before the prompt, which are cut off


@dataclass(frozen=True, slots=True)
class FlowParts:
    """The networks and tokenizers of a flow, by their folders, and its scheduler's config."""

    transformer: Network
    vae: Autoencoder
    encoders: Mapping[str, TextEncoder]
    tokenizers: Mapping[str, Tokenizer]
    scheduler: Mapping[str, Any]


def load_flow(
    folder: Path, family: Family, device: torch.device, dtype: torch.dtype | None, gpus: int = 1
) -> LatentModel:
    """A flow from its folder, in the precision of its files (bfloat16 or float32) if none is asked for.

    Its autoencoder, which is small, is in float32. Raises ModelError.
    """
    import diffusers
    import transformers

    encoders: dict[str, TextEncoder] = {}
    for component, kind in family.encoders.items():
        if component not in family.optional or (folder / component).is_dir():
            own = dtype or stored_dtype(folder, component)
            encoders[component] = load_network(folder, component, getattr(transformers, kind), own).to(device)
    tokenizers = {
        name: load_tokenizer(folder, transformers.AutoTokenizer, name)
        for name in (component.replace("text_encoder", "tokenizer") for component in encoders)
    }
    own = dtype or stored_dtype(folder, "transformer")
    transformer = load_network(folder, "transformer", getattr(diffusers, family.denoiser_class), own)
    vae_class = getattr(diffusers, class_of(folder / "vae", family.autoencoders))
    vae = load_network(folder, "vae", vae_class, torch.float32).to(device)
    decode_one_by_one(vae, device)
    if gpus > 1:
        spread(transformer, free_room(gpus))
    else:
        transformer.to(device)
    scheduler = read_config(folder, "scheduler", "scheduler_config.json")
    return build_flow(family, FlowParts(transformer, vae, encoders, tokenizers, scheduler))


def stored_dtype(folder: Path, component: str) -> torch.dtype:
    """bfloat16 where a component's file is; everything else is widened to float32."""
    with safe_open(weight_files(folder, component)[0][0], "pt") as file:
        kinds = {file.get_slice(key).get_dtype() for key in file.keys()}  # noqa: SIM118 (no mapping)
    return torch.bfloat16 if kinds == {"BF16"} else torch.float32


def build_flow(family: Family, parts: FlowParts) -> LatentModel:
    """A LatentModel around a flow's networks in memory."""
    transformer, make = parts.transformer, _MAKERS[family.name]
    made = make(parts)
    tokens = (made.side // made.factor // PATCH) ** 2
    mu = mu_of_flux2(tokens) if family is FLUX2 else mu_of_tokens(parts.scheduler, tokens)
    schedule = flow_schedule(parts.scheduler, mu)
    return LatentModel(
        name="in memory",
        sha256="",
        denoiser=from_velocity(made.velocity, schedule),
        schedule=schedule,
        encode=made.encode,
        decode=made.decode,
        embed=torch.no_grad()(made.embed),
        native_size=(made.side, made.side),
        stride=made.factor * PATCH,
        latent_channels=made.channels,
        latent_factor=made.factor,
        device=transformer.device,
        dtype=transformer.dtype,
        prediction_type="velocity",
        checkpointing=transformer.enable_gradient_checkpointing,
        compiling=transformer.compile,
        halving=partial(half_network, transformer) if transformer.dtype == torch.float32 else None,
        halving_autoencoder=partial(half_autoencoder, parts.vae, made.encode, made.decode, made.factor),
    )


@dataclass(frozen=True, slots=True)
class _Made:
    """What an architecture does in its own way."""

    velocity: Velocity
    encode: Callable[[Tensor], Latent]
    decode: Callable[[Latent], Tensor]
    embed: Callable[[list[str]], Context]
    channels: int
    factor: int  # pixels a latent cell
    side: int = NATIVE


def _inner(network: Network, like: Tensor) -> torch.dtype:
    """What a network is shown: its own precision, or under autocast, which casts by itself, the latents'."""
    return like.dtype if torch.is_autocast_enabled(like.device.type) else network.dtype


def _packed(x: Latent) -> Tensor:
    """Patches of 2x2 cells as tokens, `b tokens 4c`."""
    return F.pixel_unshuffle(x, PATCH).flatten(2).transpose(1, 2)


def _unpacked(tokens: Tensor, like: Latent) -> Latent:
    height, width = (side // PATCH for side in like.shape[2:])
    return F.pixel_shuffle(tokens.transpose(1, 2).unflatten(2, (height, width)), PATCH).to(like.dtype)


def _sd3(parts: FlowParts) -> _Made:
    """Stable Diffusion 3.5 (arXiv 2403.03206): asked at 1000 s; two CLIPs beside one another, then T5 (or zeros)."""
    net, vae, names = parts.transformer, parts.vae, list(parts.encoders)

    def velocity(x: Latent, s: float, context: Context) -> Latent:
        assert context.pooled is not None
        dtype, at = _inner(net, x), torch.full((len(x),), 1000 * s, device=x.device)
        prompt, pooled = context.tokens.to(dtype), context.pooled.to(dtype)
        asked = {"encoder_hidden_states": prompt, "pooled_projections": pooled, "timestep": at}
        return net(x.to(dtype), **asked).sample.to(x.dtype)

    def embed(prompts: list[str]) -> Context:
        clips = [parts.encoders[name] for name in names[:2]]
        length = parts.tokenizers["tokenizer"].model_max_length
        ids = [
            _ids(parts.tokenizers[name.replace("text_encoder", "tokenizer")], prompts, length, parts.encoders[name])
            for name in names[:2]
        ]
        t5 = None
        if "text_encoder_3" in parts.encoders:
            encoder = parts.encoders["text_encoder_3"]
            t5 = encoder(_ids(parts.tokenizers["tokenizer_3"], prompts, T5_TOKENS, encoder))[0].float()
        return sd3_context(clips, ids, net.config.joint_attention_dim, t5)

    factor = pixels_per_cell(vae)
    side = net.config.sample_size * factor
    return _Made(velocity, encoder_of(vae), decoder_of(vae), embed, net.config.in_channels, factor, side)


def sd3_context(clips: Sequence[TextEncoder], ids: Sequence[Tensor], width: int, t5: Tensor | None = None) -> Context:
    """Prompts as Stable Diffusion 3 takes them: two CLIPs beside one another, zeros up to `width`, then T5.

    `ids`: for each CLIP, `b n`. `t5`: `b 256 width`; zeros where it is absent.
    """
    coded = [clip(tokens, output_hidden_states=True) for clip, tokens in zip(clips, ids, strict=True)]
    words = torch.cat([states.hidden_states[-2].float() for states in coded], -1)
    pooled = torch.cat([states.text_embeds.float() for states in coded], -1)
    if t5 is None:
        t5 = words.new_zeros(len(words), T5_TOKENS, width)
    return Context(torch.cat([F.pad(words, (0, width - words.shape[-1])), t5], 1), pooled)


def _ids(tokenizer: Tokenizer, prompts: list[str], length: int, encoder: TextEncoder) -> Tensor:
    made = tokenizer(prompts, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    return made.input_ids.to(encoder.device)


def _chat(
    tokenizer: Tokenizer, encoder: TextEncoder, prompts: list[str], *, thinking: bool
) -> tuple[tuple[Tensor, ...], Tensor]:
    """States of all layers of a language model that is given each prompt as a user's message, and the prompts' mask."""
    said = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": p}], tokenize=False, add_generation_prompt=True, enable_thinking=thinking
        )
        for p in prompts
    ]
    made = tokenizer(said, padding="max_length", max_length=CHAT_TOKENS, truncation=True, return_tensors="pt")
    ids, mask = made.input_ids.to(encoder.device), made.attention_mask.to(encoder.device)
    coded = encoder(input_ids=ids, attention_mask=mask, output_hidden_states=True, use_cache=False)
    return coded.hidden_states, mask.bool()


def _flux2(parts: FlowParts) -> _Made:
    """FLUX.2-klein-base: asked at s; the batch norm of its autoencoder, on patches of 2x2 cells, scales latents."""
    net, vae = parts.transformer, parts.vae
    encoder, tokenizer = parts.encoders["text_encoder"], parts.tokenizers["tokenizer"]

    def velocity(x: Latent, s: float, context: Context) -> Latent:
        dtype, (height, width) = _inner(net, x), (side // PATCH for side in x.shape[2:])
        axes = [torch.arange(n, device=x.device) for n in (1, height, width, 1)]
        image = torch.cartesian_prod(*axes).expand(len(x), -1, -1)
        words = torch.arange(context.tokens.shape[1], device=x.device)
        text = F.pad(words[:, None], (3, 0)).expand(len(x), -1, -1)
        at, prompt = torch.full((len(x),), s, device=x.device, dtype=dtype), context.tokens.to(dtype)
        asked = {"encoder_hidden_states": prompt, "timestep": at, "img_ids": image, "txt_ids": text, "guidance": None}
        return _unpacked(net(_packed(x).to(dtype), **asked).sample, x)

    def embed(prompts: list[str]) -> Context:
        states, _ = _chat(tokenizer, encoder, prompts, thinking=False)
        return Context(torch.cat([states[layer].float() for layer in FLUX2_LAYERS], -1))

    mean = vae.bn.running_mean.float().view(1, -1, 1, 1)
    deviation = (vae.bn.running_var.float() + vae.config.batch_norm_eps).sqrt().view(1, -1, 1, 1)

    def encode(pixels: Tensor) -> Latent:
        latents = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist.mode().float()
        return F.pixel_shuffle((F.pixel_unshuffle(latents, PATCH) - mean) / deviation, PATCH)

    def decode(latents: Latent) -> Tensor:
        own = F.pixel_shuffle(F.pixel_unshuffle(latents, PATCH) * deviation + mean, PATCH)
        return vae.decode(own.to(vae.dtype)).sample.float()

    return _Made(velocity, encode, decode, embed, net.config.in_channels // PATCH**2, pixels_per_cell(vae))


def _z_image(parts: FlowParts) -> _Made:
    """Z-Image (arXiv 2511.22699): asked at 1 - s, and what it answers is x0 - n; prompts are lists without padding."""
    net, vae = parts.transformer, parts.vae
    encoder, tokenizer = parts.encoders["text_encoder"], parts.tokenizers["tokenizer"]

    def velocity(x: Latent, s: float, context: Context) -> Latent:
        dtype, at = _inner(net, x), torch.full((len(x),), 1 - s, device=x.device)
        own = context.mask if context.mask is not None else torch.ones_like(context.tokens[..., 0], dtype=torch.bool)
        prompts = [tokens[mask].to(dtype) for tokens, mask in zip(context.tokens, own, strict=True)]
        answers = net(list(x.to(dtype).unsqueeze(2)), at, prompts, return_dict=False)[0]
        return -torch.stack(list(answers)).squeeze(2).to(x.dtype)

    def embed(prompts: list[str]) -> Context:
        states, mask = _chat(tokenizer, encoder, prompts, thinking=True)
        return _trimmed(states[-2].float(), mask)

    return _Made(velocity, encoder_of(vae), decoder_of(vae), embed, net.config.in_channels, pixels_per_cell(vae))


def _trimmed(tokens: Tensor, mask: Tensor) -> Context:
    """Each row's own tokens first, as many columns as the longest has."""
    rows = [Context(own[kept][None]) for own, kept in zip(tokens, mask, strict=True)]
    made = Context.cat(rows)
    return (
        made
        if made.mask is not None
        else Context(made.tokens, None, torch.ones_like(made.tokens[..., 0], dtype=torch.bool))
    )


def _qwen_image(parts: FlowParts) -> _Made:
    """Qwen-Image (arXiv 2508.02324): asked at s, in tokens; a video's autoencoder, which lists means and deviations."""
    net, vae = parts.transformer, parts.vae
    encoder, tokenizer = parts.encoders["text_encoder"], parts.tokenizers["tokenizer"]

    def velocity(x: Latent, s: float, context: Context) -> Latent:
        dtype, (height, width) = _inner(net, x), (side // PATCH for side in x.shape[2:])
        asked = {
            "encoder_hidden_states": context.tokens.to(dtype), "encoder_hidden_states_mask": context.mask,
            "timestep": torch.full((len(x),), s, device=x.device, dtype=dtype),
            "img_shapes": [[(1, height, width)]] * len(x), "guidance": None,
        }  # fmt: skip
        return _unpacked(net(_packed(x).to(dtype), **asked).sample, x)

    def embed(prompts: list[str]) -> Context:
        said = [QWEN_TEMPLATE.format(prompt) for prompt in prompts]
        most = QWEN_TOKENS + QWEN_TEMPLATE_TOKENS
        made = tokenizer(said, max_length=most, padding=True, truncation=True, return_tensors="pt").to(encoder.device)
        coded = encoder(input_ids=made.input_ids, attention_mask=made.attention_mask, output_hidden_states=True)
        kept = made.attention_mask.bool()
        return _trimmed(coded.hidden_states[-1].float(), kept & (kept.cumsum(1) > QWEN_TEMPLATE_TOKENS))

    mean, deviation = (
        torch.tensor(values, device=vae.device).view(1, -1, 1, 1)
        for values in (vae.config.latents_mean, vae.config.latents_std)
    )

    def encode(pixels: Tensor) -> Latent:
        frames = pixels.to(vae.device, vae.dtype).unsqueeze(2)
        return (vae.encode(frames).latent_dist.mode().squeeze(2).float() - mean) / deviation

    def decode(latents: Latent) -> Tensor:
        frames = (latents * deviation + mean).to(vae.dtype).unsqueeze(2)
        return vae.decode(frames).sample.squeeze(2).float()

    return _Made(velocity, encode, decode, embed, vae.config.z_dim, 2 ** len(vae.config.temperal_downsample))


_MAKERS: dict[str, Callable[[FlowParts], _Made]] = {
    SD3.name: _sd3, FLUX2.name: _flux2, Z_IMAGE.name: _z_image, QWEN_IMAGE.name: _qwen_image,
}  # fmt: skip
