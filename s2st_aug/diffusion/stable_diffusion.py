"""The one door to diffusers: a folder in its format, or a hub id, becomes a LatentModel."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from s2st_aug.diffusion.checkpoint import load_checkpoint
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
from s2st_aug.diffusion.denoiser import Context, Latent, from_v_prediction
from s2st_aug.diffusion.families import SDXL, Family
from s2st_aug.diffusion.flow_models import load_flow
from s2st_aug.diffusion.half_autoencoder import half_autoencoder
from s2st_aug.diffusion.half_weights import half_network
from s2st_aug.diffusion.lora import fuse_lora, read_lora
from s2st_aug.diffusion.model import LatentModel
from s2st_aug.diffusion.model_choice import ModelChoice, read_choice, single_file
from s2st_aug.diffusion.model_files import (
    EMBEDDED,
    combined_hash,
    doubts_about,
    find_model,
    find_vae,
    hash_choice,
    hash_configs,
    read_config,
    read_family,
)
from s2st_aug.diffusion.schedule import NoiseSchedule
from s2st_aug.diffusion.selftest import check_model
from s2st_aug.diffusion.spread import free_room, spread
from s2st_aug.diffusion.vocabulary import Vocabulary
from s2st_aug.errors import ModelError, did_you_mean

log = logging.getLogger(__name__)
PREDICTIONS = ("epsilon", "v_prediction")
AUTOENCODERS = ("AutoencoderKL", "AutoencoderTiny")


@dataclass(frozen=True, slots=True)
class Networks:
    """The networks and tokenizers of a Stable Diffusion model; `more` are SDXL's second ones."""

    unet: Network
    vae: Autoencoder
    text_encoder: TextEncoder
    tokenizer: Tokenizer
    more: tuple[TextEncoder, Tokenizer] | None = None


def load_model(
    name_or_path: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    revision: str | None = None,
    self_test: bool = True,
    gpus: int = 1,
) -> LatentModel:
    """A model by its embedded name (street-mini, street-photo), folder, or hub id with its `revision`.

    With `gpus` above 1 the denoising network is spread over so many, for one that does not fit; the rest is on
    `device`. Networks run in `dtype` (by default float32, and a flow in that of its files) on `device`; latents, pixels
    and embeddings at the border are float32. Raises ModelError, one line, for what is missing, not safetensors, of no
    known family, or fails the self-test, which a model that is not embedded passes once (about sixty evaluations,
    remembered by its hash).
    """
    folder = find_model(name_or_path, revision)
    family, choice = read_family(folder), read_choice(str(name_or_path))
    sha256, name = combined_hash(hash_choice(str(name_or_path), folder)), str(name_or_path)
    for doubt in () if name in EMBEDDED else doubts_about(name, folder):
        log.warning("%s", doubt)
    if family.is_flow:
        model = load_flow(folder, family, torch.device(device), dtype, gpus)
    else:
        model = _load_diffusion(folder, family, choice, torch.device(device), dtype or torch.float32, gpus)
    if dtype not in (None, torch.float32) and model.halving_autoencoder is not None:
        model.halving_autoencoder(dtype)
    model = replace(
        model,
        name=name if name in EMBEDDED or not revision else f"{name}@{revision}",
        sha256=sha256,
        config_sha256=hash_configs(folder),
        profiles=folder / "profiles" if (folder / "profiles").is_dir() else None,
    )
    if self_test and name not in EMBEDDED:
        check_model(model)
    return model


def _load_diffusion(
    folder: Path, family: Family, choice: ModelChoice, device: torch.device, dtype: torch.dtype, gpus: int
) -> LatentModel:
    """Stable Diffusion 1, 2 or XL."""
    prediction, schedule = read_schedule(folder)
    networks = _load_networks(folder, family, choice, device, dtype, gpus)
    if networks.more is None:
        model = build_model(networks.unet, networks.vae, networks.text_encoder, networks.tokenizer, schedule=schedule)
    else:
        model = build_sdxl(networks, schedule, zero_empty=_zeroes_the_empty_prompt(folder))
    if prediction == "v_prediction":
        model = replace(model, denoiser=from_v_prediction(model.denoiser, schedule))
    words = Vocabulary(partial(_pieces, networks.tokenizer), _known_words(folder / "tokenizer" / "words.txt"))
    return replace(model, prediction_type=prediction, vocabulary=words)


