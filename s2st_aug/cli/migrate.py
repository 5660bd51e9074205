"""`s2st-aug migrate RUN`: a run folder of an older schema, converted."""

from __future__ import annotations

from typing import Annotated

import typer

from s2st_aug.cli.terminal import out


def migrate(run: Annotated[str, typer.Argument(help="Run folder.")]) -> int:
    """Convert a run folder of an older version; the old files are kept in quarantine/."""
    from s2st_aug.storage.lock import RunLock
    from s2st_aug.storage.migrate import migrate as convert
    from s2st_aug.storage.run_folder import RunFolder

    folder = RunFolder(run)
    folder.raw_run_json()
    with RunLock(folder):
        found, now = convert(folder)
    said = f"schema version {found} is now {now}" if found != now else f"is of schema version {now} already"
    out.print(f"{run}: {said}", markup=False)
    return 0
