"""`s2st-aug export`: a training set with a lock file out of a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def complete_format(incomplete: str) -> list[str]:
    """Names for the shell, those of installed packages too."""
    from s2st_aug.formats.registry import format_names

    return [name for name in format_names() if name.startswith(incomplete)]


def export(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    format: Annotated[
        str,
        typer.Option(
            help="bdd100k, cityscapes, coco, yolo, kitti, one of an installed package, or package.module:OBJECT.",
            autocompletion=complete_format,
        ),
    ],
    out: Annotated[Path, typer.Option(help="A new or empty folder, or an earlier export to replace.")],
    accepted_only: Annotated[
        bool, typer.Option("--accepted-only", help="Only variants that a person accepted.")
    ] = False,
    mix: Annotated[
        float | None, typer.Option(help="Fraction of the exported images that is synthetic; without it, all of both.")
    ] = None,
    image_format: Annotated[
        Literal["png", "jpeg"] | None, typer.Option(help="File type of the variants; default: the source's own.")
    ] = None,
    link: Annotated[
        Literal["hard", "copy"],
        typer.Option(
            help="A hard link saves room, and whatever a trainer changes in place (Ultralytics restores JPEGs and saves"
            " them) changes the run and the source data set too. A copy is safe."
        ),
    ] = "copy",
    balance: Annotated[
        bool, typer.Option("--balance", help="As many variants of every domain as of the rarest.")
    ] = False,
    balance_classes: Annotated[
        bool,
        typer.Option(
            "--balance-classes", help="With --mix: prefer variants that hold rare classes (repeat-factor weights)."
        ),
    ] = False,
    lost: Annotated[
        Literal["paint", "drop-image", "drop-label"],
        typer.Option(
            help="Labels to ignore in a format that cannot say so (YOLO): grey over them in the variant's copy and drop"
            " their line (paint), leave the variant out, or drop the line alone."
        ),
    ] = "paint",
    with_val: Annotated[
        bool, typer.Option("--with-val", help="Copy the data set's held-out splits too, untouched.")
    ] = False,
    unjudged: Annotated[
        Literal["ignore", "train"] | None,
        typer.Option(
            help="Labels that the measure could not judge: ignored in training (default), or left as they are."
        ),
    ] = None,
    unread: Annotated[
        Literal["void", "train"] | None, typer.Option(hidden=True, help="The older spelling of --unjudged.")
    ] = None,
) -> None:
    """A training set with a lock file: real scenes and checked variants, labels carried byte for byte."""
    from s2st_aug.cli.terminal import out as console
    from s2st_aug.export import LOCK, export_run

    summary = export_run(
        run,
        format,
        out,
        accepted_only=accepted_only,
        mix=mix,
        image_format=image_format,
        link=link,
        balance=balance,
        by_class=balance_classes,
        unjudged=unjudged,
        unread=unread,
        lost=lost,
        with_val=with_val,
    )
    told = f"{summary.real} real and {summary.synthetic} synthetic images in {summary.format} form"
    console.print(f"{told}, {summary.files} files: {out}")
    if with_val:
        console.print(f"{summary.held_out} held-out images, as they are")
    for note in summary.notes:
        console.print(f"[yellow]note[/]: {note}")
    console.print(f"hashes, counts and terms of use: {out / LOCK}")
    if summary.losses:
        console.print(f"[yellow]{summary.losses} kinds of things could not be expressed[/]: {out / 'loss_report.json'}")
