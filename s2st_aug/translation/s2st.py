"""S2ST, image-to-image translation in the seed space of latent diffusion (arXiv 2312.00116), in the paper's order.

Clean latents are inverted to their seeds z_T (DDIM, the source's prompt, guidance 1), the seeds are translated (ST),
and sampling with the target's prompt goes back to clean latents while the trajectory is optimised (TO) to keep the
source's structure. Photos are inverted once for all of their target domains; from the seed on a row is one (photo,
domain), photos first. Nothing here knows a pipeline object: the model is `denoise(latents, step, context) -> eps`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from s2st_aug.diffusion import ddim
from s2st_aug.diffusion.ddim import Solver, add_noise, curvature, predicted_x0
from s2st_aug.diffusion.denoiser import Context, Denoiser, Latent, guide, guided, with_context
from s2st_aug.diffusion.schedule import NoiseSchedule
from s2st_aug.translation.adam import AdamSettings, adam_minimise
from s2st_aug.translation.losses import LossTarget
from s2st_aug.translation.settings import MethodSettings
from s2st_aug.translation.targets import TargetDomains


@dataclass(frozen=True, slots=True)
class Prompts:
    """Embeddings: of the source's prompt for each photo; of the target's and of the empty prompt for each row."""

    source: Context  # one row a photo
    target: Context
    empty: Context


@dataclass(frozen=True, slots=True)
class Sampled:
    """Clean latents, and what each row cost: TO iterations, forward and backward evaluations of the network."""

    latent: Latent
    iterations: Int[Tensor, " b"]
    forward: Int[Tensor, " b"]
    backward: Int[Tensor, " b"]


@dataclass(frozen=True, slots=True)
class Translation:
    """Clean latents of the target domains, and what each row cost.

    Evaluations are of the network; `shared` are those of the inversion, which a photo's domains share.
    """

    latent: Latent
    st_iterations: Int[Tensor, " b"]
    to_iterations: Int[Tensor, " b"]
    forward: Int[Tensor, " b"]
    backward: Int[Tensor, " b"]
    shared: int


@torch.no_grad()
def s2st(
    denoise: Denoiser,
    schedule: NoiseSchedule,
    clean: Latent,
    prompts: Prompts,
    domains: TargetDomains,
    settings: MethodSettings,
    keys: Sequence[int],
) -> Translation:
    """The whole method: every photo's clean latent in every domain.

    `keys` (one a photo) draw the seeds' fresh noise.
    """
    s, count = settings, len(domains.profiles)
    # inversion, once for all domains of a photo
    path = ddim.invert(
        with_context(denoise, prompts.source), clean, schedule, s.steps, refine=s.inversion_refinements, solver=s.solver
    )
    shared = s.steps * (1 + (s.inversion_refinements if s.solver == "ddim" else 0))
    offsets = None
    if s.to_method == "direct":
        offsets = source_offsets(denoise, schedule, path, prompts.source, solver=s.solver)
        offsets, shared = [o.repeat_interleave(count, 0) for o in offsets], shared + s.steps

    # seed translation (ST)
    seed = with_fresh_noise(path[-1], keys, s.seed_noise).repeat_interleave(count, 0)
    adam = AdamSettings(s.st_iterations, s.st_rate, s.st_tolerance)
    if s.st_space == "seed":
        seed, st_used = translate_seed(seed, domains.seed_target(path[-1]), adam)
        st_evaluations = torch.zeros_like(st_used)
    else:
        t = schedule.timesteps(s.steps)[0]
        target = domains.clean_target(clean, s.st_structure, s.st_appearance)
        seed, st_used = translate_seed(
            seed, target, adam, lambda z, rows: predicted_x0(z, denoise(z, t, prompts.target[rows]), schedule.abar(t))
        )
        st_evaluations = st_used

    # sampling, with trajectory optimisation (TO) at every step
    target = domains.clean_target(clean, s.to_structure, s.to_appearance)
    done = sample(denoise, schedule, seed, prompts, target, s, offsets)
    forward, backward = done.forward + st_evaluations, done.backward + st_evaluations
    return Translation(done.latent, st_used, done.iterations, forward, backward, shared)


def with_fresh_noise(seed: Latent, keys: Sequence[int], share: float) -> Latent:
    """The seed with a share of fresh noise (its variance kept), drawn on the CPU from each sample's own key."""
    if not share:
        return seed
    noise = torch.stack([torch.randn(seed.shape[1:], generator=torch.Generator().manual_seed(key)) for key in keys])
    return (1 - share**2) ** 0.5 * seed + share * noise.to(seed)


