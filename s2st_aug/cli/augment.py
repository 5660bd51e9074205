"""`s2st-aug augment CONFIG`: the main job, with a progress bar on a terminal and a summary table at its end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from s2st_aug.cli.method_options import ClusterDevice, KitName, MethodName, with_device
from s2st_aug.cli.progress import LogFormat, show_progress
from s2st_aug.cli.terminal import err, out
from s2st_aug.errors import UsageError, counted

if TYPE_CHECKING:
    from s2st_aug.config import AugmentConfig
    from s2st_aug.engine.options import Options, RunSummary
    from s2st_aug.storage import RunFolder
    from s2st_aug.storage.progress import Snapshot

SHOWN_FAILED = 10
"""images that a summary lists"""


def augment(
    config: Annotated[Path, typer.Argument(help="YAML file, as in configs/.")],
    run: Annotated[
        str | None, typer.Option(help="Run folder or s3://... address; default: runs/<config name>.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Address of a Ray cluster; default: start Ray on this machine.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override a config value: key=value, for example run.seed=1. Repeatable."),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Only plan, and estimate time and memory; --dry-run=full also reads every label."
        ),
    ] = False,
    dry_run_full: Annotated[bool, typer.Option("--dry-run-full", hidden=True)] = False,
    check_sources: Annotated[
        bool,
        typer.Option("--check-sources", help="Compare every source image with the plan; changed ones are done again."),
    ] = False,
    extend: Annotated[bool, typer.Option("--extend", help="Add new scenes of the dataset to an existing run.")] = False,
    method: MethodName = None,
    kit: KitName = None,
    device: ClusterDevice = None,
    log_format: LogFormat = "text",
    fiftyone: Annotated[
        str | None,
        typer.Option(
            metavar="DATASET[/VIEW]",
            help="Translate a FiftyOne dataset, or a saved view of it, instead of the config's dataset.",
        ),
    ] = None,
    fiftyone_field: Annotated[
        str | None,
        typer.Option(
            metavar="FIELD", help="Field with the labels; default: ground_truth, or the only field with labels."
        ),
    ] = None,
) -> int:
    """Translate a labelled dataset and check every label; results go to a run folder.

    The same command resumes a stopped run.
    """
    from s2st_aug.config.load import load_config, refuse_unknown_domains

    place = run or f"runs/{config.stem}"
    changes = with_device(set_, device)
    if fiftyone is not None:
        changes = [*curated_dataset(fiftyone, fiftyone_field, place), *changes]
    elif fiftyone_field is not None:
        raise UsageError("--fiftyone-field needs --fiftyone")
    loaded = load_config(config, changes, method=method or kit)
    refuse_unknown_domains(loaded.domains, loaded.method.name)
    tell_earlier_export(loaded.dataset.root)
    if dry_run or dry_run_full:
        return show_dry_run(loaded, place, full=dry_run_full)
    from s2st_aug.engine.options import Options

    options = Options(address=address, extend=extend, check_sources=check_sources)
    return run_and_report(loaded, place, options, log_format)


def curated_dataset(name: str, field: str | None, place: str) -> list[str]:
    """Writes a FiftyOne dataset or view as `<run>-source`; gives the change to the config that reads it."""
    from s2st_aug.review.fiftyone_session import connect

    fo = connect()
    from s2st_aug.review.curated import open_view, write_dataset

    found = write_dataset(open_view(fo, name), place, field)
    labels = f"{found.labels} labels of {found.field}" if found.field else "no labels"
    err.print(f"{name}: {found.images} images and {labels}, as {found.root}", markup=False)
    if found.left_out:
        told = "left out: open or empty lines, or without a class or a place, which COCO cannot hold"
        err.print(f"{counted(found.left_out, 'label')} {told}", markup=False)
    return [f"dataset={json.dumps(found.dataset)}"]


def tell_earlier_export(root: str) -> None:
    """A line where the dataset is an export of ours: its variants are images like any other, and are translated too."""
    from s2st_aug.export.lockfile import variants_in

    if count := variants_in(root):
        err.print(
            f"note: {root} is the export of an earlier run: {counted(count, 'image')} in it are variants, and are"
            " translated as the real images are. For real images alone, set dataset.root to that run's own dataset.",
            markup=False,
        )


def run_and_report(config: AugmentConfig, place: str, options: Options, log_format: str = "text") -> int:
    """Runs and shows progress; prints the table; gives the exit code."""
    from s2st_aug.engine.augment import augment as start

    with show_progress(config.cluster.gpus_per_actor, log_format) as watch:
        summary = start(config, place, replace(options, watch=watch, waiting=watch))
    with suppress(KeyboardInterrupt):  # by now a signal changes nothing of how it ended
        print_summary(summary)
    return summary.exit_code


def show_dry_run(config: AugmentConfig, place: str, *, full: bool) -> int:
    """Counts, cost, disk and label errors; exit code 1 where labels are bad."""
    from s2st_aug.engine.dry_run import dry_run

    if err.is_terminal:
        err.print("planning; then two scenes are translated, where that is quick, to measure the price", markup=False)
    estimate = dry_run(config, full=full, run=place)
    table = Table("dry run", "", title_justify="left")
    for name, value in estimate.lines():
        table.add_row(name, value)
    out.print(table)
    for problem in estimate.problems[:20]:
        err.print(f"  {problem}", markup=False)
    return 1 if estimate.problems else 0


def print_summary(summary: RunSummary) -> None:
    """What was made, where it lies, and the next commands."""
    from s2st_aug.export import own_format
    from s2st_aug.storage import RunFolder

    s = summary.snapshot
    out.print(summary_table(s))
    for name, count in sorted({**s.reasons, **s.failures}.items(), key=lambda item: -item[1])[:8]:
        out.print(f"  {count} x {name}", markup=False)
    if s.failed:
        for line in failed_samples(RunFolder(summary.run)):
            out.print(line, markup=False)
    if summary.stopped:
        err.print(
            f"{summary.stopped}; {s.total - s.done} of {s.total} are left, the same command resumes", markup=False
        )
        return
    if summary.sheet:
        out.print(f"contact sheet: {summary.sheet}", markup=False)
    out.print(f"next: s2st-aug verify {summary.run}", markup=False)
    out.print(f"      s2st-aug review push {summary.run}", markup=False)
    form = own_format(RunFolder(summary.run))
    out.print(f"      s2st-aug export {summary.run} --format {form} --out {summary.run}-export", markup=False)


def failed_samples(run: RunFolder) -> Iterator[str]:
    """A line for each of the first images that failed: in which domains, and why."""
    from s2st_aug.storage.run_folder import FAILED_PART, read_part

    rows = (
        read_part(run.store, FAILED_PART, ["source_image", "domain", "reasons"])
        if run.store.size(FAILED_PART)
        else None
    )
    images: dict[tuple[str, str], list[str]] = {}
    for row in rows.to_pylist() if rows else ():
        images.setdefault((row["source_image"], (row["reasons"] or ["no reason stored"])[0]), []).append(row["domain"])
    for (image, why), domains in sorted(images.items())[:SHOWN_FAILED]:
        yield f"failed: {image} in {', '.join(sorted(domains))}: {why}"
    if len(images) > SHOWN_FAILED:
        yield f"... and {counted(len(images) - SHOWN_FAILED, 'more image')}; `reasons` in the manifest says why"


def summary_table(s: Snapshot) -> Table:
    """Counts and rate of a run."""
    table = Table(*("state", "planned", "accepted", "rejected", "failed", "left", "seconds", "per variant"))
    each = f"{s.busy_seconds / s.done:.2f} s" if s.done else "-"
    values = (s.state, s.total, s.ok, s.rejected, s.failed, s.total - s.done, f"{s.busy_seconds:.0f}", each)
    table.add_row(*map(str, values))
    return table
