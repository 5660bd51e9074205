"""Null-text inversion as published, on our own model and path: what S2ST's cost is compared with.

The other published methods are the product's own (s2st_aug.methods).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from s2st_aug.arrays import Image
from s2st_aug.diffusion.ddim import add_noise, ddim_move, invert, predicted_x0
from s2st_aug.diffusion.denoiser import Context, CountedDenoiser, Latent, guide, guided, with_context
from s2st_aug.diffusion.model import LatentModel
from s2st_aug.images import resize, to_uint8
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


def encode(model: LatentModel, photo: Image) -> Tensor:
    """The photo's latent at its working size, `1 c h w`."""
    with torch.no_grad():
        return model.encode_photos([photo], model.working_size(photo.shape[1], photo.shape[0]))


@torch.no_grad()
def _inverted(model: LatentModel, network: CountedDenoiser, clean: Latent, prompt: str, steps: int) -> list[Latent]:
    return invert(with_context(network, model.embed([prompt])), clean, model.schedule, steps)


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
        empty = empty.with_tokens(empty.tokens.clone().requires_grad_())
        optimiser = torch.optim.Adam([empty.tokens], lr=1e-2 * (1 - i / 100))
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
