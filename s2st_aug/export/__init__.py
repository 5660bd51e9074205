"""Training sets out of a run folder in any dataset format, labels carried byte for byte, a lock file over all of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s2st_aug.errors import Stopped, UsageError
from s2st_aug.export.context import ExportContext
from s2st_aug.export.convert import export_converted
from s2st_aug.export.images import ImageFormat
from s2st_aug.export.lockfile import lock_of
from s2st_aug.export.native import export_native
from s2st_aug.export.output import LOCK, Link, OutputFolder
from s2st_aug.export.selection import COLUMNS, HELD_OUT, UNREAD, UnjudgedPolicy, select, unjudged_policy
from s2st_aug.formats import DatasetFormat, find_format, format_of, load_card
from s2st_aug.storage.decisions import from_table, resolve
from s2st_aug.storage.run_folder import RunFolder

__all__ = ["LOCK", "ExportSummary", "UnjudgedPolicy", "export_run"]


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
    format: str,
    out: Path,
    *,
    accepted_only: bool = False,
    mix: float | None = None,
    image_format: ImageFormat | None = None,
    link: Link = "copy",
    balance: bool = False,
    by_class: bool = False,
    unjudged: UnjudgedPolicy | None = None,
    unread: str | None = None,
) -> ExportSummary:
    """Write a training set with a lock file to `out`: the run's real scenes and its variants.

    `format` is a dataset format by name or as `package.module:OBJECT`. `mix` is the fraction of the exported images
    that are synthetic (None: all of both); `unjudged="train"` leaves labels that the measure could not judge as they
    are, where the default, `"ignore"`, takes them out of training (`unread="void"` and `"train"` are the older
    spelling).

    Raises UsageError before anything is written, CheckFailed where a file is not the one that the run recorded. Two
    exports of one run are the same bytes.
    """
    target, policy = find_format(format), unjudged_policy(unjudged, unread)
    folder = RunFolder(run)
    info = folder.run_json()
    split, root = str(info.config["dataset"].get("split", "train")), Path(info.dataset_root)
    _refuse_source(split, info.dataset_root)
    card = load_card(str(info.config["dataset"]["format"]))
    _refuse_inside(out, folder.path, root)
    decisions = resolve(from_table(folder.read_decisions()))
    table = folder.read_manifest(COLUMNS)
    selection = select(
        table, decisions, accepted_only=accepted_only, mix=mix, balance=balance, by_class=by_class, unjudged=policy
    )
    settings: dict[str, Any] = {"format": target.name, "accepted_only": accepted_only, "mix": mix, "balance": balance}
    settings |= {"image_format": image_format, "unjudged": policy, "unread": UNREAD[policy]}
    settings |= {"balance_classes": True} if by_class else {}
    try:
        with OutputFolder(out, link) as output:
            context = ExportContext(
                card=card,
                root=root,
                run=folder.path,
                split=split,
                selection=selection,
                output=output,
                image_format=image_format,
            )
            write_export(context, target)
            output.finish(lock_of(info, card, split, selection, settings))
    except OSError as error:
        raise Stopped(
            f"--out {out}: cannot be written ({error.strerror or error}); nothing was left there, the same command"
            " starts anew"
        ) from None
    losses = len(context.losses)
    return ExportSummary(out, target.name, len(selection.sources), selection.synthetic, len(output.sha256), losses)


def write_export(context: ExportContext, target: DatasetFormat) -> None:
    """Everything that goes out, as what it is or in another format, and the report of what could not be expressed."""
    source = format_of(context.card)
    try:
        if target is source:
            export_native(context, source)
        else:
            export_converted(context, target)
        context.output.write("loss_report.json", context.losses.as_json(source.name, target.name))
        context.output.settle()
    finally:
        context.transcoding.shutdown(cancel_futures=True)


def _refuse_source(split: str, root: str) -> None:
    """Raises UsageError where the run's source is of a held-out split, or is not there any more."""
    if split in HELD_OUT:
        raise UsageError(
            f"the run is of split {split!r}: synthetic images never go into a split that is held out; export a run of"
            " train"
        )
    if not root or not Path(root).is_dir():
        raise UsageError(
            f"the run's source data set is not at {root or '(unknown)'}; put it back, its labels are read from there"
        )


def _refuse_inside(out: Path, run: Path, root: Path) -> None:
    for name, place in (("run folder", run), ("source data set", root)):
        if out.resolve().is_relative_to(place.resolve()):
            raise UsageError(f"--out {out}: lies inside the {name} {place}, which an export leaves alone")
        if place.resolve().is_relative_to(out.resolve()):
            raise UsageError(f"--out {out}: holds the {name} {place}; choose another folder")
