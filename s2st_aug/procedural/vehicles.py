"""Cars, vans, trucks, buses and motorcycles as lofted bodies with cabins, windows, wheels and lamps.

Local frame: the vehicle looks along +y, stands on z = 0, its middle at the origin.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from s2st_aug.procedural.mesh import Glow, Material, Mesh, box, join, painted, part
from s2st_aug.procedural.textures import Tile

Colour = tuple[float, float, float]
TYRE, RIM, DARK, PLATE, CHROME = (
    (0.012, 0.012, 0.013),
    (0.28, 0.29, 0.31),
    (0.018, 0.018, 0.02),
    (0.5, 0.5, 0.46),
    (0.45, 0.46, 0.48),
)
GLASS, HEAD_OFF, TAIL_OFF = (0.03, 0.037, 0.042), (0.72, 0.74, 0.76), (0.30, 0.012, 0.012)


@dataclass(frozen=True, slots=True)
class BodyStyle:
    """A side profile: fractions of the length from the rear, heights in metres."""

    length: float
    width: float
    height: float
    deck: tuple[tuple[float, float], ...]  # (fraction, height) of bonnet, belt line and boot
    cabin: tuple[float, float, float, float]  # rear foot, rear roof, front roof, front foot, fractions
    wheel: float = 0.32
    axles: tuple[float, ...] = (0.19, 0.81)
    blind: bool = False  # a van: no side windows behind the driver


STYLES: dict[str, BodyStyle] = {
    "sedan": BodyStyle(
        4.6,
        1.80,
        1.45,
        ((0, 0.72), (0.02, 0.92), (0.18, 0.97), (0.5, 0.94), (0.70, 0.92), (0.93, 0.76), (1, 0.60)),
        (0.10, 0.29, 0.55, 0.73),
    ),
    "hatch": BodyStyle(
        4.0,
        1.75,
        1.50,
        ((0, 0.75), (0.02, 0.95), (0.4, 0.96), (0.70, 0.94), (0.93, 0.80), (1, 0.62)),
        (0.02, 0.13, 0.53, 0.74),
    ),
    "wagon": BodyStyle(
        4.7,
        1.82,
        1.48,
        ((0, 0.75), (0.02, 0.95), (0.4, 0.95), (0.70, 0.93), (0.93, 0.77), (1, 0.60)),
        (0.015, 0.08, 0.55, 0.73),
    ),
    "suv": BodyStyle(
        4.6,
        1.88,
        1.72,
        ((0, 0.85), (0.02, 1.06), (0.4, 1.08), (0.70, 1.07), (0.94, 0.98), (1, 0.74)),
        (0.02, 0.09, 0.56, 0.73),
        0.37,
    ),
    "van": BodyStyle(
        5.2,
        1.98,
        2.15,
        ((0, 0.95), (0.01, 1.10), (0.5, 1.12), (0.83, 1.10), (0.96, 0.98), (1, 0.70)),
        (0.005, 0.02, 0.70, 0.87),
        0.35,
        (0.2, 0.82),
        True,
    ),
}
PAINTS: tuple[Colour, ...] = (
    (0.62, 0.63, 0.64),
    (0.70, 0.70, 0.68),
    (0.30, 0.31, 0.33),
    (0.10, 0.105, 0.115),
    (0.022, 0.023, 0.026),
    (0.012, 0.012, 0.014),
    (0.33, 0.018, 0.02),
    (0.42, 0.04, 0.02),
    (0.03, 0.07, 0.24),
    (0.05, 0.14, 0.32),
    (0.02, 0.09, 0.06),
    (0.20, 0.14, 0.08),
    (0.55, 0.30, 0.02),
    (0.38, 0.36, 0.30),
    (0.16, 0.20, 0.24),
    (0.45, 0.46, 0.48),
)
WEIGHTS = np.array([16, 14, 11, 10, 9, 9, 6, 3, 5, 4, 2, 2, 1.2, 3, 4, 8])


def disc(x: float, y: float, z: float, radius: float, n: int, colour: Colour, side: float, detail: int = 0) -> Mesh:
    """A wheel face at lateral position x, seen from the side of the sign of `side`."""
    a = np.arange(n) * (2 * np.pi / n)
    verts = [(x, y + radius * np.cos(t), z + radius * np.sin(t)) for t in a]
    return part(verts, [tuple(range(n))], colour, Material.MATTE, inside=(x - side, y, z), detail=detail)


def treads(x: float, axles: tuple[float, ...], radius: float) -> list[Mesh]:
    """The tyres' running surfaces, painted before the body that hides most of them."""
    out = []
    for y in axles:
        for side in (-1, 1):
            near, far = sorted((side * x, side * (x - 0.22)))
            out.append(box((near, y - radius * 0.80, 0.0), (far, y + radius * 0.80, radius * 0.8), TYRE))
    return out


