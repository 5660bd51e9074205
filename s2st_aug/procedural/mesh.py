"""Small solid shapes: flat convex faces with a colour, a material and perhaps a light of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np


class Material(IntEnum):
    """What a face is made of; decides gloss and how rain wets it."""

    MATTE, ASPHALT, PAVING, GRASS, FACADE, FOLIAGE, CAR_PAINT, GLASS, METAL, SKY, SIGN = range(11)


class Glow(IntEnum):
    """Light that a face gives off; each condition decides how strong."""

    NONE, HEAD, TAIL, BRAKE, RED, AMBER, GREEN, LAMP, INTERIOR, INDICATOR, SHOP = range(11)


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """Vertices `v 3` in metres.

    Convex polygons in painting order, each with outward normal, colour (linear RGB), material, glow, detail.

    `detail`: the face is left out where the whole mesh is lower than this many pixels. `thin` faces show both sides.
    `tile` and `scale` (metres across and up): the surface tile, laid from the face's first vertex.
    """

    verts: np.ndarray
    polys: tuple[tuple[int, ...], ...]
    normals: np.ndarray
    colour: np.ndarray
    material: np.ndarray
    glow: np.ndarray
    detail: np.ndarray
    thin: np.ndarray
    tile: np.ndarray
    scale: np.ndarray
    first: np.ndarray  # each face's first vertex


Vec = Sequence[float] | np.ndarray


def part(
    verts: Sequence[Vec],
    polys: Sequence[Sequence[int]],
    colour: Vec,
    material: Material = Material.MATTE,
    *,
    glow: Glow = Glow.NONE,
    detail: int = 0,
    thin: bool = False,
    inside: Vec | None = None,
    tile: int = 0,
    scale: tuple[float, float] = (1.0, 1.0),
) -> Mesh:
    """A mesh of one colour whose normals point away from `inside` (default: the middle of its vertices)."""
    points = np.asarray(verts, dtype=np.float64)
    centre = points.mean(axis=0) if inside is None else np.asarray(inside)
    n = len(polys)
    return Mesh(
        points,
        tuple(tuple(p) for p in polys),
        _normals(points, polys, centre),
        np.array([colour] * n, dtype=np.float64),
        np.full(n, material),
        np.full(n, glow),
        np.full(n, detail),
        np.full(n, thin),
        np.full(n, tile),
        np.array([scale] * n, dtype=np.float64),
        np.array([p[0] for p in polys]),
    )


def _normals(points: np.ndarray, polys: Sequence[Sequence[int]], centre: np.ndarray) -> np.ndarray:
    """Unit normals `p 3` of flat faces, turned away from `centre`."""
    corners = points[[(p[0], p[1], p[2]) for p in polys]]
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 1]
    n = a[:, [1, 2, 0]] * b[:, [2, 0, 1]] - a[:, [2, 0, 1]] * b[:, [1, 2, 0]]
    n /= np.maximum(np.sqrt((n * n).sum(1, keepdims=True)), 1e-9)
    outward = (n * (corners[:, 0] - centre)).sum(1, keepdims=True)
    return np.where(outward >= 0, n, -n)


def join(*meshes: Mesh) -> Mesh:
    """Several meshes as one, painted in the order given."""
    offsets = [0, *np.cumsum([len(m.verts) for m in meshes]).tolist()]
    polys = tuple(tuple(i + o for i in p) for m, o in zip(meshes, offsets, strict=False) for p in m.polys)
    first = np.concatenate([m.first + o for m, o in zip(meshes, offsets, strict=False)])
    kept = ("verts", "normals", "colour", "material", "glow", "detail", "thin", "tile", "scale")
    return Mesh(polys=polys, first=first, **{f: np.concatenate([getattr(m, f) for m in meshes]) for f in kept})


def box(
    lo: Vec,
    hi: Vec,
    colour: Vec,
    material: Material = Material.MATTE,
    *,
    glow: Glow = Glow.NONE,
    detail: int = 0,
    tile: int = 0,
) -> Mesh:
    """An axis-parallel box."""
    return boxes([Slab(lo, hi, colour, material, glow, tile)], detail=detail)


@dataclass(frozen=True, slots=True)
class Slab:
    """One box of `boxes`: corners in metres, and its looks."""

    lo: Vec
    hi: Vec
    colour: Vec
    material: Material = Material.MATTE
    glow: Glow = Glow.NONE
    tile: int = 0
    scale: tuple[float, float] = (1.0, 1.0)
    underside: bool = True  # a cornice has none: it would be painted over the wall below it


BOX_FACES = ((4, 5, 6, 7), (3, 2, 6, 7), (0, 3, 7, 4), (1, 2, 6, 5), (0, 1, 5, 4), (0, 1, 2, 3))  # the underside last
BOX_NORMALS = np.array([(0, 0, 1), (0, 1, 0), (-1, 0, 0), (1, 0, 0), (0, -1, 0), (0, 0, -1)], float)
BOX_CORNERS = np.array([(x, y, z) for z in (0, 1) for x, y in ((0, 0), (1, 0), (1, 1), (0, 1))], bool)


def boxes(slabs: Sequence[Slab], *, detail: int = 0) -> Mesh:
    """Several boxes as one mesh, painted in the order given; made in one go, for buildings are many."""
    n, sides = len(slabs), [6 if s.underside else 5 for s in slabs]
    lo, hi = np.array([s.lo for s in slabs], float)[:, None], np.array([s.hi for s in slabs], float)[:, None]
    polys = tuple(tuple(8 * k + i for i in face) for k in range(n) for face in BOX_FACES[: sides[k]])
    return Mesh(
        np.where(BOX_CORNERS, hi, lo).reshape(-1, 3),
        polys,
        np.concatenate([BOX_NORMALS[:k] for k in sides]),
        np.array([s.colour for s in slabs], float).repeat(sides, axis=0),
        np.array([s.material for s in slabs]).repeat(sides),
        np.array([s.glow for s in slabs]).repeat(sides),
        np.full(len(polys), detail),
        np.zeros(len(polys), bool),
        np.array([s.tile for s in slabs]).repeat(sides),
        np.array([s.scale for s in slabs], float).repeat(sides, axis=0),
        np.array([p[0] for p in polys]),
    )


def painted(mesh: Mesh, colours: Mapping[tuple[float, ...], Vec]) -> Mesh:
    """The mesh with some of its colours exchanged: built once in marker colours, it serves every paint."""
    colour = mesh.colour.copy()
    for marker, paint in colours.items():
        colour[(mesh.colour == marker).all(axis=1)] = paint
    return replace(mesh, colour=colour)
