"""The main job: config in, run folder out. Identify, refuse, prepare, run what is left, gather the manifest, sum up."""

from __future__ import annotations

import logging
from pathlib import Path

from s2st_aug.config import AugmentConfig
from s2st_aug.engine.context import identify
from s2st_aug.engine.driver import Driver
from s2st_aug.engine.options import PLAIN_START, Options, RunSummary
from s2st_aug.engine.prepare import PENDING, prepare, with_absolute_root
from s2st_aug.engine.refusals import refuse
from s2st_aug.report.contact_sheet import write_contact_sheet
from s2st_aug.storage.lock import RunLock
from s2st_aug.storage.progress import Progress
from s2st_aug.storage.run_folder import RunFolder
from s2st_aug.storage.shards import gather
from s2st_aug.storage.store import TMP, LocalStore

__all__ = ["Options", "RunSummary", "augment"]

log = logging.getLogger(__name__)


def augment(config: AugmentConfig, run: Path | str, options: Options = PLAIN_START) -> RunSummary:
    """Run or resume; raises UsageError before anything is started, and nothing for a bad sample."""
    folder = RunFolder(run)
    config = with_absolute_root(config)
    identity = identify(config)
    refuse(folder, config, identity, options)
    with RunLock(folder) as lock:
        ready = prepare(config, folder, options, identity, place=str(run))
        stopped = ""
        if ready.pending:
            stopped = Driver(ready.context, options, folder, ready.progress, lock).run(ready.pending)
        return _finish(folder, ready.progress, stopped)


def _finish(folder: RunFolder, progress: Progress, stopped: str) -> RunSummary:
    """The manifest from the shards, then the sheet; the run is finished when progress.json says so."""
    gather(folder)
    torn = () if stopped else folder.store.names(TMP)  # of a worker that was killed while it wrote; now nobody writes
    for name in [*folder.store.names(PENDING), *torn]:
        folder.store.delete(name)
    sheet = "" if stopped else _draw_sheet(folder)
    snapshot = progress.write("stopped" if stopped else "finished", stopped)
    return RunSummary(folder.place, snapshot, stopped, sheet)


def _draw_sheet(folder: RunFolder) -> str:
    """The sheet's path. It is a convenience: whatever is wrong with it is logged and ends nothing."""
    if not isinstance(folder.store, LocalStore):
        return ""
    try:
        return str(write_contact_sheet(folder.path))
    except Exception as error:
        log.warning("no contact sheet: %s", error)
        return ""