def wheels(x: float, axles: tuple[float, ...], radius: float) -> list[Mesh]:
    """Arch, tyre, rim and hub of every wheel, painted after the body."""
    out = []
    for y in axles:
        for side in (-1.0, 1.0):
            at = side * x
            out.append(disc(at, y - radius * 0.02, radius * 1.08, radius * 1.17, 12, DARK, side, 14))
            out.append(disc(at + side * 0.01, y, radius, radius, 14, TYRE, side))
            out.append(disc(at + side * 0.015, y, radius, radius * 0.66, 12, RIM, side, 12))
            out.append(disc(at + side * 0.02, y, radius, radius * 0.5, 5, (0.10, 0.10, 0.11), side, 50))
    return out


def lower_body(style: BodyStyle, paint: Colour) -> Mesh:
    """The body up to the belt line: skirt, shoulders, bonnet and boot, ends."""
    half = style.width / 2
    plan_y, plan_w = (0.0, 0.05, 0.12, 0.88, 0.95, 1.0), (0.86, 0.96, 1.0, 1.0, 0.95, 0.80)
    # (y, top height, half width) at each station of the body
    rings = [((f - 0.5) * style.length, z, half * float(np.interp(f, plan_y, plan_w))) for f, z in style.deck]
    floor, crease = 0.20, 0.58
    verts: list[tuple[float, float, float]] = []
    for y, top, w in rings:
        for side in (-1, 1):
            verts += [(side * w * 0.95, y, floor), (side * w, y, min(crease, top - 0.05)), (side * w * 0.93, y, top)]
    skirt: list[tuple[int, ...]] = []
    tops: list[tuple[int, ...]] = []
    for i in range(len(rings) - 1):
        a, b = 6 * i, 6 * (i + 1)
        for o in (0, 3):
            skirt += [(a + o, a + o + 1, b + o + 1, b + o), (a + o + 1, a + o + 2, b + o + 2, b + o + 1)]
        tops.append((a + 2, b + 2, b + 5, a + 5))
    last = 6 * (len(rings) - 1)
    ends = [(0, 1, 4, 3), (1, 2, 5, 4), (last, last + 1, last + 4, last + 3), (last + 1, last + 2, last + 5, last + 4)]
    inside = (0.0, 0.0, 0.5)
    return part(
        verts, [*tops, *ends, *skirt], paint, Material.CAR_PAINT, inside=inside, tile=Tile.PAINT, scale=(2.0, 0.44)
    )


def _cabin_corners(style: BodyStyle) -> np.ndarray:
    """Eight corners `2 4 3`: (left, right) x (rear foot, rear roof, front roof, front foot)."""
    fractions, heights = np.array([f for f, _ in style.deck]), np.array([z for _, z in style.deck])
    half = style.width / 2
    out = np.zeros((2, 4, 3))
    for s, side in enumerate((-1, 1)):
        for k, f in enumerate(style.cabin):
            foot = k in (0, 3)
            z = float(np.interp(f, fractions, heights)) if foot else style.height
            out[s, k] = (side * half * (0.92 if foot else 0.74 + 0.14 * style.blind), (f - 0.5) * style.length, z)
    return out


