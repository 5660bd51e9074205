"""What the validity checks say of a variant, of its objects and of what it made up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from s2st_aug.arrays import Box

VerdictKind = Literal["keep", "ignore", "lost"]
Status = Literal["ok", "rejected", "failed"]


@dataclass(frozen=True, slots=True)
class ObjectVerdict:
    """One label's verdict and the measures behind it (docs/reference/run_folder.md#manifest)."""

    object_id: str
    kind: str
    category: str
    bbox: Box
    verdict: VerdictKind
    reason: str | None = None
    structure: float | None = None  # in [-1, 1]
    structure_raw: float | None = None  # before the detail step
    visibility: float | None = None  # contrast over noise
    shift_px: float | None = None


@dataclass(frozen=True, slots=True)
class Hallucination:
    """Structure in the variant where the source has none; score in [0, 1]."""

    bbox: Box
    kind: str  # lamp, signal, tail_light, overlay, or a detector's category
    score: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """All that the checks say of one variant. Rejected is a value, not an exception."""

    status: Status
    reasons: tuple[str, ...]
    objects: tuple[ObjectVerdict, ...]
    hallucinations: tuple[Hallucination, ...]
    structure: float | None
    structure_raw: float | None
    strength: float | None
