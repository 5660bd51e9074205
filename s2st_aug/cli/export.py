"""`s2st-aug export`: a training set with a lock file out of a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from s2st_aug.export import ExportSummary


def complete_format(incomplete: str) -> list[str]:
    """Names for the shell, those of installed packages too."""
    from s2st_aug.formats.registry import format_names

    return [name for name in format_names() if name.startswith(incomplete)]


Run = Annotated[Path, typer.Argument(help="A run folder.")]
Format = Annotated[
    str,
    typer.Option(
        help="bdd100k, cityscapes, coco, yolo, kitti, the data set's own (zod, nuimages, comma10k), one of an installed"
        " package, or package.module:OBJECT.",
        autocompletion=complete_format,
    ),
]
Out = Annotated[Path, typer.Option(help="A new or empty folder, or an earlier export to replace.")]
AcceptedOnly = Annotated[bool, typer.Option("--accepted-only", help="Only variants that a person accepted.")]
Mix = Annotated[
    float | None, typer.Option(help="Fraction of the exported images that is synthetic; without it, all of both.")
]
ImageFormat = Annotated[
    Literal["png", "jpeg"] | None, typer.Option(help="File type of the variants; default: the source's own.")
]
Link = Annotated[
    Literal["copy", "reflink", "hard"],
    typer.Option(
        help="A copy is safe. So is a reflink, which takes no room on a disk that shares blocks (Btrfs, XFS), and is a"
        " copy elsewhere. A hard link saves room, and whatever a trainer changes in place (Ultralytics restores JPEGs"
        " and saves them) changes the run and the source data set too."
    ),
]
Balance = Annotated[bool, typer.Option("--balance", help="As many variants of every domain as of the rarest.")]
BalanceClasses = Annotated[
    bool,
    typer.Option(
        "--balance-classes", help="With --mix: prefer variants that hold rare classes (repeat-factor weights)."
    ),
]
Lost = Annotated[
    Literal["paint", "drop-image", "drop-label"],
    typer.Option(
        help="Labels to ignore in a format that cannot say so (YOLO): grey over them in the variant's copy and drop"
        " their line (paint), leave the variant out, or drop the line alone."
    ),
]
WithVal = Annotated[bool, typer.Option("--with-val", help="Copy the data set's held-out splits too, untouched.")]
Unjudged = Annotated[
    Literal["ignore", "train"] | None,
    typer.Option(help="Labels that the measure could not judge: ignored in training (default), or left as they are."),
]
Unread = Annotated[Literal["void", "train"] | None, typer.Option(hidden=True, help="The older spelling of --unjudged.")]


def export(
    run: Run,
    format: Format,
    out: Out,
    accepted_only: AcceptedOnly = False,
    mix: Mix = None,
    image_format: ImageFormat = None,
    link: Link = "copy",
    balance: Balance = False,
    balance_classes: BalanceClasses = False,
    lost: Lost = "paint",
    with_val: WithVal = False,
    unjudged: Unjudged = None,
    unread: Unread = None,
) -> None:
    """A training set with a lock file: real scenes and checked variants, labels carried byte for byte."""
    from s2st_aug.export import ExportOptions, export_run

    options = ExportOptions(
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
    _tell(export_run(run, format, out, options), with_val=with_val)


def _tell(summary: ExportSummary, *, with_val: bool) -> None:
    """What was written, and what whoever trains has to know."""
    from s2st_aug.cli.terminal import out as console
    from s2st_aug.export import LOCK

    told = f"{summary.real} real and {summary.synthetic} synthetic images in {summary.format} form"
    console.print(f"{told}, {summary.files} files: {summary.out}")
    if with_val:
        console.print(f"{summary.held_out} held-out images, as they are")
    for note in summary.notes:
        console.print(f"[yellow]note[/]: {note}")
    console.print(f"hashes, counts and terms of use: {summary.out / LOCK}")
    if summary.losses:
        report = summary.out / "loss_report.json"
        console.print(f"[yellow]{summary.losses} kinds of things could not be expressed[/]: {report}")
