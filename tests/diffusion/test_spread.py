"""A network over several devices: no block is cut, and results and gradients are those of one device."""

from __future__ import annotations

import pytest
import torch
from accelerate.utils import compute_module_sizes

from s2st_aug.diffusion import networks
from s2st_aug.diffusion.spread import device_map, spread
from s2st_aug.errors import ModelError


def unet():
    torch.manual_seed(0)
    return networks.build_unet(channels=(8, 16), context_dim=16, sample_size=(12, 16)).eval().requires_grad_(False)


def test_the_map_fills_one_device_after_the_other_and_keeps_blocks_whole():
    network = unet()
    size = compute_module_sizes(network)[""]
    placed = device_map(network, {0: int(size * 0.7), 1: size})
    assert set(placed.values()) == {0, 1}
    names = [name for name, module in network.named_modules() if type(module).__name__ in network._no_split_modules]
    assert names
    assert not [name for name in names for key in placed if key.startswith(f"{name}.")]


def test_a_network_that_does_not_fit_together_is_refused():
    network = unet()
    size = compute_module_sizes(network)[""]
    with pytest.raises(ModelError, match="cannot be spread over"):
        device_map(network, {0: size // 4, 1: size // 4})


def test_results_and_gradients_are_those_of_one_device():
    """No GPU here: accelerate's hooks run with every block on the CPU by its own entry of the map."""
    whole, parts = unet(), unet()
    size = compute_module_sizes(parts)[""]
    placed = spread(parts, {"cpu": size * 2})
    assert set(placed.values()) == {"cpu"}
    assert hasattr(parts, "_hf_hook")
    grads = []
    for network in (whole, parts):
        latents = torch.linspace(-1, 1, 4 * 12 * 16).reshape(1, 4, 12, 16).requires_grad_()
        out = network(latents, torch.tensor([5]), encoder_hidden_states=torch.ones(1, 12, 16)).sample
        (grad,) = torch.autograd.grad(out.square().sum(), latents)
        grads.append((out.detach(), grad))
    assert torch.equal(grads[0][0], grads[1][0])
    assert torch.equal(grads[0][1], grads[1][1])
