"""The validation stage: a parcel of pixels in, manifest rows and encoded images out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from s2st_aug.engine.batches import Parcel, Slot
from s2st_aug.engine.context import Orders
from s2st_aug.engine.kit import Judge, find_kit
from s2st_aug.engine.sources import Source, SourceReader, reason_of
from s2st_aug.errors import SourceChanged
from s2st_aug.images import encode_jpeg, encode_png, sha256_bytes
from s2st_aug.records.manifest import ManifestRow
from s2st_aug.records.verdicts import Judgement
from s2st_aug.storage.naming import image_name

NOTHING = Judgement("failed", (), (), (), None, None, None)


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A batch ready to be committed: its rows, and the files that the rows speak of."""

    parcel: Parcel
    rows: list[ManifestRow]
    files: dict[str, bytes]


class JudgeStage:
    """Reads each source once more, judges each variant, encodes it. One call is one batch."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._read = SourceReader(orders.config.dataset)
        self._judge: Judge | None = None

    def __call__(self, parcel: Parcel) -> Judged:
        """Never raises for a sample."""
        sources: dict[int, Source] = {}
        rows: list[ManifestRow] = []
        files: dict[str, bytes] = {}
        for slot in parcel.note.slots:
            if slot.picture is not None and slot.scene not in sources:
                sources[slot.scene] = self._source(parcel, slot.scene)
            row, data = self._row(parcel, slot, sources.get(slot.scene))
            rows.append(row)
            if row.image is not None:
                files[row.image] = data
        for planned in parcel.batch.scenes:
            self._read.close(planned)
        return Judged(parcel, rows, files)

    def _source(self, parcel: Parcel, scene: int) -> Source:
        source = self._read(parcel.batch.scenes[scene])
        if source.error is None and source.sha256 != parcel.note.hashes[scene]:
            return replace(
                source,
                error=reason_of(
                    SourceChanged(f"{parcel.batch.scenes[scene].scene.image}: changed while it was translated")
                ),
            )
        return source

    def _row(self, parcel: Parcel, slot: Slot, source: Source | None) -> tuple[ManifestRow, bytes]:
        if slot.picture is None or source is None or source.photo is None or source.error:
            reasons = slot.reasons or ((source.error,) if source and source.error else ())
            return self._base(parcel, replace(slot, picture=None, reasons=reasons), NOTHING), b""
        try:
            image = parcel.picture(slot, raw=False)
            judgement = self._judged(source, image, parcel, slot)
            data = self._encode(image, source)
        except Exception as error:
            return self._base(
                parcel, replace(slot, picture=None, reasons=(*slot.reasons, reason_of(error))), NOTHING
            ), b""
        row = self._base(parcel, slot, judgement)
        scene = parcel.batch.scenes[slot.scene].scene
        name = image_name(slot.domain, scene.scene_id, self._orders.config.run.image_format)
        return replace(
            row, image=name, image_sha256=sha256_bytes(data), width=slot.shape[1], height=slot.shape[0]
        ), data

    def _judged(self, source: Source, image: Any, parcel: Parcel, slot: Slot) -> Judgement:
        if self._judge is None:
            self._judge = find_kit(self._orders.kit).judge(self._orders.config)
        return self._judge(source.rgb, image, parcel.picture(slot, raw=True), source.objects, slot.domain)

    def _encode(self, image: Any, source: Source) -> bytes:
        if self._orders.config.run.image_format == "jpeg":
            return encode_jpeg(image)
        assert source.photo is not None
        return encode_png(image, source.photo.form)

    def _base(self, parcel: Parcel, slot: Slot, judgement: Judgement) -> ManifestRow:
        """A row without its image."""
        orders, planned = self._orders, parcel.batch.scenes[slot.scene]
        scene, source_sha256 = planned.scene, parcel.note.hashes[slot.scene]
        key = scene.label_key
        failed = judgement is NOTHING
        attempt = (f"attempt {parcel.batch.attempt}",) if failed else ()
        return ManifestRow(
            variant_id=orders.variant_id(scene.scene_id, slot.domain, source_sha256, key.sha256 if key else None),
            scene_id=scene.scene_id,
            dataset=scene.dataset,
            split=scene.split,
            domain=slot.domain,
            status=judgement.status,
            reasons=(*slot.reasons, *judgement.reasons, *attempt),
            source_image=scene.image,
            source_sha256=source_sha256,
            image=None,
            image_sha256=None,
            width=None,
            height=None,
            label_file=scene.label_file,
            label_sha256=planned.label_file_sha256,
            label_key=None if key is None else str(key),
            objects=judgement.objects,
            hallucinations=judgement.hallucinations,
            structure=judgement.structure,
            structure_raw=judgement.structure_raw,
            strength=judgement.strength,
            model=orders.config.model,
            model_sha256=orders.model_sha256,
            profile_sha256=orders.profiles[slot.domain],
            plan_sha256=orders.plan_sha256,
            validation_sha256=orders.validation_sha256,
            code_version=orders.code_version,
            rng_key=orders.config.run.rng_key,
            inversion_steps=None if failed else orders.config.method.steps,
            st_iterations=slot.st_iterations,
            to_iterations=slot.to_iterations,
            forward_evals=slot.forward_evals,
            backward_evals=slot.backward_evals,
            seconds=slot.seconds,
            created_at=datetime.now(UTC),
        )
