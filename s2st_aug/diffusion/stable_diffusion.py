"""The one door to diffusers: a folder in Stable Diffusion format, or a hub id, becomes a LatentModel."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

from s2st_aug.diffusion.denoiser import Context, Denoiser, Latent, from_v_prediction
from s2st_aug.diffusion.half_weights import HalfWeights
from s2st_aug.diffusion.lora import fuse_lora, read_lora
from s2st_aug.diffusion.model import LatentModel
from s2st_aug.diffusion.model_choice import ModelChoice, read_choice, single_file
from s2st_aug.diffusion.model_files import (
    EMBEDDED,
    choose_weights,
    combined_hash,
    find_model,
    find_vae,
    hash_choice,
    hash_configs,
    read_config,
    weight_files,
)
from s2st_aug.diffusion.schedule import NoiseSchedule
from s2st_aug.diffusion.selftest import check_model
from s2st_aug.diffusion.spread import free_room, spread
from s2st_aug.diffusion.vocabulary import Vocabulary
from s2st_aug.errors import ModelError, did_you_mean

log = logging.getLogger(__name__)
UNet: TypeAlias = Any  # diffusers and transformers are lazy modules that a type checker does not see through
Autoencoder: TypeAlias = Any
TextEncoder: TypeAlias = Any
Tokenizer: TypeAlias = Any
PREDICTIONS = ("epsilon", "v_prediction")
AUTOENCODERS = ("AutoencoderKL", "AutoencoderTiny")


def load_model(
    name_or_path: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    revision: str | None = None,
    self_test: bool = True,
    gpus: int = 1,
) -> LatentModel:
    """A model by its embedded name (street-mini, street-photo), folder, or hub id with its `revision`.

    With `gpus` above 1 the UNet is spread over so many, for one that does not fit; the rest is on `device`. Networks
    run in `dtype` on `device`, channels last; latents, pixels and embeddings at the border are float32. Raises
    ModelError, one line, for what is missing, not safetensors, not Stable Diffusion's format, or fails the self-test,
    which a model that is not embedded passes once (about sixty evaluations, remembered by its hash).
    """
    folder = find_model(name_or_path, revision)
    prediction, schedule = read_schedule(folder)
    choice = read_choice(str(name_or_path))
    sha256 = combined_hash(hash_choice(str(name_or_path), folder))
    unet, vae, text_encoder, tokenizer = _load_networks(folder, choice, torch.device(device), dtype, gpus)
    denoise: Denoiser = partial(_predict, unet)
    model = build_model(unet, vae, text_encoder, tokenizer, schedule=schedule)
    name = str(name_or_path)
    model = replace(
        model,
        name=name if name in EMBEDDED or not revision else f"{name}@{revision}",
        sha256=sha256,
        config_sha256=hash_configs(folder),
        vocabulary=Vocabulary(partial(_pieces, tokenizer), known=_known_words(folder / "tokenizer" / "words.txt")),
        denoiser=denoise if prediction == "epsilon" else from_v_prediction(denoise, schedule),
        prediction_type=prediction,
        profiles=folder / "profiles" if (folder / "profiles").is_dir() else None,
    )
    if self_test and name not in EMBEDDED:
        check_model(model)
    return model


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
    unet: UNet,
    vae: Autoencoder,
    text_encoder: TextEncoder,
    tokenizer: Tokenizer,
    *,
    schedule: NoiseSchedule | None = None,
) -> LatentModel:
    """A LatentModel around networks in memory that predict noise: what training looks at between two checkpoints."""
    factor = 2 ** (len(vae.config.get("block_out_channels", vae.config.get("encoder_block_out_channels"))) - 1)
    size = unet.config.sample_size
    height, width = (size, size) if isinstance(size, int) else size
    return LatentModel(
        name="in memory",
        sha256="",
        denoiser=partial(_predict, unet),
        schedule=schedule or NoiseSchedule.stable_diffusion(),
        encode=_encoder(vae),
        decode=_decoder(vae),
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
        halving=partial(HalfWeights, unet),
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
            f"{folder}: rescale_betas_zero_snr needs v_prediction: "
            "at a step without signal epsilon says nothing of the image"
        )
    return prediction, NoiseSchedule.from_config(config)


def _predict(unet: UNet, latents: Latent, t: int, context: Context) -> Latent:
    steps = torch.full((len(latents),), t, device=latents.device)
    # autocast casts what it runs in half precision itself, and norms of the context are none of that
    dtype = latents.dtype if torch.is_autocast_enabled(latents.device.type) else unet.dtype
    shown = latents.to(dtype, memory_format=torch.channels_last)
    return unet(shown, steps, encoder_hidden_states=context.to(dtype)).sample.to(latents.dtype)


def _encoder(vae: Autoencoder) -> Callable[[Tensor], Latent]:
    scale, shift = _scale_and_shift(vae)

    def encode(pixels: Tensor) -> Latent:
        coded = vae.encode(pixels.to(vae.device, vae.dtype, memory_format=torch.channels_last))
        latents = coded.latents if hasattr(coded, "latents") else coded.latent_dist.mode()
        return (latents.float() - shift) * scale

    return encode


def _decoder(vae: Autoencoder) -> Callable[[Latent], Tensor]:
    scale, shift = _scale_and_shift(vae)

    def decode(latents: Latent) -> Tensor:
        return vae.decode((latents / scale + shift).to(vae.dtype, memory_format=torch.channels_last)).sample.float()

    return decode


def _scale_and_shift(vae: Autoencoder) -> tuple[float, float]:
    """AutoencoderTiny has no shift of its own: its `latent_shift` only serves storing latents as images."""
    return float(vae.config.scaling_factor), float(vae.config.get("shift_factor") or 0.0)


@torch.no_grad()
def _embed(tokenizer: Tokenizer, text_encoder: TextEncoder, prompts: list[str]) -> Context:
    tokens = tokenizer(
        prompts, padding="max_length", max_length=tokenizer.model_max_length, truncation=True, return_tensors="pt"
    )
    return text_encoder(tokens.input_ids.to(text_encoder.device))[0].float()


def _pieces(tokenizer: Tokenizer, text: str) -> list[str]:
    return [piece.removesuffix("</w>") for piece in tokenizer.tokenize(text)]


def _known_words(path: Path) -> tuple[str, ...]:
    """The words that a model's vocabulary was made from, where it lists them (the embedded ones do)."""
    return tuple(path.read_text(encoding="utf-8").split()) if path.is_file() else ()