def _inset(quad: np.ndarray, left: float, right: float, low: float, high: float) -> list[tuple[float, ...]]:
    """A smaller quad inside (foot a, foot b, roof b, roof a), margins as fractions."""
    a, b, c, d = quad
    rows = []
    for t, s in ((low, left), (low, 1 - right), (1 - high, 1 - right), (1 - high, left)):
        rows.append(tuple((a + (b - a) * s) * (1 - t) + (d + (c - d) * s) * t))
    return rows


def cabin(style: BodyStyle, paint: Colour) -> Mesh:
    """The glass house: pillars and roof in body colour, windows as insets."""
    c = _cabin_corners(style)
    inside = tuple(c.mean(axis=(0, 1)))
    quads = {"rear": (c[0, 0], c[1, 0], c[1, 1], c[0, 1]), "front": (c[0, 3], c[1, 3], c[1, 2], c[0, 2])}
    quads |= {f"side{s}": (c[s, 0], c[s, 3], c[s, 2], c[s, 1]) for s in (0, 1)}
    shell = part(
        [*c[0], *c[1]],
        [(0, 1, 2, 3), (4, 5, 6, 7), (0, 4, 5, 1), (3, 7, 6, 2), (1, 5, 6, 2)],
        paint,
        Material.CAR_PAINT,
        inside=inside,
    )
    panes = [(quads["front"], 0.06, 0.06, 0.08, 0.06)]
    halves = [(quads["rear"], 0.08, 0.54, 0.20, 0.16), (quads["rear"], 0.54, 0.08, 0.20, 0.16)]
    panes += halves if style.blind else [(quads["rear"], 0.09, 0.09, 0.12, 0.12)]
    for s in (0, 1):
        q = quads[f"side{s}"]
        panes += (
            [(q, 0.70, 0.09, 0.1, 0.14)] if style.blind else [(q, 0.10, 0.52, 0.07, 0.14), (q, 0.52, 0.10, 0.07, 0.14)]
        )
    glass = [
        part(
            _inset(np.array(q), *m),
            [(0, 1, 2, 3)],
            GLASS,
            Material.GLASS,
            inside=inside,
            detail=8,
            tile=Tile.PANE,
            scale=(3.0, 0.6),
        )
        for q, *m in panes
    ]
    return join(shell, *glass)


def _end_plate(
    style: BodyStyle, end: int, x0: float, x1: float, z0: float, z1: float, colour: Colour, **how: object
) -> Mesh:
    """A rectangle on the front (end 1) or rear (end -1) face, bent back at the corner as the body is."""
    y = end * (style.length / 2 + 0.012)
    verts = [(x0, y, z0), (x1, y, z0), (x1, y, z1), (x0, y, z1)]
    return part(verts, [(0, 1, 2, 3)], colour, inside=(0.0, 0.0, (z0 + z1) / 2), **how)  # type: ignore[arg-type]


def fittings(style: BodyStyle, *, braking: bool) -> Mesh:
    """Lamps, grille, plates, bumpers and mirrors."""
    half, front, rear = style.width / 2 * 0.80, style.deck[-1][1], style.deck[0][1]
    tail = Glow.BRAKE if braking else Glow.TAIL
    parts = [
        _end_plate(style, 1, -half, half, 0.21, 0.34, DARK, detail=16),
        _end_plate(style, -1, -half * 1.05, half * 1.05, 0.21, 0.36, DARK, detail=16),
        _end_plate(style, 1, -half * 0.45, half * 0.45, front - 0.20, front - 0.05, DARK, detail=14),
        _end_plate(style, 1, -0.26, 0.26, 0.36, 0.47, PLATE, detail=26),
        _end_plate(style, -1, -0.26, 0.26, 0.46, 0.58, PLATE, detail=26),
    ]
    for side in (-1, 1):
        inner, outer = side * half * 0.55, side * half * 0.99
        parts.append(
            _end_plate(
                style, 1, inner, outer, front - 0.16, front - 0.02, HEAD_OFF, glow=Glow.HEAD, material=Material.GLASS
            )
        )
        parts.append(
            _end_plate(style, -1, side * half * 0.70, side * half * 1.05, rear - 0.13, rear + 0.02, TAIL_OFF, glow=tail)
        )
        y = (style.cabin[3] - 0.05 - 0.5) * style.length
        z = style.deck[3][1]
        parts.append(
            box(
                (side * (style.width / 2 + 0.09) - 0.08, y, z),
                (side * (style.width / 2 + 0.09) + 0.08, y + 0.10, z + 0.13),
                DARK,
                detail=30,
            )
        )
    return join(*parts)


