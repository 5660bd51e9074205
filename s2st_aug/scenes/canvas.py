"""The painter: faces drawn back to front into one buffer of face numbers, with a table of what each face is.

Everything else (colour, depth, labels) is looked up from the numbers, so labels and image share every pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from s2st_aug.scenes.camera import NEAR, Camera, clip_near
from s2st_aug.scenes.mesh import Mesh

SHIFT = 3
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
        self._add(1, colour=np.zeros(3), normal=np.array([0, 0, -1.0]), inverse=np.array([0, 0, 1e-4]), bounds=np.array([1e-4, 1e-4]))

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
            column = np.zeros((self.count, width) if width > 1 else self.count, np.int32 if name in WHOLE else np.float32)
            for first, last, given in self._rows:
                if name in given:
                    column[first:last] = given[name]
            columns[name] = column
        return FaceTable(**columns)

    def draw(self, mesh: Mesh, owner: int, category: int) -> np.ndarray:
        """Paint a mesh in world coordinates; returns its projected vertices `v 2` (empty if behind the camera)."""
        cam = (mesh.verts - self.camera.centre) @ self._axes.T
        if cam[:, 2].max() < NEAR:
            return np.zeros((0, 2))
        first_vertex = cam[[p[0] for p in mesh.polys]]
        normals = mesh.normals @ self._axes.T
        facing = np.einsum("ij,ij->i", normals, first_vertex)
        start = self._add_planes(mesh, cam, normals, facing, owner, category)
        visible = (facing < 0) | mesh.thin
        if cam[:, 2].min() < NEAR:
            return self._draw_clipped(mesh, cam, visible, start)
        points = self.camera.to_image(cam)
        rows = points[:, 1]
        visible &= mesh.detail <= rows.max() - rows.min()
        fixed = np.round(np.clip(points, -LIMIT, LIMIT) * (1 << SHIFT)).astype(np.int32)
        for i in np.flatnonzero(visible).tolist():
            cv2.fillConvexPoly(self.faces, fixed[list(mesh.polys[i])], start + i, cv2.LINE_8, SHIFT)
        return points

    def _add_planes(self, mesh: Mesh, cam: np.ndarray, normals: np.ndarray, facing: np.ndarray, owner: int, category: int) -> int:
        depth = np.clip(cam[:, 2], NEAR, None)
        bounds = np.array([1 / depth.max(), 1 / depth.min()])
        edge_on = np.abs(facing) < 1e-4
        inverse = normals / np.where(edge_on, 1.0, facing)[:, None]
        inverse[edge_on] = (0.0, 0.0, 2 / (depth.max() + depth.min()))
        across, up = _tangents(mesh.normals)
        origin = mesh.verts[[p[0] for p in mesh.polys]] - self.camera.centre
        start = np.stack([-np.einsum("ij,ij->i", origin, across), -np.einsum("ij,ij->i", origin, up)], axis=1)
        normal = np.where((mesh.thin & (facing > 0))[:, None], -mesh.normals, mesh.normals)
        return self._add(
            len(mesh.polys), colour=mesh.colour, normal=normal, inverse=inverse, bounds=bounds, across=across @ self._axes.T,
            up=up @ self._axes.T, start=start, scale=mesh.scale, material=mesh.material, glow=mesh.glow, tile=mesh.tile,
            owner=owner, category=category,
        )  # fmt: skip

    def _draw_clipped(self, mesh: Mesh, cam: np.ndarray, visible: np.ndarray, start: int) -> np.ndarray:
        drawn = []
        for i in np.flatnonzero(visible).tolist():
            polygon = clip_near(cam[list(mesh.polys[i])])
            if len(polygon) >= 3:
                points = np.clip(self.camera.to_image(polygon), -LIMIT, LIMIT)
                cv2.fillConvexPoly(self.faces, np.round(points * (1 << SHIFT)).astype(np.int32), start + i, cv2.LINE_8, SHIFT)
                drawn.append(points)
        return np.concatenate(drawn) if drawn else np.zeros((0, 2))

    def draw_ground(
        self, polygon: np.ndarray, colour: np.ndarray, material: int, tile: int, scale: float, category: int, z: float = 0.0
    ) -> None:
        """Paint a flat, perhaps concave area `n 2` (x, y) at height z; its texture is fixed to the world."""
        cam = self.camera.to_camera(np.column_stack([polygon, np.full(len(polygon), z)]))
        cam = clip_near(cam)
        if len(cam) < 3:
            return
        up_in_camera = self._axes @ np.array([0.0, 0.0, 1.0])
        start = np.array([self.camera.x, self.camera.y])
        face = self._add(
            1, colour=colour, normal=np.array([0, 0, 1.0]), inverse=up_in_camera / (z - self.camera.z), bounds=np.array([1e-4, 1 / NEAR]),
            across=self._axes[:, 0], up=self._axes[:, 1], start=start, scale=np.array([scale, scale]), material=material, tile=tile,
            category=category,
        )  # fmt: skip
        points = np.clip(self.camera.to_image(cam), -LIMIT, LIMIT)
        cv2.fillPoly(self.faces, [np.round(points * (1 << SHIFT)).astype(np.int32)], face, cv2.LINE_8, SHIFT)

    def add_flat(self, n: int, depth: float | np.ndarray, **given: np.ndarray | float | int) -> int:
        """Rows for n shapes that stand at one depth each, facing the camera; returns the first face number."""
        inverse = np.zeros((n, 3))
        inverse[:, 2] = 1 / np.asarray(depth)
        bounds = np.repeat(inverse[:, 2:], 2, axis=1)
        right, down = self._axes[0] @ self._axes.T, -self._axes[1] @ self._axes.T
        return self._add(n, inverse=inverse, bounds=bounds, across=right, up=down, **given)

    def fill(self, face: int, points: np.ndarray) -> None:
        """Paint one convex image polygon `n 2`."""
        fixed = np.round(np.clip(points, -LIMIT, LIMIT) * (1 << SHIFT)).astype(np.int32)
        cv2.fillConvexPoly(self.faces, fixed, face, cv2.LINE_8, SHIFT)


def _tangents(normals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two directions in each face: along it and, for walls, up."""
    walls = np.abs(normals[:, 2:]) < 0.8
    across = np.where(walls, np.column_stack([-normals[:, 1], normals[:, 0], np.zeros(len(normals))]), np.array([1.0, 0, 0]))
    across = across / np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-9)
    return across, np.where(walls, np.array([0.0, 0, 1.0]), np.array([0.0, 1.0, 0.0]))
