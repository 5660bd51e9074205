"""`s2st-aug merge RUN RUN --out RUN`: two runs of one plan, joined."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from s2st_aug.cli.terminal import out as console


def merge(
    runs: Annotated[list[str], typer.Argument(help="Two or more run folders of the same plan.")],
    out: Annotated[str, typer.Option(help="The new run folder.")],
) -> int:
    """Merge run folders of the same plan. A finished row wins over a failed one, then the first folder wins."""
    from contextlib import ExitStack

    from s2st_aug.errors import UsageError
    from s2st_aug.storage.lock import RunLock
    from s2st_aug.storage.merge import merge as join
    from s2st_aug.storage.run_folder import RunFolder
    from s2st_aug.storage.store import is_remote

    if len(runs) < 2:
        raise UsageError(f"merge: expected two run folders or more, got {len(runs)}")
    folders = [RunFolder(place) for place in runs]
    for folder in folders:
        folder.run_json()
    if len({os.path.realpath(folder.place) for folder in folders}) < len(folders):
        raise UsageError(f"merge: expected different run folders, got the same run folder twice: {' '.join(runs)}")
    if not is_remote(out):
        for place in [f.place for f in folders] + [root for f in folders if (root := f.run_json().dataset_root)]:
            if not is_remote(place) and Path(out).resolve().is_relative_to(Path(place).resolve()):
                raise UsageError(
                    f"--out {out}: lies inside {place}, which merge does not change; choose another folder"
                )
    with ExitStack() as locks:
        for folder in folders:
            locks.enter_context(RunLock(folder))
        rows = join(folders, RunFolder(out))
    console.print(f"{rows} rows in {out}; check it: s2st-aug verify {out}", markup=False)
    return 0