MARKER, STRIPE, CARGO = (
    (-1.0, -1.0, -1.0),
    (-2.0, -2.0, -2.0),
    (-3.0, -3.0, -3.0),
)  # replaced by a vehicle's own colours


def car(kind: str, paint: Colour, *, braking: bool) -> Mesh:
    """A passenger car or van of one style."""
    return painted(_car(kind, braking), {MARKER: paint})


def bus(paint: Colour, *, braking: bool) -> Mesh:
    """A city bus, 11.5 m."""
    return painted(_bus(braking), {MARKER: paint, STRIPE: tuple(c * 0.35 for c in paint)})


def truck(paint: Colour, cargo: Colour, *, braking: bool) -> Mesh:
    """A box truck: cab in front, cargo box behind."""
    return painted(_truck(braking), {MARKER: paint, CARGO: cargo})


@lru_cache(maxsize=32)
def _car(kind: str, braking: bool) -> Mesh:  # noqa: FBT001
    style, paint = STYLES[kind], MARKER
    at = (style.width / 2 - 0.02, tuple((a - 0.5) * style.length for a in style.axles), style.wheel)
    under = box(
        (-style.width * 0.42, -style.length * 0.44, 0.08), (style.width * 0.42, style.length * 0.44, 0.30), DARK
    )
    return join(
        under,
        *treads(*at),
        lower_body(style, paint),
        *wheels(*at),
        *seams(style),
        fittings(style, braking=braking),
        cabin(style, paint),
    )


def seams(style: BodyStyle) -> list[Mesh]:
    """Door gaps and handles on both sides; the rear doors of a van."""
    out = []
    x = style.width / 2 + 0.004
    for side in (-1, 1):
        for f, z0 in ((0.33, 0.30), (0.52, 0.25), (style.cabin[3] - 0.03, 0.25)):
            y = (f - 0.5) * style.length
            quad = [
                (side * x, y, z0),
                (side * x, y + 0.022, z0),
                (side * x * 0.95, y + 0.022, 0.93),
                (side * x * 0.95, y, 0.93),
            ]
            out.append(part(quad, [(0, 1, 2, 3)], DARK, inside=(0, y, 0.6), detail=34))
        for f in (0.37, 0.56):
            y = (f - 0.5) * style.length
            quad = [
                (side * x * 0.98, y, 0.78),
                (side * x * 0.98, y + 0.17, 0.78),
                (side * x * 0.98, y + 0.17, 0.82),
                (side * x * 0.98, y, 0.82),
            ]
            out.append(part(quad, [(0, 1, 2, 3)], CHROME, inside=(0, y, 0.8), detail=44))
    return out


def _side_windows(half: float, y0: float, y1: float, z0: float, z1: float, n: int) -> list[Mesh]:
    out = []
    step = (y1 - y0) / n
    for side in (-1, 1):
        x = side * (half + 0.012)
        for k in range(n):
            a, b = y0 + k * step + 0.05, y0 + (k + 1) * step - 0.05
            quad = [(x, a, z0), (x, b, z0), (x, b, z1), (x, a, z1)]
            out.append(
                part(
                    quad,
                    [(0, 1, 2, 3)],
                    GLASS,
                    Material.GLASS,
                    glow=Glow.INTERIOR,
                    inside=(0, (a + b) / 2, z0),
                    detail=14,
                    tile=Tile.PANE,
                    scale=(3.0, 1.5),
                )
            )
    return out


