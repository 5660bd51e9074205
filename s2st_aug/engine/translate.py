"""The translation stage: a batch of planned scenes in, translated pixels out.

Every class of failure has its own answer here:

out of memory         the model is loaded anew and the batch split, as are later ones of its size without a try; their
                      rows are flagged `oom_split`. An image that fits not even alone fails, and the actor is replaced
memory that creeps    the actor is ended before its next batch, and Ray starts another
bad photo or label    a blank slot: the batch keeps its shape, so that the others keep their bytes
exception, NaN        the culprits are found one by one, then the batch runs once more with them blank
a batch that kills    after two lost workers the culprits are found one by one, each announced before it runs
a sick worker         what fails outside of one sample (the mounts, the model, the device, a blank batch too) is the
                      worker's: its batch is given back uncounted, and the process ends before its next one
"""

from __future__ import annotations

import gc
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from s2st_aug.engine.attempts import AVOIDED, DRAINING, Seat, Tracker
from s2st_aug.engine.batches import TranslatedBatch, VariantResult
from s2st_aug.engine.context import RunContext
from s2st_aug.engine.memory_watch import MemoryWatch
from s2st_aug.engine.proof import Proof
from s2st_aug.engine.sources import SourceReader, SourceScene, failure_of, photos_of, reason_of
from s2st_aug.errors import LostWorker, OutOfMemory, SampleError, WorkerFault
from s2st_aug.methods import InTwoParts, Translated, TranslatorLike, find_method
from s2st_aug.records.scene import Scene
from s2st_aug.records.verdicts import Failure
from s2st_aug.storage.plan import PlannedBatch

log = logging.getLogger(__name__)

DRAIN_ASK_SECONDS = 1.0  # a batch that has waited longer for the device asks whether the run drains by now
AVOIDED_SECONDS = 5.0  # between two batches that a worker at a place to avoid gives back
DEVICE_ERRORS = (
    *("CUDA error", "CUDA driver", "CUDA-capable device", "cuDNN error", "CUDNN_STATUS", "CUBLAS_STATUS"),
    *("device-side assert", "NVML", "NCCL error", "uncorrectable ECC", "HIP error", "MPS backend"),
)
AHEAD = 3  # calls for each device: one computes, one is read before it, one is finished after it
CAREFUL_FROM = 3  # the begin of a batch that is suspected of killing its workers


@dataclass(frozen=True, slots=True)
class SceneResult:
    """What became of one scene: by domain a variant or the error in its place; or why it has none at all."""

    variants: Mapping[str, Translated | SampleError]
    failure: Failure | None = None
    oom_split: bool = False


Finish: TypeAlias = Callable[[], list[SceneResult]]
"""what a batch still needs once the device has done its part: a result per scene"""


def translate_scenes(
    translator: TranslatorLike,
    sources: Sequence[SourceScene],
    domains: Sequence[str],
    keys: Sequence[int],
    *,
    labels: bool,
    scenes: Sequence[Scene] | None = None,
) -> Finish:
    """A whole batch at once; scenes that cannot be read are blank in it. What is given back needs no device.

    `labels`: the method is given them; `scenes`: a method that asks which scenes they are is told.
    """
    objects = [s.objects for s in sources] if labels else None
    told: dict[str, Any] = (
        {} if scenes is None else {"scenes": scenes, "orientations": [s.orientation for s in sources]}
    )
    failures = [s.failure for s in sources]
    if isinstance(translator, InTwoParts):
        finish = translator.start(photos_of(sources), domains, objects, keys, **told)
        return lambda: [SceneResult(r, f) for f, r in zip(failures, finish(), strict=True)]
    results = translator.translate(photos_of(sources), domains, objects, keys, **told)
    return lambda: [SceneResult(r, f) for f, r in zip(failures, results, strict=True)]


