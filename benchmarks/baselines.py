"""Published methods on our own model and path, each at its own knob: what S2ST is compared with."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from s2st_aug.arrays import Image
from s2st_aug.diffusion.ddim import add_noise, ddim_move, half_log_snr, invert, predicted_x0
from s2st_aug.diffusion.denoiser import Context, CountedDenoiser, Latent, guide, guided, with_context
from s2st_aug.diffusion.model import LatentModel
from s2st_aug.diffusion.schedule import NoiseSchedule
from s2st_aug.images import resize, to_uint8
from s2st_aug.randomness import torch_generator
from s2st_aug.records.profile import DomainProfile


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """A method's picture at the source's size, and the network evaluations behind it.

    `raw` is what a detail step started from.
    """

    image: Image
    forward: float
    backward: float = 0.0
    raw: Image | None = None


def sdedit(
    model: LatentModel, photo: Image, profile: DomainProfile, *, strength: float, steps: int = 20, guidance: float = 3.0
) -> Made:
    """SDEdit (arXiv 2108.01073): noise up to a share of the path, then sample with the target's prompt."""
    network = CountedDenoiser(model.denoiser)
    levels = model.schedule.levels(steps)
    start = max(1, round(strength * steps))
    clean = encode(model, photo)
    noise = torch.randn(clean.shape, generator=torch_generator(0, profile.name)).to(clean)
    z = add_noise(clean, noise, model.schedule.abar(levels[start]))
    predict = with_context(guided(network, model.embed([""]), guidance), model.embed([profile.prompt]))
    return _finished(model, photo, _down(predict, model, z, levels[: start + 1]), network)


def ddib(model: LatentModel, photo: Image, profile: DomainProfile, *, guidance: float, steps: int = 20) -> Made:
    """Dual diffusion implicit bridges (arXiv 2203.08382): invert with the source's prompt, sample with the target's."""
    network = CountedDenoiser(model.denoiser)
    path = _inverted(model, network, encode(model, photo), profile.source_prompt, steps)
    predict = with_context(guided(network, model.embed([""]), guidance), model.embed([profile.prompt]))
    return _finished(model, photo, _down(predict, model, path[-1], model.schedule.levels(steps)), network)


def null_text(
    model: LatentModel,
    photo: Image,
    profiles: list[DomainProfile],
    *,
    steps: int = 50,
    guidance: float = 7.5,
    iterations: int = 10,
) -> list[Made]:
    """Null-text inversion as published (arXiv 2211.09794, algorithm 1 and its code): one optimisation serves all
    prompts.

    Adam 1e-2 (1 - i / 100), at most `iterations` a step, stopped at a loss of 1e-5 + 2e-5 i.
    """
    network = CountedDenoiser(model.denoiser)
    path = _inverted(model, network, encode(model, photo), profiles[0].source_prompt, steps)
    empties, backward = _null_embeddings(model, network, path, profiles[0].source_prompt, guidance, iterations)
    shared, made = network.evaluations, []
    for profile in profiles:
        network.evaluations = 0
        z = _sample_with(model, network, path[-1], profile.prompt, empties, guidance)
        done = _finished(model, photo, z, network)
        made.append(Made(done.image, done.forward + shared / len(profiles), backward / len(profiles)))
    return made


def ledits(
    model: LatentModel,
    photo: Image,
    profile: DomainProfile,
    *,
    guidance: float,
    steps: int = 20,
    skip: float = 0.15,
    threshold: float = 0.0,
) -> Made:
    """LEDITS++ (arXiv 2311.16711): edit-friendly inversion of the second-order SDE solver, then guidance towards the
    edit.

    `threshold` is its mask of the edit's own noise (a quantile; 0, our default, edits everywhere, as night and rain
    do); the mask from cross-attention is not built: the small UNets attend at 1/16 of the image alone.
    """
    network = CountedDenoiser(model.denoiser)
    clean, levels = encode(model, photo), model.schedule.levels(steps)[: round((1 - skip) * steps) + 1]
    empty, context = model.embed([""]), model.embed([profile.prompt])
    noises = torch.randn((len(levels), *clean.shape), generator=torch_generator(0, profile.name)).to(clean)
    noisy = [clean, *(add_noise(clean, n, model.schedule.abar(t)) for n, t in zip(noises[1:], levels[1:], strict=True))]

    def edited(z: Latent, t: int) -> Latent:
        plain = network(z, t, empty)
        edit = network(z, t, context) - plain
        loud = edit.abs().sum(1, keepdim=True)
        return plain + guidance * edit * (loud >= torch.quantile(loud.flatten(1), threshold, 1).view(-1, 1, 1, 1))

    source, target = _SdePath(model.schedule, levels), _SdePath(model.schedule, levels)
    z = noisy[-1]
    with torch.no_grad():
        for k in range(len(levels) - 1, 0, -1):
            mean, deviation = source.move(k, noisy[k], network(noisy[k], levels[k], empty))
            fresh = (noisy[k - 1] - mean) / deviation
            mean, deviation = target.move(k, z, edited(z, levels[k]))
            z = mean + deviation * fresh
    return _finished(model, photo, z, network)


