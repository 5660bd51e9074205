"""`s2st-aug review`: push a run to FiftyOne, open the App, pull decisions back."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

Run = Annotated[Path, typer.Argument(help="A run folder.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str | None, typer.Option(help="Name of the FiftyOne dataset; default: derived from the run.")]


def push(run: Run, name: Name = None, json: Json = False) -> None:
    """Load a run into FiftyOne as a grouped dataset, or update it there."""
    from s2st_aug.cli.terminal import out, print_json
    from s2st_aug.review.fiftyone_session import prepare
    from s2st_aug.storage import RunFolder

    folder = RunFolder(run)
    folder.run_json()  # no run folder: refused before FiftyOne and its database start
    prepare()
    from s2st_aug.report.evidence import write_overlays
    from s2st_aug.review.push import push as push_run

    write_overlays(folder)  # the pictures that say why, which the panel shows beside a rejected variant
    done = push_run(folder, name=name)
    if json:
        print_json(asdict(done))
        return
    out.print(
        f"{done.dataset}: {done.added} variants added, {done.updated} updated, {done.unchanged} unchanged", markup=False
    )
    if done.without_image:
        out.print(f"{done.without_image} rows have no image (failed) and are not shown", markup=False)
    if done.decisions:
        out.print(f"{done.decisions} decisions kept", markup=False)
    out.print(f"next: s2st-aug review open {run}", markup=False)


def open_app(
    run: Run,
    name: Name = None,
    port: Annotated[int, typer.Option(help="Port of the App.")] = 5151,
    address: Annotated[str, typer.Option(help="Address that the App listens on.")] = "127.0.0.1",
    reviewer: Annotated[str | None, typer.Option(help="Name to store with decisions; default: the login name.")] = None,
    browser: Annotated[bool, typer.Option(help="Open a browser window.")] = True,
) -> None:
    """Open the FiftyOne App on a run; Ctrl-C ends it."""
    from s2st_aug.cli.terminal import out
    from s2st_aug.review.fiftyone_session import prepare
    from s2st_aug.storage import RunFolder

    def announce(url: str) -> None:
        out.print(f"{url}  (Ctrl-C ends the App; then: s2st-aug review pull {run})", markup=False)

    folder = RunFolder(run)
    folder.run_json()
    prepare()
    from s2st_aug.review.app import serve

    serve(folder, name=name, port=port, address=address, reviewer=reviewer, browser=browser, announce=announce)


def close() -> None:
    """Remove the review plugin from FiftyOne; datasets and decisions stay."""
    from s2st_aug.cli.terminal import out
    from s2st_aug.review.fiftyone_session import prepare

    prepare()
    import fiftyone

    from s2st_aug.review.app import remove_plugin

    link = remove_plugin(fiftyone)
    out.print(f"unlinked {link}" if link else "the plugin is not linked: nothing to do", markup=False)


def pull(
    run: Run,
    name: Name = None,
    file: Annotated[
        Path | None, typer.Option(help="File of decisions that the page of `report --review` saved.")
    ] = None,
    json: Json = False,
) -> None:
    """Store decisions in the run folder; pulling twice adds nothing."""
    from s2st_aug.cli.terminal import out, print_json
    from s2st_aug.errors import UsageError, counted
    from s2st_aug.review.pull import pull as pull_run
    from s2st_aug.storage import RunFolder

    if file is not None and name is not None:
        raise UsageError("--name is a dataset in FiftyOne, --file the decisions of a page: give one of them")
    done = pull_run(RunFolder(run), name=name, file=file)
    if json:
        print_json(asdict(done))
        return
    out.print(f"{counted(done.new, 'new decision')}, {done.already_there} already there", markup=False)
    if done.tagged_only:
        what = f"{counted(done.tagged_only, 'sample')} tagged accepted or rejected by hand, which is no decision"
        out.print(f"{what}: press Shift+A or Shift+R on them, or use the panel", markup=False)
    for group in done.conflicts:
        said = ", ".join(f"{d.reviewer}: {d.decision} at {d.time:%Y-%m-%d %H:%M:%S}" for d in group)
        what = f"{group[0].variant_id} {group[0].object_id or ''}"
        out.print(f"reviewers differ on {what}: {said}; the last one holds, ties go to reject", markup=False)
    out.print(
        f"now: {done.accepted} accepted, {done.rejected} rejected, {counted(done.ignored_objects, 'object')} ignored",
        markup=False,
    )
