"""Losses: gradients by finite differences, invariances, closed forms."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from s2st_aug.translation.losses import (
    LossTarget,
    appearance_loss,
    band_windows,
    missing_structure,
    normalised_gradients,
    quantile_at,
    structure_loss,
    transport_targets,
    weighted_quantiles,
)


def appearance(z: torch.Tensor, quantiles: torch.Tensor, eta: torch.Tensor) -> torch.Tensor:
    return appearance_loss(z, windows(z), transport_targets(z, windows(z), quantiles), eta)


@pytest.fixture(autouse=True)
def _double():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def latents(*shape: int, key: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(key))


def windows(z: torch.Tensor, bands: int = 3) -> torch.Tensor:
    return band_windows(z.shape[2], z.shape[3], bands).to(z).repeat(len(z), 1, 1, 1)


def a_target(z: torch.Tensor, structure: float, appearance: float, shift: float = 0.4) -> LossTarget:
    quantiles = weighted_quantiles(z + shift, windows(z), 64)
    weights = 1 + latents(len(z), 1, *z.shape[2:], key=5).abs()
    eta = latents(*quantiles.shape[:3], key=6).abs() + 0.2
    return LossTarget(
        normalised_gradients(z),
        weights,
        windows(z),
        torch.eye(z.shape[1]).repeat(len(z), 1, 1),
        quantiles,
        eta,
        structure,
        appearance,
    )


@pytest.mark.parametrize(("structure", "appearance"), [(1.0, 0.0), (0.0, 1.0), (2.0, 0.5)])
def test_gradients_agree_with_finite_differences(structure, appearance):
    z = latents(2, 3, 8, 10)
    target = a_target(z, structure, appearance)
    x = (z + 0.3 * latents(2, 3, 8, 10, key=1)).requires_grad_()
    (gradient,) = torch.autograd.grad(target.losses(x).sum(), x)
    direction, step = latents(2, 3, 8, 10, key=2), 1e-7
    with torch.no_grad():
        change = (target.losses(x + step * direction) - target.losses(x - step * direction)).sum() / (2 * step)
    assert (gradient * direction).sum() == pytest.approx(change.item(), rel=1e-4)


def test_structure_ignores_darkening_of_strong_edges_and_sees_a_shift():
    z = 5 * latents(1, 2, 24, 24)
    ones = torch.ones(1, 1, 24, 24)
    same = structure_loss(normalised_gradients(0.5 * z + 3), normalised_gradients(z), ones).item()
    shifted = structure_loss(normalised_gradients(z.roll(2, 3)), normalised_gradients(z), ones).item()
    assert same < 0.01 < 0.2 < shifted


def test_structure_weights_say_where_it_counts():
    z, other = latents(1, 2, 16, 16), latents(1, 2, 16, 16)
    other[..., 8:] = latents(1, 2, 16, 8, key=3)
    left = torch.zeros(1, 1, 16, 16)
    left[..., :5] = 1
    a, b = normalised_gradients(z), normalised_gradients(other)
    assert structure_loss(a, b, left).item() < 1e-9 < structure_loss(a, b, 1 - left).item()


def test_new_structure_is_free_where_only_missing_structure_costs():
    source = torch.zeros(1, 1, 16, 16)
    source[..., :8, :] = latents(1, 1, 8, 16)  # an upper half with edges over a flat lower one
    lit = source.clone()
    lit[..., 12:14, 6:9] = 4.0  # a headlight
    flat = source.clone()
    flat[..., :4, :] = 0.0
    ones = torch.ones(1, 1, 16, 16)

    def cost(z: torch.Tensor, loss=missing_structure) -> float:
        return loss(normalised_gradients(z), normalised_gradients(source), ones).item()

    assert cost(source) < 1e-5 and cost(-source) < 1e-5  # blind to sign
    assert cost(lit) < 1e-5 < 0.005 < cost(lit, structure_loss)
    assert cost(flat) > 0.05


def test_one_sided_targets_count_missing_structure_alone():
    z, other = latents(1, 2, 12, 12), latents(1, 2, 12, 12, key=1)
    both = a_target(z, 1.0, 0.0)
    one = replace(both, one_sided=True)
    a, b = normalised_gradients(other), normalised_gradients(z)
    assert one.losses(other).item() == pytest.approx(missing_structure(a, b, both.structure_map).item())
    assert both.losses(other).item() == pytest.approx(structure_loss(a, b, both.structure_map).item())


@pytest.mark.parametrize("loss", [structure_loss, missing_structure])
def test_structure_that_counts_nowhere_costs_nothing(loss):
    a, b = normalised_gradients(latents(1, 2, 8, 8)), normalised_gradients(latents(1, 2, 8, 8, key=1))
    assert loss(a, b, torch.zeros(1, 1, 8, 8)).item() == 0.0


@pytest.mark.parametrize("shift", [-2.0, 0.5, 7.0])
def test_appearance_of_a_shift_is_the_shift(shift):
    z = latents(2, 3, 16, 16)
    quantiles = weighted_quantiles(z, windows(z), 256)
    eta = torch.ones(quantiles.shape[:3])
    assert appearance(z + shift, quantiles, eta).tolist() == pytest.approx([abs(shift)] * 2, rel=0.01)


def test_appearance_knows_bands_but_no_place_within_a_band():
    z = latents(1, 1, 12, 10)
    quantiles = weighted_quantiles(z, windows(z), 512)
    whole, bands = torch.zeros(1, 4, 1), torch.zeros(1, 4, 1)
    whole[:, 0], bands[:, 1:] = 1, 1
    upside_down, sideways = z.flip(2) + torch.linspace(0, 1, 12)[:, None], z.flip(3)
    tilted = weighted_quantiles(z + torch.linspace(1, 0, 12)[:, None], windows(z), 512)
    assert appearance(sideways, quantiles, bands).item() < 0.01
    assert appearance(upside_down, tilted, whole).item() < 0.02
    assert appearance(upside_down, tilted, bands).item() > 0.1


def test_one_sample_does_not_move_another():
    z = latents(3, 2, 8, 8)
    target = a_target(z, 1.0, 1.0)
    x = (z + 0.2).requires_grad_()
    (together,) = torch.autograd.grad(target.losses(x).sum(), x)
    one = torch.tensor([1])
    alone_x = x.detach()[one].requires_grad_()
    (alone,) = torch.autograd.grad(target.rows(one).losses(alone_x).sum(), alone_x)
    assert torch.equal(alone, together[one])


def test_quantiles_of_an_even_ramp_are_the_ramp():
    z = torch.arange(1000.0).reshape(1, 1, 20, 50)
    found = weighted_quantiles(z, torch.ones(1, 1, 20, 50), 5)[0, 0, 0]
    assert found.tolist() == pytest.approx([0, 249.75, 499.5, 749.25, 999], abs=0.6)


def test_quantiles_read_between_their_points():
    assert quantile_at(torch.tensor([0.0, 1.0, 4.0]), torch.tensor([0.0, 0.25, 0.75, 1.0])).tolist() == [
        0.0,
        0.5,
        2.5,
        4.0,
    ]


def test_bands_overlap_and_sum_to_one():
    found = band_windows(30, 4, 3)
    assert torch.allclose(found[1:].sum(0), torch.ones(30, 4))
    assert found[1, 0, 0] == 1
    assert found[3, -1, 0] == 1


def test_the_outer_tail_of_the_target_is_not_asked_for():
    """Without a tail the brightest cell goes to the target's lamps; with one, to the quantile where the tail begins."""
    z = torch.arange(100.0).view(1, 1, 10, 10)
    windows, quantiles = torch.ones(1, 1, 10, 10), torch.linspace(0, 1, 101).view(1, 1, 1, 101)
    plain, held = (transport_targets(z, windows, quantiles, tail).flatten() for tail in (0.0, 0.1))
    assert plain[-1] == pytest.approx(0.995) and plain[0] == pytest.approx(0.005)
    assert held[-1] == pytest.approx(0.9) and held[0] == pytest.approx(0.1)
    assert torch.allclose(held[20:80], plain[20:80])


def test_gradients_make_no_tensor_from_python_data_in_a_loop():
    """On CUDA each would be a copy that waits for the device."""

    class Seen(TorchDispatchMode):
        names: ClassVar[list[str]] = []

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.names.append(func.name())
            return func(*args, **(kwargs or {}))

    z = torch.zeros(1, 4, 6, 8)
    normalised_gradients(z)
    with Seen() as seen:
        normalised_gradients(z)
    assert "aten::convolution" in seen.names
    assert not {"aten::lift_fresh", "aten::_to_copy", "aten::repeat"} & set(seen.names)
