"""Write a training set from a run folder in any dataset format, with labels byte for byte and a lock file.

The package is callable: `s2st_aug.export(run, "coco", out)` is `export_run`, by the name of the command.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Unpack

from s2st_aug.errors import DatasetError, Stopped, UsageError
from s2st_aug.export.consumers import open_as_consumer, unreadable_sources, write_lists
from s2st_aug.export.context import ExportContext
from s2st_aug.export.convert import export_converted
from s2st_aug.export.lockfile import lock_of
from s2st_aug.export.native import export_native
from s2st_aug.export.options import Choices, ExportOptions, UnjudgedPolicy
from s2st_aug.export.output import LOCK, OutputFolder
from s2st_aug.export.selection import COLUMNS, HELD_OUT, Selection, select
from s2st_aug.formats import Card, DatasetFormat, dataset_card, find_format, format_of, load_card
from s2st_aug.formats.base import ConsumerView
from s2st_aug.formats.loss_report import LossReport
from s2st_aug.formats.names import LONGEST_MARK, shortened
from s2st_aug.storage.decisions import from_table, resolve
from s2st_aug.storage.run_folder import RunFolder

__all__ = ["LOCK", "ExportOptions", "ExportSummary", "UnjudgedPolicy", "export_run", "own_format"]


def own_format(run: RunFolder) -> str:
    """The format of the run's own dataset; `coco` where that cannot be written, or its card is not here."""
    try:
        name = load_card(str(run.run_json().config["dataset"]["format"])).adapter
        return name if find_format(name).native_writer else "coco"
    except DatasetError:
        return "coco"


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What an export contains."""

    out: Path
    format: str
    real: int
    synthetic: int
    files: int
    losses: int  # kinds of things that the format cannot express; loss_report.json lists them
    held_out: int = 0  # real images of other splits, with `with_val`
    notes: tuple[str, ...] = ()  # what whoever trains has to know


def export_run(
    run: Path | str, format: str, out: Path | str, options: ExportOptions | None = None, **more: Unpack[Choices]
) -> ExportSummary:
    """Write a training set with a lock file to `out`: the run's real scenes and its variants.

    `format` is a dataset format by name or as `package.module:OBJECT`. The options are those of `s2st-aug export`, as a
    record, by keyword (`mix=0.5`), or both.

    Raises UsageError before anything is written, CheckFailed where a file is not the one that the run recorded. Two
    exports of one run are the same bytes.
    """
    options, target, out = replace(options or ExportOptions(), **more), find_format(format), Path(out)
    folder = RunFolder(Path(run))
    info = folder.run_json()
    split, root = str(info.config["dataset"].get("split", "train")), Path(info.dataset_root)
    _refuse_source(split, info.dataset_root)
    card, losses = dataset_card(info.config["dataset"]), LossReport()
    _refuse_inside(out, folder.path, root)
    selection = _selected(folder, root, card, target, options, losses)
    settings = options.recorded(target.name, holds_ignored=target.holds_ignored)
    try:
        with OutputFolder(out, options.link) as output:
            context = ExportContext(
                card=card,
                root=root,
                run=folder,
                split=split,
                selection=selection,
                output=output,
                losses=losses,
                options=options,
            )
            view = write_export(context, target)
            output.finish(lock_of(info, context, settings, view))
    except OSError as error:
        raise Stopped(
            f"--out {out}: cannot be written ({error.strerror or error}); nothing was written, the same command"
            " starts anew"
        ) from None
    return _summary(context, target, view)


def _selected(
    folder: RunFolder, root: Path, card: Card, target: DatasetFormat, options: ExportOptions, losses: LossReport
) -> Selection:
    """What goes out of the run; what is left out before anything is written is told."""
    table = folder.read_manifest(COLUMNS)
    selection = select(
        table,
        resolve(from_table(folder.read_decisions())),
        options,
        carries_unsound=target is format_of(card),
        whole_only=options.lost == "drop-image" and not target.holds_ignored,
        unreadable=unreadable_sources(table, root, losses),
    )
    _refuse_images_outside(folder, selection)
    why = "the format has no region to ignore: the whole variant is left out"
    losses.add("variant", why, "--lost drop-image", selection.left_out)
    return selection


def _refuse_images_outside(folder: RunFolder, selection: Selection) -> None:
    """Raises RunFolderError, before anything is written, where an image of the run lies outside of it by a link."""
    looked_at = set[str]()
    for variant in (variant for variants in selection.variants.values() for variant in variants):
        place = variant.image.rpartition("/")[0]
        if place not in looked_at or os.path.islink(f"{folder.path}/{variant.image}"):  # noqa: PTH114 - of a million
            folder.image_file(variant.image)
            looked_at.add(place)


def _summary(context: ExportContext, target: DatasetFormat, view: ConsumerView | None) -> ExportSummary:
    shown, output = Counter(place.source == "real" for place in context.images.values()), context.output
    return ExportSummary(
        output.out,
        target.name,
        real=shown[True],
        synthetic=shown[False],
        files=len(output.sha256),
        losses=len(context.losses),
        held_out=sum(context.held_out.values()),
        notes=(*(view.notes if view else ()), *_notes(context, target, view)),
    )


def _notes(context: ExportContext, target: DatasetFormat, view: ConsumerView | None) -> Iterator[str]:
    """What a trainer would stumble over, in a line each."""
    if view is not None and view.complaints:
        (why, where), more = view.complaints[0], len(view.complaints) - 1
        told = f"{where}: {why}" + (f", and {more} more" if more else "")
        yield f"{target.title}'s loaders would drop or misread labels of the source's own ({told}); loss_report.json"
    for domain, mark in context.marks.items():
        if mark != shortened(target.mark(domain), LONGEST_MARK):
            why = f"a name with `{target.mark(domain)}` is taken, as in a run over an earlier export"
            yield f"variants of {domain} are named `NAME{mark}`: {why}"
    if scaled := context.losses.count("declared size"):
        told = "are carried as they are; an export to another format scales them"
        yield f"labels of {scaled} images declare another size and {told}"
    if context.options.link != "copy" and context.output.copied:
        yield f"--link {context.options.link}: {context.output.copied} files are copies, the disk made no link of them"


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
            f"the run is over split {split!r}: synthetic images never go into a held-out split; export a run of train"
        )
    if not root or not Path(root).is_dir():
        raise UsageError(
            f"the run's source dataset is not at {root or '(unknown)'}; put it back, its labels are read from there"
        )


def _refuse_inside(out: Path, run: Path, root: Path) -> None:
    for name, place in (("run folder", run), ("source dataset", root)):
        if out.resolve().is_relative_to(place.resolve()):
            raise UsageError(f"--out {out}: lies inside the {name} {place}, which an export never changes")
        if place.resolve().is_relative_to(out.resolve()):
            raise UsageError(f"--out {out}: holds the {name} {place}; choose another folder")


class _Callable(ModuleType):
    """This package as the function that has its name."""

    def __call__(
        self, run: Path | str, format: str, out: Path | str, options: ExportOptions | None = None,
        **more: Unpack[Choices],
    ) -> ExportSummary:  # fmt: skip
        """See `export_run`."""
        return export_run(run, format, out, options, **more)


sys.modules[__name__].__class__ = _Callable
