"""One street in three dimensions: a camera, a road and the things that stand or move on it.

Road coordinates: s metres along the street, t metres to the right of the line that divides the directions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from s2st_aug.procedural.camera import Camera

PARKING = 2.3
KERB = 0.13


@dataclass(frozen=True, slots=True)
class Road:
    """Lanes and edges. `crossing`: the stretch of s that another street takes.

    `edge`: what lies beyond the pavement.
    """

    curvature: float
    lane_width: float
    oncoming: int
    own: int
    parking_left: bool
    parking_right: bool
    pavement_left: float
    pavement_right: float
    crossing: tuple[float, float] | None
    zebra: float | None
    divider: str
    own_divider: str
    marked_edges: bool

    @property
    def left(self) -> float:
        """The left kerb, t in metres (negative)."""
        return -self.oncoming * self.lane_width - PARKING * self.parking_left

    @property
    def right(self) -> float:
        """The right kerb, t in metres."""
        return self.own * self.lane_width + PARKING * self.parking_right

    def place(self, s: float | np.ndarray, t: float | np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """World x, y and the road's heading (radians, clockwise from +y) at (s, t)."""
        s, t = np.asarray(s, float), np.asarray(t, float)
        heading = np.arctan(self.curvature * s)
        return self.curvature * s * s / 2 + t * np.cos(heading), s - t * np.sin(heading), heading

    def in_crossing(self, s: float, margin: float = 0.0) -> bool:
        """Whether s lies where the other street passes, or within `margin` of it."""
        return self.crossing is not None and self.crossing[0] - margin < s < self.crossing[1] + margin


@dataclass(frozen=True, slots=True)
class Thing:
    """Anything placed on the street. `turn` is its heading against the road's; `speed` m/s along its heading;
    `style` and `seed` say how it looks."""

    uid: int
    kind: str
    s: float
    t: float
    turn: float = 0.0
    speed: float = 0.0
    style: str = ""
    seed: int = 0
    size: tuple[float, float, float] = (0.0, 0.0, 0.0)  # along, across, up, where the kind does not fix it
    parked: bool = False


@dataclass(frozen=True, slots=True)
class Sun:
    """Where the sun stands (radians; azimuth clockwise from +y) and how much of the sky is cloud (0 to 1)."""

    azimuth: float
    elevation: float
    clouds: float

    @property
    def direction(self) -> np.ndarray:
        """Unit vector towards the sun, `3`."""
        c = math.cos(self.elevation)
        return np.array([math.sin(self.azimuth) * c, math.cos(self.azimuth) * c, math.sin(self.elevation)])


@dataclass(frozen=True, slots=True)
class Street:
    """A whole scene: everything that a condition does not change."""

    name: str
    key: int
    camera: Camera
    road: Road
    things: tuple[Thing, ...]
    sun: Sun
    setting: str  # BDD100K's `scene`: city street, residential, highway
    bonnet: int | None
    ego_t: float
    ego_speed: float
    advance: float = 0.0  # metres that the camera has driven
    moment: float = 0.0  # seconds since the first frame

    def after(self, seconds: float) -> Street:
        """The same street a little later: the camera and everything with a speed has moved."""
        things = []
        for thing in self.things:
            way = thing.speed * seconds
            s, t = thing.s + way * math.cos(thing.turn), thing.t + way * math.sin(thing.turn)
            things.append(replace(thing, s=s, t=t))
        driven = self.advance + self.ego_speed * seconds
        x, y, heading = self.road.place(driven, self.ego_t)
        # the camera keeps its angle to the road
        yaw = self.camera.yaw + float(heading) - float(self.road.place(self.advance, self.ego_t)[2])
        camera = replace(self.camera, x=float(x), y=float(y), yaw=yaw)
        return replace(self, things=tuple(things), advance=driven, moment=self.moment + seconds, camera=camera)