class _SdePath:
    """SDE-DPM-Solver++ 2M (arXiv 2211.01095), from the noisiest level down: the mean and the deviation of each move."""

    def __init__(self, schedule: NoiseSchedule, levels: list[int]):
        self.abars = [schedule.abar(t) for t in levels]
        self.lambdas = [half_log_snr(abar) for abar in self.abars]
        self.before: Latent | None = None

    def move(self, k: int, z: Latent, eps: Latent) -> tuple[Latent, float]:
        """From level k to the one below."""
        x0, h = predicted_x0(z, eps, self.abars[k]), self.lambdas[k - 1] - self.lambdas[k]
        held = (
            x0 if self.before is None else x0 + 0.5 * h / (self.lambdas[k] - self.lambdas[k + 1]) * (x0 - self.before)
        )
        self.before = x0
        sigma, sigma_to = (1 - self.abars[k]) ** 0.5, max(1 - self.abars[k - 1], 1e-8) ** 0.5
        lost = 1 - math.exp(-2 * h)
        return sigma_to / sigma * math.exp(-h) * z + self.abars[k - 1] ** 0.5 * lost * held, sigma_to * lost**0.5


def encode(model: LatentModel, photo: Image) -> Tensor:
    """The photo's latent at its working size, `1 c h w`."""
    size = model.working_size(photo.shape[1], photo.shape[0])
    pixels = torch.from_numpy(resize(photo, size)).to(model.device).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        return model.encode(pixels)


@torch.no_grad()
def _inverted(model: LatentModel, network: CountedDenoiser, clean: Latent, prompt: str, steps: int) -> list[Latent]:
    return invert(with_context(network, model.embed([prompt])), clean, model.schedule, steps)


@torch.no_grad()
def _down(predict: Callable[[Latent, int], Latent], model: LatentModel, z: Latent, levels: list[int]) -> Latent:
    for k in range(len(levels) - 1, 0, -1):
        z = ddim_move(z, predict(z, levels[k]), model.schedule.abar(levels[k]), model.schedule.abar(levels[k - 1]))
    return z


def _null_embeddings(
    model: LatentModel, network: CountedDenoiser, path: list[Latent], prompt: str, guidance: float, iterations: int
) -> tuple[list[Context], int]:
    """One unconditional embedding a step that leads sampling back along the source's path; also the backward passes."""
    levels, context = model.schedule.levels(len(path) - 1), model.embed([prompt])
    z, empty, found, backward = path[-1], model.embed([""]), [], 0
    for i, k in enumerate(range(len(levels) - 1, 0, -1)):
        here, there = model.schedule.abar(levels[k]), model.schedule.abar(levels[k - 1])
        with torch.no_grad():
            eps = network(z, levels[k], context)
        empty = empty.clone().requires_grad_()
        optimiser = torch.optim.Adam([empty], lr=1e-2 * (1 - i / 100))
        for _ in range(iterations):
            eps_empty = network(z, levels[k], empty)
            moved = ddim_move(z, guide(eps_empty, eps, guidance), here, there)
            loss = (moved - path[k - 1]).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            backward += 1
            if loss.item() < 1e-5 + 2e-5 * i:
                break
        empty = empty.detach()
        found.append(empty)
        with torch.no_grad():
            eps_empty = network(z, levels[k], empty)
            z = ddim_move(z, guide(eps_empty, eps, guidance), here, there)
    return found, backward


@torch.no_grad()
def _sample_with(
    model: LatentModel, network: CountedDenoiser, z: Latent, prompt: str, empties: list[Context], guidance: float
) -> Latent:
    levels, context = model.schedule.levels(len(empties)), model.embed([prompt])
    for empty, k in zip(empties, range(len(levels) - 1, 0, -1), strict=True):
        eps = guided(network, empty, guidance)(z, levels[k], context)
        z = add_noise(predicted_x0(z, eps, model.schedule.abar(levels[k])), eps, model.schedule.abar(levels[k - 1]))
    return z


@torch.no_grad()
def _finished(model: LatentModel, photo: Image, z: Tensor, network: CountedDenoiser) -> Made:
    """The published methods end at the model's size: the picture is enlarged, nothing is put back."""
    pixels = ((model.decode(z)[0] + 1) * 127.5).permute(1, 2, 0).cpu().numpy()
    enlarged = resize(np.ascontiguousarray(pixels, dtype=np.float32), (photo.shape[1], photo.shape[0]))
    return Made(to_uint8(enlarged), network.evaluations)
