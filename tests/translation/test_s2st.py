"""Inversion, seed translation, trajectory optimisation and sampling: closed forms on the analytic denoiser."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from s2st_aug.diffusion import ddim
from s2st_aug.diffusion.denoiser import Context, CountedDenoiser, with_context
from s2st_aug.diffusion.schedule import NoiseSchedule
from s2st_aug.testing.models import unit_gaussian_denoiser
from s2st_aug.translation.adam import AdamSettings, AdamState, adam_minimise, adam_step
from s2st_aug.translation.cost import estimate
from s2st_aug.translation.losses import LossTarget, band_windows, normalised_gradients, weighted_quantiles
from s2st_aug.translation.s2st import (
    Prompts,
    optimise_clean_latent,
    optimise_empty_prompt,
    sample,
    source_offsets,
    translate_seed,
)
from s2st_aug.translation.settings import PRESETS, MethodSettings, method_settings

SCHEDULE = NoiseSchedule.stable_diffusion()
CONTEXT = Context(torch.zeros(2, 3, 4))
PROMPTS = Prompts(CONTEXT, CONTEXT, CONTEXT)


def latents(key: int = 0, rows: int = 2) -> torch.Tensor:
    return torch.randn(rows, 4, 12, 16, generator=torch.Generator().manual_seed(key), dtype=torch.float64)


def a_target(z: torch.Tensor, shift: float = 0.0, structure: float = 1.0, appearance: float = 1.0) -> LossTarget:
    windows = band_windows(*z.shape[2:], 3).to(z).repeat(len(z), 1, 1, 1)
    quantiles = weighted_quantiles(z + shift, windows, 128)
    ones = torch.ones(len(z), 1, *z.shape[2:], dtype=z.dtype)
    return LossTarget(
        normalised_gradients(z),
        ones,
        windows,
        torch.eye(4).to(z).repeat(len(z), 1, 1),
        quantiles,
        torch.ones(quantiles.shape[:3], dtype=z.dtype),
        structure,
        appearance,
    )


def cosines(steps: int) -> float:
    """The factor of one way along the path for unit-Gaussian data: each move multiplies by cos(theta - theta')."""
    angles = [math.acos(SCHEDULE.abar(t) ** 0.5) for t in SCHEDULE.levels(steps)]
    return math.prod(math.cos(b - a) for a, b in itertools.pairwise(angles))


@pytest.mark.parametrize("steps", [5, 20, 50])
def test_sampling_of_unit_gaussian_data_has_its_closed_form(steps):
    settings = MethodSettings(steps=steps, guidance=1, to_method="none")
    seed = latents()
    done = sample(unit_gaussian_denoiser(SCHEDULE), SCHEDULE, seed, PROMPTS, a_target(seed), settings)
    assert torch.allclose(done.latent, cosines(steps) * seed, rtol=1e-9)


def test_refinement_makes_inversion_the_exact_inverse_of_sampling():
    z = latents()
    settings = MethodSettings(steps=10, guidance=1, to_method="none")
    errors = []
    for refinements in (0, 1, 4):
        path = ddim.invert(with_context(unit_gaussian_denoiser(SCHEDULE), CONTEXT), z, SCHEDULE, 10, refine=refinements)
        back = sample(unit_gaussian_denoiser(SCHEDULE), SCHEDULE, path[-1], PROMPTS, a_target(z), settings).latent
        errors.append((back - z).abs().max().item())
    assert errors[0] > 4 * errors[1] > 100 * errors[2]


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
def test_adam_moves_by_its_rate_whatever_the_scale_of_the_loss(scale):
    x = torch.tensor([3.0, -2.0], dtype=torch.float64)
    moved, _ = adam_step(x, scale * torch.tensor([5.0, -0.1], dtype=torch.float64), AdamState.zeros_like(x), 0.25)
    assert moved.tolist() == pytest.approx([2.75, -1.75], abs=1e-4)


def test_adam_is_torch_adam():
    theirs = latents().requires_grad_()
    optimiser = torch.optim.Adam([theirs], lr=0.1, eps=1e-12)
    ours, state = theirs.detach().clone(), AdamState.zeros_like(theirs.detach())
    for _ in range(5):
        optimiser.zero_grad()
        (theirs**4).sum().backward()
        optimiser.step()
        ours, state = adam_step(ours, 4 * ours**3, state, 0.1)
    assert torch.allclose(ours, theirs, rtol=1e-10)


@pytest.mark.parametrize("last_step", [False, True])
@pytest.mark.parametrize("network", [False, True])
def test_only_null_text_takes_a_step_after_its_loss_is_met(network, last_step):
    start, seen = latents(), []

    def losses(x, rows):
        seen.append(rows.tolist())
        return (x - start[rows]).square().sum((1, 2, 3)) + torch.tensor([0.0, 1.0], dtype=x.dtype)[rows] * x.sum(
            (1, 2, 3)
        ) ** 2

    found, used = adam_minimise(start, losses, AdamSettings(3, 0.01, 1e-6), network=network, last_step=last_step)
    assert torch.equal(found[0], start[0])  # its gradient is zero: Adam has nowhere to go
    assert not torch.equal(found[1], start[1])
    assert used.tolist() == ([1, 3] if network else [0, 3])
    assert seen == ([[0, 1], [1], [1]] if network else 3 * [[0, 1]])
    met, _ = adam_minimise(start, losses, AdamSettings(1, 0.01, 1e9), network=network, last_step=last_step)
    assert torch.equal(met[1], start[1]) is not last_step


def test_seed_translation_moves_the_mean_and_keeps_the_structure():
    seed = latents()
    target = a_target(seed, shift=0.3, structure=1.0, appearance=4.0)
    moved, used = translate_seed(seed, target, AdamSettings(30, 0.02))
    assert (moved - seed).mean().item() == pytest.approx(0.3, abs=0.05)
    assert used.tolist() == [30, 30]
    assert target.losses(moved).sum() < 0.2 * target.losses(seed).sum()


def test_a_sample_whose_loss_is_met_stays():
    seed = latents()
    target = a_target(seed)
    start = seed + torch.tensor([0.0, 0.5], dtype=torch.float64)[:, None, None, None]
    moved, used = translate_seed(start, target, AdamSettings(5, 0.02, tolerance=0.01))
    assert torch.equal(moved[0], start[0])
    assert not torch.equal(moved[1], start[1])
    assert used.tolist() == [0, 5]


def test_looking_at_the_clean_latent_passes_through_the_network():
    network = CountedDenoiser(unit_gaussian_denoiser(SCHEDULE))
    seed = latents()
    moved, _ = translate_seed(
        seed, a_target(seed, 0.3), AdamSettings(3, 0.02), predict_x0=lambda z, rows: network(z, 981, CONTEXT[rows])
    )
    assert network.evaluations == 6
    assert not torch.equal(moved, seed)


def test_optimising_the_clean_latent_brings_the_structure_back():
    source = latents()
    target = a_target(source, structure=1.0, appearance=0.0)
    lost = source + 0.5 * latents(key=4)
    found, _ = optimise_clean_latent(lost, target, AdamSettings(20, 0.05))
    assert (target.losses(found) < 0.6 * target.losses(lost)).all()


def prompted(z, t, context):
    """A denoiser with a gradient to its context."""
    return unit_gaussian_denoiser(SCHEDULE)(z, t, context) + context.tokens.mean((1, 2))[:, None, None, None]


def test_null_text_lowers_the_loss_and_stops_each_sample_on_its_own():
    z = latents()
    network = CountedDenoiser(prompted)
    empty = Context(torch.zeros(2, 3, 4, dtype=torch.float64))
    prompt = Context(empty.tokens + 1)
    target = a_target(0.8 * z, shift=0.2)
    found, used = optimise_empty_prompt(
        network, z, 501, SCHEDULE.abar(501), prompt, empty, 2.0, target, AdamSettings(10, 0.01)
    )
    assert used.tolist() == [10, 10]
    assert network.evaluations == 2 * 11
    assert not torch.equal(found.tokens, empty.tokens)
    _, used = optimise_empty_prompt(
        network, z, 501, SCHEDULE.abar(501), prompt, empty, 2.0, target, AdamSettings(10, 0.01, 1e9)
    )
    assert used.tolist() == [1, 1]


def test_a_seed_whose_look_meets_the_tolerance_is_not_looked_at_again():
    network = CountedDenoiser(unit_gaussian_denoiser(SCHEDULE))
    start = latents() + torch.tensor([0.0, 0.5], dtype=torch.float64)[:, None, None, None]
    target = a_target(latents())
    moved, used = translate_seed(
        start, target, AdamSettings(5, 0.02, 0.01), predict_x0=lambda z, rows: z + 0 * network(z, 981, CONTEXT[rows])
    )
    assert used.tolist() == [1, 5]
    assert network.evaluations == 6
    assert torch.equal(moved[0], start[0])
    assert torch.equal(moved[1], translate_seed(start, target, AdamSettings(5, 0.02))[0][1])


@pytest.mark.parametrize("solver", ["ddim", "dpm2m"])
def test_direct_inversion_makes_the_round_trip_exact(solver):
    z = latents()
    network = unit_gaussian_denoiser(SCHEDULE)
    path = ddim.invert(with_context(network, CONTEXT), z, SCHEDULE, 6, solver=solver)
    settings = MethodSettings(steps=6, guidance=1, to_method="direct", solver=solver)
    offsets = source_offsets(network, SCHEDULE, path, CONTEXT, solver=solver)
    plain = sample(network, SCHEDULE, path[-1], PROMPTS, a_target(z), settings).latent
    exact = sample(network, SCHEDULE, path[-1], PROMPTS, a_target(z), settings, offsets).latent
    assert (plain - z).abs().max() > 0.01
    assert torch.allclose(exact, z, atol=1e-10)


def test_the_second_order_is_nearer_to_the_exact_path():
    """The exact flow of unit-Gaussian data leaves it where it is."""
    seed, error = latents(), {}
    for solver in ("ddim", "dpm2m"):
        settings = MethodSettings(steps=50, guidance=1, to_method="none", solver=solver)
        done = sample(unit_gaussian_denoiser(SCHEDULE), SCHEDULE, seed, PROMPTS, a_target(seed), settings).latent
        error[solver] = (done / seed - 1).abs().max().item()
    assert error["dpm2m"] < 0.5 * error["ddim"], error


@pytest.mark.parametrize("method", ["latents", "null_text", "direct", "none"])
@pytest.mark.parametrize("until", [1.0, 0.5])
def test_the_estimate_counts_what_is_used(method, until):
    settings = MethodSettings(steps=4, guidance=2, to_method=method, to_iterations=3, guidance_until=until)
    network = CountedDenoiser(prompted)
    z, context = latents(rows=1), Context(torch.zeros(1, 3, 4, dtype=torch.float64))
    path = ddim.invert(with_context(network, context), z, SCHEDULE, 4)
    offsets = source_offsets(network, SCHEDULE, path, context) if method == "direct" else None
    done = sample(network, SCHEDULE, path[-1], Prompts(context, context, context), a_target(z), settings, offsets)
    cost = estimate(settings, domains=1)
    assert cost.forward == network.evaluations
    assert cost.backward == done.backward.item()


def test_guidance_ends_where_it_is_told():
    settings = MethodSettings(steps=10, guidance=3, guidance_from=0.2, guidance_until=0.5)
    assert [settings.guidance_at(k) for k in range(10)] == [1, 1, 3, 3, 3, 1, 1, 1, 1, 1]


@pytest.mark.parametrize(("preset", "until"), [("draft", 0.5), ("paper", 1.0), ("reference", 1.0)])
def test_presets_that_figures_stand_on_do_not_follow_the_defaults(preset, until):
    own = PRESETS[preset]
    assert (own.guidance_until, own.st_structure, own.to_structure, own.detail) == (until, 0.3, 0.3, 0.6)


def test_standard_costs_a_fifth_less_than_the_whole_path_guided():
    whole = estimate(method_settings("standard", {"guidance_until": 1.0}), 2)
    assert (estimate(PRESETS["standard"], 2).evaluations, whole.evaluations) == (32, 40)


def test_unknown_settings_and_wrong_values_are_told_at_once():
    from s2st_aug.errors import ConfigError

    with pytest.raises(ConfigError) as error:
        method_settings("standard", {"guidence": 3, "steps": 1, "dtype": "int8"})
    text = str(error.value)
    assert "did you mean 'guidance'" in text
    assert "method.steps" in text
    assert "method.dtype" in text
    assert "\n" not in text
    with pytest.raises(ConfigError, match="did you mean 'draft'"):
        method_settings("drafts")