def translate_seed(
    seed: Latent,
    target: LossTarget,
    adam: AdamSettings,
    predict_x0: Callable[[Latent, Tensor], Latent] | None = None,
) -> tuple[Latent, Int[Tensor, " b"]]:
    """ST: Adam on the seed against structure and appearance; also the iterations that each row used.

    The losses are taken in seed space, where no network runs, or on the clean latents that `predict_x0(seeds, rows)`
    gives, at a forward and a backward pass for each iteration.
    """
    if predict_x0 is None:
        return adam_minimise(seed, lambda z, _rows: target.losses(z), adam)
    return adam_minimise(seed, lambda z, rows: target.rows(rows).losses(predict_x0(z, rows)), adam, network=True)


@torch.no_grad()
def sample(
    denoise: Denoiser,
    schedule: NoiseSchedule,
    seed: Latent,
    prompts: Prompts,
    target: LossTarget,
    settings: MethodSettings,
    offsets: Sequence[Latent] | None = None,
) -> Sampled:
    """Sampling with TO at every step: guided noise, predicted clean latent, its optimisation, the move to the next.

    `offsets` (direct inversion) are added to every step's result.
    """
    z, empty, before, levels = seed, prompts.empty, None, schedule.levels(settings.steps)[::-1]
    iterations, forward, backward = (torch.zeros(len(seed), dtype=torch.int64, device=seed.device) for _ in range(3))
    adam = AdamSettings(settings.to_iterations, settings.to_rate, settings.to_tolerance)
    for k, t in enumerate(levels[:-1]):
        here, there, scale = schedule.abar(t), schedule.abar(levels[k + 1]), settings.guidance_at(k)
        to_method = settings.to_method if k >= settings.to_from * settings.steps else "none"
        if to_method == "null_text" and scale > 1:
            empty, used = optimise_empty_prompt(denoise, z, t, here, prompts.target, empty, scale, target, adam)
            iterations, forward, backward = iterations + used, forward + used + 1, backward + used
        eps = guided(denoise, empty, scale)(z, t, prompts.target)
        forward = forward + (2 if scale > 1 else 1)
        x0 = predicted_x0(z, eps, here)
        if to_method == "latents":
            x0, used = optimise_clean_latent(x0, target, adam)
            iterations = iterations + used
        z = add_noise(x0, eps, there)
        if settings.solver == "dpm2m" and before is not None:
            z = z + curvature(x0, before, (schedule.abar(levels[k - 1]), here, there))
        if offsets is not None:
            z = z + offsets[k]
        before = x0
    return Sampled(z, iterations, forward, backward)


def optimise_clean_latent(x0: Latent, target: LossTarget, adam: AdamSettings) -> tuple[Latent, Int[Tensor, " b"]]:
    """TO on the latents: Adam on the predicted clean latent of one step; no network. Also the iterations by row.

    Where each value belongs in the target's histograms is asked once a step, not once an iteration.
    """
    transported = target.transported(x0)
    return adam_minimise(x0, lambda x, _rows: target.losses(x, transported), adam)


def optimise_empty_prompt(
    denoise: Denoiser,
    z: Latent,
    t: int,
    abar: float,
    prompt: Context,
    empty: Context,
    scale: float,
    target: LossTarget,
    adam: AdamSettings,
) -> tuple[Context, Int[Tensor, " b"]]:
    """TO on the unconditional embedding of one step, as null-text inversion does, with S2ST's losses.

    Null-text inversion is arXiv 2211.09794, algorithm 1.
    One forward pass for the prompt, then a forward and a backward pass for each iteration. Also the iterations by row.
    """
    eps_prompt = denoise(z, t, prompt)

    def losses(free: Float[Tensor, "rows n d"], rows: Tensor) -> Tensor:
        eps = guide(denoise(z[rows], t, empty[rows].with_tokens(free)), eps_prompt[rows], scale)
        return target.rows(rows).losses(predicted_x0(z[rows], eps, abar))

    tokens, used = adam_minimise(empty.tokens, losses, adam, network=True, last_step=True)
    return empty.with_tokens(tokens), used


@torch.no_grad()
def source_offsets(
    denoise: Denoiser, schedule: NoiseSchedule, path: Sequence[Latent], context: Context, *, solver: Solver = "ddim"
) -> list[Latent]:
    """Direct inversion (arXiv 2310.01506, algorithm 1): by how much each sampling step misses the source's own path.

    `path` is the inversion's, clean latents first. One evaluation for each step and photo, for all domains; the offset
    of the noisiest step comes first.
    """
    levels = schedule.levels(len(path) - 1)
    offsets: list[Latent] = []
    before: Latent | None = None
    for k in range(len(levels) - 1, 0, -1):
        z, here, there = path[k], schedule.abar(levels[k]), schedule.abar(levels[k - 1])
        eps = denoise(z, levels[k], context)
        x0 = predicted_x0(z, eps, here)
        reached = add_noise(x0, eps, there)
        if solver == "dpm2m" and before is not None:
            reached = reached + curvature(x0, before, (schedule.abar(levels[k + 1]), here, there))
        offsets.append(path[k - 1] - reached)
        before = x0
    return offsets
