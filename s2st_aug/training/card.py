"""The model card: what the model is, what it was trained on and under which terms, its curves, its measured figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Curve = Sequence[tuple[int, float]]


@dataclass(frozen=True, eq=False)
class CardFacts:
    """What a card says beside its fixed text."""

    name: str
    licence: str  # SPDX name, or `other` with a LICENSE file beside
    data: Sequence[tuple[str, int, str]]  # source, images, terms
    curves: Mapping[str, Curve]
    figures: Sequence[tuple[str, str, str]]  # what, value with count, command or note
    history: str = ""  # how these very weights came to be, where that differs from the recipe


INTENDED = (
    "Intended use: demos, tests, CI and prototypes of `s2st_aug` on a machine without a GPU. Not for production: use "
    "Stable Diffusion there. It has seen few real photos of night and none of rain or fog; it knows those from "
    "procedural scenes alone. Images made with it are synthetic and must be marked so."
)
SHAPE = (
    "AutoencoderTiny (a quarter of each side, 4 channels, unit variance folded into its convolutions), "
    "UNet2DConditionModel 64-128-192 with the prompt in cross-attention and in the time embedding, CLIPTextModel of 2 "
    "layers with a vocabulary of its own, SD's scaled-linear schedule, v-prediction; native size 256x192, sides "
    "multiples of 16. "
    "`StableDiffusionPipeline.from_pretrained` opens it."
)


def write_card(folder: Path, facts: CardFacts) -> None:
    """README.md and curves.svg in the model's folder."""
    (folder / "curves.svg").write_text(draw_curves(facts.curves), encoding="utf-8")
    (folder / "README.md").write_text(card_text(facts), encoding="utf-8")


def card_text(facts: CardFacts) -> str:
    """The card as markdown with the hub's front matter."""
    config = f"configs/train_{facts.name.replace('-', '_')}.yaml"
    licence = f"license: {facts.licence}" + (
        "\nlicense_name: non-commercial\nlicense_link: LICENSE" if facts.licence == "other" else ""
    )
    data = "\n".join(f"| {source} | {images} | {terms} |" for source, images, terms in facts.data)
    figures = "\n".join(f"| {what} | {value} | {note} |" for what, value, note in facts.figures)
    return f"""---
{licence}
library_name: diffusers
pipeline_tag: text-to-image
---
# {facts.name}

A small latent diffusion model of streets, trained by this repository's own recipe. {SHAPE}

{INTENDED}

## Trained on

| source | images | terms |
|---|---|---|
{data}

## Measured, on images held out of training

| what | value | how |
|---|---|---|
{figures}

{facts.history}

## Curves

![training loss](curves.svg)

Reproduce: `python pipelines/train_street_mini.py {config}` (resumable).
Train on from the shipped weights: the same with `--init-from {folder_name(facts.name)}`.
"""


def folder_name(name: str) -> str:
    """Where the embedded weights of that name lie in the checkout."""
    return f"s2st_aug/weights/{name}"


def draw_curves(curves: Mapping[str, Curve], *, width: int = 640, height: int = 240) -> str:
    """Each curve scaled to its own range, as one SVG with a legend of first and last values."""
    colours = ("#1f6f8b", "#c8553d", "#588157", "#6d597a")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12">'
    ]
    for index, (name, curve) in enumerate((n, c) for n, c in curves.items() if len(c) > 1):
        colour = colours[index % len(colours)]
        parts.append(
            f'<polyline fill="none" stroke="{colour}" stroke-width="1.5" points="{_points(curve, width, height)}"/>'
        )
        first, last = curve[0], curve[-1]
        label = f"{name}: {first[1]:.3f} at step {first[0]}, {last[1]:.3f} at step {last[0]}"
        parts.append(f'<text x="{width - 330}" y="{20 + 16 * index}" fill="{colour}">{label}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _points(curve: Curve, width: int, height: int) -> str:
    xs, ys = [x for x, _ in curve], [y for _, y in curve]
    left, right, low, high = min(xs), max(xs), min(ys), sorted(ys)[int(0.98 * (len(ys) - 1))]
    across, up = max(right - left, 1), max(high - low, 1e-9)
    return " ".join(
        f"{10 + (width - 20) * (x - left) / across:.1f},{height - 10 - (height - 90) * (min(y, high) - low) / up:.1f}"
        for x, y in curve
    )
