"""The main job: config in, run folder out. Identify, refuse, prepare, run what is left, gather the manifest, sum up."""

from __future__ import annotations

import logging
from pathlib import Path

from s2st_aug.config import AugmentConfig
from s2st_aug.engine.context import identify
from s2st_aug.engine.drain import Drain
from s2st_aug.engine.driver import Driver
from s2st_aug.engine.options import PLAIN_START, Options, RunSummary
from s2st_aug.engine.prepare import Prepared, prepare, with_absolute_root
from s2st_aug.engine.refusals import refuse, refuse_place
from s2st_aug.errors import LockLost, counted
from s2st_aug.report.contact_sheet import write_contact_sheet
from s2st_aug.storage.lock import RunLock
from s2st_aug.storage.reconcile import Books, count_books, reconcile
from s2st_aug.storage.run_folder import RunFolder
from s2st_aug.storage.shards import gather
from s2st_aug.storage.store import STORAGE_FAILS, TMP, LocalStore, storage_stopped

__all__ = ["Options", "RunSummary", "augment"]

log = logging.getLogger(__name__)


def augment(config: AugmentConfig, run: Path | str, options: Options = PLAIN_START) -> RunSummary:
    """Run or resume; raises UsageError before anything is started, and nothing for a bad sample.

    Raises Stopped where the run folder's storage fails for good.
    """
    folder = RunFolder(run)
    config = with_absolute_root(config)
    refuse_place(folder, config)  # before the model is hashed: that may take a while
    identity = identify(config)
    refuse(folder, config, identity, options)
    try:
        with RunLock(folder) as lock:
            ready = prepare(config, folder, options, identity, place=str(run), lock=lock)
            return _driven(folder, ready, options, lock)
    except OSError as error:
        if error.errno in STORAGE_FAILS:
            raise storage_stopped(folder.place, error) from error
        raise


def _driven(folder: RunFolder, ready: Prepared, options: Options, lock: RunLock) -> RunSummary:
    """What is left is computed, and the run summed up; from here on whatever storage does is no wrong usage."""
    try:
        stopped = ""
        with Drain() as drain:
            if ready.pending:
                stopped = Driver(ready.context, options, folder, ready.progress, lock, drain).run(ready.pending)
            drain.listen()  # a signal from here on ends nothing that is quicker to finish
            return _finish(folder, ready, stopped)
    except LockLost as lost:
        return RunSummary(folder.place, ready.progress.snapshot("stopped", str(lost)), str(lost))
    except OSError as error:
        raise storage_stopped(folder.place, error) from error


def _finish(folder: RunFolder, ready: Prepared, stopped: str) -> RunSummary:
    """The manifest from the shards, what it holds against what was planned, then the sheet.

    The run is finished when the folder says so; receipts of workers whose folder was another one count for nothing,
    nor does a stop that came after the last commit.
    """
    gather(folder)
    if stopped and _is_all_done(folder, ready):
        log.info("%s, when nothing was left to do", stopped)
        stopped = ""
    torn = () if stopped else folder.store.names(TMP)  # of a worker that was killed while it wrote; now nobody writes
    folder.store.delete_many([*ready.pending, *torn])
    books = count_books(folder) if stopped else reconcile(folder)
    if not stopped:
        stopped = _shortfall(folder, books)
    ready.progress.settle(books.ok, books.rejected, books.failed, retried=bool(stopped))
    sheet = "" if stopped else _draw_sheet(folder)
    snapshot = ready.progress.write("stopped" if stopped else "finished", stopped)
    return RunSummary(folder.place, snapshot, stopped, sheet)


def _is_all_done(folder: RunFolder, ready: Prepared) -> bool:
    """Whether every planned variant has its row, and no failed one waits for the attempt of this start."""
    books = count_books(folder)
    ready.progress.settle(books.ok, books.rejected, books.failed, retried=True)
    shown = ready.progress.snapshot("stopped")
    return books.complete and shown.done == shown.total


def _shortfall(folder: RunFolder, books: Books) -> str:
    """Why a run whose batches have all come back is not finished; empty where it is."""
    if books.swept:
        log.warning("moved %s without a manifest row to quarantine/", counted(books.swept, "image"))
    if books.doubled:
        remedy = f"`s2st-aug verify {folder.place} --repair` moves them to quarantine/"
        return f"{folder.place}: {counted(books.doubled, 'duplicate or unplanned row')}; {remedy}"
    if books.absent:
        images = (
            f" ({books.without_image} of them with a row, but without an image file)" if books.without_image else ""
        )
        return (
            f"{folder.place}: {books.absent} of {books.planned} variants are missing from the run folder, although "
            f"workers wrote them{images}; does every node see the same folder under this path?"
        )
    return ""


def _draw_sheet(folder: RunFolder) -> str:
    """The sheet's path. It is a convenience: whatever is wrong with it is logged and ends nothing."""
    if not isinstance(folder.store, LocalStore):
        return ""
    try:
        return str(write_contact_sheet(folder.path))
    except Exception as error:
        log.warning("the contact sheet could not be drawn: %s", error)
        return ""