class TranslateStage:
    """Holds the model; one call is one batch.

    Several threads may call it: one of them has the device, while others read the next batches or finish the last.
    """

    def __init__(
        self,
        context: RunContext,
        tracker: Tracker,
        *,
        device: str = "cpu",
        seat: Seat | None = None,
        proof: Proof | None = None,
    ) -> None:
        self._context, self._tracker, self._device = context, tracker, device
        self._seat = seat or Seat(f"pid-{os.getpid()}")
        self._proof = proof or Proof(context)
        self._sick = False
        self._read = SourceReader(context.config.dataset, context.card)
        self._translator: TranslatorLike | None = None
        self._device_turn = threading.Lock()
        self.inside = 0  # calls under way, as its actor counts them
        self._memory = MemoryWatch(device, int(context.config.cluster.creep_gib * 2**30))
        self._too_much: float = math.inf  # the least load (scenes times pixels of the largest) that did not fit
        self.retire_reason = ""  # why the process that holds this stage should be ended before its next batch

    def __call__(self, batch: PlannedBatch) -> TranslatedBatch:
        """Never raises: what is wrong with the worker itself gives the batch back, with its `fault`."""
        begun = self._tracker.begin(batch.key, self._seat)
        back = TranslatedBatch(batch, self._seat.name, given_back=True, place=self._seat.place)
        if begun == DRAINING:
            return back
        if begun == AVOIDED:
            time.sleep(AVOIDED_SECONDS)
            return replace(back, place="", fault="this node or GPU gets no more work")
        try:
            return self._done(batch, begun) or back
        except WorkerFault as fault:
            if self._sick:  # another batch's fault has been told: this one came too late to be one of its own
                return replace(back, place="", fault=str(fault))
            self._sick, self.retire_reason = True, str(fault)
            log.warning("batch %s is returned undone: %s", batch.key, fault)
            return replace(back, fault=str(fault), certain=fault.certain)

    def _done(self, batch: PlannedBatch, begun: int) -> TranslatedBatch | None:
        """The batch, translated; None where the run drains before its turn. Raises WorkerFault."""
        start = time.monotonic()
        self._proof.show()
        sources = self._sources(batch)
        asked = time.monotonic()
        with self._device_turn:
            waited = time.monotonic() - asked
            if waited > DRAIN_ASK_SECONDS and not self._tracker.begin(f"{batch.key}/turn", self._seat):
                return None
            if self._sick:
                raise WorkerFault("this worker process is being replaced")
            if begun < CAREFUL_FROM:
                finish = self._guarded(batch, sources)
            else:  # a scene that was begun twice alone and never ended is the culprit
                log.warning("batch %s lost its worker more than once; trying its scenes one by one", batch.key)
                finish = self._without_culprits(batch, sources, announce=True)
            if grown := self._memory.after_batch():
                self.retire_reason = f"its memory grew by {grown / 2**30:.1f} GiB (cluster.creep_gib)"
        if waited > DRAIN_ASK_SECONDS:
            self._tracker.end([f"{batch.key}/turn"])
        try:
            results = finish()
        except Exception as error:
            log.warning("batch %s: %s; trying its scenes one by one", batch.key, reason_of(error))
            with self._device_turn:
                results = self._without_culprits(batch, sources)()
        done = _translated(batch, sources, results, self._seat.name, time.monotonic() - start - waited)
        return replace(done, place=self._seat.place)

    def _sources(self, batch: PlannedBatch) -> list[SourceScene]:
        """The batch's scenes; raises WorkerFault where the whole dataset is gone, not this photo or that."""
        sources = [self._read(planned) for planned in batch.scenes]
        failed = next((s.failure for s in sources if s.failure), None)
        if failed and not self._proof.sees_dataset():
            raise WorkerFault(f"this node no longer sees the dataset: {failed.reason}")
        return sources

    def load(self) -> TranslatorLike:
        """The method, ready; the first batch loads it where nobody has asked before."""
        if self._translator is None:
            method = self._context.method
            self._translator = find_method(method.name).load(method, self._device)
        return self._translator

    def _guarded(self, batch: PlannedBatch, sources: list[SourceScene]) -> Finish:
        """A result per scene, whatever happens to its neighbours."""
        if all(s.failure for s in sources):
            return _failed([s.failure for s in sources])
        if len(sources) > 1 and _load(sources) >= self._too_much:
            return self._halves(batch, sources)
        try:
            return self._run(batch, sources)
        except WorkerFault:
            raise
        except Exception as error:
            out_of_memory, reason = is_out_of_memory(error), reason_of(error)
        # from here on the exception is gone, and with it the frames that held the model and its activations
        if out_of_memory:
            return self._split(batch, sources, reason)
        log.warning("batch %s: %s; trying its scenes one by one", batch.key, reason)
        return self._without_culprits(batch, sources)

    def _without_culprits(self, batch: PlannedBatch, sources: list[SourceScene], *, announce: bool = False) -> Finish:
        """Each scene is tried alone; then the batch runs once more, blank where one failed. All of it is done here.

        Raises WorkerFault where a batch without any photo fails too.
        """
        tried = any(not s.failure for s in sources)
        for index, source in enumerate(sources):
            failure = None if source.failure else self._alone(batch, sources, index, announce=announce)
            if failure:
                sources[index] = source.blanked(failure)
        if all(s.failure for s in sources):
            if tried:
                self._run_blank(batch, sources)
            return _failed([s.failure for s in sources])
        try:
            results = self._run(batch, sources)()
        except WorkerFault:
            raise
        except Exception as error:
            return _failed([s.failure or failure_of(error) for s in sources])
        return lambda: results

    def _alone(self, batch: PlannedBatch, sources: list[SourceScene], index: int, *, announce: bool) -> Failure | None:
        """Why this scene cannot be translated, with every other slot blank; None where it can."""
        if announce and self._tracker.begin(f"{batch.key}/{index}", self._seat) > 2:
            return failure_of(LostWorker("the process died each time this image was translated"))
        alone = [s if i == index else s.blanked(s.failure) for i, s in enumerate(sources)]
        try:
            self._run(batch, alone)()
        except WorkerFault:
            raise
        except Exception as error:
            return failure_of(error)
        if announce:
            self._tracker.end([f"{batch.key}/{index}"])
        return None

    def _run_blank(self, batch: PlannedBatch, sources: Sequence[SourceScene]) -> None:
        """A batch without any photo: where it fails as its scenes did, they are not to blame."""
        if self._context.identity.by_scene:
            return  # a method that goes by the scene and not by its pixels has no blank one
        first = next(s.failure.reason for s in sources if s.failure)
        try:
            self._run(batch, sources)()
        except WorkerFault:
            raise
        except Exception as error:
            raise WorkerFault(f"a batch of blank images fails too: {reason_of(error)}; first error: {first}") from error

    def _run(self, batch: PlannedBatch, sources: Sequence[SourceScene]) -> Finish:
        """What the device does of a whole batch, in its planned shape; raises WorkerFault for model and device."""
        try:
            self.load()
        except Exception as error:
            raise WorkerFault(f"the model cannot be loaded: {reason_of(error)}") from error
        try:
            return self._start(batch, sources)
        except Exception as error:
            if is_device_error(error):
                raise WorkerFault(reason_of(error), certain=False) from error
            raise

    def _start(self, batch: PlannedBatch, sources: Sequence[SourceScene]) -> Finish:
        context = self._context
        keys = [context.key(p.scene.scene_id) for p in batch.scenes]
        identity, scenes = context.identity, [p.scene for p in batch.scenes]
        return translate_scenes(
            self.load(),
            sources,
            context.domains,
            keys,
            labels=identity.label_aware,
            scenes=scenes if identity.by_scene else None,
        )

    def _split(self, batch: PlannedBatch, sources: list[SourceScene], reason: str) -> Finish:
        """After memory ran out: halves, down to single scenes; what does not even fit alone fails."""
        log.warning(
            "batch %s of %d: %s; it is split, and so are later batches of its size", batch.key, len(sources), reason
        )
        self._recycle()
        self._too_much = min(self._too_much, _load(sources))
        if len(sources) == 1:
            self.retire_reason = "it ran out of memory"
            return _failed([failure_of(OutOfMemory(reason))])
        return self._halves(batch, sources)

    def _halves(self, batch: PlannedBatch, sources: list[SourceScene]) -> Finish:
        middle = len(sources) // 2
        parts = ((slice(None, middle)), slice(middle, None))
        halves = [(replace(batch, scenes=batch.scenes[p], todo=batch.todo[p]), sources[p]) for p in parts]
        both = [self._guarded(half, part) for half, part in halves]
        return lambda: [replace(result, oom_split=True) for finish in both for result in finish()]

    def _recycle(self) -> None:
        """Drop the model and everything it held; it is loaded anew for the next batch."""
        self._translator = None
        gc.collect()
        if self._device.startswith("cuda"):
            import torch  # slow to start: a worker of a method without a network does without

            torch.cuda.empty_cache()


