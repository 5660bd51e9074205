"""Lamps, traffic lights and signs. Local frame: they face oncoming eyes, that is they look along -y."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from s2st_aug.procedural.mesh import Glow, Material, Mesh, box, join, part
from s2st_aug.procedural.street import Thing

STEEL, BLACK = (0.16, 0.165, 0.17), (0.014, 0.014, 0.015)
LAMP_OUT, LAMP_HEIGHT = 2.1, 7.2
LENSES = {
    "red": (Glow.RED, (0.75, 0.02, 0.015)),
    "amber": (Glow.AMBER, (0.85, 0.33, 0.01)),
    "green": (Glow.GREEN, (0.01, 0.62, 0.22)),
}
DARK_LENS = {"red": (0.06, 0.008, 0.008), "amber": (0.06, 0.03, 0.006), "green": (0.006, 0.04, 0.02)}


def lamp(thing: Thing) -> Mesh:
    """A street lamp whose arm reaches over the road."""
    return _lamp(thing.style)


@lru_cache(maxsize=4)
def _lamp(style: str) -> Mesh:
    side = -1.0 if style == "right" else 1.0
    post = box((-0.07, -0.07, 0), (0.07, 0.07, LAMP_HEIGHT), STEEL, Material.METAL)
    arm = box(
        (min(0, side * LAMP_OUT), -0.04, LAMP_HEIGHT - 0.06),
        (max(0, side * LAMP_OUT), 0.04, LAMP_HEIGHT + 0.03),
        STEEL,
        Material.METAL,
    )
    x0, x1 = sorted((side * (LAMP_OUT - 0.7), side * LAMP_OUT))
    head = box((x0, -0.16, LAMP_HEIGHT - 0.04), (x1, 0.16, LAMP_HEIGHT + 0.10), (0.2, 0.2, 0.21), Material.METAL)
    glass = box(
        (x0 + 0.05, -0.13, LAMP_HEIGHT - 0.12),
        (x1 - 0.05, 0.13, LAMP_HEIGHT - 0.03),
        (0.6, 0.6, 0.56),
        Material.GLASS,
        glow=Glow.LAMP,
    )
    return join(post, arm, head, glass)


def _lens(x: float, y: float, z: float, radius: float, colour: tuple[float, ...], glow: Glow) -> Mesh:
    a = np.arange(10) * (2 * np.pi / 10)
    verts = [(x + radius * np.cos(t), y, z + radius * np.sin(t)) for t in a]
    return part(verts, [tuple(range(10))], colour, glow=glow, inside=(x, y + 1, z))


@lru_cache(maxsize=32)
def head(x: float, z: float, state: str, *, size: float = 1.0) -> Mesh:
    """One three-lens signal head, its middle at (x, 0, z); only the lens of `state` is lit."""
    w, h, r = 0.19 * size, 0.53 * size, 0.125 * size
    shell = box((x - w, -0.12, z - h), (x + w, 0.12, z + h), BLACK)
    lenses = []
    for k, name in enumerate(("red", "amber", "green")):
        lit = name == state
        glow, colour = LENSES[name]
        lenses.append(
            _lens(
                x, -0.13, z + (1 - k) * 0.335 * size, r, colour if lit else DARK_LENS[name], glow if lit else Glow.NONE
            )
        )
        hood = [(x - r, -0.13, 0.0), (x + r, -0.13, 0.0), (x + r, -0.30, -0.02), (x - r, -0.30, -0.02)]
        hood = [(a, b, c + z + (1 - k) * 0.335 * size + r) for a, b, c in hood]
        lenses.append(part(hood, [(0, 1, 2, 3)], BLACK, thin=True, detail=24))
    return join(shell, *lenses)


def signal_heads(thing: Thing) -> list[Mesh]:
    """Each head is one labelled traffic light."""
    state, mount = thing.style.split("-")
    heads = [head(0.0, 2.7, state)]
    if mount == "arm":
        heads.append(head(-4.2, 5.6, state, size=1.15))
    return heads


def signal_post(thing: Thing) -> Mesh:
    """The post, and the arm over the road where there is one."""
    return _signal_post(thing.style.endswith("arm"))


@lru_cache(maxsize=2)
def _signal_post(arm: bool) -> Mesh:  # noqa: FBT001
    tall = 5.8 if arm else 2.3
    post = box((-0.07, -0.0, 0), (0.07, 0.14, tall), STEEL, Material.METAL)
    if tall < 3:
        return post
    return join(post, box((-4.5, 0.13, 5.55), (0.07, 0.22, 5.67), STEEL, Material.METAL))


def _plate(points: np.ndarray, z: float, colour: tuple[float, ...], front: float = 0.0, detail: int = 0) -> Mesh:
    verts = [(float(x), -0.02 - front, float(y) + z) for x, y in points]
    return part(verts, [tuple(range(len(verts)))], colour, Material.SIGN, inside=(0, 1, z), detail=detail)


def _circle(radius: float, n: int, turn: float = 0.0) -> np.ndarray:
    a = np.arange(n) * (2 * np.pi / n) + turn
    return radius * np.column_stack([np.cos(a), np.sin(a)])


def _rectangle(w: float, h: float) -> np.ndarray:
    return np.array([(-w, -h), (w, -h), (w, h), (-w, h)])


WHITE, RED, YELLOW, BLUE, GREEN = (
    (0.72, 0.72, 0.70),
    (0.50, 0.022, 0.03),
    (0.72, 0.42, 0.01),
    (0.015, 0.08, 0.36),
    (0.01, 0.17, 0.09),
)


def _digits(z: float, colour: tuple[float, ...]) -> list[Mesh]:
    strokes = [(-0.11, 0.02), (0.09, 0.02)]
    out = []
    for x, w in strokes:
        out.append(_plate(_rectangle(w + 0.012, 0.105) + np.array([x, 0.0]), z, colour, 0.02, 18))
        out.append(_plate(_rectangle(0.05, 0.018) + np.array([x, 0.09]), z, colour, 0.02, 26))
    return out


def sign_plate(thing: Thing) -> Mesh:
    """The plate of a sign: the labelled thing."""
    return _plate_of(thing.style)


@lru_cache(maxsize=16)
def _plate_of(style: str) -> Mesh:
    z = 2.35
    back = _back(z, 0.36)
    if style == "speed":
        return join(
            back, _plate(_circle(0.36, 16), z, RED), _plate(_circle(0.28, 16), z, WHITE, 0.01, 8), *_digits(z, BLACK)
        )
    if style == "stop":
        octagon = _circle(0.40, 8, np.pi / 8)
        return join(
            back,
            _plate(octagon, z, WHITE),
            _plate(octagon * 0.92, z, RED, 0.01),
            _plate(_rectangle(0.26, 0.075), z, WHITE, 0.02, 14),
        )
    if style == "warn":
        diamond, bar = _circle(0.46, 4), _rectangle(0.05, 0.2)
        return join(_plate(diamond, z, BLACK), _plate(diamond * 0.92, z, YELLOW, 0.01), _plate(bar, z, BLACK, 0.02, 14))
    if style == "blue":
        return join(back, _plate(_circle(0.33, 16), z, BLUE), _plate(_rectangle(0.05, 0.20), z, WHITE, 0.01, 14))
    if style == "park":
        parts = [
            _plate(_rectangle(0.24, 0.33), z, WHITE),
            _plate(_rectangle(0.21, 0.20) + np.array([0, 0.08]), z, BLUE, 0.01),
        ]
        return join(
            _back(z, 0.24), *parts, _plate(_rectangle(0.03, 0.12) + np.array([-0.05, 0.08]), z, WHITE, 0.02, 20)
        )
    parts = [_plate(_rectangle(0.85, 0.38), z, WHITE), _plate(_rectangle(0.81, 0.34), z, GREEN, 0.01)]
    text = [
        _plate(_rectangle(w, 0.05) + np.array([w - 0.7, dz]), z, WHITE, 0.02, 12)
        for w, dz in ((0.5, 0.16), (0.36, -0.02), (0.55, -0.2))
    ]
    return join(_back(z, 0.8), *parts, *text)


def _back(z: float, w: float) -> Mesh:
    return box(
        (-w * 0.68, 0.0, z - min(w, 0.36) * 0.68),
        (w * 0.68, 0.03, z + min(w, 0.36) * 0.68),
        (0.28, 0.29, 0.30),
        Material.METAL,
    )


SIGN_POST = box((-0.035, 0.03, 0), (0.035, 0.10, 2.6), (0.30, 0.31, 0.32), Material.METAL)
"""What a plate hangs on."""
