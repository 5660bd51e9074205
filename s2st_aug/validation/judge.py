"""One variant against its source: every measure, every verdict, and whether the image may be used."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from s2st_aug.arrays import Box, Image
from s2st_aug.errors import UsageError
from s2st_aug.records.classes import canonical_category
from s2st_aug.records.profile import Discriminant, DomainProfile
from s2st_aug.records.scene import LINES, SceneObject
from s2st_aug.records.verdicts import Judgement, ObjectVerdict, StrengthNull
from s2st_aug.validation import gates
from s2st_aug.validation.appearance import appearance
from s2st_aug.validation.detectors import Detector, PairDetector, hallucinated_objects, load_detector
from s2st_aug.validation.evidence import WIDTH, Coarse, coarse, coarse_rgb, evidence
from s2st_aug.validation.gradients import empty_gradients
from s2st_aug.validation.hallucinations import hallucinated_lights
from s2st_aug.validation.lamps import lamps_kept
from s2st_aug.validation.objects import Measures, measure
from s2st_aug.validation.patches import Frame, frame, in_front, raw_frame, small_copy
from s2st_aug.validation.settings import ValidationSettings
from s2st_aug.validation.signals import is_lit, signal_state
from s2st_aug.validation.strength import position, strength_between, ungated
from s2st_aug.validation.structure import structures_of

LISTED = 0.5  # of the score that rejects, from which a detection is listed, and known where the source has it
MOST_DOUBTED = 0.7  # structure from which no setting of keep_structure doubts an object
SAME_PLACE = 0.6  # of an object's shorter side that it may have moved and still surely be the same one
SURE_PLACE = 0.6  # structure at another place from which an object surely stands there
SPARSE = 64  # rows apart that two images are compared at first

_kept = threading.local()


def judge(
    source: np.ndarray,
    variant: np.ndarray,
    raw: np.ndarray,
    objects: Sequence[SceneObject],
    profile: DomainProfile | None,
    settings: ValidationSettings,
    *,
    detector: Detector | PairDetector | None = None,
) -> Judgement:
    """Judge a variant; `raw` is the variant before the detail step (the variant itself where there is none).

    A `detector` given here goes before the one that the settings name.

    Raises UsageError where the three images differ in size or are no RGB images; nothing else about the images or
    labels raises. NaN never leaves: a measure that cannot be taken is None, and its `_null` field says why.
    """
    if len({source.shape, variant.shape, raw.shape}) > 1 or source.shape[2:] != (3,) or not source.size:
        shapes = ", ".join("x".join(map(str, i.shape)) for i in (source, variant, raw))
        raise UsageError(f"source, variant and raw must be RGB images of one size; got {shapes}")
    frames = _frames(source, variant, raw)
    whole, before = (_finite(v) for v in structures_of(frames[0].gradients, [f.gradients for f in frames[1:]]))
    small = small_copy(frames[0]), small_copy(frames[1])
    strength, strength_null = _strength(small[0], small[1], profile.discriminant if profile else None)
    painted = None if frames[2] is frames[1] else (coarse(source), coarse(raw))
    fronts = in_front(objects)
    sure = _evidence(objects, fronts, *painted, source.shape[1]) if painted else {}
    shine = _signals_kept(objects, source, raw, painted)
    verdicts = tuple(
        _object(item, frames, (sure.get(n), shine.get(n)), settings, front)
        for n, (item, front) in enumerate(zip(objects, fronts, strict=True))
    )
    found = hallucinated_lights(frames[0], frames[1], objects)
    if detector is None and settings.detector:
        detector = load_detector(settings.detector, LISTED * settings.detector_score)
    if detector:
        found += hallucinated_objects(detector, source, variant, raw, objects)
    seen = appearance(*small)
    measures = Judgement(
        "ok", (), verdicts, found, whole, before, strength,
        structure_null="flat_source" if whole is None else None, strength_null=strength_null,
        change=seen.change, tone_explained=seen.tone_explained, contrast=seen.contrast, lightness=seen.light,
    )  # fmt: skip
    return gates.gated(measures, settings, source.shape[1])


def _frames(source: Image, variant: Image, raw: Image) -> tuple[Frame, Frame, Frame]:
    """The three images with their gradients.

    They are written into memory that this thread keeps for images of that size: fresh pages cost as much as filters.
    """
    if getattr(_kept, "shape", None) != source.shape:
        _kept.shape, _kept.rooms = source.shape, tuple(empty_gradients(source.shape) for _ in range(3))
    a, b = frame(source, _kept.rooms[0]), frame(variant, _kept.rooms[1])
    same = raw is variant or (np.array_equal(raw[::SPARSE], variant[::SPARSE]) and np.array_equal(raw, variant))
    return a, b, b if same else raw_frame(raw, _kept.rooms[2])


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _strength(
    source: Image, variant: Image, discriminant: Discriminant | None
) -> tuple[float | None, StrengthNull | None]:
    if discriminant is None:
        return None, "no_discriminant"
    value = _finite(strength_between(position(source, discriminant), position(variant, discriminant), discriminant))
    return value, "source_in_target" if value is None else ungated(discriminant)


def _evidence(
    objects: Sequence[SceneObject], fronts: Sequence[Sequence[Box]], source: Coarse, raw: Coarse, width: int
) -> dict[int, float | None]:
    """Evidence before the detail step, by the number of an object, of those that have any: no lines, none unsound."""
    some = [n for n, item in enumerate(objects) if item.unsound is None and item.kind not in LINES]
    found = evidence([objects[n] for n in some], [fronts[n] for n in some], source, raw, width)
    return dict(zip(some, found, strict=True))


def _signals_kept(
    objects: Sequence[SceneObject], source: Image, raw: Image, painted: tuple[Coarse, Coarse] | None
) -> dict[int, float]:
    """How surely the lamps of signals shone before the detail step, by the number of an object, of upright lit ones."""
    lit = {
        n: item.bbox
        for n, item in enumerate(objects)
        if canonical_category(item.category) == "traffic light" and item.unsound is None and is_lit(source, item.bbox)
    }
    if not lit:
        return {}
    two = (painted[0].rgb, painted[1].rgb) if painted else (coarse_rgb(source), coarse_rgb(raw))
    k = WIDTH / source.shape[1]
    return {n: lamps_kept(*two, (x1 * k, y1 * k, x2 * k, y2 * k)) for n, (x1, y1, x2, y2) in lit.items()}


def _object(
    item: SceneObject,
    frames: tuple[Frame, Frame, Frame],
    before: tuple[float | None, float | None],
    settings: ValidationSettings,
    front: Sequence[Box],
) -> ObjectVerdict:
    """An object's measures and facts; its verdict is `keep` until `gates.decide` has seen them.

    `before` the detail step: its evidence, and how surely its lamps shone.
    """
    if item.unsound is not None:
        told = f"unsound: {item.unsound}"
        return ObjectVerdict(
            item.object_id, item.kind, item.category, item.bbox, "ignore", told, cause="unsound", crowd=item.crowd
        )
    found = measure(item, *frames, front)
    measures = _finite(found.structure), _finite(found.structure_raw), _finite(found.visibility)
    verdict = ObjectVerdict(
        item.object_id,
        item.kind,
        item.category,
        item.bbox,
        "keep",
        None,
        *measures,
        _shift(found, settings),
        crowd=item.crowd,
    )
    if found.structure is None:
        return verdict
    was = now = None
    sure, kept = before
    if canonical_category(item.category) == "traffic light":
        was = signal_state(frames[0].image, item.bbox)
        if item.signal and was != item.signal:
            was = None  # at odds with the label
        now = signal_state(frames[1].image, item.bbox) if was else None
    # where the best place hardly overlaps the object's own, it may well be another one of its kind
    shortest = min(item.bbox[2] - item.bbox[0], item.bbox[3] - item.bbox[1])
    beside = item.kind not in LINES and (found.shift_px or 0.0) > SAME_PLACE * shortest
    doubted = found.around is not None and found.structure < MOST_DOUBTED
    return replace(
        verdict,
        around=float(f"{found.around:.2f}") if doubted else None,
        shift_unsure=found.structure + found.shift_gain < SURE_PLACE or beside,
        signal_source=was,
        signal_variant=now,
        evidence=_rounded(sure),
        signal_kept=_rounded(kept),
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.3f}")


def _shift(found: Measures, settings: ValidationSettings) -> float | None:
    """The distance of the best place; 0 where a far place fits hardly better or not well itself."""
    if found.shift_px is None:
        return None
    there = (found.structure or 0.0) + found.shift_gain
    far = not found.near and found.shift_gain < settings.shift_gain
    return 0.0 if far or there < settings.shift_structure else _finite(found.shift_px)