def _failed(failures: Sequence[Failure | None]) -> Finish:
    return lambda: [SceneResult({}, failure) for failure in failures]


def _load(sources: Sequence[SourceScene]) -> int:
    """What a batch asks of memory: it grows with its scenes and with the pixels of the largest."""
    return len(sources) * max(photo.shape[0] * photo.shape[1] for photo in photos_of(sources))


def is_out_of_memory(error: BaseException) -> bool:
    """CUDA's or the host's, by type and by what drivers write."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "out of memory" in str(error).lower()
    )


def is_device_error(error: BaseException) -> bool:
    """After which a process's device is of no more use, by type and by what drivers write; memory is no such matter."""
    if is_out_of_memory(error):
        return False
    text = str(error)
    return type(error).__name__ == "AcceleratorError" or any(word in text for word in DEVICE_ERRORS)


def _translated(
    batch: PlannedBatch, sources: list[SourceScene], results: list[SceneResult], actor: str, seconds: float
) -> TranslatedBatch:
    """What was planned of it and no more: on a resumed run a scene may lack one domain alone."""
    done = TranslatedBatch(batch, actor, [s.sha256 for s in sources], seconds=seconds)
    each = seconds / max(sum(len(t) for t in batch.todo), 1)
    for scene, (domains, result) in enumerate(zip(batch.todo, results, strict=True)):
        for domain in domains:
            made = result.variants.get(domain)
            failure = result.failure or _failure_in(made, sources[scene], domain)
            if failure or not isinstance(made, Translated):
                done.variants.append(VariantResult(scene, domain, None, failure=failure))
                continue
            done.variants.append(
                VariantResult(
                    scene,
                    domain,
                    image_index=len(done.images),
                    shape=(made.image.shape[0], made.image.shape[1]),
                    inversion_steps=made.inversion_steps,
                    st_iterations=made.st_iterations,
                    to_iterations=made.to_iterations,
                    forward_evals=float(made.forward_evals),
                    backward_evals=float(made.backward_evals),
                    seconds=each,
                    oom_split=result.oom_split,
                    notes=made.notes,
                )
            )
            done.images.append(made.image.tobytes())
            done.raws.append(made.raw.tobytes())
    return done


def _failure_in(made: Translated | SampleError | None, source: SourceScene, domain: str) -> Failure | None:
    """Whatever a method of somebody else's may give; None for an image of the source's size."""
    if isinstance(made, SampleError):
        return failure_of(made)
    if not isinstance(made, Translated):
        return Failure(
            "error", f"BadResult: for {domain} the method returned {type(made).__name__}, expected Translated"
        )
    for image in (made.image, made.raw):
        if image.shape != source.rgb.shape or image.dtype != np.uint8:
            came, wanted = (f"{'x'.join(map(str, a.shape))} {a.dtype}" for a in (image, source.rgb))
            return Failure("error", f"BadResult: for {domain} the method returned {came}, expected {wanted}")
    return None
