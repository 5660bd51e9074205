"""A model is tried before it is trusted: does it tell noise from image, and does an image come back from its seed?"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import torch
from torch import Tensor

from s2st_aug.arrays import Latent
from s2st_aug.diffusion.ddim import invert, sample
from s2st_aug.diffusion.denoiser import eps_from_v, v_from_eps, with_context
from s2st_aug.diffusion.model import LatentModel
from s2st_aug.errors import ModelError

log = logging.getLogger(__name__)
STEPS = 8
WORST_NOISE = 0.75  # mean squared error of the predicted noise over its variance, halfway; guessing is 1
WORST_DB = 12.0  # round trip through the seed, of pixels against the autoencoder's own round trip
PROMPT = "a street by day"


@dataclass(frozen=True, slots=True)
class SelfTest:
    """Relative error of the predicted noise, PSNR of the round trip through the seed, and the seed's deviation (about 1)."""

    noise_error: float
    round_trip_db: float
    seed_std: float


@torch.no_grad()
def self_test(model: LatentModel) -> SelfTest:
    """Try the model on a drawn street at half of its native size; raises ModelError that names the likely cause."""
    clean = model.encode(_drawn_street(model))
    predict = with_context(model.denoiser, model.embed([PROMPT]))
    t = model.schedule.total // 2
    errors = _noise_errors(model, clean, t)
    path = invert(predict, clean, model.schedule, STEPS)
    back = sample(predict, path[-1], model.schedule, STEPS)
    error = (model.decode(back) - model.decode(clean)).div(2).square().mean()
    found = SelfTest(errors["as read"], float(-10 * torch.log10(error.clamp_min(1e-12))), float(path[-1].std()))
    log.info("self-test of %s: noise error %.2f, round trip %.1f dB, seed deviation %.2f", model.name, *_values(found))
    if not (found.noise_error < WORST_NOISE and found.round_trip_db > WORST_DB and 0.2 < found.seed_std < 3):
        raise ModelError(f"model {model.name} failed its self-test ({_words(found)}): {_cause(model, errors)}")
    return found


def _noise_errors(model: LatentModel, clean: Latent, t: int) -> dict[str, float]:
    """How well the noise halfway is predicted: as the model was read, and if it predicted something else."""
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0)).to(clean)
    abar = model.schedule.abar(t)
    z = abar**0.5 * clean + (1 - abar) ** 0.5 * noise
    eps = model.denoiser(z, t, model.embed([PROMPT]))
    readings = {"as read": eps, "v_prediction": eps_from_v(eps, z, abar), "epsilon": v_from_eps(eps, z, abar)}
    return {name: float((e - noise).square().mean() / noise.square().mean()) for name, e in readings.items()}


def _cause(model: LatentModel, errors: dict[str, float]) -> str:
    best = min(errors, key=lambda name: errors[name])
    if best != "as read" and errors[best] < 0.6 * errors["as read"]:
        return f"its scheduler_config.json says prediction_type {model.prediction_type}, the network seems to predict {best}"
    if errors["as read"] > WORST_NOISE:
        return "the network does not tell noise from image: weights untrained or damaged, or scheduler_config.json of another model"
    return "images do not come back from their seeds: check beta_schedule, timestep_spacing and steps_offset in its scheduler_config.json"


def _words(found: SelfTest) -> str:
    return "noise error {:.2f}, round trip {:.1f} dB, seed deviation {:.2f}".format(*_values(found))


def _values(found: SelfTest) -> tuple[float, float, float]:
    return found.noise_error, found.round_trip_db, found.seed_std


def _drawn_street(model: LatentModel) -> Tensor:
    """Sky, houses and a road, in [-1, 1]: something that any image model knows."""
    width, height = (max(model.stride, side // 2 // model.stride * model.stride) for side in model.native_size)
    y = torch.linspace(0, 1, height)[:, None].expand(height, width)
    x = torch.linspace(-1, 1, width)[None].expand(height, width)
    sky = torch.stack([0.1 + 0.4 * y, 0.4 + 0.3 * y, 0.9 - 0.1 * y])
    house = torch.stack([0.1 + 0 * y, -0.1 + 0 * y, -0.25 + 0 * y])
    road = torch.stack([-0.3 + 0.1 * y] * 3)
    picture = torch.where((x.abs() > 0.35) & (y > 0.2), house, sky)
    picture = torch.where((y > 0.55) & (x.abs() < 2.2 * (y - 0.4)), road, picture)
    return picture[None].to(model.device)