def _end_quad(
    y: float, x0: float, x1: float, z0: float, z1: float, colour: Colour, glow: Glow = Glow.NONE, detail: int = 0
) -> Mesh:
    material = Material.GLASS if colour is GLASS else Material.MATTE
    return part(
        [(x0, y, z0), (x1, y, z0), (x1, y, z1), (x0, y, z1)],
        [(0, 1, 2, 3)],
        colour,
        material,
        glow=glow,
        inside=(0, 0, z0),
        detail=detail,
    )


def _lamps(length: float, half: float, front_z: float, rear_z: float, *, braking: bool) -> list[Mesh]:
    tail = Glow.BRAKE if braking else Glow.TAIL
    out = []
    for s in (-1, 1):
        out.append(
            _end_quad(length / 2 + 0.02, s * half * 0.60, s * half * 0.92, front_z, front_z + 0.18, HEAD_OFF, Glow.HEAD)
        )
        out.append(
            _end_quad(-length / 2 - 0.02, s * half * 0.70, s * half * 0.95, rear_z, rear_z + 0.24, TAIL_OFF, tail)
        )
    return out


@lru_cache(maxsize=2)
def _bus(braking: bool) -> Mesh:  # noqa: FBT001
    paint = MARKER
    length, half, height = 11.5, 1.25, 3.05
    body = box((-half, -length / 2, 0.32), (half, length / 2, height), paint, Material.CAR_PAINT)
    skirt = box((-half - 0.006, -length / 2 - 0.006, 0.32), (half + 0.006, length / 2 + 0.006, 0.62), STRIPE)
    windows = _side_windows(half, -length / 2 + 0.5, length / 2 - 0.6, 1.15, 2.45, 8)
    ends = [
        _end_quad(length / 2 + 0.012, -half * 0.92, half * 0.92, 1.05, 2.50, GLASS, Glow.INTERIOR),
        _end_quad(length / 2 + 0.015, -half * 0.7, half * 0.7, 2.62, 2.92, (0.02, 0.02, 0.02), Glow.INDICATOR, 16),
        _end_quad(-length / 2 - 0.012, -half * 0.8, half * 0.8, 1.55, 2.45, GLASS, Glow.INTERIOR),
    ]
    at = (half - 0.01, (-2.9, 3.1), 0.48)
    return join(
        *treads(*at), body, skirt, *wheels(*at), *windows, *ends, *_lamps(length, half, 0.68, 0.75, braking=braking)
    )


@lru_cache(maxsize=2)
def _truck(braking: bool) -> Mesh:  # noqa: FBT001
    paint, cargo = MARKER, CARGO
    length, half = 8.2, 1.22
    under = box((-half * 0.8, -length / 2, 0.45), (half * 0.8, length / 2 - 0.2, 0.85), DARK)
    load = box((-half, -length / 2, 0.95), (half, length / 2 - 2.25, 3.35), cargo, Material.MATTE)
    gaps = [
        _end_quad(-length / 2 - 0.01, -0.015, 0.015, 1.0, 3.3, DARK, detail=30),
        _end_quad(-length / 2 - 0.01, -half, half, 0.62, 0.90, DARK),
    ]
    cab = box((-half * 0.96, length / 2 - 2.0, 0.45), (half * 0.96, length / 2, 2.55), paint, Material.CAR_PAINT)
    front = [
        _end_quad(length / 2 + 0.012, -half * 0.88, half * 0.88, 1.45, 2.35, GLASS),
        _end_quad(length / 2 + 0.012, -half * 0.6, half * 0.6, 0.95, 1.25, DARK, detail=16),
    ]
    side = _side_windows(half * 0.96, length / 2 - 1.5, length / 2 - 0.35, 1.5, 2.3, 1)
    at = (half - 0.02, (-2.4, 2.7), 0.48)
    return join(
        under,
        *treads(*at),
        load,
        *gaps,
        cab,
        *wheels(*at),
        *front,
        *side,
        *_lamps(length, half, 0.66, 0.62, braking=braking),
    )