def load_for_worker(name: str, device: str, *, threads: int | None, gpus: int) -> LatentModel:
    """`load_model` for a worker of a run, whose results must not depend on which worker it is."""
    if threads:
        torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    gpus = gpus if device.startswith("cuda") else 1
    model = load_model(name, device=device, gpus=gpus)
    return model if gpus == 1 else replace(model, halving=None)  # a spread network's hooks move weights themselves


def build_model(
    unet: Network,
    vae: Autoencoder,
    text_encoder: TextEncoder,
    tokenizer: Tokenizer,
    *,
    schedule: NoiseSchedule | None = None,
) -> LatentModel:
    """A LatentModel around networks in memory that predict noise: what training looks at between two checkpoints."""
    factor, encode, decode = pixels_per_cell(vae), encoder_of(vae), decoder_of(vae)
    size = unet.config.sample_size
    height, width = (size, size) if isinstance(size, int) else size
    return LatentModel(
        name="in memory",
        sha256="",
        denoiser=partial(_predict, unet),
        schedule=schedule or NoiseSchedule.stable_diffusion(),
        encode=encode,
        decode=decode,
        embed=partial(_embed, tokenizer, text_encoder),
        vocabulary=Vocabulary(partial(_pieces, tokenizer)),
        native_size=(width * factor, height * factor),
        stride=factor * 2 ** (len(unet.config.block_out_channels) - 1),
        latent_channels=unet.config.in_channels,
        latent_factor=factor,
        device=unet.device,
        dtype=unet.dtype,
        checkpointing=unet.enable_gradient_checkpointing,
        compiling=unet.compile,
        halving=partial(half_network, unet),
        halving_autoencoder=partial(half_autoencoder, vae, encode, decode, factor),
    )


def build_sdxl(networks: Networks, schedule: NoiseSchedule | None = None, *, zero_empty: bool = True) -> LatentModel:
    """A LatentModel around SDXL's networks (arXiv 2307.01952) that predict noise.

    With `zero_empty` the empty prompt is zeros, as it was in training (`force_zeros_for_empty_prompt`).
    """
    assert networks.more is not None
    model = build_model(networks.unet, networks.vae, networks.text_encoder, networks.tokenizer, schedule=schedule)
    pairs = ((networks.tokenizer, networks.text_encoder), (networks.more[1], networks.more[0]))
    return replace(
        model,
        denoiser=partial(_predict_sized, networks.unet, model.latent_factor),
        embed=partial(_embed_twice, pairs, zero_empty=zero_empty),
    )


def read_schedule(folder: Path) -> tuple[str, NoiseSchedule]:
    """Prediction type and noise schedule as the folder's scheduler config says; raises ModelError."""
    config = read_config(folder, "scheduler", "scheduler_config.json")
    prediction = config.get("prediction_type", "epsilon")
    if prediction not in PREDICTIONS:
        raise ModelError(
            f"{folder}: prediction_type {prediction!r} is not supported{did_you_mean(prediction, PREDICTIONS)}"
        )
    if prediction == "epsilon" and config.get("rescale_betas_zero_snr"):
        raise ModelError(
            f"{folder}: the scheduler has rescale_betas_zero_snr, which needs prediction_type v_prediction: "
            "at a step that is pure noise, epsilon says nothing about the image"
        )
    return prediction, NoiseSchedule.from_config(config)


def _predict(
    unet: Network, latents: Latent, t: int, context: Context, more: Mapping[str, Tensor] | None = None
) -> Latent:
    steps = torch.full((len(latents),), t, device=latents.device)
    # autocast casts what it runs in half precision itself, and norms of the context are none of that
    dtype = latents.dtype if torch.is_autocast_enabled(latents.device.type) else unet.dtype
    shown = latents.to(dtype, memory_format=torch.channels_last)
    added = {"added_cond_kwargs": {name: value.to(dtype) for name, value in more.items()}} if more else {}
    return unet(shown, steps, encoder_hidden_states=context.tokens.to(dtype), **added).sample.to(latents.dtype)


