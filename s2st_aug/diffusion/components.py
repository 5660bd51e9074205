"""Parts of a model in diffusers' format, each from its folder: networks, tokenizers, and an autoencoder's scale."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

from s2st_aug.diffusion.denoiser import Latent
from s2st_aug.diffusion.model_files import choose_weights, read_config, weight_files
from s2st_aug.errors import ModelError

Network: TypeAlias = Any  # diffusers and transformers are lazy modules that a type checker does not see through
Autoencoder: TypeAlias = Any
TextEncoder: TypeAlias = Any
Tokenizer: TypeAlias = Any
Scale: TypeAlias = "float | Tensor"  # of all channels, or `1 c 1 1`


def load_network(folder: Path, component: str, kind: Any, dtype: torch.dtype, *, place: Path | None = None) -> Network:
    """A component's network from its folder, or from another `place`; raises ModelError.

    A weight that its files lack would be drawn at random, anew in each worker, so it is refused too.
    """
    if place is None:
        place, variant = folder / component, weight_files(folder, component)[1]
    else:
        variant = choose_weights(str(place), component, [p.name for p in place.iterdir()])[1]
    key = "dtype" if component.startswith("text_encoder") else "torch_dtype"
    try:
        network, told = kind.from_pretrained(
            place,
            use_safetensors=True,
            variant=variant,
            local_files_only=True,
            output_loading_info=True,
            **{key: dtype},
        )
    except Exception as error:  # a truncated or foreign file fails in many ways, all meaning the same to the user
        raise ModelError(f"{folder}: {component} cannot be loaded ({first_line(error)})") from None
    refuse_lacking(folder, component, sorted(told["missing_keys"]))
    return network.eval().requires_grad_(False)


CONVERTED = "convert it with the versions of diffusers and transformers that are here"


def refuse_lacking(where: Path, component: str, lacking: Sequence[str], other_way: str = CONVERTED) -> None:
    """Raises ModelError for a component whose files lack these weights: they would be drawn at random, or be empty."""
    if lacking:
        others = f" and {len(lacking) - 1} others" if len(lacking) > 1 else ""
        raise ModelError(
            f"{where}: {component} lacks the weight {lacking[0]}{others}; download it again, or {other_way}"
        )


def load_tokenizer(folder: Path, kind: Any, component: str = "tokenizer") -> Tokenizer:
    """A tokenizer from its folder; raises ModelError."""
    if not (folder / component).is_dir():
        raise ModelError(f"{folder}: not in diffusers' format, the folder {component} is missing")
    try:
        return kind.from_pretrained(folder / component, local_files_only=True)
    except Exception as error:
        raise ModelError(f"{folder}: {component} cannot be loaded ({first_line(error)})") from None


def class_of(place: Path, known: tuple[str, ...]) -> str:
    """The class that a component's config names, one of the known; raises ModelError."""
    name = str(read_config(place.parent, place.name).get("_class_name"))
    if name not in known:
        raise ModelError(f"{place}: expected one of {', '.join(known)}, found a {name}")
    return name


def encoder_of(vae: Autoencoder) -> Callable[[Tensor], Latent]:
    """Pixels to scaled latents: the mode, without noise."""
    scale, shift = _scale_and_shift(vae)

    def encode(pixels: Tensor) -> Latent:
        coded = vae.encode(pixels.to(vae.device, vae.dtype, memory_format=torch.channels_last))
        latents = coded.latents if hasattr(coded, "latents") else coded.latent_dist.mode()
        return (latents.float() - shift) * scale

    return encode


def decoder_of(vae: Autoencoder) -> Callable[[Latent], Tensor]:
    """Scaled latents to pixels."""
    scale, shift = _scale_and_shift(vae)

    def decode(latents: Latent) -> Tensor:
        return vae.decode((latents / scale + shift).to(vae.dtype, memory_format=torch.channels_last)).sample.float()

    return decode


def decode_one_by_one(vae: Autoencoder, device: torch.device) -> None:
    """Has an autoencoder encode and decode a batch image by image: its activations are what needs most memory.

    An AutoencoderTiny on a CPU keeps whole batches. It needs little, and other kernels would move its values by 1e-6.
    """
    if device.type != "cpu" or type(vae).__name__ != "AutoencoderTiny":
        vae.enable_slicing()


def _scale_and_shift(vae: Autoencoder) -> tuple[Scale, Scale]:
    """Of all channels, or of each where a config lists means and deviations.

    AutoencoderTiny has no shift of its own: its `latent_shift` only serves storing latents as images.
    """
    scale = float(vae.config.scaling_factor)
    mean, deviation = vae.config.get("latents_mean"), vae.config.get("latents_std")
    if mean is None or deviation is None:
        return scale, float(vae.config.get("shift_factor") or 0.0)
    by_channel = (torch.tensor(values, device=vae.device).view(1, -1, 1, 1) for values in (mean, deviation))
    shift, spread = by_channel
    return scale / spread, shift


def pixels_per_cell(vae: Autoencoder) -> int:
    """By how much an autoencoder makes an image smaller."""
    return 2 ** (len(vae.config.get("block_out_channels", vae.config.get("encoder_block_out_channels"))) - 1)


def first_line(error: Exception) -> str:
    """The first line of an error of a library, fit for one of ours."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
