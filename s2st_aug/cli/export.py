"""`s2st-aug export`: a training set with a lock file out of a run folder."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class FormatName(StrEnum):
    """The five formats."""

    bdd100k = "bdd100k"
    cityscapes = "cityscapes"
    coco = "coco"
    yolo = "yolo"
    kitti = "kitti"


class ImageName(StrEnum):
    """File types of the synthetic images."""

    png = "png"
    jpeg = "jpeg"


class UnreadName(StrEnum):
    """What becomes of labels that the measure could not judge."""

    void = "void"
    train = "train"


class LinkName(StrEnum):
    """How files come into the export."""

    hard = "hard"
    copy = "copy"


def export(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    format: Annotated[FormatName, typer.Option(help="The format to write.")],
    out: Annotated[Path, typer.Option(help="A new or empty folder, or an earlier export to replace.")],
    accepted_only: Annotated[
        bool, typer.Option("--accepted-only", help="Only variants that a person accepted.")
    ] = False,
    mix: Annotated[
        float | None, typer.Option(help="Fraction of the exported images that is synthetic; without it, all of both.")
    ] = None,
    image_format: Annotated[
        ImageName | None, typer.Option(help="File type of the variants; default: the source's own.")
    ] = None,
    link: Annotated[
        LinkName, typer.Option(help="Hard links save room and share bytes with run and source.")
    ] = LinkName.copy,
    balance: Annotated[
        bool, typer.Option("--balance", help="As many variants of every domain as of the rarest.")
    ] = False,
    balance_classes: Annotated[
        bool,
        typer.Option(
            "--balance-classes", help="With --mix: prefer variants that hold rare classes (repeat-factor weights)."
        ),
    ] = False,
    unread: Annotated[
        UnreadName,
        typer.Option(
            help="Labels that the measure could not judge (verdict ignore): void regions, or left in training."
        ),
    ] = UnreadName.void,
) -> None:
    """A training set with a lock file: real scenes and checked variants, labels carried byte for byte."""
    from s2st_aug.cli.terminal import out as console
    from s2st_aug.export import LOCK, export_run

    summary = export_run(
        run,
        format.value,
        out,
        accepted_only=accepted_only,
        mix=mix,
        image_format=image_format.value if image_format else None,
        link=link.value,
        balance=balance,
        by_class=balance_classes,
        unread=unread.value,
    )
    console.print(
        f"{summary.real} real and {summary.synthetic} synthetic images in {summary.format} form, {summary.files} files: {out}"
    )
    console.print(f"hashes, counts and terms of use: {out / LOCK}")
    if summary.losses:
        console.print(f"[yellow]{summary.losses} kinds of things could not be expressed[/]: {out / 'loss_report.json'}")
