"""Stable Diffusion's own shapes at full size, with random weights in bfloat16, through the door of real ones."""

from __future__ import annotations

import json
import logging
import resource
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from benchmarks.backbones import NEEDED_GIB
from s2st_aug.diffusion.networks import SCHEDULER_CONFIG
from s2st_aug.diffusion.stable_diffusion import load_model
from s2st_aug.training import package
from s2st_aug.training.tokenizer import learn_vocabulary

pytestmark = pytest.mark.slow
GIB = 2**30
log = logging.getLogger(__name__)
ROOT = Path(__file__).parents[2]
SHAPES = {
    "sd-1.5": ({"cross_attention_dim": 768, "attention_head_dim": 8, "sample_size": 64}, "epsilon", (512, 512)),
    "sd-2.1-base": (
        {
            "cross_attention_dim": 1024,
            "attention_head_dim": (5, 10, 20, 20),
            "use_linear_projection": True,
            "sample_size": 64,
        },
        "epsilon",
        (512, 512),
    ),
    "sd-2.1": (
        {
            "cross_attention_dim": 1024,
            "attention_head_dim": (5, 10, 20, 20),
            "use_linear_projection": True,
            "sample_size": 96,
        },
        "v_prediction",
        (768, 768),
    ),
}


def random_network(kind, *args, **kwargs):
    """Built without memory, then filled: a default initialisation of 866 M parameters would take minutes."""
    with torch.device("meta"):
        network = kind(*args, **kwargs).to(torch.bfloat16)
    network.to_empty(device="cpu")
    for parameter in network.parameters():
        torch.nn.init.uniform_(parameter.data, -0.02, 0.02)
    return network


def write_folder(folder: Path, unet: dict, prediction: str) -> Path:
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    random_network(UNet2DConditionModel, **unet).save_pretrained(folder / "unet")
    shape = {
        "block_out_channels": (128, 256, 512, 512),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
    }
    random_network(AutoencoderKL, **shape, layers_per_block=2, scaling_factor=0.18215).save_pretrained(folder / "vae")
    vocabulary, merges = learn_vocabulary(["a street"], size=600)
    width = unet["cross_attention_dim"]
    config = CLIPTextConfig(
        vocab_size=len(vocabulary),
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=2,
        num_attention_heads=width // 64,
    )
    random_network(CLIPTextModel, config).save_pretrained(folder / "text_encoder")
    package.write_tokenizer(folder / "tokenizer", vocabulary, merges, max_tokens=77)
    package._write_json(
        folder / "scheduler" / "scheduler_config.json", SCHEDULER_CONFIG | {"prediction_type": prediction}
    )
    return folder


@pytest.mark.parametrize("name", SHAPES)
def test_full_size_shapes_load_and_run(tmp_path, name, record_property):
    unet, prediction, native = SHAPES[name]
    model = load_model(write_folder(tmp_path, unet, prediction), dtype=torch.bfloat16, self_test=False)
    assert (model.native_size, model.stride, model.latent_factor, model.prediction_type) == (native, 64, 8, prediction)
    side = native[0] // 8
    latents = torch.randn(1, 4, side, side, generator=torch.Generator().manual_seed(0))
    start = time.perf_counter()
    with torch.no_grad():
        eps = model.denoiser(latents, 500, model.embed(["a street"]))
    seconds = time.perf_counter() - start
    assert eps.shape == latents.shape
    assert torch.isfinite(eps).all()
    assert model.encode(torch.zeros(1, 3, 64, 64)).shape == (1, 4, 8, 8)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    record_property("seconds_per_evaluation", round(seconds, 2))
    record_property("peak_gib", round(peak, 2))
    log.warning("%s: %.1f s an evaluation at %dx%d latents, peak %.1f GiB", name, seconds, side, side, peak)


@pytest.mark.parametrize("name", NEEDED_GIB)
def test_every_backbone_goes_one_step_both_ways_at_full_width(tmp_path, name, record_property):
    """In a process of its own, whose memory is given back; docs/backbones.md keeps the figures."""
    if psutil.virtual_memory().available < NEEDED_GIB[name] * GIB:
        pytest.skip(f"needs {NEEDED_GIB[name]} GiB of free memory")
    file = tmp_path / "found.json"
    subprocess.run([sys.executable, "-m", "benchmarks.backbones", name, "--json", str(file)], check=True, cwd=ROOT)
    found = json.loads(file.read_text())
    assert found["finite"] and found["peak_gib"] < NEEDED_GIB[name]
    for key, value in found.items():
        record_property(key, value)
