"""What passes between the stages through the object store: one Arrow row per batch, pixels as bytes, the rest JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

import numpy as np
import pyarrow as pa

from s2st_aug.arrays import Image
from s2st_aug.records.verdicts import Failure
from s2st_aug.storage.plan import PlannedBatch, batches_to_table, table_to_batches

PIXELS = pa.list_(pa.large_binary())


@dataclass(frozen=True, slots=True)
class VariantResult:
    """One (scene, domain) on its way: which, what it cost, or why it failed.

    `image_index` points into the batch's images.
    """

    scene: int
    domain: str
    image_index: int | None
    shape: tuple[int, int] = (0, 0)  # h, w
    inversion_steps: int | None = None
    st_iterations: int | None = None
    to_iterations: int | None = None
    forward_evals: float | None = None
    backward_evals: float | None = None
    seconds: float | None = None
    failure: Failure | None = None
    oom_split: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class TranslatedBatch:
    """A planned batch with its translated pixels.

    `given_back` means that nothing was computed: because the run drains, or, with a `fault`, because this worker
    cannot; `certain` as in WorkerFault.
    """

    batch: PlannedBatch
    actor: str
    source_hashes: list[str | None] = field(default_factory=list)  # sha256 of each scene's image
    variants: list[VariantResult] = field(default_factory=list)
    images: list[bytes] = field(default_factory=list)
    raws: list[bytes] = field(default_factory=list)
    seconds: float = 0.0
    given_back: bool = False
    place: str = ""
    fault: str = ""
    certain: bool = True

    def pixels(self, variant: VariantResult, *, raw: bool) -> Image:
        """The image of a variant that has one; `raw` is before the detail step."""
        assert variant.image_index is not None
        data = (self.raws if raw else self.images)[variant.image_index]
        return np.frombuffer(data, np.uint8).reshape(*variant.shape, 3)


def pack(batches: Iterable[TranslatedBatch]) -> pa.Table:
    """Translated batches as one Arrow table, one row each."""
    batches = list(batches)
    results = [
        {
            "actor": b.actor,
            "source_hashes": b.source_hashes,
            "variants": [asdict(v) for v in b.variants],
            "seconds": b.seconds,
            "given_back": b.given_back,
            "place": b.place,
            "fault": b.fault,
            "certain": b.certain,
        }
        for b in batches
    ]
    table = batches_to_table(b.batch for b in batches)
    table = table.append_column("results", pa.array([json.dumps(r) for r in results], pa.string()))
    table = table.append_column("images", pa.array([b.images for b in batches], PIXELS))
    return table.append_column("raws", pa.array([b.raws for b in batches], PIXELS))


def unpack(table: pa.Table) -> list[TranslatedBatch]:
    """The inverse of `pack`."""
    columns = (table[name].to_pylist() for name in ("results", "images", "raws"))
    found = []
    for batch, text, images, raws in zip(table_to_batches(table), *columns, strict=True):
        told = json.loads(text)
        variants = [
            VariantResult(
                **{
                    **v,
                    "shape": tuple(v["shape"]),
                    "notes": tuple(v["notes"]),
                    "failure": v["failure"] and Failure(**v["failure"]),
                }
            )
            for v in told.pop("variants")
        ]
        found.append(TranslatedBatch(batch, variants=variants, images=images, raws=raws, **told))
    return found
