"""Training sets out of a run folder: five formats, labels carried byte for byte, a lock file over all of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from s2st_aug.errors import Stopped, UsageError, did_you_mean
from s2st_aug.export.images import ImageFormat
from s2st_aug.export.job import Job
from s2st_aug.export.lockfile import lock_of
from s2st_aug.export.output import LOCK, Link, OutputFolder
from s2st_aug.export.selection import COLUMNS, HELD_OUT, Unread, select
from s2st_aug.formats import Card, load_card
from s2st_aug.storage.decisions import from_table, resolve
from s2st_aug.storage.run_folder import RunFolder

__all__ = ["LOCK", "ExportSummary", "Format", "export_run"]

Format = Literal["bdd100k", "cityscapes", "coco", "yolo", "kitti"]


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What an export holds."""

    out: Path
    format: str
    real: int
    synthetic: int
    files: int
    losses: int  # kinds of things that the format cannot express; loss_report.json lists them


def export_run(
    run: Path,
    format: Format,
    out: Path,
    *,
    accepted_only: bool = False,
    mix: float | None = None,
    image_format: ImageFormat | None = None,
    link: Link = "copy",
    balance: bool = False,
    by_class: bool = False,
    unread: Unread = "void",
) -> ExportSummary:
    """Write a training set with a lock file to `out`: the run's real scenes and its variants.

    `mix` is the fraction of the exported images that are synthetic (None: all of both); `unread="train"` leaves labels that the
    measure could not judge as they are, instead of making them void. Raises UsageError before anything is written,
    CheckFailed where a file is not the one that the run recorded. Two exports of one run are the same bytes.
    """
    if format not in get_args(Format):
        raise UsageError(f"--format {format!r} is none of ours{did_you_mean(format, get_args(Format))}")
    folder = RunFolder(run)
    info = folder.run_json()
    card, split, root = _source(info.config["dataset"], info.dataset_root)
    _refuse_inside(out, folder.path, root)
    decisions = resolve(from_table(folder.read_decisions()))
    table = folder.read_manifest(COLUMNS)
    selection = select(
        table, decisions, accepted_only=accepted_only, mix=mix, balance=balance, by_class=by_class, unread=unread
    )
    settings: dict[str, Any] = {
        "format": format,
        "accepted_only": accepted_only,
        "mix": mix,
        "image_format": image_format,
        "balance": balance,
    }
    settings |= {"unread": unread} | ({"balance_classes": True} if by_class else {})
    try:
        with OutputFolder(out, link) as output:
            job = Job(card, root, folder.path, split, selection, output, image_format)
            job.write(format)
            output.finish(lock_of(info, card, split, selection, settings))
    except OSError as error:
        raise Stopped(
            f"--out {out}: cannot be written ({error.strerror or error}); nothing was left there, the same command starts anew"
        ) from None
    return ExportSummary(out, format, len(selection.sources), selection.synthetic, len(output.sha256), len(job.losses))


def _source(dataset: dict[str, object], root: str) -> tuple[Card, str, Path]:
    split = str(dataset.get("split", "train"))
    if split in HELD_OUT:
        raise UsageError(
            f"the run is of split {split!r}: synthetic images never go into a split that is held out; export a run of train"
        )
    folder = Path(root)
    if not root or not folder.is_dir():
        raise UsageError(
            f"the run's source data set is not at {root or '(unknown)'}; put it back, its labels are read from there"
        )
    return load_card(str(dataset["format"])), split, folder


def _refuse_inside(out: Path, run: Path, root: Path) -> None:
    for name, place in (("run folder", run), ("source data set", root)):
        if out.resolve().is_relative_to(place.resolve()):
            raise UsageError(f"--out {out}: lies inside the {name} {place}, which an export leaves alone")
        if place.resolve().is_relative_to(out.resolve()):
            raise UsageError(f"--out {out}: holds the {name} {place}; choose another folder")
