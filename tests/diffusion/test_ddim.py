"""DDIM against closed forms and against diffusers."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch

from s2st_aug.diffusion import ddim
from s2st_aug.diffusion.denoiser import (
    Context,
    CountedDenoiser,
    from_v_prediction,
    guided,
    v_from_eps,
    with_context,
)
from s2st_aug.diffusion.networks import SCHEDULER_CONFIG
from s2st_aug.diffusion.schedule import NoiseSchedule
from s2st_aug.errors import ModelError
from s2st_aug.testing.models import unit_gaussian_denoiser

SCHEDULE = NoiseSchedule.stable_diffusion()
EPSILON_CONFIG = SCHEDULER_CONFIG | {
    "prediction_type": "epsilon"
}  # diffusers converts v at the wrong level: parity is for epsilon
NO_CONTEXT = Context(torch.zeros(1, 1, 1))


def gaussian(rows: int = 1) -> torch.Tensor:
    return torch.randn(rows, 4, 6, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def exact(schedule: NoiseSchedule = SCHEDULE):
    return with_context(unit_gaussian_denoiser(schedule), NO_CONTEXT)


def test_each_move_rotates_by_the_angle_between_the_levels():
    """With eps of the level where the latents are, the 50-step round trip of unit-Gaussian data is 0.946539."""
    levels = np.linspace(0, 999, 51).astype(int).tolist()
    predict, z = exact(), torch.ones(1, 4, 2, 2, dtype=torch.float64)
    for below, above in itertools.pairwise(levels):
        z = ddim.ddim_move(z, predict(z, below), SCHEDULE.abar(below), SCHEDULE.abar(above))
    for above, below in zip(levels[:0:-1], levels[-2::-1], strict=True):
        z = ddim.ddim_move(z, predict(z, above), SCHEDULE.abar(above), SCHEDULE.abar(below))
    angles = np.arccos([SCHEDULE.abar(t) ** 0.5 for t in levels])
    assert z.mean().item() == pytest.approx(np.prod(np.cos(np.diff(angles)) ** 2), abs=1e-12)
    assert z.mean().item() == pytest.approx(0.946539, abs=1e-6)


def test_round_trip_with_the_noisier_time_shown_is_nearly_exact():
    z = gaussian()
    seed = ddim.invert(exact(), z, SCHEDULE, 50)[-1]
    back = ddim.sample(exact(), seed, SCHEDULE, 50)
    assert (back / z).mean().item() == pytest.approx(0.9992, abs=1e-4)


def test_v_and_eps_forms_of_one_denoiser_agree():
    """A network that gives v, read through its own abar, moves the latents as the eps network does."""
    eps = unit_gaussian_denoiser(SCHEDULE)
    as_v = from_v_prediction(lambda z, t, c: v_from_eps(eps(z, t, c), z, SCHEDULE.abar(t)), SCHEDULE)
    z = gaussian()
    for one, other in zip(
        ddim.invert(exact(), z, SCHEDULE, 20), ddim.invert(with_context(as_v, NO_CONTEXT), z, SCHEDULE, 20), strict=True
    ):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=0)


def wobbly(z: torch.Tensor, t: int) -> torch.Tensor:
    """A smooth non-linear stand-in for a network, about as exact as one."""
    return (1 - SCHEDULE.abar(t)) ** 0.5 * z + 0.1 * torch.tanh(z.roll(1, -1) + t / 1000)


@pytest.mark.parametrize("steps", [5, 20, 50])
@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
def test_sampling_matches_diffusers(steps, spacing):
    from diffusers import DDIMScheduler

    theirs = DDIMScheduler(**EPSILON_CONFIG | {"timestep_spacing": spacing})
    theirs.set_timesteps(steps)
    schedule = dataclasses.replace(SCHEDULE, spacing=spacing)
    assert schedule.timesteps(steps) == theirs.timesteps.tolist()
    if spacing != "leading":
        return  # diffusers goes down by 1000 // n whatever the spacing: only the times can be compared
    z = seed = gaussian()
    for t in theirs.timesteps:
        z = theirs.step(wobbly(z, int(t)), t, z).prev_sample
    torch.testing.assert_close(ddim.sample(wobbly, seed, schedule, steps), z, atol=1e-5, rtol=0)


@pytest.mark.parametrize("steps", [5, 20, 50])
def test_inversion_matches_diffusers(steps):
    from diffusers import DDIMInverseScheduler

    theirs = DDIMInverseScheduler(**EPSILON_CONFIG)
    theirs.set_timesteps(steps)
    z = clean = gaussian()
    for t in theirs.timesteps:
        z = theirs.step(wobbly(z, int(t)), t, z).prev_sample
    torch.testing.assert_close(ddim.invert(wobbly, clean, SCHEDULE, steps)[-1], z, atol=1e-5, rtol=0)


def test_refinement_makes_a_rough_inversion_reversible():
    z = gaussian()
    plain, refined = (
        (ddim.sample(wobbly, ddim.invert(wobbly, z, SCHEDULE, 10, refine=n)[-1], SCHEDULE, 10) - z).abs().max().item()
        for n in (0, 8)
    )
    assert refined < 0.02 * plain


def test_second_order_is_nearer_to_the_true_flow():
    """The unit-Gaussian flow keeps every latent where it is.

    Twenty steps of second order stay nearer to that than twenty of DDIM.
    """
    z = gaussian()
    errors = {
        solver: (ddim.invert(exact(), z, SCHEDULE, 20, solver=solver)[-1] / z - 1).abs().max().item()
        for solver in ("ddim", "dpm2m")
    }
    seed = ddim.invert(exact(), z, SCHEDULE, 200)[-1]
    back = {
        solver: (ddim.sample(exact(), seed, SCHEDULE, 20, solver=solver) / z - 1).abs().max().item()
        for solver in ("ddim", "dpm2m")
    }
    assert errors["dpm2m"] < errors["ddim"]
    assert back["dpm2m"] < back["ddim"]


def test_guidance_is_linear_and_counted():
    counted = CountedDenoiser(lambda z, t, c: z * c.tokens.mean((1, 2))[:, None, None, None])
    z, empty, context = torch.ones(2, 4, 2, 2), Context(torch.ones(1, 1, 1)), Context(torch.full((2, 1, 1), 2.0))
    assert guided(counted, empty, 3.0)(z, 5, context).mean().item() == pytest.approx(1 + 3 * (2 - 1))
    assert (counted.calls, counted.evaluations) == (1, 4)
    assert guided(counted, empty, 1.0) is counted


def test_schedule_reads_the_scheduler_config():
    from diffusers import DDIMScheduler

    for beta_schedule in ("linear", "scaled_linear", "squaredcos_cap_v2"):
        config = SCHEDULER_CONFIG | {"beta_schedule": beta_schedule, "set_alpha_to_one": True}
        ours, theirs = NoiseSchedule.from_config(config), DDIMScheduler(**config)
        np.testing.assert_allclose(ours.alphas_cumprod, theirs.alphas_cumprod.numpy(), rtol=2e-5, atol=1e-7)
        assert ours.final_alpha == 1.0
    zero_snr = SCHEDULER_CONFIG | {"rescale_betas_zero_snr": True}
    theirs = DDIMScheduler(**zero_snr).alphas_cumprod.numpy()
    np.testing.assert_allclose(NoiseSchedule.from_config(zero_snr).alphas_cumprod, theirs, rtol=1e-3, atol=1e-6)
    assert math.sqrt(SCHEDULE.alphas_cumprod[-1]) == pytest.approx(0.068, abs=1e-3)


@pytest.mark.parametrize(
    ("key", "value", "hint"),
    [("beta_schedule", "scaled_linea", "scaled_linear"), ("timestep_spacing", "lead", "leading")],
)
def test_unknown_schedule_is_one_clear_line(key, value, hint):
    with pytest.raises(ModelError, match=hint):
        NoiseSchedule.from_config(SCHEDULER_CONFIG | {key: value})


def test_a_last_step_without_signal_still_gives_the_clean_latent_of_a_v_network():
    schedule = NoiseSchedule.from_config(
        SCHEDULER_CONFIG | {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    )
    x0, t = gaussian().float(), schedule.timesteps(10)[0]
    network = from_v_prediction(lambda z, _t, _c: -x0, schedule)  # at abar 0, v is -x0 whatever the noise
    noise = torch.randn(x0.shape, generator=torch.Generator().manual_seed(1))
    assert t == 999
    torch.testing.assert_close(
        ddim.predicted_x0(noise, network(noise, t, NO_CONTEXT), schedule.abar(t)), x0, atol=5e-3, rtol=0
    )


@pytest.mark.parametrize(
    ("spacing", "steps", "offset"), [("leading", 10, 0), ("linspace", 16, 0), ("leading", 1000, 1)]
)
def test_second_order_passes_two_levels_of_one_noise(spacing, steps, offset):
    """The clean level and step 0 share abar_0 where set_alpha_to_one is false.

    An offset ends a thousand steps in the last one twice.
    """
    schedule = dataclasses.replace(SCHEDULE, spacing=spacing, steps_offset=offset)
    z = gaussian()
    back = ddim.sample(
        exact(), ddim.invert(exact(), z, schedule, steps, solver="dpm2m")[-1], schedule, steps, solver="dpm2m"
    )
    assert (back - z).square().mean().sqrt() < 0.1


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
def test_every_count_of_steps_gives_so_many(spacing):
    from diffusers import DDIMScheduler

    schedule, theirs = (
        dataclasses.replace(SCHEDULE, spacing=spacing),
        DDIMScheduler(**EPSILON_CONFIG | {"timestep_spacing": spacing}),
    )
    for n in range(1, 1001):
        ours = schedule.timesteps(n)
        assert (len(ours), len(schedule.levels(n)), min(ours) >= 0) == (n, n + 1, True)
        theirs.set_timesteps(n)
        if (
            len(theirs.timesteps) == n and max(theirs.timesteps) < 1000
        ):  # its arange is one longer for some, its offset leaves the schedule
            assert ours == theirs.timesteps.tolist()


@pytest.mark.parametrize("steps", [0, 1001])
def test_impossible_number_of_steps(steps):
    with pytest.raises(ModelError, match="expected 1 to 1000"):
        SCHEDULE.timesteps(steps)
