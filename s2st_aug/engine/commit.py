"""The writing stage: images first, flushed; then the batch's rows, which are its commit mark."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from s2st_aug.engine.batches import TranslatedBatch
from s2st_aug.engine.context import RunContext
from s2st_aug.engine.proof import Proof
from s2st_aug.engine.validate import ValidatedBatch
from s2st_aug.errors import Stopped, WorkerFault
from s2st_aug.records.manifest import rows_to_table
from s2st_aug.storage.placing import place_images
from s2st_aug.storage.run_folder import RunFolder
from s2st_aug.storage.shards import Shard, commit_shard

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CommitResult:
    """What the driver hears of a batch; `stop` is why the whole run must end, empty otherwise.

    A batch that is `given_back` with a `fault` was not done because its worker cannot work; it is no attempt.
    """

    key: str
    actor: str
    statuses: list[str]
    causes: list[list[str]]  # of each row: what rejected it, or why it failed
    scenes: list[str]
    seconds: float
    given_back: bool = False
    stop: str = ""
    place: str = ""  # where it was translated, or could not be done
    finished: str = ""  # where it was judged and committed
    fault: str = ""
    certain: bool = True


def nothing_done(translated: TranslatedBatch) -> CommitResult:
    """Of a batch that is given back, or not committed yet."""
    return CommitResult(
        translated.batch.key,
        translated.actor,
        [],
        [],
        [],
        0.0,
        given_back=translated.given_back,
        place=translated.place,
        fault=translated.fault,
        certain=translated.certain,
    )


class CommitStage:
    """Writes one batch.

    Two workers may run one batch after a failure: the second finds the mark and leaves things as they are.
    """

    def __init__(self, context: RunContext, proof: Proof | None = None) -> None:
        self._run = RunFolder(context.run)
        self._proof = proof or Proof(context)

    def __call__(self, validated: ValidatedBatch) -> CommitResult:
        """A full disk is reported, not raised: the driver ends the run in order.

        Raises WorkerFault where storage fails for good: it may be this node's alone.
        """
        translated, rows = validated.translated, validated.rows
        nothing = nothing_done(translated)
        if translated.given_back:
            return nothing
        self._refuse_another_folder()
        try:
            self._write(validated)
        except Stopped as error:
            return replace(nothing, stop=str(error))
        except OSError as error:
            raise WorkerFault(f"storage fails after retries: {error}") from error
        self._refuse_another_folder()  # a mount that went meanwhile took along what was written
        return replace(
            nothing,
            statuses=[r.status for r in rows],
            causes=[[r.failure] if r.failure else list(r.rejected_by) for r in rows],
            scenes=sorted({r.scene_id for r in rows}),
            seconds=translated.seconds,
        )

    def _refuse_another_folder(self) -> None:
        if not self._proof.may_write():
            raise WorkerFault(
                f"{self._run.place} on this node is not the driver's run folder, or another run took its lock"
            )

    def _write(self, validated: ValidatedBatch) -> None:
        store = self._run.store
        shard = Shard(validated.translated.batch.key, validated.translated.batch.attempt)
        placed = place_images(store, validated.files)
        rows = [r if r.image is None else replace(r, image=placed[r.image]) for r in validated.rows]
        if not commit_shard(store, shard, rows_to_table(rows)):
            log.warning(
                "batch %s had already been committed by another worker; that worker's rows and images are kept",
                shard.key,
            )
