"""Traffic lights before the detail step, with the source's lamps lit, others, or more of them: small renders of streets
with many signals in them.

Lamps are lit by rendering the street once more with each signal in another state, never by painting: the second lamp of
the planted-fault suite is none of these. `pipelines/fit_lamps.py` learns from them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from benchmarks.fault_cases import (
    CONDITIONS,
    CONTROL,
    LEAST_OWN,
    VISIBLE_SHARE,
    lab,
    labelled,
    outline_contrast,
    own_share,
    side_of,
)
from benchmarks.fault_emission import painted
from s2st_aug.arrays import Box, Image
from s2st_aug.diffusion.model import LatentModel
from s2st_aug.images import to_uint8
from s2st_aug.procedural.drawing import draw_street
from s2st_aug.procedural.render import render_drawn
from s2st_aug.procedural.sampling import sample_street
from s2st_aug.procedural.street import Street, Thing
from s2st_aug.procedural.surfaces import surfaces
from s2st_aug.records.scene import SceneObject
from s2st_aug.validation.evidence import coarse_rgb
from s2st_aug.validation.lamps import numbers_of
from s2st_aug.validation.signals import STATES, UPRIGHT

SIZE = (640, 360)  # px: half of the suite's, as everything is brought down to 288 px
MORE, NEAR, FAR, ASIDE = 9, 9.0, 30.0, 0.38  # signals put into a street, metres ahead, and metres aside per metre ahead
LEAST_SIDE = 5.0  # px of a signal here: 10 px of the suite
DIMMER = (0.35, 0.85)  # share of its light that a dimmer second lamp has
SLOPPY = 0.04  # of a box's size by which its sides lie elsewhere, as people draw them
BRIGHTER = 0.2  # share by which the painted picture is made brighter or darker
SHARP = (CONTROL, "two_lit_1", "changed_1")  # shown without an autoencoder too


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """One signal in one picture: what the network sees, what befell it (CONTROL: nothing), and its condition.

    `side` is of the shorter side in px at a width of 1280; `sharp`, whether no autoencoder painted it.
    """

    numbers: np.ndarray
    fault: str
    origin: str
    side: float
    sharp: bool


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """One picture of a street, as `evidence.coarse_rgb` makes it, and the signals that show in it."""

    fault: str
    origin: str
    sharp: bool
    raw: np.ndarray
    signals: Sequence[SceneObject]


def lamp_lessons(key: int, index: int, model: LatentModel) -> Iterator[Lesson]:
    """Of one street with signals put into it, under every condition."""
    street = _with_signals(sample_street(key, index, SIZE), np.random.default_rng([6, key, index]))
    drawn = draw_street(street)
    scenes = [(d, surfaces(d)) for d in (drawn, *(draw_street(_turned(street, by)) for by in (1, 2)))]
    day = render_drawn(*scenes[0], "day", noise=0.0)
    signals = [o for o in labelled(drawn) if o.signal and side_of(o) >= LEAST_SIDE and own_share(o) >= LEAST_OWN]
    signals = [o for o in signals if _upright(o) and _shows(o, lab(day))]
    size = model.working_size(*SIZE)
    pictures = []
    for c in CONDITIONS:
        truth, *others = (render_drawn(*scene, c, noise=0.0) for scene in scenes)
        shown = [o for o in signals if _shows(o, lab(truth))]
        for fault, image in _lit(truth, others).items():
            large = cv2.resize(to_uint8(painted(model, image, size)), SIZE, interpolation=cv2.INTER_CUBIC)
            pictures.append(Shown(fault, c, False, coarse_rgb(large), shown))
            if fault in SHARP:
                pictures.append(Shown(fault, c, True, coarse_rgb(image), shown))
    yield from lessons_of(coarse_rgb(day), pictures, np.random.default_rng([79, key, index]))


def lessons_of(source: np.ndarray, pictures: Sequence[Shown], rng: np.random.Generator) -> Iterator[Lesson]:
    """What the network is to learn of the pictures of one street, and of second lamps dimmer than the true one: a
    mixture of two pictures, as an autoencoder would nearly have made it.
    """
    true = {(p.origin, p.sharp): p.raw for p in pictures if p.fault == CONTROL}
    for p in pictures:
        kinds = {p.fault: p.raw.astype(np.float32)}
        if p.fault.startswith("two_lit"):
            base = true[p.origin, p.sharp].astype(np.float32)
            kinds[p.fault.replace("two_lit", "dim")] = base + rng.uniform(*DIMMER) * (kinds[p.fault] - base)
        for fault, picture in kinds.items():
            raw = to_uint8(picture * rng.uniform(1 - BRIGHTER, 1 + BRIGHTER))
            for o in p.signals:
                numbers = numbers_of(source, raw, _sloppy(o.bbox, rng))
                yield Lesson(numbers, fault, p.origin, side_of(o) * 1280 / SIZE[0], p.sharp)


def _lit(truth: Image, others: Sequence[Image]) -> dict[str, Image]:
    """The street as it is, with a second lamp lit, with another one, and with all three."""
    both = {f"two_lit_{n}": np.maximum(truth, other) for n, other in enumerate(others, 1)}
    changed = {f"changed_{n}": other for n, other in enumerate(others, 1)}
    return {CONTROL: truth, **both, **changed, "three_lit": np.maximum(truth, np.maximum(*others))}


def _with_signals(street: Street, rng: np.random.Generator) -> Street:
    uid = max(t.uid for t in street.things) + 1
    more = []
    for n in range(MORE):
        ahead = float(rng.uniform(NEAR, FAR))
        aside = float(rng.uniform(-ASIDE, ASIDE)) * ahead + 1
        style = f"{rng.choice(STATES)}-{rng.choice(['arm', 'post'])}"
        more.append(Thing(uid + n, "signal", ahead, aside, style=style, seed=int(rng.integers(10**6))))
    return replace(street, things=(*street.things, *more))


def _turned(street: Street, by: int) -> Street:
    """Every signal in the state that is `by` further on."""
    things = []
    for thing in street.things:
        if thing.kind == "signal":
            state, mount = thing.style.split("-")
            turned = STATES[(STATES.index(state) + by) % len(STATES)]
            thing = replace(thing, style=f"{turned}-{mount}")
        things.append(thing)
    return replace(street, things=tuple(things))


def _upright(item: SceneObject) -> bool:
    x1, y1, x2, y2 = item.bbox
    return y2 - y1 >= UPRIGHT * (x2 - x1)


def _sloppy(box: Box, rng: np.random.Generator) -> Box:
    wide, high = box[2] - box[0], box[3] - box[1]
    x1, y1, x2, y2 = (float(v + rng.normal(0, SLOPPY) * s) for v, s in zip(box, (wide, high) * 2, strict=True))
    return x1, y1, x2, y2


def _shows(item: SceneObject, look: np.ndarray) -> bool:
    return item.mask is not None and outline_contrast(look, item.mask) >= VISIBLE_SHARE
