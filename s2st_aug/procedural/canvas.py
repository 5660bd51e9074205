"""The painter: faces drawn back to front into one buffer of face numbers, with a table of what each face is.

Everything else (colour, depth, labels) is looked up from the numbers, so labels and image share every pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from s2st_aug.procedural.camera import NEAR, Camera, clip_near
from s2st_aug.procedural.mesh import Mesh

SHIFT = 3
NOWHERE = np.zeros((0, 2))
LIMIT = 12000.0  # pixels; keeps fixed-point coordinates inside what OpenCV takes


@dataclass(frozen=True, slots=True, eq=False)
class FaceTable:
    """One row per face; row 0 is the sky. Inverse depth is `inverse @ (ray x, ray y, 1)`, held between `bounds`.

    Texture coordinates are `depth * (across @ ray) + start`, in metres along the face.
    """

    colour: np.ndarray
    normal: np.ndarray
    inverse: np.ndarray
    bounds: np.ndarray
    across: np.ndarray
    up: np.ndarray
    start: np.ndarray
    scale: np.ndarray
    material: np.ndarray
    glow: np.ndarray
    tile: np.ndarray
    owner: np.ndarray
    category: np.ndarray


FIELDS = {
    "colour": 3, "normal": 3, "inverse": 3, "bounds": 2, "across": 3, "up": 3, "start": 2, "scale": 2,
    "material": 1, "glow": 1, "tile": 1, "owner": 1, "category": 1,
}  # fmt: skip
WHOLE = ("material", "glow", "tile", "owner", "category")


class Canvas:
    """Holds the face buffer `h w` int32 while a scene is drawn."""

    def __init__(self, camera: Camera) -> None:
        self.camera = camera
        self.faces = np.zeros((camera.height, camera.width), np.int32)
        self.count = 0
        self._axes = camera.axes
        self._rows: list[tuple[int, int, dict[str, np.ndarray | float | int]]] = []
        self._spans: dict[int, tuple[int, int]] = {}
        self._add(
            1,
            colour=np.zeros(3),
            normal=np.array([0, 0, -1.0]),
            inverse=np.array([0, 0, 1e-4]),
            bounds=np.array([1e-4, 1e-4]),
        )

    def _add(self, n: int, **given: np.ndarray | float | int) -> int:
        """Append n rows; what is not given is zero. Returns the first new face number."""
        first, self.count = self.count, self.count + n
        self._rows.append((first, self.count, given))
        owner = given.get("owner", 0)
        self._spans[int(owner)] = (self._spans.get(int(owner), (first, 0))[0], self.count)
        return first

    def span_of(self, owner: int) -> tuple[int, int]:
        """First and one past the last face of an instance; its faces are drawn without a break."""
        return self._spans[owner]

    def table(self) -> FaceTable:
        """The rows so far, in float32 and int32."""
        columns = {}
        for name, width in FIELDS.items():
            column = np.zeros(
                (self.count, width) if width > 1 else self.count, np.int32 if name in WHOLE else np.float32
            )
            for first, last, given in self._rows:
                if name in given:
                    column[first:last] = given[name]
            columns[name] = column
        return FaceTable(**columns)

    def draw(
        self, mesh: Mesh, owner: int, category: int, at: np.ndarray | None = None, heading: float = 0.0
    ) -> np.ndarray:
        """Paint a mesh that stands at `at` and looks along `heading`.

        Returns its projected vertices `v 2`, empty if out of sight.
        """
        turn = turning(heading)
        place = np.zeros(3) if at is None else at
        cam = mesh.verts @ (turn @ self._axes.T) + (place - self.camera.centre) @ self._axes.T
        depth = cam[:, 2]
        if depth.max() < NEAR:
            return NOWHERE
        clipped = bool(depth.min() < NEAR)
        points = NOWHERE if clipped else self.camera.to_image(cam)
        if not clipped and self.misses(points):
            return NOWHERE
        facing = ((mesh.normals @ (turn @ self._axes.T)) * cam[mesh.first]).sum(1)
        tall = np.inf if clipped else np.ptp(points[:, 1])
        shown = np.flatnonzero(((facing < 0) | mesh.thin) & (mesh.detail <= tall))
        start = self._add_planes(mesh, cam, turn, place, facing[shown], shown, owner, category)
        polys = [mesh.polys[i] for i in shown.tolist()]
        if clipped:
            return self._draw_clipped(cam, polys, start)
        fixed = fixed_point(points)
        for i, poly in enumerate(polys):
            cv2.fillConvexPoly(self.faces, fixed[list(poly)], start + i, cv2.LINE_8, SHIFT)
        return points

    def misses(self, points: np.ndarray) -> bool:
        """Whether image points `n 2` all lie beyond one edge of the image."""
        (left, top), (right, low) = points.min(0), points.max(0)
        return bool(right < -1 or low < -1 or left > self.camera.width or top > self.camera.height)

    def _add_planes(
        self,
        mesh: Mesh,
        cam: np.ndarray,
        turn: np.ndarray,
        at: np.ndarray,
        facing: np.ndarray,
        shown: np.ndarray,
        owner: int,
        category: int,
    ) -> int:
        """Table rows of the faces `shown`."""
        depth = np.maximum(cam[:, 2], NEAR)
        near, far = float(depth.min()), float(depth.max())
        normal = mesh.normals[shown] @ turn
        edge_on = np.abs(facing) < 1e-4
        inverse = (normal @ self._axes.T) / np.where(edge_on, 1.0, facing)[:, None]
        inverse[edge_on] = (0.0, 0.0, 2 / (near + far))
        laid: dict[str, np.ndarray] = {}
        if mesh.tile.any():
            across, up = _tangents(normal)
            origin = mesh.verts[mesh.first[shown]] @ turn + at - self.camera.centre
            start = np.stack([-(origin * across).sum(1), -(origin * up).sum(1)], axis=1)
            laid = {
                "across": across @ self._axes.T,
                "up": up @ self._axes.T,
                "start": start,
                "scale": mesh.scale[shown],
                "tile": mesh.tile[shown],
            }
        seen_from_behind = mesh.thin[shown] & (facing > 0)
        if seen_from_behind.any():
            normal[seen_from_behind] *= -1
        return self._add(
            len(shown), colour=mesh.colour[shown], normal=normal, inverse=inverse, bounds=np.array([1 / far, 1 / near]),
            material=mesh.material[shown], glow=mesh.glow[shown], owner=owner, category=category, **laid,
        )  # fmt: skip

    def _draw_clipped(self, cam: np.ndarray, polys: list[tuple[int, ...]], start: int) -> np.ndarray:
        drawn = [NOWHERE]
        for i, poly in enumerate(polys):
            polygon = clip_near(cam[list(poly)])
            if len(polygon) >= 3:
                drawn.append(self.camera.to_image(polygon))
                cv2.fillConvexPoly(self.faces, fixed_point(drawn[-1]), start + i, cv2.LINE_8, SHIFT)
        return np.concatenate(drawn)

    def draw_ground(
        self,
        polygon: np.ndarray,
        colour: np.ndarray,
        material: int,
        tile: int,
        scale: float,
        category: int,
        z: float = 0.0,
    ) -> None:
        """Paint a flat, perhaps concave area `n 2` (x, y) at height z; its texture is fixed to the world."""
        cam = self.camera.to_camera(np.column_stack([polygon, np.full(len(polygon), z)]))
        cam = clip_near(cam)
        if len(cam) < 3:
            return
        up_in_camera = self._axes @ np.array([0.0, 0.0, 1.0])
        start = np.array([self.camera.x, self.camera.y])
        face = self._add(
            1, colour=colour, normal=np.array([0, 0, 1.0]), inverse=up_in_camera / (z - self.camera.z),
            bounds=np.array([1e-4, 1 / NEAR]), across=self._axes[:, 0], up=self._axes[:, 1], start=start,
            scale=np.array([scale, scale]), material=material, tile=tile, category=category,
        )  # fmt: skip
        cv2.fillPoly(self.faces, [fixed_point(self.camera.to_image(cam))], face, cv2.LINE_8, SHIFT)

    def add_flat(self, n: int, depth: float | np.ndarray, **given: np.ndarray | float | int) -> int:
        """Rows for n shapes that stand at one depth each, facing the camera; returns the first face number."""
        inverse = np.zeros((n, 3))
        inverse[:, 2] = 1 / np.asarray(depth)
        bounds = np.repeat(inverse[:, 2:], 2, axis=1)
        right, down = self._axes[0] @ self._axes.T, -self._axes[1] @ self._axes.T
        return self._add(n, inverse=inverse, bounds=bounds, across=right, up=down, **given)

    def fill(self, first: int, polygons: np.ndarray) -> None:
        """Paint convex image polygons `k n 2` with faces numbered from `first`."""
        for i, polygon in enumerate(fixed_point(polygons)):
            cv2.fillConvexPoly(self.faces, polygon, first + i, cv2.LINE_8, SHIFT)


def fixed_point(points: np.ndarray) -> np.ndarray:
    """Image points in the fixed-point numbers that OpenCV fills between, int32."""
    return np.rint(np.minimum(np.maximum(points, -LIMIT), LIMIT) * (1 << SHIFT)).astype(np.int32)


def turning(heading: float) -> np.ndarray:
    """Rows of local coordinates times this are turned clockwise by `heading` (0 looks along +y), `3 3`."""
    s, c = math.sin(heading), math.cos(heading)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def _tangents(normals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two directions in each face: along it and, for walls, up."""
    walls = np.abs(normals[:, 2:]) < 0.8
    across = np.where(
        walls, np.column_stack([-normals[:, 1], normals[:, 0], np.zeros(len(normals))]), np.array([1.0, 0, 0])
    )
    across = across / np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-9)
    return across, np.where(walls, np.array([0.0, 0, 1.0]), np.array([0.0, 1.0, 0.0]))
