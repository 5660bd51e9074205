"""What passes between the stages through the object store: one Arrow row per batch, pixels as bytes, the rest as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from s2st_aug.arrays import Image
from s2st_aug.storage.plan import PlannedBatch, batches_to_table, table_to_batches

PARCEL = [("note", pa.string()), ("images", pa.list_(pa.large_binary())), ("raws", pa.list_(pa.large_binary()))]


@dataclass(frozen=True, slots=True)
class Slot:
    """One (scene, domain) on its way: which, what it cost, or why it failed. `picture` indexes the parcel's images."""

    scene: int
    domain: str
    picture: int | None
    shape: tuple[int, int] = (0, 0)  # h, w
    st_iterations: int | None = None
    to_iterations: int | None = None
    forward_evals: float | None = None
    backward_evals: float | None = None
    seconds: float | None = None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Note:
    """What the translation stage says of a batch; `given_back` means that nothing was computed."""

    actor: str
    hashes: list[str | None] = field(default_factory=list)  # per scene: the source's sha256
    slots: list[Slot] = field(default_factory=list)
    seconds: float = 0.0
    given_back: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Parcel:
    """A batch with its translated pixels."""

    batch: PlannedBatch
    note: Note
    images: list[bytes]
    raws: list[bytes]

    def picture(self, slot: Slot, *, raw: bool) -> Image:
        """The pixels of a slot that has any."""
        assert slot.picture is not None
        return np.frombuffer((self.raws if raw else self.images)[slot.picture], np.uint8).reshape(*slot.shape, 3)


def pack(parcels: list[Parcel]) -> pa.Table:
    """Parcels as one Arrow table, one row each."""
    table = batches_to_table(p.batch for p in parcels)
    columns: dict[str, list[Any]] = {
        "note": [json.dumps(asdict(p.note)) for p in parcels],
        "images": [p.images for p in parcels],
        "raws": [p.raws for p in parcels],
    }
    for name, kind in PARCEL:
        table = table.append_column(name, pa.array(columns[name], kind))
    return table


def unpack(table: pa.Table) -> list[Parcel]:
    """The inverse of `pack`."""
    notes = [_note(json.loads(text)) for text in table["note"].to_pylist()]
    images, raws = table["images"].to_pylist(), table["raws"].to_pylist()
    return [Parcel(*row) for row in zip(table_to_batches(table), notes, images, raws, strict=True)]


def _note(raw: dict[str, Any]) -> Note:
    slots = [Slot(**{**s, "shape": tuple(s["shape"]), "reasons": tuple(s["reasons"])}) for s in raw["slots"]]
    return Note(**{**raw, "slots": slots})
