"""An autoencoder in half precision where that is stable; in float32, with one line that says why, where it is not.

What does not fit float16 becomes infinite, and NaN after the next norm. diffusers leaves that to `force_upcast` in an
autoencoder's config, and upcasts SDXL's, whose activations pass 65504; of others the config often says nothing. So
the rest are tried at a drawn street. A photo that overflows all the same is done again in float32 by its translator.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from s2st_aug.diffusion.components import Autoencoder
from s2st_aug.diffusion.denoiser import Latent
from s2st_aug.diffusion.half_weights import HalfWeights
from s2st_aug.diffusion.street import street_picture

log = logging.getLogger(__name__)
CELLS = 16  # of a side of the street that it is tried at
MOST_SHARE = 0.3
"""of the grey levels that the autoencoder itself loses; of ours, bfloat16 costs 0.06 of them and float16 0.006"""
INVISIBLE = 1.0  # grey levels, of 255: the rounding of an image is half of that


@torch.no_grad()
def half_autoencoder(
    vae: Autoencoder,
    encode: Callable[[Tensor], Latent],
    decode: Callable[[Latent], Tensor],
    factor: int,
    dtype: torch.dtype,
) -> HalfWeights | None:
    """A float32 autoencoder, from now on in `dtype`; None, with a warning, where it stays in float32.

    `encode` and `decode` are by these weights, `factor` is of pixels per latent cell.
    """
    name, kind = vae.config.get("_name_or_path") or type(vae).__name__, str(dtype).removeprefix("torch.")
    if dtype == torch.float16 and vae.config.get("force_upcast") and _is_told(vae, "force_upcast"):
        why = "its config says force_upcast; madebyollin/sdxl-vae-fp16-fix is SDXL's without it"
    else:
        street = street_picture((CELLS * factor, CELLS * factor)).to(vae.device)
        full = decode(encode(street))
        half = HalfWeights((w for w in (*vae.parameters(), *vae.buffers()) if w.is_floating_point()), dtype)
        try:
            why = _why_unstable(street, full, decode(encode(street)))
        except BaseException:
            half.undo()
            raise
        if not why:
            return half
        half.undo()
    log.warning("%s: the autoencoder is not stable in %s and runs in float32: %s", name, kind, why)
    return None


def _is_told(vae: Autoencoder, key: str) -> bool:
    """Whether a config has the key itself: diffusers fills in what it lacks."""
    return key not in vae.config.get("_use_default_values", ())


def _why_unstable(street: Tensor, full: Tensor, half: Tensor) -> str:
    """What is wrong with the street as half precision gives it back; empty where nothing is."""
    if not torch.isfinite(half).all():
        return "a drawn street comes back as NaN"
    own, added = (127.5 * (full - other).square().mean().sqrt().item() for other in (street, half))
    if added <= MOST_SHARE * own or added <= INVISIBLE:
        return ""
    return f"it changes a drawn street by {added:.1f} grey levels, where the autoencoder itself loses {own:.1f}"
