"""`s2st-aug adopt CONFIG --variants DIR`: a run folder from images that any other generator made."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from s2st_aug.cli.augment import print_summary, show_dry_run
from s2st_aug.cli.progress import LogFormat, show_progress
from s2st_aug.cli.terminal import out
from s2st_aug.errors import UsageError


def adopt(
    config: Annotated[Path, typer.Argument(help="YAML file, as for augment: dataset, domains, validation, cluster.")],
    variants: Annotated[Path, typer.Option(help="Folder with the pictures; subfolders are searched too.")],
    pattern: Annotated[
        str,
        typer.Option(help="File names: {scene} is the scene's id or the image's name; `.*` matches any image type."),
    ] = "{scene}__{domain}.png",
    run: Annotated[
        str | None, typer.Option(help="Run folder or s3://... address; default: runs/<config name>.")
    ] = None,
    made_by: Annotated[str, typer.Option(help="Name and version of the generator; stored in every row.")] = "",
    note: Annotated[str, typer.Option(help="Text to store in run.json: prompts, settings, weights.")] = "",
    address: Annotated[
        str | None, typer.Option(help="Address of a Ray cluster; default: start Ray on this machine.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Override a config value: key=value. Repeatable.")
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Only list missing and surplus pictures, and plan; --dry-run=full parses every label."
        ),
    ] = False,
    dry_run_full: Annotated[bool, typer.Option("--dry-run-full", hidden=True)] = False,
    check_sources: Annotated[
        bool,
        typer.Option("--check-sources", help="Compare every source image with the plan; changed ones are done again."),
    ] = False,
    log_format: LogFormat = "text",
) -> int:
    """Check pictures that another generator made; review, report and export work as for any run.

    Nothing is translated. The same command resumes a stopped run.
    """
    if not variants.is_dir():
        raise UsageError(f"--variants: no such folder: {variants}")
    from s2st_aug.engine.adopt import adopt_listed, adopted_config, list_pictures, warn
    from s2st_aug.engine.options import Options

    loaded = adopted_config(config, variants, pattern=pattern, made_by=made_by, note=note, changes=set_ or [])
    place = run or f"runs/{config.stem}"
    listed = list_pictures(loaded)
    warn(listed)
    out.print(
        f"{listed.found} pictures taken, {len(listed.missing)} missing, {len(listed.surplus)} left over", markup=False
    )
    if dry_run or dry_run_full:
        return show_dry_run(loaded, place, full=dry_run_full)
    options = Options(address=address, check_sources=check_sources)
    with show_progress(0, log_format) as watch:
        summary = adopt_listed(loaded, listed, place, replace(options, watch=watch))
    with suppress(KeyboardInterrupt):  # by now a signal changes nothing of how it ended
        print_summary(summary)
    return summary.exit_code
