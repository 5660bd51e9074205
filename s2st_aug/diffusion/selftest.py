"""The start-up self-test: refuses a model whose prediction type or schedule is misread, and names the likely cause.

Two measurements on a drawn street: how much of a known noise the network finds, under what the config says and under every other
reading; and what is lost in a DDIM round trip.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from s2st_aug.diffusion import ddim
from s2st_aug.diffusion.denoiser import Context, Latent, eps_from_v, unit_gaussian_denoiser, v_from_eps, with_context
from s2st_aug.diffusion.model import LatentModel
from s2st_aug.diffusion.schedule import BETAS, NoiseSchedule
from s2st_aug.errors import ModelError

log = logging.getLogger(__name__)
VERSION = 2
STEPS_TRIED = (150, 450, 750)
ROUND_TRIP_STEPS = 20
WORST_SHARE = 0.8  # of what is left by the best guess that knows nothing of images, eps = sqrt(1-abar) z
WORST_ROUND_TRIP_DB = 15.0  # latents, against their own range of 6
SURELY_GOOD = 0.02  # at or below it nothing is looked for
CLEARLY_BETTER = 0.6  # another reading must leave less than this share of the residual to be called the cause


@dataclass(frozen=True, slots=True)
class SelfTest:
    """What the self-test measured."""

    round_trip_db: float
    residual: float  # share of the noise's energy not found, under the model's own config
    likely: str  # the reading with the least residual, as "prediction/schedule"
    likely_residual: float
    ignorant: float  # the residual of a guess that knows nothing of images


def check_model(model: LatentModel, *, cache: Path | None = None) -> SelfTest:
    """Run the self-test, or take it from the cache by model hash; raises ModelError for a model that must not be used."""
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
    bar = model.schedule.alphas_cumprod
    return f"{model.sha256[:32]}-{model.prediction_type}-{model.schedule.spacing}-{bar[len(bar) // 2]:.6f}-v{VERSION}"


def _store(path: Path, result: SelfTest) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(dataclasses.asdict(result)))
        temporary.replace(path)
    except OSError as error:
        log.info("self-test not cached: %s", error)


def _refuse(model: LatentModel, result: SelfTest) -> None:
    own = f"{model.prediction_type}/{_schedule_name(model.schedule)}"
    worst = WORST_SHARE * result.ignorant
    found = f"residual {result.residual:.2f}, expected below {worst:.2f}; round trip {result.round_trip_db:.1f} dB"
    better = result.likely_residual < min(CLEARLY_BETTER * result.residual, worst)
    if result.likely != own and better and result.residual > SURELY_GOOD:
        raise ModelError(f"{model.name}: the scheduler config says {own}, but the network answers as {result.likely} would ({found})")
    if not (result.residual < worst and result.round_trip_db > WORST_ROUND_TRIP_DB):
        raise ModelError(f"{model.name}: the network does not find the noise in a latent ({found}); untrained or damaged weights?")


@torch.no_grad()
def measure_model(model: LatentModel) -> SelfTest:
    """Residuals under every reading, and the round trip under the model's own."""
    latents = model.encode(street_picture(_small_size(model)).to(model.device)).float()
    context = model.embed([""])
    own = (model.prediction_type, _schedule_name(model.schedule))
    residuals = {reading: _residual(model, latents, context, *reading) for reading in _readings(*own)}
    best = min(residuals, key=residuals.__getitem__)
    ignorant = dataclasses.replace(model, denoiser=unit_gaussian_denoiser(model.schedule), prediction_type="epsilon")
    guess = _residual(ignorant, latents, context, "epsilon", own[1])
    return SelfTest(round_trip_db(model, latents, context), residuals[own], "/".join(best), residuals[best], guess)


def round_trip_db(model: LatentModel, latents: Latent, context: Context, *, steps: int = ROUND_TRIP_STEPS) -> float:
    """PSNR of latents after inversion and sampling at guidance 1, against a range of 6 (three deviations each way)."""
    predict = with_context(model.denoiser, context)
    back = ddim.sample(predict, ddim.invert(predict, latents, model.schedule, steps)[-1], model.schedule, steps)
    error = (back - latents).square().mean().item()
    return 10 * math.log10(36 / max(error, 1e-12)) if math.isfinite(error) else -math.inf


