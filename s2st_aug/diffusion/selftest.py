"""The start-up self-test: refuses a model whose prediction type or schedule is misread, and names the likely cause.

Three measurements on a drawn street: the latents' spread; how much of a known noise the network finds, under what the
config says and under every other reading; and what is lost in a DDIM round trip. Readings are compared at the same
noise levels: each is shown at the step where its schedule has that level, so that no schedule looks better for being
noisier.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from s2st_aug.diffusion import ddim
from s2st_aug.diffusion.denoiser import Context, Latent, eps_from_v, v_from_eps, with_context
from s2st_aug.diffusion.flow import eps_from_velocity, velocity_from_eps
from s2st_aug.diffusion.model import LatentModel
from s2st_aug.diffusion.schedule import STABLE_DIFFUSION, NoiseSchedule
from s2st_aug.diffusion.street import street_picture
from s2st_aug.errors import ModelError

log = logging.getLogger(__name__)
VERSION = 4
LEVELS_TRIED = (0.7, 0.3, 0.1, 0.03, 0.01)  # abar
ROUND_TRIP_STEPS = 20
LEAST_SIDE = 96  # pixels of the drawn street
WORST_SHARE = 0.8  # of what a guess leaves that knows nothing of images
WORST_ROUND_TRIP_DB = 15.0  # latents, against their own range of 6
SURELY_GOOD = 0.02  # at or below it nothing is looked for
CLEARLY_BETTER = 0.95  # another reading must leave less than this share of the residual to be called the cause
SPREAD = (1 / 3, 3.0)  # of the drawn street's latents; diffusion is trained on latents scaled to about 1


@dataclass(frozen=True, slots=True)
class SelfTest:
    """What the self-test measured."""

    round_trip_db: float
    residual: float  # noise not found under the model's own config, over what a guess leaves that knows no images
    likely: str  # the reading with the least residual, as "prediction/schedule"
    likely_residual: float
    spread: float  # standard deviation of the drawn street's latents


def check_model(model: LatentModel, *, cache: Path | None = None) -> SelfTest:
    """Run the self-test, or take it from the cache of models as configured.

    Raises ModelError for a model that must not be used.
    """
    path = (cache or default_cache()) / f"{_cache_key(model)}.json"
    try:
        result = SelfTest(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        result = measure_model(model)
        _store(path, result)
    _refuse(model, result)
    return result


def default_cache() -> Path:
    """Where results of self-tests are kept: under XDG_CACHE_HOME."""
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "s2st_aug" / "selftest"


def _cache_key(model: LatentModel) -> str:
    """Over all that the result depends on: weights, configs, schedule, and device and dtype of the networks."""
    s = model.schedule
    parts = (
        model.sha256,
        model.config_sha256,
        model.prediction_type,
        s.spacing,
        s.steps_offset,
        s.final_alpha,
        model.dtype,
        model.device.type,
    )
    levels = hashlib.sha256(s.alphas_cumprod.tobytes()).hexdigest()
    return f"{hashlib.sha256(repr((parts, levels)).encode()).hexdigest()[:32]}-v{VERSION}"


def _store(path: Path, result: SelfTest) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(dataclasses.asdict(result)))
        temporary.replace(path)
    except OSError as error:
        log.info("the result of the self-test cannot be stored and is measured again next time: %s", error)


def _refuse(model: LatentModel, result: SelfTest) -> None:
    own = f"{model.prediction_type}/{_schedule_name(model.schedule)}"
    found = f"residual {result.residual:.2f}, expected below {WORST_SHARE}; round trip {result.round_trip_db:.1f} dB"
    if not SPREAD[0] <= result.spread <= SPREAD[1]:
        spread = f"latents of a street spread by {result.spread:.2f}, expected {SPREAD[0]:.2f} to {SPREAD[1]:g}"
        raise ModelError(
            f"{model.name}: {spread}; check scaling_factor in the vae's config, or download the weights again ({found})"
        )
    better = result.likely_residual < min(CLEARLY_BETTER * result.residual, WORST_SHARE)
    if result.likely != own and better and result.residual > SURELY_GOOD:
        likely = f"{result.likely} would, residual {result.likely_residual:.2f}"
        raise ModelError(
            f"{model.name}: the scheduler's config says {own}, but the network answers as {likely}; correct the config "
            f"({found})"
        )
    if not (result.residual < WORST_SHARE and result.round_trip_db > WORST_ROUND_TRIP_DB):
        raise ModelError(
            f"{model.name}: the network does not predict the noise in a latent ({found}); "
            "its weights are untrained or damaged"
        )


@torch.no_grad()
def measure_model(model: LatentModel) -> SelfTest:
    """Spread, residuals under every reading, and the round trip under the model's own."""
    latents = model.encode(street_picture(picture_size(model)).to(model.device)).float()
    context = model.embed([""])
    own = (model.prediction_type, _schedule_name(model.schedule))
    schedules = (
        {own[1]: model.schedule} if model.prediction_type == "velocity" else CANDIDATES | {own[1]: model.schedule}
    )
    residuals = {
        (p, name): r for name, s in schedules.items() for p, r in _residuals(model, latents, context, s).items()
    }
    best = min(residuals, key=residuals.__getitem__)
    lost = round_trip_db(model, latents, context)
    return SelfTest(lost, residuals[own], "/".join(best), residuals[best], latents.std().item())


