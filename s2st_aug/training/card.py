"""The model card: what the model is, what it cannot do, what it was trained on, its curves, its measured figures."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Curve = Sequence[tuple[int, float]]


@dataclass(frozen=True, eq=False)
class CardFacts:
    """What a card says beside its fixed text."""

    name: str
    licence: str  # SPDX name, or `other` with a LICENSE file beside
    data: Sequence[tuple[str, int | str, str]]  # source, images, terms
    curves: Mapping[str, Curve]
    figures: Sequence[tuple[str, str, str]]  # what, value with count, command or note
    history: str = ""  # how these very weights came to be, where that differs from the recipe
    size: tuple[int, int] = (256, 192)  # native width and height
    command: str = ""  # that trains it; default: the small models' own recipe


INTENDED = (
    "Intended use: demos, tests, CI and prototypes of `s2st_aug` on a machine without a GPU. Do not use it in "
    "production; use Stable Diffusion there. It has seen few real photos of night, and none of rain or fog, which it "
    "knows from rendered streets only. Images made with it are synthetic and must be marked as such."
)
SHAPE = (
    "AutoencoderTiny (a quarter of each side, 4 channels, unit variance folded into its convolutions), "
    "UNet2DConditionModel 64-128-192 with the prompt in cross-attention and in the time embedding, CLIPTextModel of 2 "
    "layers with a vocabulary of its own, SD's scaled-linear schedule, v-prediction; native size {}x{}, sides "
    "multiples of 16. "
    "`StableDiffusionPipeline.from_pretrained` opens it."
)
OF_ALL = (
    "**Rain and snow.** It draws no rain streaks, no drops on the glass and no snow.",
    "**Small objects.** Distant people vanish, and traffic lights of 4 to 8 pixels are blurred. The housing of a red "
    "light may take the colour of the wall behind it.",
)
CANNOT: Mapping[str, tuple[str, ...]] = {
    "street-mini": (
        "**Real photos.** It was trained on rendered streets and 400 webcam photos. No figure on real driving photos "
        "is measured.",
        "**Lights at night.** They come from a separate light map. Of a rendered street's true lights, "
        "{light_recall_night} shine, and {light_precision_night} of the lights that shine are true. In a building, "
        "dozens of windows are lit where about a third should be; distant windows merge into bands; bright wires, "
        "white pipes and leaves against the sky may become lamps.",
        "**Wet roads.** They reflect only roughly where they should: {wet_road_rain} with the true rain (1 is right).",
        "**A gain everywhere.** Training a detector on its night variants gained {night_ap_over_best_control} of AP "
        "over the best simple augmentation, on rendered streets. In rain, and for traffic lights, no gain was found.",
        *OF_ALL,
        "**Drawing from text.** From noise it draws rough streets by day, at dusk and at night, facades without a road "
        "in rain, and little but haze in fog; no car could be labelled (`docs/images/from_noise.jpg`: six prompts, "
        "eight seeds each).",
        "**Being checked.** The self-test of a model cannot tell neighbouring noise schedules apart on it.",
    ),
    "street-photo": (
        "**Reaching the target.** Real day photos come {strength_dusk_photos} of the way to dusk (1 is dusk). Night, "
        "rain and fog are not measured on photos.",
        "**Detail.** Its autoencoder alone reproduces photos with {ae_psnr_photos_db}.",
        "**Beating simple augmentations.** On real dusk photos, training with its variants changed mIoU by "
        "{gain_over_best_control} over the best of them.",
        *OF_ALL,
        "**Drawing from text.** From noise it draws rough streets in which no car could be labelled.",
    ),
}
"""What each embedded model cannot do, by its folder's name; each name in braces is a figure of the benchmark."""
LIMITS = re.compile(r"<!-- limits -->\n.*?<!-- /limits -->", re.S)


def cannot(name: str, figures: Mapping[str, str]) -> str:
    """What a model cannot do, as a list, with its figures as text; a figure that nobody gives is `not measured`."""
    limits = CANNOT.get(name, OF_ALL)
    names = re.findall(r"{(\w+)}", " ".join(limits))
    known = {figure: figures.get(figure, "(not measured)") for figure in names}
    return "\n".join(f"- {limit.format(**known)}" for limit in limits)


def with_limits(card: str, name: str, figures: Mapping[str, str]) -> str:
    """A card whose part between the two marks says what the model cannot do by these figures."""
    told = f"<!-- limits -->\n{cannot(name, figures)}\n<!-- /limits -->"
    return LIMITS.sub(lambda _: told, card)


def write_card(folder: Path, facts: CardFacts) -> None:
    """README.md in the model's folder, and curves.svg where there are curves."""
    if facts.curves:
        (folder / "curves.svg").write_text(draw_curves(facts.curves), encoding="utf-8")
    (folder / "README.md").write_text(card_text(facts), encoding="utf-8")


def card_text(facts: CardFacts) -> str:
    """The card as markdown with the hub's front matter."""
    config = f"configs/train_{facts.name.replace('-', '_')}.yaml"
    command = facts.command or (
        f"Reproduce: `python pipelines/train_street_mini.py {config}` (resumable).\n"
        f"Train on from the shipped weights: the same with `--init-from {folder_name(facts.name)}`."
    )
    curves = "\n## Curves\n\n![training loss](curves.svg)\n" if facts.curves else ""
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

A small latent diffusion model of streets, trained by this repository's own recipe. {SHAPE.format(*facts.size)}

{INTENDED}

## What it cannot do

<!-- limits -->
{cannot(facts.name, {})}
<!-- /limits -->

## Trained on

| source | images | terms |
|---|---|---|
{data}

## Measured, on images held out of training

| what | value | how |
|---|---|---|
{figures}

{facts.history}
{curves}
{command}
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
