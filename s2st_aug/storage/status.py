"""How far a run is, from its files alone: progress.json and the lock, nothing else is read."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from s2st_aug.storage.lock import is_live, read_holder
from s2st_aug.storage.progress import read_snapshot
from s2st_aug.storage.run_folder import RunFolder


def report_of(place: str) -> dict[str, Any]:
    """The snapshot with what follows from it; a `running` state without a living holder of the lock is `interrupted`."""
    folder = RunFolder(place)
    folder.raw_run_json()
    snapshot = read_snapshot(folder)
    holder = read_holder(folder)
    running = holder is not None and is_live(holder)
    state = "interrupted" if snapshot.state == "running" and not running else snapshot.state
    eta = snapshot.eta_seconds if running else None
    return {
        **asdict(snapshot),
        "state": state,
        "done": snapshot.done,
        "left": snapshot.total - snapshot.done,
        "eta_seconds": eta,
    }