def round_trip_db(model: LatentModel, latents: Latent, context: Context, *, steps: int = ROUND_TRIP_STEPS) -> float:
    """PSNR of latents after inversion and sampling at guidance 1, against a range of 6 (three deviations each way)."""
    predict = with_context(model.denoiser, context)
    back = ddim.sample(predict, ddim.invert(predict, latents, model.schedule, steps)[-1], model.schedule, steps)
    error = (back - latents).square().mean().item()
    return 10 * math.log10(36 / max(error, 1e-12)) if math.isfinite(error) else -math.inf


CANDIDATES = {
    "scaled_linear": NoiseSchedule.stable_diffusion(),
    "linear": NoiseSchedule.from_config({"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02}),
    "squaredcos_cap_v2": NoiseSchedule.from_config({"beta_schedule": "squaredcos_cap_v2"}),
    "scaled_linear, rescale_betas_zero_snr": NoiseSchedule.from_config(
        {**STABLE_DIFFUSION, "rescale_betas_zero_snr": True}
    ),
}
PREDICTIONS = ("epsilon", "v_prediction", "sample")
FLOW_PREDICTIONS = ("velocity", "velocity from noise to image", "epsilon", "sample")


def _schedule_name(schedule: NoiseSchedule) -> str:
    """The common schedule that this is, or its own name."""
    for name, candidate in CANDIDATES.items():
        if candidate.total == schedule.total and abs(candidate.alphas_cumprod - schedule.alphas_cumprod).max() < 1e-4:
            return name
    return schedule.name


def _residuals(model: LatentModel, latents: Latent, context: Context, schedule: NoiseSchedule) -> dict[str, float]:
    """Known noise that is not found, by what the raw output is read as, if the steps had this schedule's levels.

    In units of what the guess eps = sqrt(1-abar) z leaves, which knows nothing of images; mean of the levels.
    """
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0)).to(latents)
    is_flow = model.prediction_type == "velocity"
    shares: dict[str, list[float]] = {prediction: [] for prediction in (FLOW_PREDICTIONS if is_flow else PREDICTIONS)}
    for abar in LEVELS_TRIED:
        noisy = ddim.add_noise(latents, noise, abar)
        nearest = int(np.abs(np.sqrt(schedule.alphas_cumprod) - abar**0.5).argmin())
        t = min(nearest, model.schedule.total - 1)
        raw = model.denoiser(noisy, t, context)
        if model.prediction_type == "v_prediction":  # what the network itself said
            raw = v_from_eps(raw, noisy, model.schedule.abar(t))
        if is_flow:
            raw = velocity_from_eps(raw, noisy, model.schedule.abar(t))
        left = ((1 - abar) ** 0.5 * noisy - noise).square().mean()
        for prediction, found in shares.items():
            found.append(((_as_eps(raw, noisy, abar, prediction) - noise).square().mean() / left).item())
    means = {prediction: sum(found) / len(found) for prediction, found in shares.items()}
    return {prediction: mean if math.isfinite(mean) else 1e9 for prediction, mean in means.items()}


def _as_eps(raw: Tensor, noisy: Latent, abar: float, prediction: str) -> Latent:
    if prediction == "v_prediction":
        return eps_from_v(raw, noisy, abar)
    if prediction.startswith("velocity"):
        return eps_from_velocity(raw if prediction == "velocity" else -raw, noisy, abar)
    if prediction == "sample":
        return (noisy - abar**0.5 * raw) / (1 - abar) ** 0.5
    return raw


def picture_size(model: LatentModel) -> tuple[int, int]:
    """(width, height) about half the native side: enough to judge by, a quarter of the cost.

    Not below LEAST_SIDE where the model itself is not: a small one knows no street of half its size.
    """
    sides = (min(max(side / 2, LEAST_SIDE), side) for side in model.native_size)
    w, h = (max(round(side / model.stride), 2) * model.stride for side in sides)
    return w, h
