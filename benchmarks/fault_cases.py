"""Planted faults and untouched controls, as pictures that a model could have painted; what they strike is known.

A street is drawn again with the fault in it, and either rendered under the target condition or rendered by day and
translated by the shipped model. The source by day and its labels are those of the untouched street.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np

from benchmarks.fault_emission import Emission, painted, shipped_settings, translated
from benchmarks.fault_scenes import SCENE_FAULTS, with_changed
from benchmarks.planted_faults import LIGHT_FAULTS, PAINTED_FAULTS, WHOLE_FAULTS, Pair, objects_of_masks
from s2st_aug.arrays import Image, Mask
from s2st_aug.diffusion.model import LatentModel
from s2st_aug.errors import DatasetError
from s2st_aug.images import read_image
from s2st_aug.procedural.categories import CATEGORIES
from s2st_aug.procedural.drawing import Drawn, draw_street
from s2st_aug.procedural.labels import read_labels
from s2st_aug.procedural.render import render_drawn
from s2st_aug.procedural.sampling import sample_street
from s2st_aug.procedural.street import Street
from s2st_aug.procedural.surfaces import Surfaces, surfaces
from s2st_aug.randomness import numpy_generator
from s2st_aug.real_data import real_data
from s2st_aug.records.domains import ConditionName
from s2st_aug.records.scene import SceneObject
from s2st_aug.validation.calibration import retouched
from s2st_aug.validation.signals import STATES

CHOSEN_KEY, REPORTED_KEY = 4, 6
CHOSEN_VIDEO, REPORTED_VIDEO = "0016E5", "0006R0"
SIZE = (1280, 720)
CONTROL = "control"
CONDITIONS: tuple[ConditionName, ...] = ("night", "rain", "dusk")
TRANSLATED: tuple[ConditionName, ...] = ("night", "rain")  # what the shipped model itself is asked for
TRANSLATED_FAULTS = ("erased", "shift8", "signal_changed", "replaced_farther", "replaced_class")
VISIBLE_SHARE, VISIBLE_STEP = 0.5, 3.0
"""Share of an object's outline that must step by so many CIE76 units without noise, by day and in the variant."""
LEAST_SIDE, LEAST_OWN = 16, 0.4  # px of both sides, and share of its box that is not hidden, of an object that counts
SMALL_SIDE = 10  # px from which smaller objects are reported beside the rest
CHANGED_SHARE = 0.2  # of an object's pixels that differ visibly where it is replaced
NEAR_SIGNAL = 32.0  # metres within which a traffic light shows its lamp
AT_ONCE, APART = 4, 24.0  # things struck in one image, and px between them
CAMVID_CLASSES = {6: "traffic sign", 8: "car", 9: "pedestrian", 10: "rider"}
PHOTO_FAULTS = ("erased_painted", "shift8_painted", "identity", "darkened")


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One picture at working size with one fault (or CONTROL) in it; `struck` are the labels that it strikes.

    `origin` is the condition. In a `translated` one the model's own changes come on top of the fault. `box` is where
    something without a label was planted, and `kind` which light.
    """

    fault: str
    origin: str
    translated: bool
    struck: tuple[SceneObject, ...]
    painted: np.ndarray  # y x 3 float32, 0..255
    box: tuple[float, float, float, float] | None = None
    kind: str = ""


@dataclass(frozen=True, eq=False)
class Place:
    """A street by day with its labels: the source of every picture of it."""

    street: Street
    model: LatentModel
    name: str

    @cached_property
    def drawn(self) -> tuple[Drawn, Surfaces]:
        """The untouched street as drawn, and its surfaces."""
        drawn = draw_street(self.street)
        return drawn, surfaces(drawn)

    @cached_property
    def day(self) -> Image:
        """The source."""
        return render_drawn(*self.drawn, "day")

    @cached_property
    def objects(self) -> tuple[SceneObject, ...]:
        """The labelled things with their pixels."""
        return tuple(labelled(self.drawn[0]))

    @cached_property
    def emission(self) -> Emission:
        """The way from a picture to what is emitted, with the labels as a data set has them: boxes."""
        boxes = tuple(replace(o, kind="box", mask=None) for o in self.objects)
        return Emission(self.model, self.day, boxes, shipped_settings("street-mini"))

    def visible(self, condition: ConditionName) -> list[bool]:
        """Of each object whether its outline shows under a condition, without noise, and enough of it is its own."""
        clean = lab(render_drawn(*self.drawn, condition, noise=0.0))
        return [
            own_share(o) >= LEAST_OWN and outline_contrast(clean, o.mask) >= VISIBLE_SHARE
            for o in self.objects
            if o.mask is not None
        ]


def labelled(drawn: Drawn) -> list[SceneObject]:
    """The labelled things of a drawn street with their pixels."""
    labels = read_labels(drawn)
    found = []
    for o in labels.objects:
        if name := CATEGORIES[o.instance.category].det:
            x1, y1, x2, y2 = map(float, o.box)
            signal = next((state for state in STATES if state == o.instance.signal), None)
            mask = labels.owner == o.instance.number
            found.append(SceneObject(str(o.instance.number), "mask", name, (x1, y1, x2, y2), (), mask, signal))
    return found


def place_of(key: int, index: int, model: LatentModel, size: tuple[int, int] = SIZE) -> Place:
    """Street number `index` of a key."""
    return Place(sample_street(key, index, size), model, f"{key}-{index}")


def street_pictures(place: Place, *, signals_alone: bool = False, with_model: bool = False) -> Iterator[Picture]:
    """Every picture of one street, in a fixed order: controls, scene faults, painted ones, whole-image ones.

    With `signals_alone` only what strikes signals; with `with_model` the shipped model's translations too.
    """
    seen = {c: place.visible(c) for c in ("day", *CONDITIONS)}
    strikable = {
        c: tuple(o for o, a, b in zip(place.objects, seen["day"], seen[c], strict=True) if a and b) for c in CONDITIONS
    }
    for c in CONDITIONS:
        truth = render_drawn(*place.drawn, c)
        some = [o for o in strikable[c] if side_of(o) >= SMALL_SIDE]
        if signals_alone:
            some = [o for o in some if o.category == "traffic light"]
        yield _rendered(place, CONTROL, c, truth, some)
        large = [o for o in some if side_of(o) >= LEAST_SIDE]
        yield from _painted_faults(place, c, truth, large, ("signal_two_lit",) if signals_alone else PAINTED_FAULTS)
        if not signals_alone:
            yield from _whole_faults(place, c, truth, large)
    if with_model:
        for c, picture in _by_model(place, place.day).items():
            yield Picture(CONTROL, c, True, tuple(o for o in strikable[c] if side_of(o) >= SMALL_SIDE), picture)
    for name in ("signal_changed",) if signals_alone else SCENE_FAULTS:
        yield from _scene_faults(place, name, strikable, with_model=with_model and name in TRANSLATED_FAULTS)


def _scene_faults(
    place: Place, name: str, strikable: dict[ConditionName, tuple[SceneObject, ...]], *, with_model: bool
) -> Iterator[Picture]:
    """One fault planted into up to four things that do not touch, small ones apart from the rest."""
    rng = numpy_generator(0, "planted", place.name, name)
    for small in (False, True):
        every = {o.object_id: o for c in CONDITIONS for o in strikable[c] if (side_of(o) < LEAST_SIDE) == small}
        fitting = [o for o in every.values() if side_of(o) >= SMALL_SIDE]
        chosen, changed = _struck(place, name, fitting, rng)
        if not chosen:
            continue
        drawn = draw_street(changed)
        scene = drawn, surfaces(drawn)
        for c in CONDITIONS:
            visible = {o.object_id for o in strikable[c]}
            struck = _changed_visibly(place, scene, c, name, [o for o in chosen if o.object_id in visible])
            if struck:
                yield _rendered(place, name, c, render_drawn(*scene, c), struck)
        if with_model and not small:
            shown = _changed_visibly(place, scene, "day", name, chosen)
            for c, picture in _by_model(place, render_drawn(*scene, "day")).items() if shown else ():
                yield Picture(name, c, True, shown, picture)


def _struck(
    place: Place, name: str, items: Sequence[SceneObject], rng: np.random.Generator
) -> tuple[list[SceneObject], Street]:
    """The labels that are struck, and the street with the fault in it."""
    things = {t.uid: t for t in place.street.things}
    chosen: list[SceneObject] = []
    hit: set[int] = set()
    street = place.street
    for i in rng.permutation(len(items)).tolist():
        item, uid = items[i], int(items[i].object_id) // 8
        if uid in hit or len(chosen) >= AT_ONCE or any(gap(item, other) <= APART for other in chosen):
            continue
        instead = SCENE_FAULTS[name](place.street, things[uid], rng)
        if instead is not None:
            street = with_changed(street, uid, instead)
            hit.add(uid)
            chosen.append(item)
    return chosen, street


def _changed_visibly(
    place: Place, scene: tuple[Drawn, Surfaces], condition: ConditionName, name: str, items: Sequence[SceneObject]
) -> tuple[SceneObject, ...]:
    """Those in which the fault shows without noise: enough of the object's pixels differ. A lamp is small, a shift an
    edge: of them nothing is asked."""
    if not items or name == "signal_changed" or name.startswith("shift"):
        return tuple(items)
    before, after = (lab(render_drawn(*s, condition, noise=0.0)) for s in (place.drawn, scene))
    far = np.linalg.norm(after - before, axis=-1) >= VISIBLE_STEP
    return tuple(o for o in items if o.mask is not None and far[o.mask].mean() >= CHANGED_SHARE)


def _painted_faults(
    place: Place, condition: ConditionName, truth: Image, items: Sequence[SceneObject], names: Iterable[str]
) -> Iterator[Picture]:
    """Objects spoilt in the true render before the autoencoder: melted, blurred, signals with two lamps lit."""
    pair = Pair(place.day, truth, tuple(place.emission.objects))
    for name in names:
        plant = PAINTED_FAULTS[name]
        rng = numpy_generator(0, "planted", place.name, condition, name)
        image = pair
        struck: list[SceneObject] = []
        for i in rng.permutation(len(items)).tolist():
            fits = len(struck) < AT_ONCE and all(gap(items[i], other) > APART for other in struck)
            if fits and (planted := plant(image, items[i], rng)) is not None:
                image, struck = replace(image, variant=planted.variant), [*struck, items[i]]
        if struck:
            yield _rendered(place, name, condition, image.variant, tuple(struck))


def _whole_faults(
    place: Place, condition: ConditionName, truth: Image, items: Sequence[SceneObject]
) -> Iterator[Picture]:
    """What is added to the true render where no label is, lights one at a time, and darkened copies."""
    pair = Pair(place.day, truth, tuple(place.emission.objects))
    for name, kinds in LIGHT_FAULTS.items():
        for kind, plant in kinds.items():
            rng = numpy_generator(0, "planted", place.name, condition, name, kind)
            if (planted := plant(pair, None, rng)) is not None:
                picture = painted(place.model, planted.variant, place.emission.size)
                yield Picture(name, condition, False, (), picture, planted.box, kind)
    for name, plant in WHOLE_FAULTS.items():
        rng = numpy_generator(0, "planted", place.name, condition, name)
        item = items[int(rng.integers(len(items)))] if items else None
        if (planted := plant(pair, item, rng)) is not None:
            picture = painted(place.model, planted.variant, place.emission.size)
            yield Picture(name, condition, False, (), picture, planted.box)


def _rendered(place: Place, name: str, origin: str, image: Image, struck: Sequence[SceneObject]) -> Picture:
    return Picture(name, origin, False, tuple(struck), painted(place.model, image, place.emission.size))


def _by_model(place: Place, day: Image) -> dict[ConditionName, np.ndarray]:
    settings = shipped_settings("street-mini", "draft")
    made = translated(place.model, day, place.emission.objects, TRANSLATED, settings)
    return {c: picture for c in TRANSLATED if (picture := made[c]) is not None}


def signal_streets(key: int, start: int, count: int) -> Iterator[int]:
    """Streets from number `start` on that have a traffic light near enough to read."""
    index = start
    while count:
        if any(thing.kind == "signal" and thing.s < NEAR_SIGNAL for thing in sample_street(key, index, SIZE).things):
            count -= 1
            yield index
        index += 1


def photo_pictures(
    photos: int, video: str, model: LatentModel, start: int = 0, stop: int | None = None
) -> Iterator[tuple[str, Emission, Picture]]:
    """Photos of one CamVid video, changed photometrically, with painted faults; nothing where the photos are absent."""
    try:
        camvid = real_data("camvid/day")
    except DatasetError:
        return  # the suite then measures on streets alone, and its figures say on how many photos
    paths = sorted((camvid / "images").glob(f"{video}*"))
    for path in paths[:: max(1, len(paths) // photos)][:photos][start:stop]:
        source = read_image(path)
        classes = read_ids(next((camvid / "labels").glob(f"{path.stem}.*")))
        objects = tuple(objects_of_masks(classes, CAMVID_CLASSES, least=LEAST_SIDE))
        emission = Emission(model, source, objects, shipped_settings("street-photo"))
        pair = Pair(source, retouched(source, path.stem), objects)
        control = Picture(CONTROL, "photo", False, objects, painted(model, pair.variant, emission.size))
        yield path.stem, emission, control
        for name in PHOTO_FAULTS:
            rng = numpy_generator(0, "planted", path.stem, name)
            image, struck = _struck_photo(pair, name, rng)
            if image is not None:
                picture = Picture(name, "photo", False, struck, painted(model, image, emission.size))
                yield path.stem, emission, picture


def _struck_photo(pair: Pair, name: str, rng: np.random.Generator) -> tuple[Image | None, tuple[SceneObject, ...]]:
    if name in WHOLE_FAULTS:
        planted = WHOLE_FAULTS[name](pair, None, rng)
        return (planted.variant if planted else None), ()
    struck: list[SceneObject] = []
    for i in rng.permutation(len(pair.objects)).tolist():
        item = pair.objects[i]
        fits = len(struck) < AT_ONCE and all(gap(item, other) > APART for other in struck)
        if fits and (planted := PAINTED_FAULTS[name](pair, item, rng)) is not None:
            pair, struck = replace(pair, variant=planted.variant), [*struck, item]
    return (pair.variant if struck else None), tuple(struck)


def read_ids(path: object) -> np.ndarray:
    """Class ids of a mask file, `h w`."""
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))


def side_of(item: SceneObject) -> float:
    """The shorter side of an object's box in pixels."""
    return min(item.bbox[2] - item.bbox[0], item.bbox[3] - item.bbox[1])


