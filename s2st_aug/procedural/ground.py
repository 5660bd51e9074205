"""The ground: road, kerbs, pavements, the side street, and what is painted on the road."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from s2st_aug.procedural.camera import NEAR, clip_near
from s2st_aug.procedural.canvas import SHIFT, Canvas, fixed_point
from s2st_aug.procedural.categories import NUMBER
from s2st_aug.procedural.mesh import Material, part
from s2st_aug.procedural.street import KERB, Road, Street
from s2st_aug.procedural.textures import Tile

REACH = 190.0  # metres of road drawn ahead of the camera
SIDE_REACH = 70.0
LINE = 0.14  # width of a painted line, metres
DASH, GAP = 3.0, 5.5
GRASS, SLABS, TAR, KERB_STONE = (0.10, 0.135, 0.05), (0.27, 0.26, 0.245), (0.105, 0.105, 0.11), (0.34, 0.335, 0.32)


@dataclass(frozen=True, slots=True)
class Marking:
    """A painted line, zebra, or kerb. `path`: (s, t) knots `n 2` of its middle; `kind` is BDD100K's lane category."""

    kind: str
    path: tuple[tuple[float, float], ...]
    dashed: bool = False
    vertical: bool = False  # BDD100K: runs across the ego direction
    yellow: bool = False
    painted: bool = True
    double: bool = False


def stations(advance: float, first: float = 0.9, reach: float = REACH, n: int = 26) -> np.ndarray:
    """Values of s ahead of the camera, close together near it, `n`."""
    return advance + np.geomspace(first, reach, n)


def strip(road: Road, s: np.ndarray, t0: float, t1: float) -> np.ndarray:
    """Outline `2n 2` (x, y) of the band between t0 and t1."""
    left, right = road.place(s, t0), road.place(s, t1)
    return np.column_stack([np.concatenate([left[0], right[0][::-1]]), np.concatenate([left[1], right[1][::-1]])])


def _stretches(road: Road, s: np.ndarray) -> list[np.ndarray]:
    """The stations without those in the side street: one or two runs."""
    if road.crossing is None:
        return [s]
    low, high = road.crossing
    before, after = s[s < low], s[s > high]
    runs = []
    if s[0] < low:
        runs.append(np.append(before, low))
    if s[-1] > high:
        runs.append(np.concatenate([[max(high, s[0])], after]))
    return [r for r in runs if len(r) > 1]


def draw_ground(canvas: Canvas, street: Street) -> None:
    """Terrain, road, side street, kerbs, pavements, back to front (all lie flat, so later ones simply cover)."""
    road, rng = street.road, np.random.default_rng(street.key)
    s = stations(street.advance)
    tar = np.array(TAR) * rng.uniform(0.7, 1.45)
    grass = np.array(GRASS) * rng.uniform(0.7, 1.25)
    slabs = np.array(SLABS) * rng.uniform(0.75, 1.2)
    _terrain(canvas, street, grass, slabs)
    shoulder = 1.4 if street.setting == "highway" else 0.0
    canvas.draw_ground(
        strip(road, s, road.left - shoulder, road.right + shoulder),
        tar,
        Material.ASPHALT,
        Tile.ASPHALT,
        3.2,
        NUMBER["road"],
    )
    if road.crossing is not None:
        across = strip(road, np.array(road.crossing), -SIDE_REACH, SIDE_REACH)
        canvas.draw_ground(across, tar, Material.ASPHALT, Tile.ASPHALT, 3.2, NUMBER["road"])
    if street.setting == "highway":
        return
    for run in _stretches(road, s):
        for side, kerb, wide in ((-1, road.left, road.pavement_left), (1, road.right, road.pavement_right)):
            _pavement(canvas, street, run, (side, kerb, wide), grass, slabs)


def _terrain(canvas: Canvas, street: Street, grass: np.ndarray, slabs: np.ndarray) -> None:
    x, y, s = street.camera.x, street.camera.y, 600.0
    square = np.array([(x - s, y - s), (x + s, y - s), (x + s, y + s), (x - s, y + s)])
    city = street.setting == "city street"
    canvas.draw_ground(square, slabs * 0.85 if city else grass, Material.PAVING if city else Material.GRASS,
                       Tile.PAVING if city else Tile.GRASS, 3.0, NUMBER["sidewalk" if city else "terrain"])  # fmt: skip


def _pavement(
    canvas: Canvas, street: Street, s: np.ndarray, edge: tuple[int, float, float], grass: np.ndarray, slabs: np.ndarray
) -> None:
    side, kerb, wide = edge
    road, city = street.road, street.setting == "city street"
    outer = kerb + side * (wide + 45)
    ground, material, tile, category = (
        (slabs * 0.9, Material.PAVING, Tile.PAVING, "sidewalk")
        if city
        else (grass, Material.GRASS, Tile.GRASS, "terrain")
    )
    canvas.draw_ground(strip(road, s, kerb + side * 0.15, outer), ground, material, tile, 3.0, NUMBER[category], KERB)
    canvas.draw_ground(
        strip(road, s, kerb + side * 0.15, kerb + side * wide),
        slabs,
        Material.PAVING,
        Tile.PAVING,
        2.4,
        NUMBER["sidewalk"],
        KERB,
    )
    canvas.draw_ground(
        strip(road, s, kerb, kerb + side * 0.15),
        np.array(KERB_STONE),
        Material.PAVING,
        Tile.PLASTER,
        1.5,
        NUMBER["sidewalk"],
        KERB,
    )
    x, y, _ = road.place(s, kerb)
    verts = np.concatenate([np.column_stack([x, y, np.zeros(len(s))]), np.column_stack([x, y, np.full(len(s), KERB)])])
    n = len(s)
    quads = [(i, i + 1, n + i + 1, n + i) for i in range(n - 1)]
    inner = (float(x.mean() + side * 50 * 1.0), float(y.mean()), 0.0)
    canvas.draw(
        part(verts.tolist(), quads, np.array(KERB_STONE) * 0.75, Material.PAVING, inside=inner, thin=True),
        0,
        NUMBER["sidewalk"],
    )


