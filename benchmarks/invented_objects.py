"""How many of the objects that a model invents the shipped detector finds, and how many true pictures it rejects.

A street is drawn with things in it that its source does not have, each with its shadow, its light and its mirror image,
rendered under a condition and painted by street-mini's autoencoder, or rendered by day and translated by street-mini.
An object is found where a detection that rejects has its middle in the object's box, or the object's in its own.
The places are chosen by another rule than the training's (`s2st_aug/training/detector_data.py`).

`pipelines/examine_objects.py` runs this on any streets.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.drawn_scene import DrawnScene, uid_of
from benchmarks.fault_cases import (
    APART,
    AT_ONCE,
    LEAST_OWN,
    LEAST_SIDE,
    REPORTED_KEY,
    SIZE,
    VISIBLE_SHARE,
    gap,
    lab,
    labelled,
    outline_contrast,
    own_share,
    side_of,
)
from benchmarks.fault_emission import Emission, painted, shipped_settings, translated
from benchmarks.fault_rates import rate_figure, size_name
from benchmarks.figure import Figure
from s2st_aug.arrays import Box
from s2st_aug.diffusion.stable_diffusion import load_model
from s2st_aug.procedural.drawing import draw_street
from s2st_aug.procedural.sampling import sample_street
from s2st_aug.procedural.street import Street, Thing
from s2st_aug.randomness import numpy_generator
from s2st_aug.records.domains import ConditionName
from s2st_aug.records.scene import SceneObject
from s2st_aug.validation.detectors import Detector, PairDetector, hallucinated_objects
from s2st_aug.validation.settings import ValidationSettings

CONDITIONS: tuple[ConditionName, ...] = ("night", "rain", "dusk", "fog", "night_rain")
TRANSLATED: tuple[ConditionName, ...] = ("night", "rain")  # what street-mini itself is asked for
KINDS = ("car", "truck", "bus", "pedestrian", "ridden", "signal", "sign")
STYLES = {
    "car": ("sedan", "hatch", "suv", "wagon", "van"),
    "pedestrian": ("walk", "stand"),
    "ridden": ("bicycle", "motorcycle"),
    "signal": ("red-post", "green-post", "amber-post"),
    "sign": ("speed", "stop", "warn", "blue", "park", "guide"),
}
NEAREST, FARTHEST = 9.0, 40.0  # metres ahead at which a thing is invented
TRIES = 40  # places that are tried for the things of one picture
COVERED = 0.1  # of its box that labelled objects may share with an invented one
GOAL, ALLOWED = 0.8, 0.05  # of objects found, and of true pictures rejected for one
LEAST = ValidationSettings().detector_score


@dataclass(frozen=True, slots=True)
class Case:
    """An invented object of a `kind` (a label's category), or a true picture (None), and the score that is made out of
    it; `side` is the shorter one of its box in px, and `translated` whether the model painted the whole picture.
    """

    name: str
    condition: str
    kind: str | None
    side: float
    score: float
    translated: bool


def invented_object_figures(
    detector: Detector | PairDetector, streets: Sequence[int], key: int = REPORTED_KEY
) -> Iterator[Figure]:
    """Recall of objects from LEAST_SIDE on, then by kind, size and condition; and of true pictures what is rejected."""
    yield from rates(examined(detector, key, streets))


def rates(cases: Iterable[Case], least: float = LEAST) -> Iterator[Figure]:
    """The figures of what was found, and of which true pictures were rejected."""
    found: dict[str, list[bool]] = defaultdict(list)
    rejected: dict[str, list[bool]] = defaultdict(list)
    for case in cases:
        hit, way = case.score >= least, "by_model" if case.translated else case.condition
        if case.kind is None:
            rejected[way].append(hit)
            continue
        for group in ("", f"_{case.kind.replace(' ', '_')}", f"_{size_name(case.side).replace(' ', '_')}", f"_{way}"):
            found[group].append(hit)
    for group, hits in sorted(found.items()):
        why = "" if group else "things drawn into the scene that the source does not have, 16 px and more"
        yield rate_figure(f"recall_invented_objects{group}", hits, None if group else GOAL, why, at_least=True)
    every = [hit for hits in rejected.values() for hit in hits]
    yield rate_figure("rejected_for_objects", every, ALLOWED, "true pictures with an object that is taken for invented")
    for way, hits in sorted(rejected.items()):
        yield rate_figure(f"rejected_for_objects_{way}", hits, None, "")


def examined(detector: Detector | PairDetector, key: int, streets: Sequence[int]) -> Iterator[Case]:
    """Of each street the true picture and one with invented things, under each condition and by the model."""
    for index in streets:
        street = sample_street(key, index, SIZE)
        true = DrawnScene(street)
        day, objects = true.under("day"), true.objects
        boxes = tuple(replace(o, kind="box", mask=None) for o in objects)
        emission = Emission(load_model("street-mini"), day, boxes, shipped_settings("street-mini"))
        things = _invented(street, objects, numpy_generator(0, "invented objects", str(key), str(index)))
        false = DrawnScene(replace(street, things=(*street.things, *things)))
        new = {t.uid for t in things}
        planted = [o for o in false.objects if uid_of(o) in new and _counts(o)]
        name = f"{key}-{index}"
        for scene, shown in ((true, None), (false, planted)):
            for condition, by_model, picture in _pictures(scene, emission):
                done = emission.emitted(picture, condition)
                seen = hallucinated_objects(detector, day, done.variant, done.raw, boxes)
                if shown is None:
                    highest = max((h.score for h in seen), default=0.0)
                    yield Case(name, condition, None, 0.0, highest, by_model)
                    continue
                looks = [lab(scene.under(c, 0.0)) for c in ((condition, "day") if by_model else (condition,))]
                for o in shown:
                    if all(o.mask is not None and outline_contrast(look, o.mask) >= VISIBLE_SHARE for look in looks):
                        score = max((h.score for h in seen if _meets(h.bbox, o.bbox)), default=0.0)
                        yield Case(name, condition, o.category, side_of(o), score, by_model)


def _pictures(scene: DrawnScene, emission: Emission) -> Iterator[tuple[ConditionName, bool, np.ndarray]]:
    """(condition, whether by the model, picture at working size) of a scene."""
    for condition in CONDITIONS:
        yield condition, False, painted(emission.model, scene.under(condition), emission.size)
    settings = shipped_settings("street-mini", "draft")
    made = translated(emission.model, scene.under("day"), emission.objects, TRANSLATED, settings)
    for condition in TRANSLATED:
        if (picture := made[condition]) is not None:
            yield condition, True, picture


def _invented(street: Street, objects: Sequence[SceneObject], rng: np.random.Generator) -> tuple[Thing, ...]:
    """Up to AT_ONCE things on free places of the road and beside it, of which each shows and none hides a label."""
    things: list[Thing] = []
    boxes: list[SceneObject] = []
    uid = max(t.uid for t in street.things) + 1
    for n in range(TRIES):
        if len(things) == AT_ONCE:
            break
        thing = _placed(street, uid + n, rng)
        alone = labelled(draw_street(replace(street, things=(*street.things, thing))))
        box = next((o for o in alone if uid_of(o) == thing.uid), None)
        if box is None or not _counts(box) or any(_share(box.bbox, o.bbox) > COVERED for o in objects):
            continue
        if all(gap(box, other) > APART for other in boxes):
            things, boxes = [*things, thing], [*boxes, box]
    return tuple(things)


def _placed(street: Street, uid: int, rng: np.random.Generator) -> Thing:
    """One thing where such a thing may be: vehicles in a lane's middle, people anywhere between the houses, signals and
    signs at a kerb."""
    kind, road = str(rng.choice(KINDS)), street.road
    ahead = float(rng.uniform(NEAREST, FARTHEST))
    if kind in ("signal", "sign"):
        aside = float(rng.choice([road.left - 0.7, road.right + 0.7]))
    elif kind == "pedestrian":
        aside = float(rng.uniform(road.left - road.pavement_left, road.right + road.pavement_right))
    else:
        aside = road.lane_width * (float(rng.integers(-road.oncoming, road.own)) + 0.5)
    turn = math.pi if aside < 0 and kind in ("car", "truck", "bus", "ridden") else 0.0
    style = str(rng.choice(STYLES[kind])) if kind in STYLES else ""
    return Thing(uid, kind, ahead, aside, turn, style=style, seed=int(rng.integers(1, 1 << 30)))


def _counts(item: SceneObject) -> bool:
    return side_of(item) >= LEAST_SIDE and own_share(item) >= LEAST_OWN


def _share(box: Box, other: Box) -> float:
    """Of the box that another one covers."""
    w, h = min(box[2], other[2]) - max(box[0], other[0]), min(box[3], other[3]) - max(box[1], other[1])
    return max(w, 0.0) * max(h, 0.0) / max((box[2] - box[0]) * (box[3] - box[1]), 1e-9)


def _meets(a: Box, b: Box) -> bool:
    """Whether the middle of one lies in the other."""
    return any(p[0] <= (q[0] + q[2]) / 2 <= p[2] and p[1] <= (q[1] + q[3]) / 2 <= p[3] for p, q in ((a, b), (b, a)))
