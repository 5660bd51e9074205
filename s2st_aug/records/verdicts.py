"""What the validity checks say of a variant, of its objects and of what it shows that its source does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from s2st_aug.arrays import Box, Image
from s2st_aug.errors import FailureKind
from s2st_aug.records.columns import Column
from s2st_aug.records.scene import ObjectKind, SceneObject, SignalState

VerdictKind = Literal[
    "keep",  # the label is still true
    "ignore",  # too dark, small or flat to judge in the variant
    "lost",  # the source shows it, and the variant shows something else there, moved it or changed a signal's state
]
Status = Literal[
    "ok",  # a variant that passed every check
    "rejected",  # a variant that a check rejected; its image is kept
    "failed",  # there is no variant
]

Cause = Literal[
    "crowd",  # a region of several objects: never judged
    "unsound",  # a label that cannot be trusted: no class, broken, or outside of the image
    "tiny",  # too small to judge
    "flat_source",  # the source shows too little structure to judge by
    "signal_changed",  # the lit lamp has another colour
    "signal_unreadable",  # the source's lamp can be read, the variant's cannot
    "moved",  # it stands elsewhere
    "vanished",  # gone where its surroundings were kept
    "dissolved",  # not there, or not the same, before the detail step
    "hidden",  # too dark or flat in the variant to judge
]
"""Why an object is not `keep`."""

TELLING_FROM_PX = 16
"""Of an object with a side below so many source pixels, a verdict says little: docs/measured/faults.md, by size."""

Gate = Literal[
    "identity",  # the variant is the source: its pixels differ by less than 1.5 levels on average
    "darkened",  # merely a tone curve of the source: more than `max_tone_explained`
    "contrast",  # black or washed out: less than `min_contrast`
    "strength",  # hardly translated: below `min_strength`
    "overshoot",  # translated too far: above `max_strength`
    "structure",  # the street is no longer that of the source: below `min_structure`
    "structure_raw",  # the same before the detail step: below `min_structure_raw`
    "lost",  # an object of a category in `critical` is lost
    "ignored",  # a greater share of the measurable objects than `max_ignored` cannot be judged
    "hallucination",  # a light or a detection that the source lacks: from `max_hallucination` or `detector_score` on
]
"""What rejects an image."""

StructureNull = Literal[
    "flat_source",  # the source shows too little structure to compare with
]
"""Why the image's structure is null."""

StrengthNull = Literal[
    "no_discriminant",  # the profile has none
    "source_in_target",  # the source lies nearer to the target domain than to its own
    "accuracy_unknown",  # measured, but the discriminant was never tested on other photos
    "accuracy_low",  # measured, but on other photos it hardly tells the domains apart
]
"""Why strength is null, or why it was measured and rejects nothing."""


@dataclass(frozen=True, slots=True)
class ObjectVerdict:
    """One label's verdict and the measures and facts behind it; `decide` needs nothing else."""

    object_id: Annotated[str, Column("the label record's own id, made unique within the scene where needed")]
    kind: Annotated[ObjectKind, Column("what the label draws; `stuff` is one entry per class")]
    category: Annotated[str, Column("the dataset's own name of the class")]
    bbox: Annotated[Box, Column("x1, y1, x2, y2 of the label, unchanged", "source pixels, x2 and y2 exclusive")]
    verdict: Annotated[VerdictKind, Column("whether the label is still true in the variant; says little below 16 px")]
    reason: Annotated[str | None, Column("why, for people; nothing reads it", null="verdict is keep")] = None
    structure: Annotated[
        float | None,
        Column("do its edges run where and as the source's do", "[-1, 1]", "the source is too flat to judge by"),
    ] = None
    structure_raw: Annotated[float | None, Column("structure before the detail step", "[-1, 1]", "as structure")] = None
    visibility: Annotated[
        float | None, Column("colour contrast to its surroundings over their noise", ">= 0", "lines and stuff")
    ] = None
    shift_px: Annotated[
        float | None, Column("how far the place lies where it fits best", "source pixels", "as structure")
    ] = None
    cause: Annotated[Cause | None, Column("why, as one word", null="verdict is keep")] = None
    around: Annotated[
        float | None,
        Column(
            "structure of what surrounds it, to two decimals", "[-1, 1]",
            "nothing around it has structure, structure is null, or it needs no comparison (structure of 0.7 and more)",
        ),
    ] = None  # fmt: skip
    shift_unsure: Annotated[bool, Column("whether the best place may be another object's")] = False
    crowd: Annotated[bool, Column("whether the label is a region of several objects, which is never judged")] = False
    signal_source: Annotated[
        SignalState | None,
        Column("the lit lamp in the source", null="no traffic light, not readable, or at odds with the label"),
    ] = None
    signal_variant: Annotated[
        SignalState | None, Column("the lit lamp in the variant", null="signal_source is null, or not readable")
    ] = None
    evidence: Annotated[
        float | None,
        Column(
            "how surely it was there before the detail step, as the source has it", "[0, 1]",
            "no detail step, lines and stuff, or the source is too flat",
        ),
    ] = None  # fmt: skip
    signal_kept: Annotated[
        float | None,
        Column(
            "how surely the lamps of an upright signal, and no other, shine before the detail step", "[0, 1]",
            "no upright traffic light, or no lamp lit in the source",
        ),
    ] = None  # fmt: skip


@dataclass(frozen=True, slots=True)
class Hallucination:
    """Structure in the variant where the source has none."""

    bbox: Annotated[Box, Column("x1, y1, x2, y2", "source pixels, x2 and y2 exclusive")]
    kind: Annotated[str, Column("lamp, signal, tail_light, overlay, or a detector's category")]
    score: Annotated[float, Column("how sure", "[0, 1]")]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the checks say about one variant: the measures, and the verdicts that follow from the thresholds.

    Rejected is a value, no exception. `change`, `tone_explained`, `contrast` and `lightness` are None in rows of
    schema 1 that were not rejected for them.
    """

    status: Status
    reasons: tuple[str, ...]
    objects: tuple[ObjectVerdict, ...]
    hallucinations: tuple[Hallucination, ...]
    structure: float | None
    structure_raw: float | None
    strength: float | None
    rejected_by: tuple[Gate, ...] = ()
    structure_null: StructureNull | None = None  # why structure is None
    strength_null: StrengthNull | None = None
    change: float | None = None  # mean absolute difference to the source, in levels
    tone_explained: float | None = None  # share of the luma that one tone curve of the source explains
    contrast: float | None = None  # 5-95 % range of L*
    lightness: float | None = None  # mean L*


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a sample has no variant: a word for programs and a sentence for people."""

    kind: FailureKind
    reason: str


Judge = Callable[[Image, Image, Image, Sequence[SceneObject], str], Judgement]
"""(source, variant, raw, objects, domain) -> Judgement; the images are `h w 3` uint8 of one size"""
