"""What an object looks like before the detail step, true or not: many faults at once in small renders of streets.

The faults are those of the suite, on streets and photos that it never sees; `pipelines/fit_evidence.py` learns from
them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np

from benchmarks.fault_cases import (
    CAMVID_CLASSES,
    CHANGED_SHARE,
    CONDITIONS,
    CONTROL,
    LEAST_OWN,
    VISIBLE_SHARE,
    VISIBLE_STEP,
    gap,
    lab,
    labelled,
    outline_contrast,
    own_share,
    read_ids,
    side_of,
)
from benchmarks.fault_emission import painted
from benchmarks.fault_scenes import SCENE_FAULTS, Change, shifted, with_changed
from benchmarks.planted_faults import PAINTED_FAULTS, Pair, objects_of_masks
from s2st_aug.arrays import Image
from s2st_aug.diffusion.model import LatentModel
from s2st_aug.images import read_image, to_uint8
from s2st_aug.procedural.drawing import draw_street
from s2st_aug.procedural.render import render_drawn
from s2st_aug.procedural.sampling import sample_street
from s2st_aug.procedural.street import Street
from s2st_aug.procedural.surfaces import surfaces
from s2st_aug.real_data import real_data
from s2st_aug.records.scene import SceneObject
from s2st_aug.validation.calibration import retouched
from s2st_aug.validation.evidence import PAINTED, coarse, cutout, measures
from s2st_aug.validation.patches import in_front

SIZE = (640, 360)  # px: half of the suite's, as everything is brought down to 288 px
ROUNDS = 3  # pictures of a street in which things are changed
AT_ONCE, APART = 9, 10.0  # things struck in one, and px between them
BESIDE = 8.0  # px from a struck thing within which others are left out
LEAST_SIDE = 5.0  # px of an object here: 10 px of the suite
SCENE_SHARES = {
    "erased": 0.26, "shift8": 0.16, "shift16": 0.10, "replaced_farther": 0.12, "replaced_class": 0.10,
    "reversed": 0.12, "scaled": 0.14,
}  # fmt: skip
PAINTED_SHARES = {"melted": 0.45, "blurred": 0.25, "erased_painted": 0.20, "washed_region": 0.10}
PHOTO_SHARES = {"erased_painted": 0.4, "shift8_painted": 0.2, "melted": 0.25, "blurred": 0.15}
NEITHER = ("signal_changed", "washed_region")  # planted, but nothing that an object's evidence is to tell
HALVED: dict[str, Change] = {"shift8": partial(shifted, px=4), "shift16": partial(shifted, px=8)}


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """One object in one picture: what the network sees of it, what befell it (CONTROL: nothing), where, and how large.

    `side` is of the shorter side in px at a width of 1280.
    """

    cutout: np.ndarray
    numbers: np.ndarray
    fault: str
    origin: str
    side: float


Paint = Callable[[Image], Image]


def street_lessons(key: int, index: int, model: LatentModel | None, *, untouched: bool = False) -> Iterator[Lesson]:
    """Of one street; what the model's autoencoder makes of it, or, without a model, the renders made as small.

    `untouched` leaves all pictures with faults in them out.
    """
    rng = np.random.default_rng([77, key, index])
    street = sample_street(key, index, SIZE)
    drawn = draw_street(street)
    scene = drawn, surfaces(drawn)
    day = render_drawn(*scene, "day", noise=0.0)
    objects = [o for o in labelled(drawn) if side_of(o) >= LEAST_SIDE]
    truth = {c: render_drawn(*scene, c, noise=0.0) for c in CONDITIONS}
    looks = {c: lab(image) for c, image in truth.items()}
    by_day = lab(day)
    shows = {
        c: {o.object_id for o in objects if _shows(o, by_day) and _shows(o, looks[c]) and own_share(o) >= LEAST_OWN}
        for c in CONDITIONS
    }
    learn = _Learner(day, objects, partial(_painted, model))
    for c in CONDITIONS:
        yield from learn.of(truth[c], c, {}, shows[c])
    if untouched:
        return
    anywhere = [o for o in objects if any(o.object_id in some for some in shows.values())]
    for _ in range(ROUNDS):
        changed, struck = _changed_street(street, anywhere, rng)
        if not struck:
            continue
        other = draw_street(changed)
        room = other, surfaces(other)
        for c in CONDITIONS:
            image = render_drawn(*room, c, noise=0.0)
            far = np.linalg.norm(lab(image) - looks[c], axis=-1) >= VISIBLE_STEP
            differs = {o.object_id for o in objects if o.mask is not None and far[o.mask].mean() >= CHANGED_SHARE}
            moved = {i for i, fault in struck.items() if fault.startswith("shift")}
            yield from learn.of(image, c, struck, shows[c], differs | moved)
    for c in CONDITIONS:
        some = [o for o in objects if o.object_id in shows[c]]
        image, struck = _spoilt(Pair(day, truth[c], tuple(objects)), some, PAINTED_SHARES, AT_ONCE, rng)
        if struck:
            yield from learn.of(image, c, struck, shows[c])


def photo_lessons(video: str, photos: int, model: LatentModel) -> Iterator[Lesson]:
    """Of photos of one CamVid video, changed photometrically; raises DatasetError where they are absent."""
    folder = real_data("camvid/day")
    paths = sorted((folder / "images").glob(f"{video}*"))
    for number, path in enumerate(paths[:: max(1, len(paths) // photos)][:photos]):
        rng = np.random.default_rng([78, number])
        source = read_image(path)
        classes = read_ids(next((folder / "labels").glob(f"{path.stem}.*")))
        objects = list(objects_of_masks(classes, CAMVID_CLASSES, least=10))
        size = model.working_size(source.shape[1], source.shape[0])
        learn = _Learner(source, objects, partial(_repainted, model, size))
        every = {o.object_id for o in objects}
        for change in range(2):
            base = retouched(source, path.stem, str(change))
            yield from learn.of(base, "photo", {}, every)
            for _ in range(2):
                image, struck = _spoilt(Pair(source, base, tuple(objects)), objects, PHOTO_SHARES, 6, rng)
                if struck:
                    yield from learn.of(image, "photo", struck, every)


class _Learner:
    """Lessons of pictures of one source, its coarse copy made once."""

    def __init__(self, source: Image, objects: Sequence[SceneObject], paint: Paint) -> None:
        self.paint, self.objects = paint, objects
        self.boxes = [replace(o, kind="box", mask=None) for o in objects]
        self.fronts = in_front(self.boxes)
        self.source, self.width = coarse(source), source.shape[1]
        self.shape = source.shape[1::-1]

    def of(
        self, image: Image, origin: str, struck: dict[str, str], shown: set[str], differs: set[str] | None = None
    ) -> Iterator[Lesson]:
        """Of one picture: what is struck, if it differs, and what is shown and not beside it."""
        raw = coarse(cv2.resize(self.paint(image), self.shape, interpolation=cv2.INTER_CUBIC))
        for item, front in zip(self.boxes, self.fronts, strict=True):
            fault = struck.get(item.object_id, CONTROL)
            beside = any(gap(item, o) <= BESIDE for o in self.objects if o.object_id in struck)
            if fault in NEITHER or (fault == CONTROL and (beside or item.object_id not in shown)):
                continue
            if fault != CONTROL and differs is not None and item.object_id not in differs:
                continue
            numbers = measures(item, front, self.source, raw, self.width)
            if numbers is not None:
                seen = cutout(item.bbox, front, self.source.rgb, raw.rgb, self.source.rgb.shape[1] / self.width)
                side = side_of(item) * 1280 / self.width
                yield Lesson(seen, np.array(numbers, np.float32), fault, origin, side)


def _repainted(model: LatentModel, size: tuple[int, int], image: Image) -> Image:
    return to_uint8(painted(model, image, size))


def _painted(model: LatentModel | None, image: Image) -> Image:
    size = (PAINTED, round(PAINTED * image.shape[0] / image.shape[1]))
    if model is None:
        return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    return _repainted(model, model.working_size(image.shape[1], image.shape[0]), image)


def _changed_street(
    street: Street, items: Sequence[SceneObject], rng: np.random.Generator
) -> tuple[Street, dict[str, str]]:
    """The street with up to AT_ONCE things changed, and what befell which label."""
    things, changed = {t.uid: t for t in street.things}, street
    struck: dict[str, str] = {}
    for item in (items[i] for i in rng.permutation(len(items)).tolist()):
        uid = int(item.object_id) // 8
        if not _free(item, struck, items) or uid in {int(i) // 8 for i in struck}:
            continue
        fault = str(rng.choice(list(SCENE_SHARES), p=list(SCENE_SHARES.values())))
        if item.category == "traffic light" and rng.random() < 0.5:
            fault = "signal_changed"
        instead = {**SCENE_FAULTS, **HALVED}[fault](street, things[uid], rng)
        if instead is None:
            fault, instead = "erased", ()
        changed = with_changed(changed, uid, instead)
        struck[item.object_id] = fault
    return changed, struck


def _spoilt(
    pair: Pair, items: Sequence[SceneObject], shares: dict[str, float], most: int, rng: np.random.Generator
) -> tuple[Image, dict[str, str]]:
    """The picture with up to `most` objects spoilt in it, and what befell which label."""
    struck: dict[str, str] = {}
    for item in (items[i] for i in rng.permutation(len(items)).tolist()):
        if len(struck) >= most or not _free(item, struck, items):
            continue
        fault = str(rng.choice(list(shares), p=list(shares.values())))
        planted = PAINTED_FAULTS[fault](pair, item, rng)
        if planted is not None:
            pair, struck[item.object_id] = replace(pair, variant=planted.variant), fault
    return pair.variant, struck


def _free(item: SceneObject, struck: dict[str, str], items: Sequence[SceneObject]) -> bool:
    near = any(gap(item, other) <= APART for other in items if other.object_id in struck)
    return len(struck) < AT_ONCE and not near


def _shows(item: SceneObject, look: np.ndarray) -> bool:
    return item.mask is not None and outline_contrast(look, item.mask) >= VISIBLE_SHARE
