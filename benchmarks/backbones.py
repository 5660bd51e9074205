"""Every backbone at its full width with random weights, one step of inversion and one of sampling, on a small image.

    python -m benchmarks.backbones sd3.5-medium --json out.json

Time and memory need no training. One backbone a process, as memory is the process's peak.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights

from benchmarks.gpu.shapes import AUTOENCODERS, UNETS
from s2st_aug.diffusion import ddim
from s2st_aug.diffusion.denoiser import Context, with_context
from s2st_aug.diffusion.families import FLUX2, QWEN_IMAGE, SD3, Z_IMAGE, Family
from s2st_aug.diffusion.flow_models import FlowParts, build_flow
from s2st_aug.diffusion.model import LatentModel
from s2st_aug.diffusion.stable_diffusion import Networks, build_sdxl

SIDE = 256  # pixels of the image that is taken both ways
QWEN_LAYERS = 10  # of 60: what fits beside other work in 16 GiB
KL16: dict[str, Any] = {
    **AUTOENCODERS["sd"],
    "latent_channels": 16,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
}


def build(kind: Any, **config: Any) -> Any:
    """A network in bfloat16 filled with small random weights; its own initialisation would take minutes."""
    with init_empty_weights():
        network = kind(**config)
    pattern = torch.randn(2**20, generator=torch.Generator().manual_seed(0)).mul(0.02).to(torch.bfloat16)
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            weights = pattern.repeat(-(-parameter.numel() // len(pattern)))[: parameter.numel()]
            made = weights.clone() if parameter.numel() < len(pattern) else weights
            setattr(module, name, torch.nn.Parameter(made.view(parameter.shape), requires_grad=False))
    return network.to(torch.bfloat16).eval()


def sdxl() -> tuple[LatentModel, Context, Any]:
    """SDXL's UNet and autoencoder, with a random prompt."""
    import diffusers

    unet = build(diffusers.UNet2DConditionModel, **UNETS["sdxl"]).to(memory_format=torch.channels_last)
    vae = build(diffusers.AutoencoderKL, **AUTOENCODERS["sd"], scaling_factor=0.13025)
    model = build_sdxl(Networks(unet, vae, None, None, (None, None)))
    return model, Context(torch.randn(1, 77, 2048), torch.randn(1, 1280)), unet


def flow(family: Family, context: Context, vae: dict[str, Any], **config: Any) -> tuple[LatentModel, Context, Any]:
    """A flow whose prompt is random: its text encoder is not built."""
    import diffusers

    transformer = build(getattr(diffusers, family.denoiser_class), **config)
    autoencoder = build(getattr(diffusers, family.autoencoders[0]), **vae)
    encoders: Any = dict.fromkeys(family.encoders)
    tokenizers: Any = {"tokenizer": None}
    model = build_flow(family, FlowParts(transformer, autoencoder, encoders, tokenizers, {"shift": 3.0}))
    return model, context, transformer


def prompt(tokens: int, width: int, pooled: int = 0, *, masked: bool = False) -> Context:
    """A random prompt of so many tokens."""
    return Context(
        torch.randn(1, tokens, width),
        torch.randn(1, pooled) if pooled else None,
        torch.ones(1, tokens, dtype=torch.bool) if masked else None,
    )


FULL: dict[str, Callable[[], tuple[LatentModel, Context, Any]]] = {
    "sdxl": sdxl,
    "sd3.5-medium": lambda: flow(
        SD3, prompt(77 + 256, 4096, 2048), KL16 | {"scaling_factor": 1.5305, "shift_factor": 0.0609}, num_layers=24,
        num_attention_heads=24, caption_projection_dim=1536, pos_embed_max_size=384, qk_norm="rms_norm",
        dual_attention_layers=tuple(range(13)),
    ),
    "flux2-klein-base-4b": lambda: flow(
        FLUX2, prompt(512, 7680), {}, num_layers=5, num_single_layers=20, num_attention_heads=24,
        joint_attention_dim=7680, guidance_embeds=False,
    ),
    "z-image": lambda: flow(
        Z_IMAGE, prompt(48, 2560, masked=True), KL16 | {"scaling_factor": 0.3611, "shift_factor": 0.1159},
    ),
    f"qwen-image, {QWEN_LAYERS} of 60 layers": lambda: flow(
        QWEN_IMAGE, prompt(48, 3584, masked=True), {}, num_layers=QWEN_LAYERS,
    ),
}  # fmt: skip
NEEDED_GIB = dict(zip(FULL, (9, 9, 12, 16, 13), strict=True))
"""Memory that a run needs, with some room"""


@torch.no_grad()
def one_step_both_ways(name: str) -> dict[str, Any]:
    """Seconds of a step each way and of the autoencoder, the process's peak of memory, and whether all is finite."""
    start = time.perf_counter()
    model, context, network = FULL[name]()
    built = time.perf_counter()
    z = model.encode(torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 2 - 1)
    encoded = time.perf_counter()
    predict = with_context(model.denoiser, context)
    seed = ddim.invert(predict, z, model.schedule, 1)[-1]
    inverted = time.perf_counter()
    back = ddim.sample(predict, seed, model.schedule, 1)
    sampled = time.perf_counter()
    pixels = model.decode(back)
    decoded = time.perf_counter()
    return {
        "name": name,
        "parameters_e9": round(sum(p.numel() for p in network.parameters()) / 1e9, 2),
        "latents": list(z.shape),
        "native": list(model.native_size),
        "build_seconds": round(built - start, 1),
        "autoencoder_seconds": round(encoded - built + decoded - sampled, 1),
        "inversion_step_seconds": round(inverted - encoded, 1),
        "sampling_step_seconds": round(sampled - inverted, 1),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 1),
        "finite": bool(torch.isfinite(seed).all() and torch.isfinite(pixels).all()),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=FULL)
    parser.add_argument("--json", type=Path, required=True)
    given = parser.parse_args()
    given.json.write_text(json.dumps(one_step_both_ways(given.name), indent=2) + "\n")
