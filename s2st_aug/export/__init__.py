"""Training sets out of a run folder in any dataset format, labels carried byte for byte, a lock file over all of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from s2st_aug.errors import Stopped, UsageError
from s2st_aug.export.consumers import open_as_consumer, unreadable_sources, write_lists
from s2st_aug.export.context import ExportContext, LostPolicy
from s2st_aug.export.convert import export_converted
from s2st_aug.export.images import ImageFormat
from s2st_aug.export.lockfile import lock_of
from s2st_aug.export.native import export_native
from s2st_aug.export.output import LOCK, Link, OutputFolder
from s2st_aug.export.selection import COLUMNS, HELD_OUT, UNREAD, UnjudgedPolicy, select, unjudged_policy
from s2st_aug.formats import DatasetFormat, dataset_card, find_format, format_of, load_card
from s2st_aug.formats.base import ConsumerView
from s2st_aug.formats.loss_report import LossReport
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
    held_out: int = 0  # real images of other splits, with `with_val`
    notes: tuple[str, ...] = ()  # what whoever trains has to know


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
    lost: LostPolicy = "paint",
    with_val: bool = False,
) -> ExportSummary:
    """Write a training set with a lock file to `out`: the run's real scenes and its variants.

    `format` is a dataset format by name or as `package.module:OBJECT`. `mix` is the fraction of the exported images
    that are synthetic (None: all of both); `unjudged="train"` leaves labels that the measure could not judge as they
    are, where the default, `"ignore"`, takes them out of training (`unread="void"` and `"train"` are the older
    spelling). `lost` says what becomes of such labels in a format that has no region to ignore (YOLO): the box is
    filled grey in the variant's copy, the image is left out, or the label alone is. `with_val` copies the dataset's
    held-out splits untouched.

    Raises UsageError before anything is written, CheckFailed where a file is not the one that the run recorded. Two
    exports of one run are the same bytes.
    """
    target, policy = find_format(format), unjudged_policy(unjudged, unread)
    folder = RunFolder(run)
    info = folder.run_json()
    split, root = str(info.config["dataset"].get("split", "train")), Path(info.dataset_root)
    _refuse_source(split, info.dataset_root)
    card = dataset_card(info.config["dataset"])
    _refuse_inside(out, folder.path, root)
    decisions = resolve(from_table(folder.read_decisions()))
    table = folder.read_manifest(COLUMNS)
    if lost not in get_args(LostPolicy):
        raise UsageError(f"--lost: expected one of {', '.join(get_args(LostPolicy))}, came {lost!r}")
    losses = LossReport()
    selection = select(
        table,
        decisions,
        accepted_only=accepted_only,
        mix=mix,
        balance=balance,
        by_class=by_class,
        unjudged=policy,
        whole_only=lost == "drop-image" and not target.holds_ignored,
        unreadable=unreadable_sources(table, root, losses),
    )
    for variants in selection.variants.values():
        for variant in variants:
            folder.image_file(variant.image)  # one that leads outside is refused before anything is written
    why = "the format has no region to ignore: the whole variant is left out"
    losses.add("variant", why, "--lost drop-image", selection.left_out)
    settings: dict[str, Any] = {"format": target.name, "accepted_only": accepted_only, "mix": mix, "balance": balance}
    settings |= {"image_format": image_format, "unjudged": policy, "unread": UNREAD[policy]}
    settings |= {"balance_classes": True} if by_class else {}
    settings |= {} if target.holds_ignored else {"lost": lost}
    settings |= {"with_val": True} if with_val else {}
    try:
        with OutputFolder(out, link) as output:
            context = ExportContext(
                card=card,
                root=root,
                run=folder,
                split=split,
                selection=selection,
                output=output,
                image_format=image_format,
                losses=losses,
                lost=lost,
                with_val=with_val,
            )
            view = write_export(context, target)
            output.finish(lock_of(info, context, settings, view))
    except OSError as error:
        raise Stopped(
            f"--out {out}: cannot be written ({error.strerror or error}); nothing was left there, the same command"
            " starts anew"
        ) from None
    shown = Counter(place.source == "real" for place in context.images.values())
    return ExportSummary(
        out,
        target.name,
        real=shown[True],
        synthetic=shown[False],
        files=len(output.sha256),
        losses=len(losses),
        held_out=sum(context.held_out.values()),
        notes=tuple(view.notes if view else ()),
    )


def write_export(context: ExportContext, target: DatasetFormat) -> ConsumerView | None:
    """Everything that goes out, as what it is or in another format, opened as its consumers do, and the loss report."""
    source = format_of(context.card)
    native = target is source
    try:
        if native:
            export_native(context, source)
        else:
            export_converted(context, target)
        context.output.settle()
        view = open_as_consumer(
            context, target, context.card if native or target.open_export is None else load_card(target.name)
        )
        write_lists(context)
        context.output.write("loss_report.json", context.losses.as_json(source.name, target.name))
        context.output.settle()
    finally:
        context.transcoding.shutdown(cancel_futures=True)
    return view


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