def _readings(prediction: str, schedule: str) -> list[tuple[str, str]]:
    """The model's own reading, and every other that differs in one thing."""
    others = [(other, schedule) for other in ("epsilon", "v_prediction", "sample") if other != prediction]
    return [(prediction, schedule), *others, *((prediction, name) for name in CANDIDATES if name != schedule)]


def _candidate(kind: str) -> NoiseSchedule:
    start, end = {"linear": (1e-4, 0.02), "scaled_linear": (0.00085, 0.012)}.get(kind, (0.0, 0.0))
    return NoiseSchedule.from_config({"beta_schedule": kind, "beta_start": start, "beta_end": end})


CANDIDATES = {kind: _candidate(kind) for kind in BETAS}


def _schedule_name(schedule: NoiseSchedule) -> str:
    """The common schedule that this is, or `own`."""
    for name, candidate in CANDIDATES.items():
        if len(candidate.alphas_cumprod) == schedule.total and abs(candidate.alphas_cumprod - schedule.alphas_cumprod).max() < 1e-4:
            return name
    return "own"


def _residual(model: LatentModel, latents: Latent, context: Context, prediction: str, schedule_name: str) -> float:
    """Mean share of known noise that is not found, if the network's raw output and the levels are read in that way."""
    schedule = CANDIDATES.get(schedule_name, model.schedule)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0)).to(latents)
    shares = []
    for t in STEPS_TRIED:
        noisy = ddim.add_noise(latents, noise, schedule.abar(t))
        eps = _as_eps(_raw_output(model, noisy, t, context), noisy, schedule.abar(t), prediction)
        shares.append(((eps - noise).square().mean() / noise.square().mean()).item())
    mean = sum(shares) / len(shares)
    return mean if math.isfinite(mean) else 1e9


def _raw_output(model: LatentModel, noisy: Latent, t: int, context: Context) -> Tensor:
    """What the network itself said, before the door turned it into noise."""
    eps = model.denoiser(noisy, t, context)
    return v_from_eps(eps, noisy, model.schedule.abar(t)) if model.prediction_type == "v_prediction" else eps


def _as_eps(raw: Tensor, noisy: Latent, abar: float, prediction: str) -> Latent:
    if prediction == "v_prediction":
        return eps_from_v(raw, noisy, abar)
    if prediction == "sample":
        return (noisy - abar**0.5 * raw) / (1 - abar) ** 0.5
    return raw


def _small_size(model: LatentModel) -> tuple[int, int]:
    """About half the native side: enough to judge by, a quarter of the cost."""
    w, h = model.native_size
    return max(round(w / 2 / model.stride), 2) * model.stride, max(round(h / 2 / model.stride), 2) * model.stride


def street_picture(size: tuple[int, int]) -> Tensor:
    """A street of a few smooth areas with some grain, `1 3 h w` in [-1, 1]: sky, two rows of houses, a road with a lane line."""
    w, h = size
    y, x = torch.meshgrid(torch.linspace(0, 1, h), torch.linspace(-1, 1, w), indexing="ij")
    picture = torch.stack([0.1 + 0.5 * y, 0.3 + 0.4 * y, 0.8 - 0.1 * y])  # sky
    houses = ((x.abs() > 0.25 + 0.2 * torch.cos(7 * x)) & (y > 0.25)).float()
    road = ((y > 0.55) & (x.abs() < 1.6 * (y - 0.5))).float()
    line = road * (x.abs() < 0.03 * (0.5 + y)).float()
    for mask, colour in (
        (y > 0.55, (-0.3, -0.2, -0.35)),
        (houses > 0, (-0.1, -0.25, -0.3)),
        (road > 0, (-0.45, -0.45, -0.42)),
        (line > 0, (0.7, 0.7, 0.6)),
    ):
        picture = torch.where(mask, torch.tensor(colour)[:, None, None], picture)
    grain = torch.randn(3, h, w, generator=torch.Generator().manual_seed(0)) * 0.03
    return (picture + grain).clamp(-1, 1)[None]
