"""Whether an autoencoder that is named by itself fits a model, as far as the configs of both tell.

An autoencoder of another family gives latents that the UNet was not trained on, and the pictures are wrong without an
error. Two of one class are compared by how they scale latents. TAESD's config says nothing of that, so it is not asked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from s2st_aug.errors import ModelError

Config = Mapping[str, Any]
SD_SCALE = 0.18215  # which diffusers takes where a config has no scaling_factor
SAME_SCALE, SAME_SHIFT = 0.01, 0.01  # relative and absolute: configs are rounded


def refuse_misfit(vae: str, other: Config, base: str, configs: Mapping[str, Config]) -> None:
    """Raises ModelError where `other`, the config of the autoencoder called `vae`, shows that it does not fit a model.

    `configs` are the model's own; what they lack is not compared.
    """
    own, channels = configs.get("vae", {}), other.get("latent_channels", 4)
    if configs.get("unet") and (taken := configs["unet"].get("in_channels", 4)) != channels:
        raise ModelError(f"vae {vae}: its latents have {channels} channels, but the UNet of {base} takes {taken}")
    factors = [_factor(config) for config in (own, other)]
    if None not in factors and factors[0] != factors[1]:
        raise ModelError(
            f"vae {vae}: it shrinks images by {factors[1]}, but {base} was trained on images shrunk by {factors[0]}"
        )
    if own.get("_class_name") != "AutoencoderKL" or other.get("_class_name") != "AutoencoderKL":
        return
    for key, default in (
        ("scaling_factor", SD_SCALE),
        ("shift_factor", 0.0),
        ("latents_mean", ()),
        ("latents_std", ()),
    ):
        if not _is_same(own.get(key) or default, other.get(key) or default):
            expected, found = (
                config.get(key) or (f"{default} (the default)" if default else "not set") for config in (own, other)
            )
            raise ModelError(
                f"vae {vae}: its {key} is {found}, but that of {base}'s own autoencoder is {expected}: "
                f"it was made for another family of models; name one that was made for {base}"
            )


def _factor(config: Config) -> int | None:
    """By how much an autoencoder shrinks an image."""
    blocks = config.get("block_out_channels") or config.get("encoder_block_out_channels")
    return 2 ** (len(blocks) - 1) if blocks else None


def _is_same(expected: Any, found: Any) -> bool:
    if isinstance(expected, list | tuple) or isinstance(found, list | tuple):
        return list(expected) == list(found)
    return math.isclose(expected, found, rel_tol=SAME_SCALE, abs_tol=SAME_SHIFT if 0.0 in (expected, found) else 0.0)