def _load_networks(
    folder: Path, choice: ModelChoice, device: torch.device, dtype: torch.dtype, gpus: int = 1
) -> tuple[UNet, Autoencoder, TextEncoder, Tokenizer]:
    import diffusers
    import transformers

    vae_folder = folder / "vae" if choice.vae is None else find_vae(choice.vae)
    vae_class = getattr(diffusers, _class_of(vae_folder, AUTOENCODERS))
    if (file := single_file(choice)) is None:
        unet = _load(folder, "unet", diffusers.UNet2DConditionModel, dtype)
        vae = _load(folder, "vae", vae_class, dtype, place=vae_folder)
        text_encoder = _load(folder, "text_encoder", transformers.CLIPTextModel, dtype)
    else:
        unet, own_vae, text_encoder = _load_single_file(file, folder, dtype)
        vae = own_vae if choice.vae is None else _load(folder, "vae", vae_class, dtype, place=vae_folder)
    if (own := vae.config.latent_channels) != unet.config.in_channels:
        raise ModelError(f"vae {choice.vae}: it gives {own} channels, the UNet takes {unet.config.in_channels}")
    for lora in choice.loras:
        update = read_lora(Path(lora.path).expanduser())
        changed = fuse_lora({"unet": unet, "text_encoder": text_encoder}, update, lora.weight)
        log.info("LoRA %s at %g: fused into %d layers", lora.path, lora.weight, changed)
    if device.type == "cuda" and hasattr(vae, "enable_slicing"):
        vae.enable_slicing()  # its activations at full size are the most that a batch asks of memory at once
    for network in (unet, vae):
        network.to(device="cpu" if gpus > 1 else device, memory_format=torch.channels_last)
    if gpus > 1:
        spread(unet, free_room(gpus))
        vae.to(device)
    return unet, vae, text_encoder.to(device), _load_tokenizer(folder)


def _load_single_file(file: Path, configs: Path, dtype: torch.dtype) -> tuple[UNet, Autoencoder, TextEncoder]:
    """The networks of a checkpoint in one file, as the original code of Stable Diffusion wrote it.

    Raises ModelError where it does not fit the configs.
    """
    import diffusers
    import transformers
    from diffusers.loaders.single_file_utils import create_diffusers_clip_model_from_ldm, load_single_file_checkpoint

    diffusers.utils.logging.set_verbosity_error()  # it warns of an empty list of modules
    lent: dict[str, Any] = {"config": str(configs), "local_files_only": True, "torch_dtype": dtype}
    try:
        networks = [
            kind.from_single_file(str(file), subfolder=component, **lent)
            for kind, component in ((diffusers.UNet2DConditionModel, "unet"), (diffusers.AutoencoderKL, "vae"))
        ]
        state = load_single_file_checkpoint(str(file))
        networks.append(
            create_diffusers_clip_model_from_ldm(transformers.CLIPTextModel, state, subfolder="text_encoder", **lent)
        )
    except Exception as error:  # a truncated file, or one of another family, fails in many ways
        raise ModelError(f"{file}: does not load with the configs of {configs} ({_first_line(error)})") from None
    unet, vae, text_encoder = (network.eval().requires_grad_(False) for network in networks)
    return unet, vae, text_encoder


def _class_of(place: Path, known: tuple[str, ...]) -> str:
    name = str(read_config(place.parent, place.name).get("_class_name"))
    if name not in known:
        raise ModelError(f"{place}: expected one of {', '.join(known)}, found a {name}")
    return name


def _load(folder: Path, component: str, kind: Any, dtype: torch.dtype, *, place: Path | None = None) -> Any:
    """A component's network from its folder, or from another `place`; raises ModelError."""
    if place is None:
        place, variant = folder / component, weight_files(folder, component)[1]
    else:
        variant = choose_weights(str(place), component, [p.name for p in place.iterdir()])[1]
    key = "torch_dtype" if component != "text_encoder" else "dtype"
    try:
        network = kind.from_pretrained(
            place, use_safetensors=True, variant=variant, local_files_only=True, **{key: dtype}
        )
    except Exception as error:  # a truncated or foreign file fails in many ways, all meaning the same to the user
        raise ModelError(f"{folder}: {component} cannot be loaded ({_first_line(error)})") from None
    return network.eval().requires_grad_(False)


def _load_tokenizer(folder: Path) -> Tokenizer:
    from transformers import CLIPTokenizer

    if not (folder / "tokenizer").is_dir():
        raise ModelError(f"{folder}: not in Stable Diffusion format, the folder tokenizer is missing")
    try:
        return CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    except Exception as error:
        raise ModelError(f"{folder}: tokenizer cannot be loaded ({_first_line(error)})") from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
