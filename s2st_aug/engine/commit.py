"""The writing stage: images first, flushed; then the batch's rows, which are its commit mark."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import pyarrow as pa

from s2st_aug.engine.context import RunContext
from s2st_aug.engine.validate import ValidatedBatch
from s2st_aug.errors import Stopped
from s2st_aug.records.manifest import rows_to_table
from s2st_aug.storage.run_folder import RunFolder, read_part
from s2st_aug.storage.shards import Shard, commit_shard, replace_shard

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CommitResult:
    """What the driver hears of a batch; `stop` is why the whole run must end, empty otherwise."""

    key: str
    actor: str
    statuses: list[str]
    causes: list[list[str]]  # of each row: what rejected it, or why it failed
    scenes: list[str]
    seconds: float
    given_back: bool = False
    stop: str = ""


class CommitStage:
    """Writes one batch. Two workers may run one batch after a failure: the second finds the mark and leaves things as they are."""

    def __init__(self, context: RunContext) -> None:
        self._run = RunFolder(context.run)

    def __call__(self, validated: ValidatedBatch) -> CommitResult:
        """A full disk is reported, not raised: the driver ends the run in order."""
        translated = validated.translated
        if translated.given_back:
            return CommitResult(translated.batch.key, translated.actor, [], [], [], 0.0, given_back=True)
        try:
            self._write(validated)
        except Stopped as error:
            return CommitResult(translated.batch.key, translated.actor, [], [], [], 0.0, stop=str(error))
        except OSError as error:
            return CommitResult(
                translated.batch.key, translated.actor, [], [], [], 0.0, stop=f"storage fails for good: {error}"
            )
        return _result(validated)

    def _write(self, validated: ValidatedBatch) -> None:
        shard = Shard(validated.translated.batch.key, validated.translated.batch.attempt)
        rows = rows_to_table(validated.rows)
        self._run.store.write_many(validated.files)
        if not commit_shard(self._run.store, shard, rows) and not self._agrees(shard, rows):
            log.warning(
                "batch %s was committed by another worker with other bytes; this one's images stand, so do its rows",
                shard.key,
            )
            replace_shard(self._run.store, shard, rows)

    def _agrees(self, shard: Shard, rows: pa.Table) -> bool:
        """Whether the rows that stand speak of the very images that this worker has just put in place."""
        stands = read_part(self._run.store, shard.name, ["variant_id", "image_sha256"])
        return stands.equals(rows.select(["variant_id", "image_sha256"]))


def _result(validated: ValidatedBatch) -> CommitResult:
    translated, rows = validated.translated, validated.rows
    scenes = sorted({r.scene_id for r in rows})
    return CommitResult(
        translated.batch.key,
        translated.actor,
        [r.status for r in rows],
        [[r.failure] if r.failure else list(r.rejected_by) for r in rows],
        scenes,
        translated.seconds,
    )