def _predict_sized(unet: Network, factor: int, latents: Latent, t: int, context: Context) -> Latent:
    """SDXL's UNet is told an image's size before training cropped it, the crop and the size: here one, uncropped."""
    assert context.pooled is not None
    height, width = (side * factor for side in latents.shape[2:])
    sizes = torch.tensor([height, width, 0, 0, height, width], device=latents.device, dtype=latents.dtype)
    more = {"text_embeds": context.pooled, "time_ids": sizes.expand(len(latents), -1)}
    return _predict(unet, latents, t, context, more)


def _token_ids(tokenizer: Tokenizer, prompts: list[str]) -> Tensor:
    return tokenizer(
        prompts, padding="max_length", max_length=tokenizer.model_max_length, truncation=True, return_tensors="pt"
    ).input_ids


def _pieces(tokenizer: Tokenizer, text: str) -> list[str]:
    return [piece.removesuffix("</w>") for piece in tokenizer.tokenize(text)]


def _known_words(path: Path) -> tuple[str, ...]:
    """The words that a model's vocabulary was made from, where it lists them (the embedded ones do)."""
    return tuple(path.read_text(encoding="utf-8").split()) if path.is_file() else ()


@torch.no_grad()
def _embed(tokenizer: Tokenizer, text_encoder: TextEncoder, prompts: list[str]) -> Context:
    return Context(text_encoder(_token_ids(tokenizer, prompts).to(text_encoder.device))[0].float())


@torch.no_grad()
def _embed_twice(pairs: tuple[tuple[Tokenizer, TextEncoder], ...], prompts: list[str], *, zero_empty: bool) -> Context:
    """Both encoders' last layer but one, side by side; the second one's projection is the pooled prompt."""
    tokens = []
    for tokenizer, text_encoder in pairs:
        coded = text_encoder(_token_ids(tokenizer, prompts).to(text_encoder.device), output_hidden_states=True)
        tokens.append(coded.hidden_states[-2].float())
    both, pooled = torch.cat(tokens, -1), coded.text_embeds.float()
    if zero_empty:
        said = torch.tensor([float(prompt != "") for prompt in prompts], device=both.device)
        both, pooled = both * said[:, None, None], pooled * said[:, None]
    return Context(both, pooled)


def _zeroes_the_empty_prompt(folder: Path) -> bool:
    there = (folder / "model_index.json").is_file()
    return (
        bool(read_config(folder, "", "model_index.json").get("force_zeros_for_empty_prompt", True)) if there else True
    )


def _load_networks(
    folder: Path, family: Family, choice: ModelChoice, device: torch.device, dtype: torch.dtype, gpus: int = 1
) -> Networks:
    import diffusers
    import transformers

    vae_folder = folder / "vae" if choice.vae is None else find_vae(choice.vae)
    vae_class = getattr(diffusers, class_of(vae_folder, AUTOENCODERS))
    kinds: dict[str, Any] = {"unet": diffusers.UNet2DConditionModel, "text_encoder": transformers.CLIPTextModel}
    if family is SDXL:
        kinds["text_encoder_2"] = transformers.CLIPTextModelWithProjection
    file = single_file(choice)
    if file is None:
        networks = {component: load_network(folder, component, kind, dtype) for component, kind in kinds.items()}
    else:  # a checkpoint need not hold an autoencoder that another takes the place of
        own = {"vae": diffusers.AutoencoderKL} if choice.vae is None else {}
        networks = load_checkpoint(file, folder, kinds | own, dtype)
    if "vae" not in networks:
        networks["vae"] = load_network(folder, "vae", vae_class, torch.float32, place=vae_folder)
    vae = networks.pop("vae")
    for lora in choice.loras:
        changed = fuse_lora(networks, read_lora(Path(lora.path).expanduser()), lora.weight)
        log.info("LoRA %s with weight %g changed %d layers", lora.path, lora.weight, changed)
    decode_one_by_one(vae, device)
    unet = networks.pop("unet")
    for network in (unet, vae):
        network.to(device="cpu" if gpus > 1 else device, memory_format=torch.channels_last)
    if gpus > 1:
        spread(unet, free_room(gpus))
        vae.to(device)
    first, *others = (encoder.to(device) for encoder in networks.values())
    tokenizer = load_tokenizer(folder, transformers.CLIPTokenizer)
    if not others:
        return Networks(unet, vae, first, tokenizer)
    second = load_tokenizer(folder, transformers.CLIPTokenizer, "tokenizer_2")
    return Networks(unet, vae, first, tokenizer, (others[0], second))
