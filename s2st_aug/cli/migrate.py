"""`s2st-aug migrate RUN`: a run folder of an older schema, brought up to date."""

from __future__ import annotations

from typing import Annotated

import typer

from s2st_aug.cli.terminal import out


def migrate(run: Annotated[str, typer.Argument(help="Run folder.")]) -> int:
    """Bring a run folder of an older schema up to date; its old files are kept in quarantine/."""
    from s2st_aug.storage.lock import RunLock
    from s2st_aug.storage.migrate import migrate as bring
    from s2st_aug.storage.run_folder import RunFolder

    folder = RunFolder(run)
    folder.raw_run_json()
    with RunLock(folder):
        found, now = bring(folder)
    out.print(
        f"{run}: schema version {found} is now {now}" if found != now else f"{run}: is of schema version {now} already",
        markup=False,
    )
    return 0
