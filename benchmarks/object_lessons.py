"""What a detector of invented objects learns from: streets by day, and pictures of them with other things in them.

Some things of a street stand in both, some in the source or in the picture alone, and things of other streets are put
in. A picture is rendered under a condition, and painted by an autoencoder or not, or translated by the model itself.
`pipelines/train_detector.py` learns from them; `benchmarks/invented_objects.py` examines it, and neither knows the
other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from benchmarks.drawn_scene import DrawnScene, uid_of
from benchmarks.fault_cases import VISIBLE_SHARE, lab, outline_contrast, own_share, side_of
from benchmarks.fault_emission import Emission, painted, shipped_settings, translated
from s2st_aug.arrays import Image
from s2st_aug.diffusion.model import LatentModel
from s2st_aug.images import to_uint8
from s2st_aug.procedural.sampling import sample_street
from s2st_aug.procedural.street import Street, Thing
from s2st_aug.records.domains import ConditionName
from s2st_aug.records.scene import SceneObject
from s2st_aug.training.detector_data import CLASS_OF, FRAME, Example
from s2st_aug.validation.detectors import PairDetector, hallucinated_objects

SIZE, FULL = (640, 360), (1280, 720)  # px that a street is drawn at; what is learnt from has half of the first
OTHERS = 1000  # by which the rng_key of streets that lend their things lies beside
KINDS = ("car", "truck", "bus", "pedestrian", "ridden", "bicycle", "motorcycle", "signal", "sign")
CONDITIONS: tuple[ConditionName, ...] = ("night", "rain", "dusk", "fog", "night_rain", "day")
SHARES = (0.28, 0.26, 0.16, 0.1, 0.12, 0.08)  # of each condition
TARGETS: tuple[ConditionName, ...] = ("night", "rain", "dusk", "fog", "night_rain")  # that the model is asked for
TARGET_SHARES = (0.3, 0.3, 0.15, 0.1, 0.15)
RENDERED, TRANSLATED = 3, 2  # pictures of a street
UNPAINTED = 0.3  # of the renders that no autoencoder paints, as of a translator whose pictures are sharp
SAME, NEW_ALONE = 0.25, 0.5  # streets in which nothing differs, and up to here nothing is gone
NEW_AND_GONE, NEW_SHARE = (0.2, 0.2), 0.3  # of a street's own things
LENT_NEW, LENT_GONE = 0.6, 0.75  # of the things of others: new up to here, then gone, then in both
ELSEWHERE, TURNED = 0.6, 0.3  # of those: at a place of their own, and of these with a heading of their own
NEAR, FAR, ASIDE = 7.0, 55.0, 3.0  # metres ahead, and metres beyond the kerbs
ALONG, ACROSS = 5.5, 2.2  # metres apart along or across the road that two things do not touch at
LEAST_SIDE, LEAST_OWN = 5.0, 0.3  # px here, and share of its box, of an object that must be found
SEEN_BEFORE = 0.5  # of an object's pixels that its source must show for it to be known


@dataclass(frozen=True, slots=True)
class _Cast:
    """Who stands where: in both pictures, in the new one alone, in the source alone."""

    street: Street
    both: tuple[Thing, ...]
    new: tuple[Thing, ...]
    gone: tuple[Thing, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Picture:
    condition: ConditionName
    image: Image
    by_model: bool


def object_lessons(key: int, index: int, model: LatentModel) -> Iterator[Example]:
    """Every picture of one street beside its source."""
    rng = np.random.default_rng([21, key, index])
    cast = _cast(key, index, rng)
    source = DrawnScene(replace(cast.street, things=(*cast.both, *cast.gone)))
    scene = DrawnScene(replace(cast.street, things=(*cast.both, *cast.new)))
    day = cv2.resize(source.under("day"), FRAME, interpolation=cv2.INTER_AREA)
    new, before = {t.uid for t in cast.new}, {o.object_id: o for o in source.objects}
    by_day = lab(scene.under("day", 0.0))
    for picture in list(_pictures(scene, new, model, rng)):
        looks = [lab(scene.under(picture.condition, 0.0)), *([by_day] if picture.by_model else [])]
        rows = [_wanted(o, new, before, looks) for o in scene.objects if o.category in CLASS_OF]
        boxes, classes, sure, now = zip(*[r for r in rows if r], strict=True) if any(rows) else ((),) * 4
        yield Example(
            day, picture.image, np.array(boxes, np.float32).reshape(-1, 4) / 2, np.array(classes, np.int64),
            np.array(sure, bool), np.array(now, bool),
        )  # fmt: skip


def true_scores(detector: PairDetector, key: int, index: int, model: LatentModel) -> Iterator[float]:
    """The highest score in each true picture of a street, rendered at full size as a run emits it, or translated."""
    scene = DrawnScene(sample_street(key, index, FULL))
    labels = tuple(replace(o, kind="box", mask=None) for o in scene.objects)
    settings = shipped_settings("street-mini", "draft")
    emission = Emission(model, scene.under("day"), labels, settings)
    pictures = [(c, painted(model, scene.under(c), emission.size)) for c in TARGETS]
    made = translated(model, emission.source, labels, TARGETS, settings)
    for condition, picture in (*pictures, *made.items()):
        if picture is not None:
            done = emission.emitted(picture, condition)
            found = hallucinated_objects(detector, emission.source, done.variant, done.raw, labels)
            yield max((h.score for h in found), default=0.0)


def _cast(key: int, index: int, rng: np.random.Generator) -> _Cast:
    street = sample_street(key, index, SIZE)
    own = [t for t in street.things if t.kind in KINDS]
    fixed = [t for t in street.things if t.kind not in KINDS]
    lent = _lent(street, own, sample_street(key + OTHERS, int(rng.integers(1 << 30)), SIZE), rng)
    how = rng.random()
    if how < SAME:
        return _Cast(street, (*fixed, *own), (), ())
    new_share, gone_share = (NEW_SHARE, 0.0) if how < NEW_ALONE else NEW_AND_GONE
    both, new, gone = list(fixed), list[Thing](), list[Thing]()
    for things, up_to_new, up_to_gone in ((own, new_share, new_share + gone_share), (lent, LENT_NEW, LENT_GONE)):
        for thing in things:
            drawn = rng.random()
            (new if drawn < up_to_new else gone if drawn < up_to_gone else both).append(thing)
    return _Cast(street, tuple(both), tuple(new), tuple(gone))


def _lent(street: Street, own: Sequence[Thing], other: Street, rng: np.random.Generator) -> list[Thing]:
    """Things of another street, where they touch none: at their places there, or anywhere near the road."""
    pool, found = [t for t in other.things if t.kind in KINDS], list[Thing]()
    uid = max(t.uid for t in street.things) + 1
    for _ in range(int(rng.integers(2, 9)) if pool else 0):
        thing = pool[int(rng.integers(len(pool)))]
        if rng.random() < ELSEWHERE:
            ahead = float(np.exp(rng.uniform(math.log(NEAR), math.log(FAR))))
            aside = float(rng.uniform(street.road.left - ASIDE, street.road.right + ASIDE))
            thing = replace(thing, s=ahead, t=aside)
            if rng.random() < TURNED:
                thing = replace(thing, turn=float(rng.uniform(-math.pi, math.pi)))
        thing = replace(thing, uid=uid + len(found), seed=int(rng.integers(1, 1 << 30)))
        if all(abs(thing.s - o.s) > ALONG or abs(thing.t - o.t) > ACROSS for o in (*own, *found)):
            found.append(thing)
    return found


def _pictures(scene: DrawnScene, new: set[int], model: LatentModel, rng: np.random.Generator) -> Iterator[_Picture]:
    rendered = rng.choice(CONDITIONS, RENDERED, replace=False, p=SHARES).tolist()
    targets = rng.choice(TARGETS, TRANSLATED, replace=False, p=TARGET_SHARES).tolist()
    size = model.working_size(*SIZE)
    for condition in rendered:
        image = scene.under(condition, 0.0)
        if rng.random() < UNPAINTED:
            yield _Picture(condition, cv2.resize(image, FRAME, interpolation=cv2.INTER_AREA), False)
        else:
            yield _Picture(condition, _small(painted(model, image, size)), False)
    labels = [replace(o, kind="box", mask=None) for o in scene.objects if uid_of(o) not in new]
    made = translated(model, scene.under("day"), labels, targets, shipped_settings("street-mini", "draft"))
    for condition in targets:
        if (picture := made[condition]) is not None:
            yield _Picture(condition, _small(picture), True)


def _wanted(
    item: SceneObject, new: set[int], before: dict[str, SceneObject], looks: Sequence[np.ndarray]
) -> tuple[tuple[float, ...], int, bool, bool] | None:
    """Box, class, whether it must be found, and whether it is new."""
    if item.mask is None:
        return None
    number, large = CLASS_OF[item.category], side_of(item) >= LEAST_SIDE
    if uid_of(item) in new:
        seen = large and own_share(item) >= LEAST_OWN
        sure = seen and all(outline_contrast(look, item.mask) >= VISIBLE_SHARE for look in looks)
        return item.bbox, number, sure, True
    was = before.get(item.object_id)
    shown = 0 if was is None or was.mask is None else np.count_nonzero(was.mask)
    return item.bbox, number, bool(large and shown >= SEEN_BEFORE * np.count_nonzero(item.mask)), False


def _small(picture: np.ndarray) -> Image:
    return cv2.resize(to_uint8(picture), FRAME, interpolation=cv2.INTER_CUBIC)
