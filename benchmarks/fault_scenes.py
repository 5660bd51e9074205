"""Faults planted in the scene: a street drawn once more with a thing gone, moved, turned, or another in its place.

What stands behind a thing that is gone then shows, its shadow and its lights are gone too, and nothing is painted over.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from s2st_aug.procedural.street import Street, Thing

VEHICLES = ("car", "truck", "bus")
STATES = ("red", "amber", "green")
STYLES = ("sedan", "hatch", "suv", "wagon", "van")
FARTHER = 1.6  # times the distance at which another vehicle stands in a struck one's place
SCALED = (0.8, 1.3)  # times its own distance at which a scaled thing stands
NEAREST = 6.0  # metres from the camera, before which nothing is moved

Change = Callable[[Street, Thing, np.random.Generator], tuple[Thing, ...] | None]
"""(street, thing, rng) -> what stands there instead; None where the fault cannot strike this thing."""


def with_changed(street: Street, uid: int, instead: tuple[Thing, ...]) -> Street:
    """The street with other things in the place of one."""
    return replace(street, things=(*(t for t in street.things if t.uid != uid), *instead))


def erased(_street: Street, _thing: Thing, _rng: np.random.Generator) -> tuple[Thing, ...] | None:
    """Gone."""
    return ()


def shifted(street: Street, thing: Thing, rng: np.random.Generator, *, px: float) -> tuple[Thing, ...] | None:
    """Moved sideways by `px` pixels of the image."""
    depth = _depth(street, thing)
    if depth < 1:
        return None
    metres = float(rng.choice([-1, 1])) * px * depth / street.camera.focal
    return (_moved(street, thing, street.camera.axes[0][:2] * metres),)


def scaled(street: Street, thing: Thing, rng: np.random.Generator) -> tuple[Thing, ...] | None:
    """The same thing nearer or farther on the camera's line of sight: at its place, larger or smaller."""
    return _at_distance(street, thing, float(rng.choice(SCALED)))


def farther(street: Street, thing: Thing, rng: np.random.Generator) -> tuple[Thing, ...] | None:
    """Another vehicle, farther away on the same line of sight."""
    if thing.kind not in VEHICLES:
        return None
    other = _at_distance(street, thing, FARTHER)
    if other is None:
        return None
    style = str(rng.choice([s for s in STYLES if s != thing.style]))
    return (replace(other[0], kind="car", style=style, seed=thing.seed + 1),)


def other_class(_street: Street, thing: Thing, rng: np.random.Generator) -> tuple[Thing, ...] | None:
    """A truck or bus where a car was, a car where one of those was."""
    if thing.kind not in VEHICLES:
        return None
    if thing.kind == "car":
        return (replace(thing, kind=str(rng.choice(["truck", "bus"])), style="", seed=thing.seed + 1),)
    return (replace(thing, kind="car", style=str(rng.choice(STYLES)), seed=thing.seed + 1),)


def reversed_heading(_street: Street, thing: Thing, _rng: np.random.Generator) -> tuple[Thing, ...] | None:
    """A vehicle in its place that faces the other way."""
    return (replace(thing, turn=thing.turn + math.pi),) if thing.kind in VEHICLES else None


def relit(_street: Street, thing: Thing, rng: np.random.Generator) -> tuple[Thing, ...] | None:
    """A signal that shows another state."""
    if thing.kind != "signal":
        return None
    state, mount = thing.style.split("-")
    return (replace(thing, style=f"{rng.choice([s for s in STATES if s != state])}-{mount}"),)


SCENE_FAULTS: dict[str, Change] = {
    "erased": erased,
    "shift4": partial(shifted, px=4),
    "shift8": partial(shifted, px=8),
    "shift16": partial(shifted, px=16),
    "signal_changed": relit,
    "replaced_farther": farther,
    "replaced_class": other_class,
    "reversed": reversed_heading,
    "scaled": scaled,
}
"""name -> what happens to a thing"""


def _depth(street: Street, thing: Thing) -> float:
    x, y, _ = street.road.place(thing.s, thing.t)
    return float(street.camera.to_camera(np.array([[float(x), float(y), 0.0]]))[0, 2])


def _at_distance(street: Street, thing: Thing, times: float) -> tuple[Thing, ...] | None:
    depth = _depth(street, thing)
    if depth < 1 or depth * times < NEAREST:
        return None
    x, y, _ = street.road.place(thing.s, thing.t)
    away = np.array([float(x), float(y)]) - street.camera.centre[:2]
    return (_moved(street, thing, away * (times - 1)),)


def _moved(street: Street, thing: Thing, by: np.ndarray) -> Thing:
    """The thing elsewhere on the ground, by so many metres of the world (x, y); its heading in the world stays."""
    x, y, heading = street.road.place(thing.s, thing.t)
    wanted, s, t = np.array([float(x), float(y)]) + by, thing.s + float(by[1]), thing.t + float(by[0])
    for _ in range(8):  # the road bends little: its coordinates follow those of the world almost one to one
        x, y, _ = street.road.place(s, t)
        s, t = s + wanted[1] - float(y), t + wanted[0] - float(x)
    turned = float(street.road.place(s, t)[2]) - float(heading)
    return replace(thing, s=s, t=t, turn=thing.turn - turned)
