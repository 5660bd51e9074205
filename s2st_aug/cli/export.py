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
        help="bdd100k, cityscapes, coco, yolo, kitti, the dataset's own format (zod, nuimages, comma10k), one of an"
        " installed package, or package.module:OBJECT.",
        autocompletion=complete_format,
    ),
]
Out = Annotated[Path, typer.Option(help="A new or empty folder, or an earlier export to replace.")]
AcceptedOnly = Annotated[bool, typer.Option("--accepted-only", help="Only variants that a reviewer accepted.")]
Mix = Annotated[
    float | None, typer.Option(help="Share of synthetic images, for example 0.3; default: all scenes and all variants.")
]
ImageFormat = Annotated[
    Literal["png", "jpeg"] | None, typer.Option(help="File type of the variants; default: that of the source.")
]
Link = Annotated[
    Literal["copy", "reflink", "hard"],
    typer.Option(
        help="How images get into the export. copy: safe. reflink: as safe, and takes no space on Btrfs and XFS; copies"
        " elsewhere. hard: takes no space, but if a trainer changes an image in place (Ultralytics repairs some JPEGs),"
        " the run or the source dataset changes too."
    ),
]
Balance = Annotated[bool, typer.Option("--balance", help="Take the same number of variants from each domain.")]
BalanceClasses = Annotated[
    bool,
    typer.Option("--balance-classes", help="With --mix: prefer variants with rare classes (repeat-factor weights)."),
]
Lost = Annotated[
    Literal["paint", "drop-image", "drop-label"],
    typer.Option(
        help="What happens to a label to ignore in YOLO, which cannot mark it. paint: its box is grey in the variant's"
        " copy and its line is left out. drop-image: the variant is left out. drop-label: only the line is left out."
    ),
]
WithVal = Annotated[bool, typer.Option("--with-val", help="Also copy the dataset's held-out splits, unchanged.")]
Unjudged = Annotated[
    Literal["ignore", "train", "train-all"] | None,
    typer.Option(
        help="Labels with the verdict ignore. ignore: ignored in training (default). train: trained on, unless the"
        " check saw something that speaks against them (cause dissolved, moved, vanished or signal_changed)."
        " train-all: all are trained on, most objects that the model erased among them."
    ),
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
    """Write a training set of real scenes and checked variants, with your labels byte for byte and a lock file."""
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
