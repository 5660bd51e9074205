"""One planted fault, or none, and all that the checks measured of it: every rate and curve comes from these."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

import s2st_aug
from benchmarks.fault_cases import CONTROL, LEAST_SIDE, Picture, lab, side_of
from benchmarks.fault_emission import Emission, Emitted
from benchmarks.fault_scenes import SCENE_FAULTS
from benchmarks.planted_faults import LIGHT_FAULTS, PAINTED_FAULTS, WHOLE_FAULTS
from s2st_aug.arrays import Box, Image
from s2st_aug.images import resize, to_uint8
from s2st_aug.profiles.store import load_profile
from s2st_aug.records.profile import DomainProfile
from s2st_aug.records.verdicts import Hallucination, Judgement, ObjectVerdict
from s2st_aug.validation import gates
from s2st_aug.validation.appearance import appearance
from s2st_aug.validation.detectors import Detector, PairDetector, hallucinated_objects
from s2st_aug.validation.judge import judge
from s2st_aug.validation.patches import clipped
from s2st_aug.validation.settings import ValidationSettings

FAULTS = (*SCENE_FAULTS, *PAINTED_FAULTS, *LIGHT_FAULTS, *WHOLE_FAULTS)
PASTED = (*LIGHT_FAULTS, "pasted_car", "duplicated")  # something that no label has: found at its place
NEAR_PLACE = 4.0  # px around a planted thing in which a made-up one counts as it
COPIES = ("identity", "darkened")  # of the source
EVERY = 4  # px of those pictures that are compared
SHOWN = 10.0  # CIE76 units from which a light is seen at a glance
BRIGHTEST = 0.1  # of a light's place, that it is measured on
SETTINGS = ValidationSettings()
PROFILES = Path(s2st_aug.__file__).parent / "weights" / "street-mini" / "profiles"


@dataclass(frozen=True, slots=True)
class Trial:
    """`fault` is `control` where nothing was planted. `item` is the object judged (object trials), `there` the score of
    what the checks made out at the planted place (trials of PASTED), `there_detector` the same with the detector; the
    rest is the image's. In a `translated` trial the model itself painted the picture. A `hidden` fault was
    planted and is not in what is emitted (the light layer paints lamps and nights of its own): nothing is to be found.
    """

    fault: str
    origin: str
    case: str
    category: str
    side: float
    width: int
    translated: bool = False
    item: ObjectVerdict | None = None
    there: float | None = None
    there_detector: float | None = None
    status: str = ""
    reasons: tuple[str, ...] = ()
    lamp: float = 0.0
    detected: float | None = None
    structure: float | None = None
    strength: float | None = None
    tone: float = 0.0
    hidden: bool = False

    @property
    def small(self) -> bool:
        """Whether it is of an object below the size from which objects count."""
        return self.item is not None and self.side < LEAST_SIDE


def trials_of(
    name: str,
    emission: Emission,
    picture: Picture,
    detector: Detector | PairDetector | None,
    control: Emitted | None = None,
) -> Iterator[Trial]:
    """Every trial of one picture: its struck objects (of a control all that are visible), and the image itself.

    `control` is what is emitted of the same condition with nothing planted: it tells whether a fault shows at all.
    """
    done = emission.emitted(picture.painted, picture.origin)
    found = judge(emission.source, done.variant, done.raw, emission.objects, profile_of(picture.origin), SETTINGS)
    verdicts, width = {o.object_id: o for o in found.objects}, emission.source.shape[1]
    for o in picture.struck:
        yield Trial(
            picture.fault, picture.origin, name, o.category, side_of(o), width, picture.translated,
            verdicts[o.object_id], status=found.status,
        )  # fmt: skip
    if picture.fault == CONTROL or picture.fault in (*LIGHT_FAULTS, *WHOLE_FAULTS):
        trial = _image_trial(name, emission, picture, done, found, detector)
        yield replace(trial, hidden=control is not None and not shows(picture, done.variant, control.variant))


def light_shown(variant: Image, control: Image, box: Box) -> float:
    """How far a light's place differs from the picture without it: the tenth of it that differs most, CIE76."""
    left, top, right, bottom = clipped(box, variant.shape)
    cut = slice(top, bottom), slice(left, right)
    far = np.sort(np.linalg.norm(lab(variant[cut]) - lab(control[cut]), axis=-1).ravel())
    return float(far[-max(1, round(BRIGHTEST * len(far))) :].mean())


