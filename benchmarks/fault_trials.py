"""One planted fault, or none, and all that the checks measured of it: what
every rate and curve of the suite is computed from.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

import s2st_aug
from benchmarks.fault_cases import Case
from benchmarks.planted_faults import FAULTS, IMAGE_FAULTS, Pair
from s2st_aug.profiles.store import load_profile
from s2st_aug.randomness import numpy_generator
from s2st_aug.records.profile import DomainProfile
from s2st_aug.records.scene import SceneObject
from s2st_aug.records.verdicts import Hallucination, Judgement, ObjectVerdict
from s2st_aug.validation import gates
from s2st_aug.validation.appearance import appearance
from s2st_aug.validation.detectors import Detector, hallucinated_objects
from s2st_aug.validation.judge import judge
from s2st_aug.validation.settings import ValidationSettings

CONTROL = "control"
PASTED = ("pasted_light", "pasted_car", "duplicated")  # something that no label has: found at its place
OBJECT_FAULTS = tuple(name for name in FAULTS if name not in (*IMAGE_FAULTS, *PASTED))
SMALL_TOO = ("erased", "shift8", "signal_changed")  # planted on objects of 10 to 16 px as well
AT_ONCE, APART = 4, 24.0  # objects struck in one image, and px between them
NEAR_PLACE = 4.0  # px around a planted thing in which a made-up one counts as it
SETTINGS = ValidationSettings()
PROFILES = Path(s2st_aug.__file__).parent / "weights" / "street-mini" / "profiles"


@dataclass(frozen=True, slots=True)
class Trial:
    """`fault` is `control` where nothing was planted. `item` is the object judged (object trials), `there` the score of
    what the checks made out at the planted place (trials of PASTED), `there_detector` the same with the detector; the
    rest is the image's.
    """

    fault: str
    origin: str
    case: str
    category: str
    side: float
    width: int
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


def trials_of(case: Case, detector: Detector | None) -> Iterator[Trial]:
    """Every trial of one case, in a fixed order."""
    yield from _controls(case, detector)
    rng = numpy_generator(0, "planted", case.name)
    for name in OBJECT_FAULTS:
        yield from _on_objects(case, case.strikable, name, rng)
    for name in SMALL_TOO:
        yield from _on_objects(case, case.small, name, rng)
    for name in (*IMAGE_FAULTS, "duplicated", "pasted_car"):
        yield from _on_image(case, name, rng, detector)


def signal_trials(case: Case) -> Iterator[Trial]:
    """Changed signals alone, for streets that were chosen because they have some."""
    rng = numpy_generator(0, "signals", case.name)
    for items in (case.strikable, case.small):
        yield from _on_objects(case, items, "signal_changed", rng)


@cache
def profile_of(origin: str) -> DomainProfile | None:
    """The shipped profile that a condition is judged against; photos are retouched, not translated, and have none."""
    return None if origin == "photo" else load_profile(PROFILES / f"{origin}.safetensors")


def _judged(case: Case, variant: np.ndarray) -> Judgement:
    return judge(case.pair.source, variant, variant, case.labels, profile_of(case.origin), SETTINGS)


def _image_trial(case: Case, name: str, found: Judgement, variant: np.ndarray) -> Trial:
    lamp = max((h.score for h in found.hallucinations), default=0.0)
    tone = appearance(case.pair.source, variant).tone_explained
    return Trial(
        name, case.origin, case.name, "image", float(min(variant.shape[:2])), variant.shape[1], status=found.status,
        reasons=found.reasons, lamp=lamp, structure=found.structure, strength=found.strength, tone=tone,
    )  # fmt: skip


def _object_trials(case: Case, name: str, found: Judgement, items: Sequence[SceneObject]) -> Iterator[Trial]:
    verdicts = {o.object_id: o for o in found.objects}
    width = case.pair.source.shape[1]
    for o in items:
        yield Trial(
            name, case.origin, case.name, o.category, side_of(o), width, verdicts[o.object_id], status=found.status
        )


def side_of(item: SceneObject) -> float:
    """The shorter side of an object's box in pixels."""
    return min(item.bbox[2] - item.bbox[0], item.bbox[3] - item.bbox[1])


def _controls(case: Case, detector: Detector | None) -> Iterator[Trial]:
    """Unplanted: every visible object should be kept, every true render accepted."""
    found = _judged(case, case.pair.variant)
    yield from _object_trials(case, CONTROL, found, (*case.strikable, *case.small))
    made_up = hallucinated_objects(detector, case.pair.source, case.pair.variant, case.labels) if detector else ()
    detected = max((h.score for h in made_up), default=0.0) if detector else None
    yield replace(_image_trial(case, CONTROL, found, case.pair.variant), detected=detected)


def _on_objects(case: Case, items: Sequence[SceneObject], name: str, rng: np.random.Generator) -> Iterator[Trial]:
    """Up to four objects that do not touch are struck in one image; each must come out as anything but keep."""
    pair: Pair = case.pair
    struck: list[SceneObject] = []
    for item in _apart(items, rng, name):
        if (planted := FAULTS[name](pair, item, rng)) is not None:
            pair, struck = replace(pair, variant=planted.variant), [*struck, item]
    if struck:
        yield from _object_trials(case, name, _judged(case, pair.variant), struck)


def _apart(items: Sequence[SceneObject], rng: np.random.Generator, name: str) -> list[SceneObject]:
    chosen: list[SceneObject] = []
    fitting = [o for o in items if name != "signal_changed" or o.category == "traffic light"]
    for i in rng.permutation(len(fitting)).tolist():
        if len(chosen) < AT_ONCE and all(_gap(fitting[i], other) > APART for other in chosen):
            chosen.append(fitting[i])
    return chosen


def _gap(a: SceneObject, b: SceneObject) -> float:
    return max(a.bbox[0] - b.bbox[2], b.bbox[0] - a.bbox[2], a.bbox[1] - b.bbox[3], b.bbox[1] - a.bbox[3])


def _on_image(case: Case, name: str, rng: np.random.Generator, detector: Detector | None) -> Iterator[Trial]:
    """Struck images must be rejected; a made-up light or object found at the very place where it was planted."""
    items = [o for o in case.strikable if name != "pasted_car" or o.category in ("car", "truck", "bus")]
    item = items[int(rng.integers(len(items)))] if items else None
    planted = FAULTS[name](case.pair, item, rng)
    if planted is None:
        return
    found = _judged(case, planted.variant)
    trial = _image_trial(case, name, found, planted.variant)
    if planted.box is None:
        yield trial
        return
    side = min(planted.box[2] - planted.box[0], planted.box[3] - planted.box[1])
    there = _score_at(found.hallucinations, planted.box)
    with_detector = None
    if detector:
        with_detector = max(
            there,
            _score_at(hallucinated_objects(detector, case.pair.source, planted.variant, case.labels), planted.box),
        )
    category = item.category if item and name != "pasted_light" else "light"
    yield replace(trial, category=category, side=side, there=there, there_detector=with_detector)


def _score_at(found: Iterable[Hallucination], box: tuple[float, float, float, float]) -> float:
    x, y, near = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, NEAR_PLACE
    there = [
        h.score
        for h in found
        if h.bbox[0] - near <= x <= h.bbox[2] + near and h.bbox[1] - near <= y <= h.bbox[3] + near
    ]
    return max(there, default=0.0)


def caught(trial: Trial, settings: ValidationSettings = SETTINGS, *, detector: bool = False) -> bool:
    """Whether the checks raised an alarm under these thresholds: verdict not
    keep, image rejected, or made-up thing found.
    """
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