def gap(a: SceneObject, b: SceneObject) -> float:
    """Pixels between two boxes, across or down, whichever is more; below 0 where they overlap."""
    return max(a.bbox[0] - b.bbox[2], b.bbox[0] - a.bbox[2], a.bbox[1] - b.bbox[3], b.bbox[1] - a.bbox[3])


def lab(image: Image) -> np.ndarray:
    """CIELAB of an RGB image, `h w 3` float32."""
    return cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)


def own_share(item: SceneObject) -> float:
    """Share of an object's box that is the object."""
    x1, y1, x2, y2 = item.bbox
    return (0.0 if item.mask is None else float(np.count_nonzero(item.mask))) / max((x2 - x1) * (y2 - y1), 1.0)


def outline_contrast(lab: np.ndarray, mask: Mask) -> float:
    """Share of an object's outline across which CIELAB steps by at least VISIBLE_STEP, means of 7x7 on either side."""
    ys, xs = np.nonzero(mask)
    cut = (slice(max(ys.min() - 8, 0), ys.max() + 9), slice(max(xs.min() - 8, 0), xs.max() + 9))
    inside = mask[cut].astype(np.float32)
    near, part = cv2.blur(1 - inside, (7, 7)), lab[cut]
    a, b = (
        cv2.blur(part * w[..., None], (7, 7)) / np.maximum(cv2.blur(w, (7, 7)), 1e-4)[..., None]
        for w in (inside, 1 - inside)
    )
    edge = (inside > 0) & (cv2.erode(inside, np.ones((3, 3))) == 0) & (near > 0.05)
    return float((np.linalg.norm(a - b, axis=-1)[edge] >= VISIBLE_STEP).mean()) if edge.any() else 0.0
