"""From measures to verdicts: of an object, of an image, and of a whole stored manifest (`rescore`)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace

import pyarrow as pa

from s2st_aug.records.classes import canonical_category, count_categories
from s2st_aug.records.manifest import judgement_of
from s2st_aug.records.scene import LINES
from s2st_aug.records.translated import RESAMPLED
from s2st_aug.records.verdicts import Cause, Gate, Hallucination, Judgement, ObjectVerdict, VerdictKind
from s2st_aug.validation.appearance import SMALLEST
from s2st_aug.validation.patches import STRIP
from s2st_aug.validation.settings import ValidationSettings
from s2st_aug.validation.strength import LEAST_ACCURACY

IN_PLACE = 0.9
"""Structure from which an object stands where it stood: a pole's edges fit as well further along themselves."""
SURE = 0.5
"""Evidence from which an object is there though it kept less than a share of its surroundings' structure."""
AROUND_UNKNOWN = 0.45  # taken where nothing around an object has structure, or an older manifest does not say
DARK = 20.0  # mean L* below which an image without contrast is black, above it washed out
LIGHTS = ("lamp", "signal", "tail_light", "smear", "glow", "overlay")  # kinds of hallucinations that no detector names
UNMEASURED: tuple[Cause, ...] = ("crowd", "unsound", "flat_source", "tiny")
NULL_NOTES = {
    "flat_source": "note: structure is null, the source is too flat to judge",
    "no_discriminant": "note: strength is null, the profile has no discriminant",
    "source_in_target": "note: strength is null, the source already lies in the target domain",
    "accuracy_unknown": "note: strength rejects nothing, its discriminant was never tested elsewhere",
    "accuracy_low": f"note: strength rejects nothing, its discriminant has under {LEAST_ACCURACY:g} accuracy elsewhere",
}
Decided = tuple[VerdictKind, Cause | None, str | None]


def gated(found: Judgement, settings: ValidationSettings, width: int) -> Judgement:
    """The same measures with the verdicts, the status and the reasons that these settings give.

    `width` is the image's, in pixels.
    """
    objects = tuple(decide(item, settings, width) for item in found.objects)
    rejections = [
        *appearance_rejections(found, settings),
        *measure_rejections(found, settings),
        *object_rejections(objects, found.hallucinations, settings),
    ]
    notes = [NULL_NOTES[cause] for cause in (found.strength_null, found.structure_null) if cause]
    return replace(
        found,
        status="rejected" if rejections else "ok",
        objects=objects,
        rejected_by=tuple(gate for gate, _ in rejections),
        reasons=(*(f"{gate}: {why}" for gate, why in rejections), *notes),
    )


def decide(item: ObjectVerdict, settings: ValidationSettings, width: int) -> ObjectVerdict:
    """The verdict that an object's measures and facts give under these settings; `width` is the image's, in pixels."""
    verdict, cause, reason = _decided(item, settings, width)
    return replace(item, verdict=verdict, cause=cause, reason=reason)


def _decided(item: ObjectVerdict, s: ValidationSettings, width: int) -> Decided:
    if item.cause == "unsound":
        return "ignore", "unsound", item.reason
    if item.crowd:
        return "ignore", "crowd", "crowd: never judged"
    if item.kind not in LINES and _shortest(item) < s.min_side_px:
        return "ignore", "tiny", f"tiny: a side below {s.min_side_px:g} px"
    if item.structure is None:
        return "ignore", "flat_source", "flat in the source: too little structure to judge by"
    if item.signal_variant not in (None, item.signal_source):
        return "lost", "signal_changed", f"signal changed: {item.signal_source} became {item.signal_variant}"
    found = _by_structure(item, item.structure, s, width)
    lamps = _by_lamps(item, s, surely=found[1] == "hidden")
    return lamps if lamps and (lamps[0] == "lost" or found[0] == "keep") else found


def _by_lamps(item: ObjectVerdict, s: ValidationSettings, *, surely: bool) -> Decided | None:
    """What other lamps before the detail step make of a signal; None where nothing is against it.

    `surely`: its housing does not show either.
    """
    kept, side = item.signal_kept, _shortest(item)
    if kept is None or kept >= s.least_signal_kept:
        return None
    small, surely = side < s.min_lost_side_px, surely or kept < s.lost_signal_kept
    if small and not surely and side >= s.min_side_px:  # below that, only a class's mask gets here
        return None
    why = f"signal changed: other lamps before the detail step ({kept:.2f} < {s.least_signal_kept:g})"
    return "lost" if surely and item.signal_source and not small else "ignore", "signal_changed", why


def _by_structure(item: ObjectVerdict, structure: float, s: ValidationSettings, width: int) -> Decided:
    least_shift = max(s.max_shift_px, s.max_shift_of_size * _longest(item))
    if item.shift_px is not None and structure < IN_PLACE and item.shift_px >= least_shift:
        # a line that is still there and fits better a strip away met its neighbour
        another = item.kind in LINES and structure >= s.keep_structure and item.shift_px > STRIP
        doubtful = another or item.shift_unsure or _is_small(item, s)
        return "ignore" if doubtful else "lost", "moved", f"moved: by {item.shift_px:.1f} px"
    sure = item.evidence is not None and item.evidence >= SURE
    least = s.least_structure if sure else keep_threshold(item.around, s)
    if structure >= least:
        if item.evidence is not None and item.evidence < s.least_evidence:
            why = f"evidence {item.evidence:.2f} < {s.least_evidence:g}"
            return "ignore", "dissolved", f"not there, or not the same, before the detail step: {why}"
        # without such evidence, what is longer than two latent cells must have had its edges there before the step
        large = item.evidence is None and _longest(item) > 2 * width / s.latent_cells_across
        if large and item.structure_raw is not None and item.structure_raw < s.keep_structure_raw:
            why = f"structure_raw {item.structure_raw:.2f} < {s.keep_structure_raw:g}"
            return "ignore", "dissolved", f"dissolved before the detail step: {why}"
        if item.signal_source and not item.signal_variant:
            return "ignore", "signal_unreadable", f"signal not readable: {item.signal_source} in the source"
        return "keep", None, None
    around = item.around or 0.0
    if structure < s.lost_of_around * around and not _is_small(item, s):
        why = f"structure {structure:.2f} where its surroundings kept {around:.2f}"
        return "lost", "vanished", f"vanished: {why}"
    return "ignore", "hidden", f"too dark or flat: structure {structure:.2f} < {least:.2f}"