def shows(picture: Picture, variant: Image, control: Image) -> bool:
    """Whether what was planted is in the variant: a light by its place, an identity or a darkened copy where the
    variant is nearer to it than to what is emitted of the true picture; anything else is taken to be.
    """
    if picture.fault in LIGHT_FAULTS and picture.box is not None:
        return light_shown(variant, control, picture.box) >= SHOWN
    if picture.fault not in COPIES:
        return True
    planted = to_uint8(resize(picture.painted, variant.shape[1::-1]))
    here, there, true = (lab(x[::EVERY, ::EVERY]) for x in (variant, planted, control))
    return bool(np.linalg.norm(here - there, axis=-1).mean() < np.linalg.norm(here - true, axis=-1).mean())


@cache
def profile_of(origin: str) -> DomainProfile | None:
    """The shipped profile that a condition is judged against; photos are retouched, not translated, and have none."""
    return None if origin == "photo" else load_profile(PROFILES / f"{origin}.safetensors")


def _image_trial(
    name: str,
    emission: Emission,
    picture: Picture,
    done: Emitted,
    found: Judgement,
    detector: Detector | PairDetector | None,
) -> Trial:
    lamp = max((h.score for h in found.hallucinations), default=0.0)
    tone = appearance(emission.source, done.variant).tone_explained
    side, width = float(min(done.variant.shape[:2])), done.variant.shape[1]
    trial = Trial(
        picture.fault, picture.origin, name, "image", side, width, picture.translated, status=found.status,
        reasons=found.reasons, lamp=lamp, structure=found.structure, strength=found.strength, tone=tone,
    )  # fmt: skip
    photos = emission.source, done.variant, done.raw
    made_up = hallucinated_objects(detector, *photos, emission.objects) if detector else ()
    if picture.box is None:
        return replace(trial, detected=max((h.score for h in made_up), default=0.0) if detector else None)
    box = picture.box
    there = _score_at(found.hallucinations, box, whole=picture.fault in LIGHT_FAULTS)
    return replace(
        trial,
        category=picture.kind or "vehicle or other",
        side=min(box[2] - box[0], box[3] - box[1]),
        there=there,
        there_detector=max(there, _score_at(made_up, box)) if detector else None,
    )


def _score_at(found: Iterable[Hallucination], box: Box, *, whole: bool = False) -> float:
    """The highest score of what is near the middle of a place, or, of the `whole` of it, of what touches it."""
    if whole:
        x1, y1, x2, y2 = box
        touching = [h.score for h in found if h.bbox[0] < x2 and x1 < h.bbox[2] and h.bbox[1] < y2 and y1 < h.bbox[3]]
        return max(touching, default=0.0)
    x, y, near = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, NEAR_PLACE
    there = [
        h.score
        for h in found
        if h.bbox[0] - near <= x <= h.bbox[2] + near and h.bbox[1] - near <= y <= h.bbox[3] + near
    ]
    return max(there, default=0.0)


def caught(trial: Trial, settings: ValidationSettings = SETTINGS, *, detector: bool = False) -> bool:
    """Whether the checks raise an alarm under these thresholds: not keep, image rejected, or made-up thing found."""
    if trial.item is not None:
        return gates.decide(trial.item, settings, trial.width).verdict != "keep"
    if trial.there is None:
        return trial.status == "rejected" or bool(detector and (trial.detected or 0.0) >= settings.detector_score)
    least = 2.0 if settings.max_hallucination is None else settings.max_hallucination
    return trial.there >= least or bool(detector and (trial.there_detector or 0.0) >= settings.detector_score)


def write_trials(path: Path, trials: Iterable[Trial]) -> None:
    """One JSON object a line, written whole or not at all."""
    temporary = path.with_suffix(".part")
    temporary.write_text("".join(json.dumps(asdict(t)) + "\n" for t in trials), encoding="utf-8")
    temporary.replace(path)


def read_trials(path: Path) -> list[Trial]:
    """What `write_trials` wrote."""
    trials = []
    for raw in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        item = raw["item"]
        judged = ObjectVerdict(**{**item, "bbox": tuple(item["bbox"])}) if item else None
        trials.append(Trial(**{**raw, "reasons": tuple(raw["reasons"]), "item": judged}))
    return trials
