"""Draws a whole street once, for every condition: faces, paint, shadows' casters, lights, and what each instance is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from s2st_aug.procedural import buildings, figures, furniture, vehicles
from s2st_aug.procedural.camera import NEAR, Camera
from s2st_aug.procedural.canvas import Canvas, FaceTable, turning
from s2st_aug.procedural.categories import CATEGORIES, NUMBER
from s2st_aug.procedural.ground import Marking, draw_ground, markings, paint_layer
from s2st_aug.procedural.mesh import Material, Mesh
from s2st_aug.procedural.street import KERB, Street, Thing
from s2st_aug.procedural.textures import Tile

LOWEST = 6.0  # pixels of a 360-row image; what would stand lower is not placed at all
VEHICLES = ("car", "truck", "bus", "motorcycle")


@dataclass(frozen=True, slots=True)
class Instance:
    """A labelled thing as drawn: `number` in the owner buffer, and its `area` in pixels before anything hid it."""

    number: int
    category: int
    area: int
    truncated: bool
    signal: str | None = None
    uid: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Lamp:
    """A light: where (metres), kind (`lamp`, `head`, `tail`), and for head lamps the direction they shine in."""

    at: np.ndarray
    kind: str
    towards: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """A street as painted.

    `faces` h w int32; `white`, `yellow` h w uint8 paint; `casters`: outlines `k 3` of what throws shadows.
    """

    street: Street
    faces: np.ndarray
    table: FaceTable
    instances: tuple[Instance, ...]
    white: np.ndarray
    yellow: np.ndarray
    marks: tuple[Marking, ...]
    casters: tuple[np.ndarray, ...]
    footprints: tuple[np.ndarray, ...]
    lamps: tuple[Lamp, ...]

    @property
    def camera(self) -> Camera:
        """The camera it was painted for."""
        return self.street.camera


def draw_street(street: Street) -> Drawn:
    """Paint the street back to front."""
    return _Painter(street).run()


class _Painter:
    def __init__(self, street: Street) -> None:
        self.street = street
        self.canvas = Canvas(street.camera)
        self.instances: list[Instance] = []
        self.casters: list[np.ndarray] = []
        self.footprints: list[np.ndarray] = []
        self.lamps: list[Lamp] = []

    def run(self) -> Drawn:
        street = self.street
        marks = markings(street)
        _backdrop(self.canvas, street)
        draw_ground(self.canvas, street)
        white, yellow = paint_layer(self.canvas, street, marks)
        for thing in sorted(street.things, key=self._key, reverse=True):
            self._draw(thing)
        if street.bonnet is not None:
            _bonnet(self.canvas, street.bonnet)
        table = self.canvas.table()
        return Drawn(street, self.canvas.faces, table, tuple(self.instances), white, yellow, marks,
                     tuple(self.casters), tuple(self.footprints), tuple(self.lamps))  # fmt: skip

    def _key(self, thing: Thing) -> float:
        """Far ends first: a building must never cover what stands in front of it."""
        return (
            thing.s
            + (thing.size[0] / 2 if thing.kind in ("building", "fence", "rail") else 0.0)
            + (0.02 if thing.kind == "building" else 0.0)
        )

    def _draw(self, thing: Thing) -> None:
        ahead = thing.s - self.street.advance
        if ahead < -25 or ahead > 175:
            return
        x, y, heading = self.street.road.place(thing.s, thing.t)
        road = self.street.road
        on_road = road.left <= thing.t <= road.right or road.in_crossing(thing.s)
        raised = self.street.setting != "highway" and not on_road
        at = np.array([float(x), float(y), KERB if raised else 0.0])
        DRAWERS[thing.kind](self, thing, at, float(heading) + thing.turn)

    def _tall_enough(self, at: np.ndarray, height: float) -> bool:
        depth = float(self.canvas.camera.to_camera(at[None])[0, 2])
        return depth < 1 or height * self.canvas.camera.focal / depth > LOWEST * self.canvas.camera.height / 360

    def _in_view(self, at: np.ndarray, radius: float) -> bool:
        """Whether a ball around `at` can show in the image."""
        camera = self.canvas.camera
        x, _, depth = camera.axes @ (at - camera.centre)
        return depth > -radius and abs(x) < max(depth, 0) * camera.width / (2 * camera.focal) + 1.5 * radius

    def structure(self, thing: Thing, at: np.ndarray, heading: float) -> None:
        """A building, fence or rail: no instance, but a shadow."""
        along, across, up = (v / 2 for v in thing.size)
        if thing.kind == "building":
            self.casters.append(_block(at, heading, across, along, 2 * up))
        if not self._in_view(at, math.hypot(along, across)):
            return
        mesh = buildings.building(thing) if thing.kind == "building" else buildings.barrier(thing)
        names = {"building": "building", "rail": "fence", "hedge": "vegetation", "planks": "fence", "wall": "wall"}
        self.canvas.draw(mesh, 0, NUMBER[names[thing.style if thing.kind == "fence" else thing.kind]], at, heading)

    def tree(self, thing: Thing, at: np.ndarray, heading: float) -> None:
        """A tree or bush."""
        r, tall = thing.size[2] * 0.25, thing.size[2] * (0.28 if thing.style == "bush" else 1.0)
        a = np.arange(8) * (math.pi / 4)
        circle = np.column_stack([r * np.cos(a), r * np.sin(a), np.zeros(8)])
        for z, k in ((0.40, 0.8), (0.66, 1.0), (0.9, 0.7)):
            self.casters.append(circle * k + (at + np.array([0, 0, tall * z])))
        if self._in_view(at, r * 1.3):
            figures.draw_tree(self.canvas, thing, at, 0, NUMBER["vegetation"], NUMBER["vegetation"])

    def lamp(self, thing: Thing, at: np.ndarray, heading: float) -> None:
        """A street lamp."""
        self.canvas.draw(furniture.lamp(thing), 0, NUMBER["pole"], at, heading)
        side = -1.0 if thing.style == "right" else 1.0
        out = side * (furniture.LAMP_OUT - 0.35)
        head = at + np.array([math.cos(heading) * out, -math.sin(heading) * out, furniture.LAMP_HEIGHT - 0.1])
        self.lamps.append(Lamp(head, "lamp", np.array([0.0, 0.0, -1.0])))
        self.casters.append(at + np.array([[0.08, 0, 0], [-0.08, 0, 0], [0.08, 0, 7.0], [-0.08, 0, 7.0]]))

    def signal(self, thing: Thing, at: np.ndarray, heading: float) -> None:
        """A traffic light: one post, each head an instance of its own."""
        self.canvas.draw(furniture.signal_post(thing), 0, NUMBER["pole"], at, heading)
        if self._tall_enough(at, 1.0):
            for k, head in enumerate(furniture.signal_heads(thing)):
                seen = self.canvas.draw(head, thing.uid * 8 + k, NUMBER["traffic light"], at, heading)
                self._instance(thing, k, "traffic light", seen, thing.style.split("-")[0])

    def sign(self, thing: Thing, at: np.ndarray, heading: float) -> None:
        """A sign on its post."""
        self.canvas.draw(furniture.SIGN_POST, 0, NUMBER["pole"], at, heading)
        if self._tall_enough(at, 0.7):
            seen = self.canvas.draw(furniture.sign_plate(thing), thing.uid * 8, NUMBER["traffic sign"], at, heading)
            self._instance(thing, 0, "traffic sign", seen)

    def vehicle(self, thing: Thing, at: np.ndarray, heading: float) -> None:
        """A car, truck or bus, or a motorcycle that nobody rides."""
        if not self._tall_enough(at, 1.4):
            return
        if thing.kind == "motorcycle":
            points = figures.draw_cycle(
                self.canvas, thing.seed, at, heading, thing.uid * 8, NUMBER["motorcycle"], motor=True
            )
            self._instance(thing, 0, "motorcycle", points)
            return
        along, across, up = _extent(thing)
        self.casters.append(_block(at, heading, across * 0.97, along * 0.97, up))
        self.footprints.append(_block(at, heading, across * 1.02, along * 1.02, 0.0)[:4])
        if not thing.parked:
            forward = np.array([math.sin(heading), math.cos(heading), 0.0])
            self.lamps.append(Lamp(at + forward * along + np.array([0, 0, 0.68]), "head", forward))
            self.lamps.append(Lamp(at - forward * along + np.array([0, 0, 0.8]), "tail", -forward))
        if self._in_view(at, along):
            self._instance(
                thing,
                0,
                thing.kind,
                self.canvas.draw(_vehicle_mesh(thing), thing.uid * 8, NUMBER[thing.kind], at, heading),
            )

    def pedestrian(self, thing: Thing, at: np.ndarray, heading: float) -> None:
        """Somebody on foot."""
        rng = np.random.default_rng(thing.seed)
        tall = float(rng.normal(1.70, 0.10)) * (0.72 if rng.random() < 0.08 else 1.0)
        if not self._tall_enough(at, tall) or not self._in_view(at, 1.0):
            return
        phase = float(rng.uniform(0, 2 * math.pi)) + 4.2 * (
            thing.s * math.cos(thing.turn) + thing.t * math.sin(thing.turn)
        )
        pose = figures.walking(phase, 0.45 if thing.style == "walk" else 0.06, self._near_side(at, heading))
        points = figures.draw_figure(
            self.canvas, pose, figures.outfit(thing.seed), at, heading, tall, thing.uid * 8, NUMBER["pedestrian"]
        )
        self._instance(thing, 0, "pedestrian", points)
        self._stand(at, 0.22, tall)

    def ridden(self, thing: Thing, at: np.ndarray, heading: float) -> None:
        """A bicycle or motorcycle and its rider, two instances."""
        if not self._tall_enough(at, 1.7) or not self._in_view(at, 1.2):
            return
        motor = thing.style == "motorcycle"
        points = figures.draw_cycle(
            self.canvas, thing.seed, at, heading, thing.uid * 8, NUMBER[thing.style], motor=motor
        )
        pose = figures.riding(thing.s * 1.9, self._near_side(at, heading), motor=motor)
        colours = figures.outfit(thing.seed)
        outline = figures.draw_figure(self.canvas, pose, colours, at, heading, 1.75, thing.uid * 8 + 1, NUMBER["rider"])
        self._instance(thing, 0, thing.style, points)
        self._instance(thing, 1, "rider", outline)
        self._stand(at, 0.3, 1.7)

    def _near_side(self, at: np.ndarray, heading: float) -> str:
        """Which arm the camera sees first."""
        view = at[:2] - self.canvas.camera.centre[:2]
        right = np.array([math.cos(heading), -math.sin(heading)])
        return "l" if view @ right > 0 else "r"

    def _stand(self, at: np.ndarray, r: float, tall: float) -> None:
        a = np.arange(6) * (math.pi / 3)
        ring = np.column_stack([r * np.cos(a), r * np.sin(a), np.zeros(6)]) + at
        self.footprints.append(ring)
        self.casters.append(np.concatenate([ring[::2], ring[::2] + np.array([0, 0, tall * 0.95])]))

    def _instance(self, thing: Thing, k: int, name: str, outline: np.ndarray, signal: str | None = None) -> None:
        if len(outline) == 0:
            return
        number, (h, w) = thing.uid * 8 + k, self.canvas.faces.shape
        low, high = outline.min(0), outline.max(0)
        x0, y0 = max(int(low[0]) - 2, 0), max(int(low[1]) - 2, 0)
        x1, y1 = min(int(high[0]) + 3, w), min(int(high[1]) + 3, h)
        if x1 <= x0 or y1 <= y0:
            return
        first, last = self.canvas.span_of(number)
        window = self.canvas.faces[y0:y1, x0:x1]
        area = int(np.count_nonzero((window >= first) & (window < last)))
        cut = bool(low[0] < -0.5 or low[1] < -0.5 or high[0] > w - 0.5 or high[1] > h - 0.5)
        self.instances.append(Instance(number, NUMBER[name], area, cut, signal, thing.uid))


DRAWERS = {
    "building": _Painter.structure, "fence": _Painter.structure, "rail": _Painter.structure, "tree": _Painter.tree,
    "lamp": _Painter.lamp, "signal": _Painter.signal, "sign": _Painter.sign, "pedestrian": _Painter.pedestrian,
    "ridden": _Painter.ridden, "car": _Painter.vehicle, "truck": _Painter.vehicle, "bus": _Painter.vehicle,
    "motorcycle": _Painter.vehicle,
}  # fmt: skip


def _extent(thing: Thing) -> tuple[float, float, float]:
    """Half length, half width and height of a vehicle, metres."""
    if thing.kind == "car":
        style = vehicles.STYLES[thing.style]
        return style.length / 2, style.width / 2, style.height
    return {"bus": (5.75, 1.25, 3.05), "truck": (4.1, 1.22, 3.35)}[thing.kind]


def _vehicle_mesh(thing: Thing) -> Mesh:
    rng = np.random.default_rng(thing.seed)
    paint = vehicles.PAINTS[int(rng.choice(len(vehicles.PAINTS), p=vehicles.WEIGHTS / vehicles.WEIGHTS.sum()))]
    braking = bool(not thing.parked and rng.random() < 0.35)
    if thing.kind == "bus":
        return vehicles.bus(BUS_PAINTS[int(rng.integers(len(BUS_PAINTS)))], braking=braking)
    if thing.kind == "truck":
        return vehicles.truck(paint, CARGO[int(rng.integers(len(CARGO)))], braking=braking)
    return vehicles.car(thing.style, paint, braking=braking)


BUS_PAINTS = ((0.50, 0.10, 0.05), (0.60, 0.58, 0.52), (0.05, 0.16, 0.34), (0.55, 0.38, 0.05), (0.10, 0.28, 0.16))
CARGO = ((0.66, 0.66, 0.64), (0.50, 0.49, 0.45), (0.05, 0.12, 0.30), (0.45, 0.07, 0.04), (0.62, 0.50, 0.12))


def _block(at: np.ndarray, heading: float, across: float, along: float, up: float) -> np.ndarray:
    """The eight corners of an upright box from its half sides and height, the lower four first."""
    ring = np.array([(-across, -along), (across, -along), (across, along), (-across, along)])
    local = np.concatenate([np.column_stack([ring, np.zeros(4)]), np.column_stack([ring, np.full(4, up)])])
    return local @ turning(heading) + at


def _backdrop(canvas: Canvas, street: Street) -> None:
    """A far skyline of roofs and tree tops that closes the street."""
    rng = np.random.default_rng(street.key ^ 0x5F5F)
    camera, horizon = canvas.camera, canvas.camera.horizon
    metre = camera.focal / 320.0
    n = 40
    left = np.sort(rng.uniform(-0.1, 1.0, n)) * camera.width
    wide = rng.uniform(0.03, 0.13, n) * camera.width
    tall = rng.uniform(4, 15 if street.setting != "city street" else 30, n) * metre
    colour = rng.uniform(0.10, 0.3, (n, 1)) * np.array([1.0, 0.97, 0.92])
    first = canvas.add_flat(
        n,
        320.0,
        colour=colour,
        normal=-camera.axes[2],
        category=NUMBER["building"],
        tile=int(Tile.BAY_SMALL),
        scale=8.0,
        material=int(Material.MATTE),
    )
    for i in range(n):
        a, b, top = left[i], left[i] + wide[i], horizon - tall[i]
        canvas.fill(first + i, np.array([[(a, horizon + 2), (b, horizon + 2), (b, top), (a, top)]]))
    green = np.array([0.06, 0.09, 0.035])
    trees = canvas.add_flat(
        1,
        300.0,
        colour=green,
        normal=np.array([0, -0.5, 0.85]),
        category=NUMBER["vegetation"],
        tile=int(Tile.LEAVES),
        scale=14.0,
        material=int(Material.FOLIAGE),
    )
    x = np.linspace(-5, camera.width + 5, 90)
    y = horizon - metre * np.clip(4.5 + 2.5 * np.cumsum(rng.normal(0, 0.5, 90)) / 2, 2.0, 11)
    outline = np.concatenate([np.column_stack([x, y]), [(camera.width + 5, horizon + 2), (-5, horizon + 2)]])
    cv2.fillPoly(canvas.faces, [np.round(outline * 8).astype(np.int32)], trees, cv2.LINE_8, 3)


def _bonnet(canvas: Canvas, seed: int) -> None:
    """The ego car's own bonnet along the lower edge."""
    rng = np.random.default_rng(seed)
    w, h = canvas.camera.width, canvas.camera.height
    rise = float(rng.uniform(0.05, 0.10))
    x = np.linspace(-0.05, 1.05, 25)
    y = 1 - rise * (1 - np.abs((x - 0.5) / 0.62) ** 3.2)
    paint = np.array(vehicles.PAINTS[int(rng.integers(len(vehicles.PAINTS)))]) * 0.6
    for k, normal in enumerate(([0, 0.2, 0.97], [0, -0.55, 0.83])):
        face = canvas.add_flat(
            1,
            1.4,
            colour=paint,
            normal=np.array(normal),
            material=int(Material.CAR_PAINT),
            category=NUMBER["ego vehicle"],
        )
        edge = np.column_stack([x * w, (y + k * 0.022) * h])
        outline = np.concatenate([edge, [(1.05 * w, 1.1 * h), (-0.05 * w, 1.1 * h)]])
        cv2.fillPoly(canvas.faces, [np.round(outline * 8).astype(np.int32)], face, cv2.LINE_8, 3)


assert NEAR > 0 and len(CATEGORIES) == len(NUMBER)