def keep_threshold(around: float | None, s: ValidationSettings) -> float:
    """The structure from which an object is there: a share of its surroundings', within bounds."""
    wanted = s.keep_of_around * (AROUND_UNKNOWN if around is None else around)
    return min(max(wanted, s.least_structure), s.keep_structure)


def _is_small(item: ObjectVerdict, s: ValidationSettings) -> bool:
    return item.kind not in LINES and _shortest(item) < s.min_lost_side_px


def _shortest(item: ObjectVerdict) -> float:
    return min(item.bbox[2] - item.bbox[0], item.bbox[3] - item.bbox[1])


def _longest(item: ObjectVerdict) -> float:
    return max(item.bbox[2] - item.bbox[0], item.bbox[3] - item.bbox[1])


def appearance_rejections(found: Judgement, s: ValidationSettings) -> Iterator[tuple[Gate, str]]:
    """Unchanged, merely darkened, black or washed out.

    A measure that a row of schema 1 does not hold rejects nothing.
    """
    if found.change is not None and found.change < SMALLEST:
        yield "identity", f"the variant is the source (mean change {found.change:.2f} levels)"
        return
    tone, most, contrast, least = found.tone_explained, s.max_tone_explained, found.contrast, s.min_contrast
    if tone is not None and most is not None and tone > most:
        yield "darkened", f"one tone curve explains {tone:.1%} of the variant"
    if contrast is not None and least is not None and contrast < least:
        black = found.lightness is not None and found.lightness < DARK
        yield "contrast", f"{'black' if black else 'washed out'}, L* spans {contrast:.1f}"


def measure_rejections(found: Judgement, s: ValidationSettings) -> Iterator[tuple[Gate, str]]:
    """Too little or too much of the target domain, or too little of the source's structure."""
    structure, raw = found.structure, found.structure_raw
    strength = found.strength if found.strength_null is None else None  # what no other photos tested rejects nothing
    if strength is not None and s.min_strength is not None and strength < s.min_strength:
        yield "strength", f"{strength:.2f} < {s.min_strength:g}, hardly translated"
    if strength is not None and s.max_strength is not None and strength > s.max_strength:
        yield "overshoot", f"strength {strength:.2f} > {s.max_strength:g}"
    if structure is not None and s.min_structure is not None and structure < s.min_structure:
        yield "structure", f"{structure:.2f} < {s.min_structure:g}"
    if raw is not None and s.min_structure_raw is not None and raw < s.min_structure_raw:
        yield "structure_raw", f"{raw:.2f} < {s.min_structure_raw:g}"


def object_rejections(
    objects: Sequence[ObjectVerdict], hallucinations: Sequence[Hallucination], s: ValidationSettings
) -> Iterator[tuple[Gate, str]]:
    """An object lost that must not be, too many that cannot be judged, or something that the source does not have."""
    critical = {canonical_category(category) for category in s.critical}
    lost = [o.category for o in objects if o.verdict == "lost" and canonical_category(o.category) in critical]
    if lost:
        yield "lost", count_categories(lost)
    measurable = [o for o in objects if o.cause not in UNMEASURED]
    ignored = sum(o.verdict == "ignore" for o in measurable)
    if measurable and ignored > s.max_ignored * len(measurable):
        allowed = f"at most {s.max_ignored:.0%}"
        yield "ignored", f"{ignored} of {len(measurable)} measurable objects cannot be judged ({allowed})"
    # lights and detections are scored on scales of their own
    lights, others = math.inf if s.max_hallucination is None else s.max_hallucination, s.detector_score
    rejecting = [h for h in hallucinations if h.score >= (lights if h.kind in LIGHTS else others)]
    worst = max(rejecting, key=lambda h: h.score, default=None)
    if worst:
        place = ", ".join(f"{v:.0f}" for v in worst.bbox)
        yield "hallucination", f"{worst.kind} with score {worst.score:.2f} at {place}"


def rescore_rows(table: pa.Table, settings: ValidationSettings, validation_sha256: str | None = None) -> pa.Table:
    """Verdicts, statuses and reasons of a manifest under new settings, from its stored measures alone.

    `failed` rows stay as they are. `validation_sha256`, where given, replaces the column.
    """
    rows = table.to_pylist()
    for row in rows:
        if row["status"] == "failed":
            continue
        found = gated(judgement_of(row), settings, row["width"] or 1)
        split = ("oom_split",) if row["oom_split"] else ()
        split += tuple(reason for reason in row["reasons"] if reason.startswith(RESAMPLED))
        row |= {"status": found.status, "rejected_by": found.rejected_by, "reasons": (*split, *found.reasons)}
        row["objects"] = [asdict(item) for item in found.objects]
        if validation_sha256 is not None:
            row["validation_sha256"] = validation_sha256
    return pa.Table.from_pylist(rows, schema=table.schema)
