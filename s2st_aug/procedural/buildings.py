"""Buildings, garden fences and guard rails as meshes.

Local frame: +y along the street, the origin on the ground in the middle.
"""

from __future__ import annotations

import numpy as np

from s2st_aug.procedural.mesh import Glow, Material, Mesh, Slab, box, boxes, join, part
from s2st_aug.procedural.street import Thing
from s2st_aug.procedural.textures import BAYS, FRONTS, Tile

WALLS = (
    (0.46, 0.40, 0.31),
    (0.40, 0.33, 0.24),
    (0.34, 0.16, 0.10),
    (0.26, 0.11, 0.075),
    (0.40, 0.39, 0.37),
    (0.27, 0.27, 0.28),
    (0.50, 0.46, 0.38),
    (0.36, 0.26, 0.20),
    (0.31, 0.34, 0.36),
    (0.47, 0.36, 0.22),
    (0.22, 0.20, 0.19),
    (0.42, 0.42, 0.40),
    (0.30, 0.21, 0.16),
)
ROOFS = ((0.16, 0.075, 0.05), (0.07, 0.07, 0.075), (0.11, 0.09, 0.075), (0.20, 0.10, 0.07))
SHUTTERS = ((0.32, 0.05, 0.04), (0.04, 0.12, 0.09), (0.05, 0.08, 0.2), (0.3, 0.22, 0.06), (0.12, 0.12, 0.13))


def building(thing: Thing) -> Mesh:
    """A town block with shop fronts and window bays, or a house under a gable roof."""
    rng = np.random.default_rng(thing.seed)
    shade = rng.uniform(0.75, 1.25) * (1 + 0.04 * rng.standard_normal(3))
    wall = tuple(
        float(np.clip(c * k, 0.03, 0.72)) for c, k in zip(WALLS[int(rng.integers(len(WALLS)))], shade, strict=True)
    )
    return _house(thing, rng, wall) if thing.style == "house" else _block(thing, rng, wall)


def _block(thing: Thing, rng: np.random.Generator, wall: tuple[float, ...]) -> Mesh:
    x, y, top = thing.size[1] / 2, thing.size[0] / 2, thing.size[2]
    ground = min(3.7, top)
    bay = float(rng.uniform(2.2, 3.6))
    bay = 2 * y / max(round(2 * y / bay), 1)
    front = FRONTS[int(rng.integers(len(FRONTS)))]
    darker, wide = float(rng.uniform(0.55, 1.05)), float(rng.choice([1.0, 2.0]))
    slabs = [
        Slab((-x, -y, 0), (x, y, ground), _shade(wall, darker), Material.FACADE, Glow.SHOP, front, (bay * wide, ground))
    ]
    style, floors = BAYS[int(rng.integers(len(BAYS)))], max(round((top - ground) / 3.1), 1)
    if top > ground + 1:
        slabs.append(
            Slab(
                (-x, -y, ground),
                (x, y, top),
                wall,
                Material.FACADE,
                Glow.INTERIOR,
                style,
                (bay, (top - ground) / floors),
            )
        )
        slabs.append(
            Slab((-x - 0.12, -y, ground - 0.18), (x + 0.12, y, ground + 0.12), _shade(wall, 0.85), underside=False)
        )
    slabs.append(Slab((-x - 0.22, -y, top - 0.35), (x + 0.22, y, top + 0.25), _shade(wall, 1.15), underside=False))
    if front in (Tile.SHOP, Tile.ARCADE) and rng.random() < 0.6:
        return join(boxes(slabs), _awning(x, y, SHUTTERS[int(rng.integers(len(SHUTTERS)))]))
    return boxes(slabs)


def _shade(colour: tuple[float, ...], factor: float) -> tuple[float, ...]:
    return tuple(min(c * factor, 0.8) for c in colour)


def _awning(x: float, y: float, colour: tuple[float, ...]) -> Mesh:
    out = []
    for side in (-1, 1):
        verts = [
            (side * x, -y * 0.8, 3.0),
            (side * x, y * 0.8, 3.0),
            (side * (x + 1.2), y * 0.8, 2.55),
            (side * (x + 1.2), -y * 0.8, 2.55),
        ]
        out.append(part(verts, [(0, 1, 2, 3)], colour, thin=True, inside=(0, 0, 0)))
    return join(*out)


def _house(thing: Thing, rng: np.random.Generator, wall: tuple[float, ...]) -> Mesh:
    x, y, top = thing.size[1] / 2, thing.size[0] / 2, thing.size[2]
    floors = max(round(top / 2.9), 1)
    tile = (Tile.BAY_SASH, Tile.BAY_PAIR, Tile.BAY_BRICK, Tile.DOOR)[int(rng.integers(4))]
    bay = 2 * y / max(round(2 * y / 3.4), 1)
    walls = boxes([Slab((-x, -y, 0), (x, y, top), wall, Material.FACADE, Glow.INTERIOR, tile, (bay, top / floors))])
    return join(walls, _gable(x, y, top, rng, wall))


def _gable(x: float, y: float, top: float, rng: np.random.Generator, wall: tuple[float, ...]) -> Mesh:
    """A pitched roof, its ridge along or across the street."""
    rise, over = float(rng.uniform(1.6, 3.2)), 0.4
    colour = ROOFS[int(rng.integers(len(ROOFS)))]
    a, b = x + over, y + over
    if rng.random() < 0.5:
        ridge, ends = [(0.0, -b, top + rise), (0.0, b, top + rise)], [(0, 1, 4), (2, 3, 5)]
        slopes = [(1, 2, 5, 4), (3, 0, 4, 5)]
    else:
        ridge, ends = [(-a, 0.0, top + rise), (a, 0.0, top + rise)], [(3, 0, 4), (1, 2, 5)]
        slopes = [(0, 1, 5, 4), (2, 3, 4, 5)]
    verts = [(-a, -b, top - 0.1), (a, -b, top - 0.1), (a, b, top - 0.1), (-a, b, top - 0.1), *ridge]
    gables = part(verts, ends, wall, Material.FACADE, tile=Tile.PLASTER, scale=(3, 3))
    return join(gables, part(verts, slopes, colour, Material.MATTE, tile=Tile.ROOF, scale=(2.5, 2.5)))


def barrier(thing: Thing) -> Mesh:
    """A hedge, plank fence, garden wall, or a stretch of guard rail."""
    y, x, top = thing.size[0] / 2, thing.size[1] / 2, thing.size[2]
    if thing.kind == "rail":
        beam = box((-0.05, -y, 0.48), (0.05, y, 0.80), (0.42, 0.43, 0.45), Material.METAL)
        posts = [
            Slab((-0.06, y - 0.06, 0), (0.06, y + 0.06, 0.7), (0.3, 0.3, 0.31), Material.METAL)
            for y in np.arange(-y + 2, y, 4.0)
        ]
        return join(boxes(posts), beam)
    if thing.style == "hedge":
        return box((-x - 0.2, -y, 0), (x + 0.2, y, top), (0.05, 0.095, 0.03), Material.FOLIAGE, tile=Tile.LEAVES)
    if thing.style == "planks":
        return box((-0.04, -y, 0), (0.04, y, top), (0.25, 0.18, 0.12), tile=Tile.PLANKS)
    return box((-0.12, -y, 0), (0.12, y, top * 0.7), (0.36, 0.30, 0.25), tile=Tile.BRICK)
