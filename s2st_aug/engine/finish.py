"""The finishing stage: a translated batch is judged, encoded and committed, by a worker whose node can."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace

from s2st_aug.engine.attempts import Seat, Tracker
from s2st_aug.engine.batches import TranslatedBatch
from s2st_aug.engine.commit import CommitResult, CommitStage, nothing_done
from s2st_aug.engine.context import RunContext
from s2st_aug.engine.proof import Proof
from s2st_aug.engine.validate import ValidateStage
from s2st_aug.errors import WorkerFault

log = logging.getLogger(__name__)

AVOIDED_SECONDS = 5.0  # between two batches that are given back where nobody else can finish them


class FinishStage:
    """One call is one batch. A worker that cannot gives its batch back, and is to be replaced.

    After a few such faults its place is avoided: from then on `hand_over`, given a batch and the places to avoid, has
    a worker on another node finish it, so that no translation is lost; None where there is no such worker.
    """

    def __init__(
        self,
        context: RunContext,
        tracker: Tracker,
        *,
        seat: Seat,
        proof: Proof | None = None,
        hand_over: Callable[[TranslatedBatch, list[str]], CommitResult | None] = lambda translated, avoided: None,
    ) -> None:
        self._tracker, self._seat, self._proof = tracker, seat, proof or Proof(context)
        self._validate, self._commit = ValidateStage(context, self._proof), CommitStage(context, self._proof)
        self._hand_over = hand_over
        self.retire_reason = ""  # why the process that holds this stage should be ended before its next batch

    def __call__(self, translated: TranslatedBatch) -> CommitResult:
        """Never raises for a sample, nor for what is wrong with the worker."""
        if translated.given_back:
            return nothing_done(translated)
        avoided = self._tracker.passed(translated.batch.key, self._seat)
        if avoided:
            return self._hand_over(translated, avoided) or self._nobody_can(translated)
        try:
            self._proof.show()
            return replace(self._commit(self._validate(translated)), finished=self._seat.place)
        except WorkerFault as fault:
            log.warning("batch %s is returned undone: %s", translated.batch.key, fault)
            self.retire_reason = str(fault)
            return nothing_done(replace(translated, given_back=True, place=self._seat.place, fault=str(fault)))

    def _nobody_can(self, translated: TranslatedBatch) -> CommitResult:
        time.sleep(AVOIDED_SECONDS)
        return nothing_done(replace(translated, given_back=True, place="", fault="this node or GPU gets no more work"))
