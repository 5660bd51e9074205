"""The camera of a street: a pinhole over a flat ground, pitched and turned, never rolled."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

NEAR = 0.35  # metres; nothing nearer is drawn


@dataclass(frozen=True, slots=True)
class Camera:
    """Position in metres (x right, y forward, z up), angles in radians (yaw clockwise, pitch down), focal in pixels."""

    width: int
    height: int
    focal: float
    x: float
    y: float
    z: float
    yaw: float
    pitch: float

    @property
    def centre(self) -> np.ndarray:
        """The optical centre, `3`, metres."""
        return np.array([self.x, self.y, self.z])

    @property
    def axes(self) -> np.ndarray:
        """Rows right, down, forward in world coordinates, `3 3`."""
        return _axes(self.yaw, self.pitch)

    @property
    def horizon(self) -> float:
        """The image row of the horizon, in pixels from the top; may lie outside the image."""
        return self.height / 2 - self.focal * math.tan(self.pitch)

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        """World points `n 3` in camera coordinates (right, down, depth), metres."""
        return (points - self.centre) @ self.axes.T

    def to_image(self, points: np.ndarray) -> np.ndarray:
        """Camera points `n 3` with depth > 0 as image points `n 2`; (0, 0) is the middle of the first pixel."""
        scale = self.focal / points[:, 2:]
        return points[:, :2] * scale + np.array([self.width / 2 - 0.5, self.height / 2 - 0.5])

    def rays(self) -> tuple[np.ndarray, np.ndarray]:
        """Camera-space x of each column `w` and y of each row `h`, at depth 1."""
        across = (np.arange(self.width, dtype=np.float32) - (self.width / 2 - 0.5)) / self.focal
        down = (np.arange(self.height, dtype=np.float32) - (self.height / 2 - 0.5)) / self.focal
        return across.astype(np.float32), down.astype(np.float32)


@lru_cache(maxsize=64)
def _axes(yaw: float, pitch: float) -> np.ndarray:
    sy, cy, sp, cp = math.sin(yaw), math.cos(yaw), math.sin(pitch), math.cos(pitch)
    forward = np.array([sy * cp, cy * cp, -sp])
    right = np.array([cy, -sy, 0.0])
    axes = np.stack([right, np.cross(forward, right), forward])
    axes.setflags(write=False)
    return axes


def clip_near(polygon: np.ndarray) -> np.ndarray:
    """A camera-space polygon `n 3` cut at the near plane (Sutherland-Hodgman); may come back empty."""
    kept: list[np.ndarray] = []
    for a, b in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if a[2] >= NEAR:
            kept.append(a)
        if (a[2] >= NEAR) != (b[2] >= NEAR):
            kept.append(a + (b - a) * ((NEAR - a[2]) / (b[2] - a[2])))
    return np.array(kept).reshape(-1, 3)
