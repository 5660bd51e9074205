"""The validation stage: translated pixels in, manifest rows and encoded images out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from s2st_aug.arrays import Image
from s2st_aug.engine.batches import TranslatedBatch, VariantResult
from s2st_aug.engine.context import RunContext
from s2st_aug.engine.proof import Proof
from s2st_aug.engine.sources import SourceReader, SourceScene, failure_of, reason_of
from s2st_aug.errors import SourceChanged, WorkerFault
from s2st_aug.images import encode_jpeg, encode_png, sha256_bytes
from s2st_aug.methods import find_method
from s2st_aug.records.manifest import ManifestRow
from s2st_aug.records.verdicts import Failure, Judge, Judgement
from s2st_aug.storage.naming import image_name

MEASURES = tuple(n for n in Judgement.__slots__ if n not in ("status", "reasons"))


@dataclass(frozen=True, slots=True, eq=False)
class ValidatedBatch:
    """A batch ready to be committed: its rows, and the files that the rows speak of."""

    translated: TranslatedBatch
    rows: list[ManifestRow]
    files: dict[str, bytes]


class ValidateStage:
    """Reads each source once more, judges each variant, encodes it. One call is one batch."""

    def __init__(self, context: RunContext, proof: Proof | None = None) -> None:
        self._context, self._proof = context, proof or Proof(context)
        self._read = SourceReader(context.config.dataset, context.card)
        self._judge: Judge | None = None

    def __call__(self, translated: TranslatedBatch) -> ValidatedBatch:
        """Never raises for a sample; raises WorkerFault for what is wrong with the worker itself."""
        sources: dict[int, SourceScene] = {}
        rows: list[ManifestRow] = []
        files: dict[str, bytes] = {}
        for variant in translated.variants:
            if variant.image_index is not None and variant.scene not in sources:
                sources[variant.scene] = self._source(translated, variant.scene)
                self._load()
            row, data = self._row(translated, variant, sources.get(variant.scene))
            rows.append(row)
            if row.image is not None:
                files[row.image] = data
        return ValidatedBatch(translated, rows, files)

    def _source(self, translated: TranslatedBatch, scene: int) -> SourceScene:
        source, planned = self._read(translated.batch.scenes[scene]), translated.batch.scenes[scene].scene
        if source.failure and not self._proof.sees_dataset():
            raise WorkerFault(f"this node no longer sees the dataset: {source.failure.reason}")
        if source.failure is None and source.sha256 != translated.source_hashes[scene]:
            changed = SourceChanged(f"{planned.image}: changed while it was translated")
            return replace(source, failure=failure_of(changed))
        return source

    def _row(
        self, translated: TranslatedBatch, variant: VariantResult, source: SourceScene | None
    ) -> tuple[ManifestRow, bytes]:
        """A variant's row and the bytes of its image; none of a failed one."""
        failure = variant.failure or (source.failure if source else None)
        if failure or source is None or source.photo is None:
            failure = failure or Failure("error", "the method returned neither pixels nor a reason")
            return self._failed(translated, variant, failure), b""
        file_type = self._context.config.run.image_format
        image, raw = (translated.pixels(variant, raw=raw) for raw in (False, True))
        try:
            judgement = self._load()(source.rgb, image, raw, source.objects, variant.domain)
            data = encode_jpeg(image) if file_type == "jpeg" else encode_png(image, source.photo.form)
        except WorkerFault:
            raise
        except Exception as error:
            self._refuse_if_sick(image, variant.domain, error)
            return self._failed(translated, variant, failure_of(error)), b""
        split = ("oom_split",) if variant.oom_split else ()
        scene = translated.batch.scenes[variant.scene].scene
        return ManifestRow(
            **self._known(translated, variant),
            status=judgement.status,
            reasons=(*split, *variant.notes, *judgement.reasons),
            oom_split=variant.oom_split,
            image=image_name(variant.domain, scene.scene_id, file_type),
            image_sha256=sha256_bytes(data),
            width=variant.shape[1],
            height=variant.shape[0],
            inversion_steps=variant.inversion_steps,
            **{name: getattr(judgement, name) for name in MEASURES},
        ), data

    def _load(self) -> Judge:
        """The method's checks; the first variant loads them. Raises WorkerFault: without them no variant is judged."""
        if self._judge is None:
            method = self._context.method
            try:
                self._judge = find_method(method.name).judge(method)
            except Exception as error:
                raise WorkerFault(f"the checks cannot be loaded: {reason_of(error)}") from error
        return self._judge

    def _refuse_if_sick(self, image: Image, domain: str, first: Exception) -> None:
        """Raises WorkerFault where a picture without anything on it fails too: then no sample is to blame."""
        blank = np.zeros_like(image)
        try:
            self._load()(blank, blank, blank, (), domain)
            encode_png(blank)
        except Exception as error:
            told = f"{reason_of(error)}; first error: {reason_of(first)}"
            raise WorkerFault(f"the checks fail on a blank image too: {told}") from first

    def _failed(self, translated: TranslatedBatch, variant: VariantResult, failure: Failure) -> ManifestRow:
        """A row without a variant; `attempt n` in its reasons is for people, `attempts` for programs."""
        return ManifestRow(
            **self._known(translated, variant),
            status="failed",
            reasons=(failure.reason, f"attempt {translated.batch.attempt}"),
            failure=failure.kind,
        )

    def _known(self, translated: TranslatedBatch, variant: VariantResult) -> dict[str, Any]:
        """The columns that every row has, whatever became of it."""
        context, planned = self._context, translated.batch.scenes[variant.scene]
        scene, source_sha256 = planned.scene, translated.source_hashes[variant.scene]
        key = scene.label_key
        return {
            "variant_id": context.variant_id(
                scene.scene_id, variant.domain, source_sha256, key.sha256 if key else None
            ),
            "scene_id": scene.scene_id,
            "dataset": scene.dataset,
            "split": scene.split,
            "domain": variant.domain,
            "attempts": translated.batch.attempt,
            "source_image": scene.image,
            "source_sha256": source_sha256,
            "label_file": scene.label_file,
            "label_sha256": planned.label_file_sha256,
            "label_key": None if key is None else str(key),
            "method": context.identity.name,
            "method_version": context.identity.version,
            "method_sha256": context.method_sha256,
            "model": context.model,
            "model_sha256": context.identity.model_sha256,
            "profile_sha256": context.identity.profiles[variant.domain],
            "plan_sha256": context.plan_sha256,
            "validation_sha256": context.validation_sha256,
            "code_version": context.code_version,
            "rng_key": context.config.run.rng_key,
            "st_iterations": variant.st_iterations,
            "to_iterations": variant.to_iterations,
            "forward_evals": variant.forward_evals,
            "backward_evals": variant.backward_evals,
            "seconds": variant.seconds,
            "created_at": datetime.now(UTC),
        }
