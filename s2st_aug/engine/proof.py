"""A worker shows, before it works, that it sees what the driver sees: run folder, dataset, and whatever decides pixels.

A node without the share would else write into a folder that it makes itself, and report success.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from s2st_aug.config.hashes import validation_hash
from s2st_aug.engine.context import RunContext, Witness
from s2st_aug.engine.remote_dataset import open_remote_dataset
from s2st_aug.errors import S2STError, WorkerFault
from s2st_aug.methods import find_method
from s2st_aug.storage.lock import Fence
from s2st_aug.storage.plan import PlannedScene
from s2st_aug.storage.run_folder import RunFolder
from s2st_aug.storage.store import is_remote, mask_uri

WITNESSES = 5
TRUST_SECONDS = 10.0
"""how long a worker writes on after it has seen that its driver holds the run folder, on object stores, where a look
costs two requests; a mount can go at any moment, so there it looks each time"""


def witness_of(root: str, scenes: Sequence[PlannedScene], driver: str) -> Witness:
    """Images that the driver can see right now, of those that are to be translated; `driver` is its lock's token."""
    seen = (s for s in scenes if s.size is not None and _size(root, s.scene.image) == s.size)
    return Witness(driver, tuple((s.scene.image, s.size or 0) for s, _ in zip(seen, range(WITNESSES), strict=False)))


class Proof:
    """One worker's: `show` before it works, `sees_dataset` where it cannot read, `may_write` before it commits."""

    def __init__(self, context: RunContext) -> None:
        self._context, self._patience = context, context.config.cluster.share_seconds
        self._shown = context.witness is None
        self._fence: Fence | None = None
        if context.run and context.witness is not None:
            trust = TRUST_SECONDS if is_remote(context.run) else 0.0
            self._fence = Fence(RunFolder(context.run).store, context.witness.driver, trust)

    def show(self) -> None:
        """Raises WorkerFault where this worker does not see what the driver saw."""
        if self._shown:
            return
        if not self._seen(self.may_write):
            place = mask_uri(self._context.run)
            raise WorkerFault(
                f"{place} on this node is not the driver's run folder (no lock of the driver in it); is it mounted?"
            )
        if not self._seen(self.sees_dataset):
            raise WorkerFault(f"{mask_uri(self._context.config.dataset.root)} on this node is not the driver's dataset")
        self._same_files()
        self._shown = True

    def may_write(self) -> bool:
        """Whether the run folder is here, and still the driver's; raises WorkerFault where storage fails."""
        try:
            return self._fence is None or self._fence.holds()
        except OSError as error:
            raise WorkerFault(f"storage fails after retries: {error}") from error

    def sees_dataset(self) -> bool:
        """Whether any of the driver's images is here, of its size."""
        root, witness = self._context.config.dataset.root, self._context.witness
        files = witness.files if witness else ()
        return not files or any(_size(root, name) == size for name, size in files)

    def _same_files(self) -> None:
        """Whatever decides pixels and verdicts has the driver's hashes here."""
        context = self._context
        try:
            method = find_method(context.method.name)
            here = method.identify(context.method)
            checks = validation_hash(context.method.validation)
        except (S2STError, OSError) as error:
            raise WorkerFault(f"{error}") from None
        there = context.identity
        pairs: dict[str, tuple[Any, Any]] = {
            "the method's version": (here.version, there.version),
            f"the model {context.method.model}": (here.model_sha256, there.model_sha256),
            "the profiles": (dict(here.profiles), dict(there.profiles)),
            "the checks or their detector": (checks, context.validation_sha256),
        }
        told = context.method.settings.model_dump(mode="json", include=set(method.files))
        for name in here.settings.keys() | there.settings.keys():
            ours = here.settings.get(name)
            if name not in told or ours != told[name]:  # not a place, which may be written in another way here
                pairs[f"method.{name}"] = (ours, there.settings.get(name))
        other = sorted(what for what, (mine, yours) in pairs.items() if mine != yours)
        if other:
            raise WorkerFault(f"differs between this node and the driver: {', '.join(other)}")

    def _seen(self, look: Callable[[], bool]) -> bool:
        until = time.monotonic() + self._patience
        while not look():
            if time.monotonic() > until:
                return False
            time.sleep(min(1.0, self._patience / 5))
        return True


def _size(root: str, name: str) -> int | None:
    try:
        return open_remote_dataset(root).size(name) if is_remote(root) else (Path(root) / name).stat().st_size
    except OSError:
        return None
