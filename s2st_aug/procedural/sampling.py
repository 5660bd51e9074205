"""Draws a street: camera, road layout, buildings, trees, vehicles, people, signals and signs, by sensible chances."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from s2st_aug.procedural.camera import Camera
from s2st_aug.procedural.street import PARKING, Road, Street, Sun, Thing
from s2st_aug.procedural.vehicles import STYLES
from s2st_aug.randomness import numpy_generator, sample_key

FAR = 115.0
DIVIDERS = ("double yellow", "single yellow dashed", "single yellow", "single white dashed", "double white")
CARS = ("sedan", "hatch", "suv", "wagon", "van")
CAR_SHARE = np.array([0.30, 0.26, 0.24, 0.11, 0.09])
LENGTHS = {**{k: v.length for k, v in STYLES.items()}, "bus": 11.5, "truck": 8.2, "motorcycle": 2.1, "bicycle": 1.8}


def sample_street(rng_key: int, index: int, size: tuple[int, int] = (640, 360)) -> Street:
    """Street number `index` of `rng_key`, seen by a camera of `size` (width, height).

    The geometry does not depend on the size.
    """
    name = f"{sample_key(rng_key, 'scene', str(index)) & 0xFFFFFFFF:08x}-{index & 0xFFFFFFFF:08x}"
    rng = numpy_generator(rng_key, "street", str(index))
    setting = str(rng.choice(["city street", "residential", "highway"], p=[0.66, 0.24, 0.10]))
    road = _road(rng, setting)
    ego_t = road.lane_width * (0.5 + (0 if road.own == 1 else int(rng.integers(0, road.own))))
    camera = _camera(rng, road, ego_t, size)
    sun = Sun(
        float(rng.uniform(-math.pi, math.pi)),
        float(rng.uniform(0.35, 1.1)),
        float(rng.choice([0.15, 0.4, 0.65, 1.0], p=[0.3, 0.3, 0.2, 0.2])),
    )
    speed = float(rng.uniform(4, 11)) * (2.0 if setting == "highway" else 1.0)
    things = _Placer(rng, road, setting, ego_t, speed).place_all()
    bonnet = int(rng.integers(1, 1 << 30)) if rng.random() < 0.25 else None
    return Street(
        name, sample_key(rng_key, "look", str(index)), camera, road, things, sun, setting, bonnet, ego_t, speed
    )


def _camera(rng: np.random.Generator, road: Road, ego_t: float, size: tuple[int, int]) -> Camera:
    w, h = size
    focal = float(rng.uniform(0.78, 1.02)) * max(w, h * 16 / 9)
    x, y, heading = road.place(0.0, ego_t)
    yaw = float(heading) + float(rng.normal(0, 0.03)) + 14 * road.curvature
    return Camera(
        w, h, focal, float(x), float(y), float(rng.uniform(1.25, 1.75)), yaw, float(rng.uniform(-0.01, 0.055))
    )


def _road(rng: np.random.Generator, setting: str) -> Road:
    curved = rng.random() < 0.45
    curvature = float(rng.uniform(-1, 1)) / 110 if curved else 0.0
    highway = setting == "highway"
    own = int(rng.integers(2, 4)) if highway else int(rng.choice([1, 2, 3], p=[0.5, 0.4, 0.1]))
    crossing = None
    if not highway and rng.random() < 0.5:
        start = float(rng.uniform(14, 45))
        crossing = (start, start + float(rng.uniform(9, 15)))
        curvature *= 0.3
    zebra = crossing[0] - 3.5 if crossing and rng.random() < 0.75 else None
    if zebra is None and not highway and rng.random() < 0.25:
        zebra = float(rng.uniform(10, 35))
    wide = 0.0 if highway else 1.0
    return Road(
        curvature, float(rng.uniform(3.0, 3.6)), int(rng.integers(1, 3)) if own > 1 else 1, own,
        not highway and bool(rng.random() < 0.6), not highway and bool(rng.random() < 0.6),
        wide * float(rng.uniform(1.8, 4.5)), wide * float(rng.uniform(1.8, 4.5)), crossing, zebra,
        str(rng.choice(DIVIDERS, p=[0.36, 0.2, 0.12, 0.2, 0.12])),
        "single white dashed" if rng.random() < 0.85 else "single white", highway or bool(rng.random() < 0.45),
    )  # fmt: skip


class _Placer:
    """Fills a street; every draw comes from one generator in a fixed order."""

    def __init__(self, rng: np.random.Generator, road: Road, setting: str, ego_t: float, ego_speed: float) -> None:
        self.rng, self.road, self.setting, self.ego_t, self.ego_speed = rng, road, setting, ego_t, ego_speed
        self.things: list[Thing] = []

    def add(self, kind: str, s: float, t: float, *, turn: float = 0.0, speed: float = 0.0, style: str = "",
            size: tuple[float, float, float] = (0, 0, 0), parked: bool = False) -> None:  # fmt: skip
        seed = int(self.rng.integers(1, 1 << 30))
        self.things.append(
            Thing(len(self.things) + 1, kind, float(s), float(t), turn, speed, style, seed, size, parked)
        )

    def place_all(self) -> tuple[Thing, ...]:
        for side in (-1, 1):
            self._buildings(side)
            self._trees(side)
            self._lamps(side)
            self._parked(side)
            self._walkers(side)
            self._signs(side)
        self._traffic()
        self._cross_traffic()
        self._signals()
        self._crossing_people()
        self._cyclists()
        return tuple(self.things)

    def kerb(self, side: int) -> float:
        return self.road.right if side > 0 else self.road.left

    def pavement(self, side: int) -> float:
        return self.road.pavement_right if side > 0 else self.road.pavement_left

    def line(self, side: int) -> float:
        """Where private ground begins."""
        return self.kerb(side) + side * self.pavement(side)

    def steps(self, start: float, low: float, high: float, stop: float = FAR) -> Iterator[float]:
        s = start + float(self.rng.uniform(0, low))
        while s < stop:
            yield s
            s += float(self.rng.uniform(low, high))

    def _buildings(self, side: int) -> None:
        rng = self.rng
        if self.setting == "highway":
            for s in self.steps(25, 18, 50):
                self.add(
                    "building",
                    s,
                    side * (abs(self.line(side)) + rng.uniform(22, 45)),
                    size=(rng.uniform(14, 30), 14, rng.uniform(6, 22)),
                    style="block",
                )
            for s in np.arange(-8.0, 120.0, 16.0):
                self.add("rail", s + 8.0, self.line(side) + side * 1.2, size=(16.1, 0.1, 0.8))
            return
        house = self.setting == "residential"
        style = "house" if house else "block"
        s = float(rng.uniform(-16, -6))
        while s < FAR:
            width = float(rng.uniform(8, 13) if house else rng.uniform(9, 24))
            gap = float(rng.uniform(2, 7) if house else (0.0 if rng.random() < 0.75 else rng.uniform(2, 12)))
            if self.road.crossing is not None:  # a building that would stand in the side street moves on
                low, high = self.road.crossing[0] - 3.2, self.road.crossing[1] + 3.2
                s = high if s + width > low and s < high else s
            setback = float(rng.uniform(3, 7) if house else rng.choice([0, 0, 1.5, 4]))
            height = float(rng.uniform(3.0, 6.5) if house else 3.1 * rng.integers(2, 8) + 0.6)
            depth = 10.0
            self.add(
                "building",
                s + width / 2,
                self.line(side) + side * (setback + depth / 2),
                style=style,
                size=(width, depth, height),
            )
            if house and rng.random() < 0.55:
                self.add(
                    "fence",
                    s + width / 2,
                    self.line(side) + side * 0.3,
                    style=str(rng.choice(["hedge", "planks", "wall"])),
                    size=(width + gap, 0.3, rng.uniform(0.8, 1.7)),
                )
            s += width + gap

    def _trees(self, side: int) -> None:
        dense = {"city street": 0.5, "residential": 0.85, "highway": 0.7}[self.setting]
        if self.rng.random() > dense + 0.15:
            return
        for s in self.steps(3, 6, 22):
            if self.rng.random() < dense and not self.road.in_crossing(s, 4):
                near = self.setting == "city street"
                t = (
                    self.kerb(side) + side * 0.8
                    if near and self.pavement(side) > 2.4
                    else self.line(side) + side * self.rng.uniform(1.0, 4.0)
                )
                t += side * 5 * (self.setting == "highway")
                tall = float(self.rng.uniform(4.0, 9.5))
                self.add(
                    "tree",
                    s,
                    t,
                    style=str(self.rng.choice(["round", "tall", "bush"], p=[0.6, 0.28, 0.12])),
                    size=(tall * 0.5, tall * 0.5, tall),
                )

    def _lamps(self, side: int) -> None:
        if side < 0 and self.rng.random() < 0.5:
            return
        apart = float(self.rng.uniform(18, 30))
        for s in np.arange(float(self.rng.uniform(4, 16)), 120, apart):
            if not self.road.in_crossing(s, 1):
                self.add(
                    "lamp", s, self.kerb(side) + side * 0.5, style="right" if side > 0 else "left", size=(0, 0, 7.0)
                )

    def _parked(self, side: int) -> None:
        if not (self.road.parking_right if side > 0 else self.road.parking_left):
            return
        t = self.kerb(side) - side * PARKING / 2
        fill = self.rng.uniform(0.4, 0.95)
        s = float(self.rng.uniform(2.5, 8))
        while s < 85:
            kind, style = self._vehicle(parked=True)
            length = LENGTHS[style or kind]
            blocked = self.road.in_crossing(s + length / 2, length / 2 + 4) or self._on_zebra(
                s + length / 2, length / 2 + 2
            )
            if self.rng.random() < fill and not blocked:
                self.add(
                    kind,
                    s + length / 2,
                    t + self.rng.normal(0, 0.08),
                    turn=(0.0 if side > 0 else math.pi) + self.rng.normal(0, 0.015),
                    style=style,
                    parked=True,
                )
            s += length + float(self.rng.uniform(0.7, 1.8))

    def _on_zebra(self, s: float, margin: float) -> bool:
        return self.road.zebra is not None and abs(s - self.road.zebra) < margin + 1.5

    def _vehicle(self, *, parked: bool) -> tuple[str, str]:
        kind = str(
            self.rng.choice(
                ["car", "truck", "bus", "motorcycle"], p=[0.93, 0.03, 0.0, 0.04] if parked else [0.84, 0.08, 0.06, 0.02]
            )
        )
        return kind, str(self.rng.choice(CARS, p=CAR_SHARE)) if kind == "car" else ""

    def _traffic(self) -> None:
        busy = self.rng.uniform(0.15, 0.9)
        for lane in range(-self.road.oncoming, self.road.own):
            t = (lane + 0.5) * self.road.lane_width
            own = lane >= 0
            speed = (
                self.ego_speed if abs(t - self.ego_t) < 1 else self.ego_speed * float(self.rng.uniform(0.7, 1.3))
            )  # one speed a lane: nobody collides
            s = float(self.rng.uniform(7, 22)) if abs(t - self.ego_t) < 1 else float(self.rng.uniform(4, 20))
            while s < 100:
                kind, style = self._vehicle(parked=False)
                length = LENGTHS[style or kind]
                if self.rng.random() < busy and not self._on_zebra(s + length / 2, length / 2):
                    self.add(
                        kind,
                        s + length / 2,
                        t + self.rng.normal(0, 0.15),
                        turn=0.0 if own else math.pi,
                        speed=speed,
                        style=style,
                    )
                s += length + float(self.rng.exponential(12) + 4)

    def _cross_traffic(self) -> None:
        if self.road.crossing is None:
            return
        middle = sum(self.road.crossing) / 2
        for turn, offset in ((math.pi / 2, 1.7), (-math.pi / 2, -1.7)):
            for t in self.steps(-45, 8, 35, 45):
                if self.rng.random() < 0.4 and abs(t) > 9:
                    kind, style = self._vehicle(parked=False)
                    self.add(kind, middle - offset, t, turn=turn, speed=float(self.rng.uniform(2, 8)), style=style)

    def _walkers(self, side: int) -> None:
        if self.pavement(side) < 1:
            return
        crowd = self.rng.uniform(0.1, 0.9) * (0.5 if self.setting == "residential" else 1.0)
        for s in self.steps(4, 1.5, 11, 90):
            if self.rng.random() < crowd:
                t = self.kerb(side) + side * self.rng.uniform(0.5, max(self.pavement(side) - 0.4, 0.6))
                away = self.rng.random() < 0.5
                turn = (0.0 if away else math.pi) + float(self.rng.normal(0, 0.1))
                speed = float(self.rng.uniform(0.8, 1.6)) if self.rng.random() < 0.8 else 0.0
                self.add("pedestrian", s, t, turn=turn, speed=speed, style="walk" if speed else "stand")

    def _crossing_people(self) -> None:
        if self.road.zebra is None:
            return
        for _ in range(int(self.rng.poisson(1.6))):
            t = float(self.rng.uniform(self.road.left, self.road.right))
            turn = float(self.rng.choice([-1, 1])) * math.pi / 2
            self.add(
                "pedestrian",
                self.road.zebra + self.rng.normal(0, 0.8),
                t,
                turn=turn,
                speed=float(self.rng.uniform(0.9, 1.5)),
                style="walk",
            )

    def _cyclists(self) -> None:
        for side in (-1, 1):
            for s in self.steps(7, 14, 60, 70):
                if self.setting != "highway" and self.rng.random() < 0.35:
                    edge = (
                        self.road.own * self.road.lane_width if side > 0 else -self.road.oncoming * self.road.lane_width
                    )
                    style = "bicycle" if self.rng.random() < 0.75 else "motorcycle"
                    self.add(
                        "ridden",
                        s,
                        edge - side * 0.6,
                        turn=0.0 if side > 0 else math.pi,
                        speed=float(self.rng.uniform(3, 6)),
                        style=style,
                    )

    def _signs(self, side: int) -> None:
        for s in self.steps(8, 12, 50, 90):
            if not self.road.in_crossing(s, 1):
                style = str(
                    self.rng.choice(
                        ["speed", "stop", "warn", "blue", "park", "guide"], p=[0.26, 0.12, 0.2, 0.16, 0.18, 0.08]
                    )
                )
                self.add(
                    "sign",
                    s,
                    self.kerb(side) + side * (0.4 + 1.2 * (self.setting == "highway")),
                    turn=0.0 if side > 0 else math.pi,
                    style=style,
                )

    def _signals(self) -> None:
        if self.road.crossing is None or self.rng.random() < 0.15:
            return
        state = str(self.rng.choice(["red", "green", "amber"], p=[0.42, 0.42, 0.16]))
        low, high = self.road.crossing
        self.add(
            "signal", low - 0.8, self.road.right + 0.6, style=f"{state}-{'arm' if self.rng.random() < 0.6 else 'post'}"
        )
        if self.rng.random() < 0.7:
            self.add(
                "signal",
                high + 1.0,
                self.road.right + 0.6,
                style=f"{state}-{'arm' if self.rng.random() < 0.5 else 'post'}",
            )
        self.add("signal", low - 0.8, self.road.left - 0.6, style=f"{state}-post")
