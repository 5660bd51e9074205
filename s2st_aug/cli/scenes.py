"""`s2st-aug scenes`: procedural street scenes with exact labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from s2st_aug.cli.method_options import Seed, one_seed
from s2st_aug.errors import UsageError


def scenes(
    out: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="Output folder; OUT/<condition>/ is a complete dataset for each condition."),
    ],
    count: Annotated[int, typer.Option(help="Number of scenes.")] = 16,
    format: Annotated[str, typer.Option(help="bdd100k or cityscapes.")] = "bdd100k",
    conditions: Annotated[
        str, typer.Option(help="Comma-separated: day, dusk, night, rain, fog, night_rain.")
    ] = "day,night,rain",
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT in pixels.")] = "1280x720",
    seed: Seed = None,
    sequences: Annotated[
        int,
        typer.Option(
            help="Number of short sequences with a moving camera, in addition to the scenes (BDD100K tracking sets)."
        ),
    ] = 0,
    frames: Annotated[int, typer.Option(help="Frames per sequence, at five per second.")] = 10,
    val_share: Annotated[float, typer.Option(help="Share of scenes that go into the split val.")] = 0.2,
) -> None:
    """Render street scenes with exact labels, each under several conditions at the same pixels."""
    from rich.progress import Progress

    from s2st_aug.cli.terminal import err
    from s2st_aug.cli.terminal import out as console
    from s2st_aug.procedural.write import write_scenes

    rng_key = one_seed(seed)
    names = [c.strip() for c in conditions.split(",") if c.strip()]
    total = count + sequences * frames
    if total == 0:
        raise UsageError("nothing to render: expected a --count above 0, or --sequences with --frames above 0")
    with Progress(console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("scenes", total=max(total, 1))
        write_scenes(
            out,
            count,
            format,
            names,
            parse_size(size),
            rng_key,
            val_share=val_share,
            sequences=sequences,
            frames=frames,
            tell=lambda done: bar.update(task, completed=done),
        )
    what = f"{total} {'scene' if total == 1 else 'scenes'} under each of: {', '.join(names)}"
    console.print(f"{what}; in {out}")


def parse_size(text: str) -> tuple[int, int]:
    """`640x360` as (640, 360); raises UsageError on anything else."""
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise UsageError(f"--size expects WIDTHxHEIGHT such as 1280x720, got {text!r}")
    return int(width), int(height)
