"""Why the seed matters (docs/method.md#seed).

The seed keeps the image's mean, plain sampling cannot leave it, and moving the seed's histogram can.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.baselines import encode
from benchmarks.scenes import HELD_OUT, bootstrap, rendered
from benchmarks.svg import svg
from s2st_aug.arrays import Image
from s2st_aug.diffusion import ddim
from s2st_aug.diffusion.denoiser import with_context
from s2st_aug.errors import Diverged
from s2st_aug.images import to_lab
from s2st_aug.translation.settings import method_settings
from s2st_aug.translation.translator import Translator

FIRST = 6000  # index of the first held-out street of this check
PLAIN = {"st_iterations": 0, "to_iterations": 0, "detail": 0.0, "label_aware": False, "guidance_until": 1.0}
WAYS: dict[str, dict] = {
    "day seed, guidance 1": {**PLAIN, "guidance": 1.0},
    "day seed, guidance 3": {**PLAIN, "guidance": 3.0},
    "day seed, guidance 6": {**PLAIN, "guidance": 6.0},
    "translated seed, guidance 1": {**PLAIN, "guidance": 1.0, "st_iterations": 10},
    "translated seed, guidance 3": {**PLAIN, "guidance": 3.0, "st_iterations": 10},
    "translated seed, TO: the plain standard": {"label_aware": False},
}
"""Ways to sample a night from a day photo -> what differs from the plain `standard`."""


@dataclass(frozen=True, slots=True)
class Means:
    """Channel means of one image's latent and of its seed, `c` each, and
    the share of the mean that the seed should keep.
    """

    condition: str
    latent: np.ndarray
    seed: np.ndarray


@torch.no_grad()
def seed_means(own: Translator, count: int) -> Iterator[Means]:
    """Latent and seed means of held-out streets by day and by night, each inverted under its own prompt."""
    model, steps = own.model, own.settings.steps
    prompts = {"day": own.profiles["night"].source_prompt, "night": own.profiles["night"].prompt}
    for street in range(count):
        for condition, image in rendered(HELD_OUT, FIRST + street, ("day", "night")).items():
            clean = encode(model, image)
            seed = ddim.invert(
                with_context(model.denoiser, model.embed([prompts[condition]])), clean, model.schedule, steps
            )[-1]
            yield Means(condition, clean.mean((0, 2, 3)).cpu().numpy(), seed.mean((0, 2, 3)).cpu().numpy())


def kept_share(means: Sequence[Means]) -> float:
    """Least squares slope of seeds' channel means over latents': sqrt(abar_T)
    if the seed carries the mean and nothing else.
    """
    latent, seed = (np.concatenate([getattr(m, name) for m in means]) for name in ("latent", "seed"))
    return float(latent @ seed / (latent @ latent))


def lightness(own: Translator, count: int) -> dict[str, tuple[float, float, float]]:
    """Mean L* (0..100) of the sources, of every way to a night, and of the true nights, with its 95 % interval."""
    found: dict[str, list[float]] = {}
    for street in range(count):
        views = rendered(HELD_OUT, FIRST + street, ("day", "night"))
        found.setdefault("source (day)", []).append(_mean_lightness(views["day"]))
        for name, overrides in WAYS.items():
            way = Translator(own.model, {"night": own.profiles["night"]}, method_settings("standard", overrides))
            done = way.translate([views["day"]], ["night"])[0]["night"]
            if isinstance(done, Diverged):
                raise done
            found.setdefault(name, []).append(_mean_lightness(done.image))
        found.setdefault("true render (night)", []).append(_mean_lightness(views["night"]))
    return {name: (float(np.mean(values)), *bootstrap(values)) for name, values in found.items()}


def _mean_lightness(image: Image) -> float:
    return float(to_lab(image)[..., 0].mean())


def as_markdown(
    means: Sequence[Means], expected: float, found: dict[str, tuple[float, float, float]], about: str
) -> str:
    """The check as text: the share that the seed keeps, and where each way to a night ends."""
    day, night = (np.mean([m.seed for m in means if m.condition == c], axis=0) for c in ("day", "night"))
    spread = np.mean([np.std([m.seed for m in means if m.condition == c], axis=0) for c in ("day", "night")], axis=0)
    lines = [
        f"# The seed check\n\n{about}\n\n![Channel means of seeds over those of latents](seed_check.svg)\n",
        f"Does a seed still know how bright its image was? It keeps {kept_share(means):.3f} of its latent's channel "
        f"means; sqrt(abar_T) is {expected:.3f}. In the channel that separates them best, the seeds of day and night "
        f"differ by {float(np.max(np.abs(day - night) / np.maximum(spread, 1e-9))):.1f} times their spread. The table "
        "shows how dark a night image becomes with each way to sample it.\n",
        "| image or way to sample it | mean L* (95 % interval) |\n|---|---|",
        *(f"| {name} | {mean:.1f} ({low:.1f} to {high:.1f}) |" for name, (mean, low, high) in found.items()),
    ]
    return "\n".join(lines) + "\n"


def draw(means: Sequence[Means], expected: float) -> str:
    """Seed means over latent means by channel and image, with the line of slope sqrt(abar_T), as SVG text."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 4))
    axes = figure.subplots()
    for condition, marker in (("day", "o"), ("night", "s")):
        some = [m for m in means if m.condition == condition]
        axes.scatter(
            np.stack([m.latent for m in some]), np.stack([m.seed for m in some]), s=14, marker=marker, label=condition
        )
    ends = np.array(axes.get_xlim())
    axes.plot(ends, expected * ends, color="black", linewidth=1, label=f"sqrt(abar_T) = {expected:.3f}")
    axes.set(xlabel="mean of a latent channel", ylabel="mean of the same channel of its seed")
    axes.legend(fontsize=8)
    return svg(figure)