def markings(street: Street) -> tuple[Marking, ...]:
    """Everything painted on the road, and the kerbs, in road coordinates."""
    road = street.road
    out: list[Marking] = []
    ends = (
        [(-30.0, 260.0)]
        if road.crossing is None
        else [(-30.0, road.crossing[0] - 5.5), (road.crossing[1] + 1.0, 260.0)]
    )
    for a, b in ends:
        out += _along(road, a, b, street.setting == "highway")
    if road.zebra is not None:
        z = road.zebra
        out.append(Marking("crosswalk", ((z, road.left + 0.2), (z, road.right - 0.2)), vertical=True))
        out.append(Marking("single white", ((z - 2.6, 0.1), (z - 2.6, road.own * road.lane_width)), vertical=True))
    return tuple(m for m in out if m.path[0][0] < m.path[-1][0] or m.vertical)


def _along(road: Road, a: float, b: float, highway: bool) -> list[Marking]:  # noqa: FBT001
    def line(kind: str, t: float, *, painted: bool = True) -> Marking:
        name = kind.replace(" dashed", "")
        return Marking(name, ((a, t), (b, t)), "dashed" in kind, False, "yellow" in kind, painted, "double" in kind)

    out = [line(road.divider, 0.0)]
    out += [line(road.own_divider, k * road.lane_width) for k in range(1, road.own)]
    out += [line(road.own_divider, -k * road.lane_width) for k in range(1, road.oncoming)]
    right, left = road.own * road.lane_width, -road.oncoming * road.lane_width
    if road.marked_edges or road.parking_right:
        out.append(line("single white", right - 0.12))
    if road.marked_edges or road.parking_left:
        out.append(line("single white", left + 0.12))
    if not highway:
        out += [line("road curb", road.right, painted=False), line("road curb", road.left, painted=False)]
    return out


def quads_of(marking: Marking, street: Street) -> np.ndarray:
    """The painted pieces of a marking ahead of the camera, corners in world coordinates `k 4 3`."""
    if marking.kind == "crosswalk":
        (s, t0), (_, t1) = marking.path
        stripe = np.array([[s - 1.5, s + 1.5]])
        return np.concatenate([_pieces(street.road, stripe, a, a + 0.48) for a in np.arange(t0, t1 - 0.4, 0.95)])
    if marking.vertical:
        (s, t0), (_, t1) = marking.path
        return _pieces(street.road, np.array([[s - 0.2, s + 0.2]]), t0, t1)
    (a, t), (b, _) = marking.path
    low, high = max(a, street.advance + 0.9), min(b, street.advance + REACH)
    if high - low < 0.2:
        return np.zeros((0, 4, 3))
    if marking.dashed:
        starts = np.arange(np.floor(low / (DASH + GAP)) * (DASH + GAP), min(high, street.advance + 90), DASH + GAP)
        spans = np.clip(np.column_stack([starts, starts + DASH]), low, high)
    else:
        cuts = street.advance + np.geomspace(max(low - street.advance, 0.5), high - street.advance, 20)
        spans = np.column_stack([cuts[:-1], cuts[1:]])
    offsets = (-0.13, 0.13) if marking.double else (0.0,)
    return np.concatenate([_pieces(street.road, spans, t + o - LINE / 2, t + o + LINE / 2) for o in offsets])


def _pieces(road: Road, spans: np.ndarray, t0: float, t1: float) -> np.ndarray:
    corners = []
    for s, t in ((spans[:, 0], t0), (spans[:, 1], t0), (spans[:, 1], t1), (spans[:, 0], t1)):
        x, y, _ = road.place(s, t)
        corners.append(np.column_stack([x, y, np.full(len(x), 0.0)]))
    return np.stack(corners, axis=1)


def paint_layer(canvas: Canvas, street: Street, marks: tuple[Marking, ...]) -> tuple[np.ndarray, np.ndarray]:
    """How much of each pixel white and yellow road paint covers, two uint8 `h w` (only meant for road pixels)."""
    layers = np.zeros((2, *canvas.faces.shape), np.uint8)
    for mark in marks:
        if mark.painted:
            _paint(canvas, layers[int(mark.yellow)], quads_of(mark, street))
    return layers[0], layers[1]


def _paint(canvas: Canvas, layer: np.ndarray, quads: np.ndarray) -> None:
    if len(quads) == 0:
        return
    cam = canvas.camera.to_camera(quads.reshape(-1, 3)).reshape(-1, 4, 3)
    whole = cam[:, :, 2].min(axis=1) >= NEAR
    pieces = list(canvas.camera.to_image(cam[whole].reshape(-1, 3)).reshape(-1, 4, 2))
    pieces += [canvas.camera.to_image(cut) for cut in map(clip_near, cam[~whole]) if len(cut) >= 3]
    for points in pieces:
        side = float(min(np.ptp(points[:, 0]), np.ptp(points[:, 1]) * 3))
        cv2.fillConvexPoly(layer, fixed_point(points), 255 * min(1.0, side / 1.6), cv2.LINE_AA, SHIFT)
