"""Weights kept in half precision: the bits of autocast over float32 weights, and float32 when it is asked for."""

from __future__ import annotations

import numpy as np
import torch

from s2st_aug.diffusion.stable_diffusion import load_model
from s2st_aug.methods import MethodConfig, find_method
from s2st_aug.translation.settings import PRESETS


def evaluate(model, dtype):
    """A forward pass and the latents' gradient."""
    torch.manual_seed(0)
    z = torch.randn(2, model.latent_channels, 12, 16, requires_grad=True)
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        out = model.denoiser(z, 500, model.embed(["a street at night", ""]))
    out.float().square().sum().backward()
    return out.detach(), z.grad


def test_results_are_those_of_autocast_bit_for_bit_and_float32_comes_back():
    dtype = torch.bfloat16
    model = load_model("street-mini")
    wanted, whole = evaluate(model, dtype), evaluate(model, torch.float32)
    half = model.halving(dtype)
    network = model.halving.args[0]
    sizes = {p.dtype for m in network.modules() if isinstance(m, torch.nn.Conv2d) for p in m.parameters()}
    assert sizes == {dtype}
    assert all(torch.equal(a, b) for a, b in zip(evaluate(model, dtype), wanted, strict=True))
    with half.full():
        assert all(torch.equal(a, b) for a, b in zip(evaluate(model, torch.float32), whole, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(evaluate(model, dtype), wanted, strict=True))


def test_a_worker_of_half_precision_keeps_half_the_bytes_and_falls_back_to_float32(monkeypatch):
    settings = PRESETS["draft"].model_copy(
        update={"dtype": "bfloat16", "steps": 2, "st_iterations": 1, "to_iterations": 1}
    )
    made = find_method("s2st").load(MethodConfig("s2st", settings, "street-mini", ("night",)), "cpu")
    seen = []
    diffuse = made._diffuse

    def watched(group, domains, dtype):
        network = made.model.halving.args[0]
        seen.append((dtype, network.conv_in.weight.dtype))
        done = diffuse(group, domains, dtype)
        return done if dtype == torch.float32 else type(done)(
            done.reconstructions, done.variants, ["is not finite"], done.costs
        )  # fmt: skip

    monkeypatch.setattr(made, "_diffuse", watched)
    made.translate([np.full((48, 64, 3), 90, np.uint8)], ["night"])
    assert seen == [(torch.bfloat16, torch.bfloat16), (torch.float32, torch.float32)]
