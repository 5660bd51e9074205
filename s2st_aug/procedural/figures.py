"""People on foot and on two wheels, drawn as rounded limbs between joints; trees as heaps of leaf clumps.

Joints are set in a local frame (x right, y forward, z up, metres) and projected; a limb is an image polygon.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from s2st_aug.procedural.camera import NEAR
from s2st_aug.procedural.canvas import NOWHERE, Canvas, fixed_point, turning
from s2st_aug.procedural.mesh import Material
from s2st_aug.procedural.street import Thing
from s2st_aug.procedural.textures import Tile, leaf_noise

SKIN = ((0.56, 0.34, 0.24), (0.48, 0.28, 0.19), (0.30, 0.16, 0.10), (0.15, 0.075, 0.045), (0.62, 0.40, 0.30))
HAIR = (
    (0.02, 0.015, 0.012),
    (0.07, 0.04, 0.02),
    (0.22, 0.15, 0.07),
    (0.30, 0.29, 0.28),
    (0.03, 0.03, 0.06),
    (0.25, 0.03, 0.03),
)
CLOTH = (
    (0.03, 0.035, 0.06),
    (0.015, 0.015, 0.018),
    (0.06, 0.09, 0.20),
    (0.34, 0.03, 0.03),
    (0.45, 0.45, 0.44),
    (0.16, 0.15, 0.14),
    (0.05, 0.16, 0.08),
    (0.50, 0.36, 0.10),
    (0.30, 0.24, 0.17),
    (0.05, 0.22, 0.32),
    (0.40, 0.12, 0.22),
    (0.55, 0.20, 0.04),
    (0.20, 0.22, 0.26),
    (0.60, 0.58, 0.50),
)
Limb = tuple[str, str, float, float, str]  # from joint, to joint, radius at each end, what colours it


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """Named joints `3` in metres for a person 1.75 m tall, and limbs from far to near."""

    joints: dict[str, tuple[float, float, float]]
    limbs: tuple[Limb, ...]


def _body(prefix_far: str, prefix_near: str) -> tuple[Limb, ...]:
    def arm(p: str) -> tuple[Limb, ...]:
        return ((f"{p}shoulder", f"{p}elbow", 0.058, 0.05, "top"), (f"{p}elbow", f"{p}hand", 0.05, 0.036, "sleeve"))

    def leg(p: str) -> tuple[Limb, ...]:
        upper = (f"{p}hip", f"{p}knee", 0.088, 0.065, "trousers")
        return upper, (f"{p}knee", f"{p}foot", 0.062, 0.045, "trousers"), (f"{p}foot", f"{p}toe", 0.05, 0.04, "shoes")

    trunk = (
        ("pelvis", "belly", 0.135, 0.14, "trousers"),
        ("belly", "chest", 0.145, 0.17, "top"),
        ("chest", "neck", 0.15, 0.07, "top"),
    )
    top = (
        ("neck", "head", 0.055, 0.08, "skin"),
        ("head", "crown", 0.098, 0.095, "hair"),
        ("face", "face2", 0.075, 0.08, "skin"),
    )
    return (*arm(prefix_far), *leg(prefix_far), *leg(prefix_near), *trunk, *top, *arm(prefix_near))


def walking(phase: float, swing: float, near: str) -> Pose:
    """Mid-stride at `phase` (radians); `swing` 0 is standing."""
    a, far = swing * np.sin(phase), "r" if near == "l" else "l"
    j: dict[str, tuple[float, float, float]] = {
        "pelvis": (0, 0, 0.93),
        "belly": (0, 0.01, 1.12),
        "chest": (0, 0.02, 1.32),
        "neck": (0, 0.03, 1.50),
        "head": (0, 0.03, 1.61),
        "crown": (0, 0.02, 1.66),
        "face": (0, 0.09, 1.58),
        "face2": (0, 0.09, 1.61),
    }
    for p, x, s in (("l", -1, 1), ("r", 1, -1)):
        sw = a * s
        lift = 0.12 * max(-sw, 0)
        j |= {
            f"{p}hip": (x * 0.09, 0, 0.92),
            f"{p}knee": (x * 0.10, 0.40 * np.sin(sw) + 0.05 * abs(sw), 0.92 - 0.42 * np.cos(sw)),
            f"{p}foot": (x * 0.10, 0.82 * np.sin(sw) * 0.95 - 0.03, 0.09 + lift),
            f"{p}toe": (x * 0.11, 0.82 * np.sin(sw) * 0.95 + 0.12, 0.045 + lift),
            f"{p}shoulder": (x * 0.185, 0.01, 1.43),
            f"{p}elbow": (x * 0.23, -0.26 * np.sin(sw), 1.16),
            f"{p}hand": (x * 0.23, -0.50 * np.sin(sw) + 0.08, 0.93 + 0.04 * abs(sw)),
        }
    return Pose(j, _body(far, near))


def riding(phase: float, near: str, *, motor: bool) -> Pose:
    """Seated on two wheels, hands on the bar."""
    far, lean = "r" if near == "l" else "l", 0.28
    seat = 0.80 if motor else 0.96
    j: dict[str, tuple[float, float, float]] = {
        "pelvis": (0, -0.22, seat),
        "belly": (0, -0.14, seat + 0.18),
        "chest": (0, -0.02 + lean * 0.3, seat + 0.38),
        "neck": (0, 0.08 + lean * 0.3, seat + 0.55),
        "head": (0, 0.13 + lean * 0.3, seat + 0.66),
        "crown": (0, 0.11 + lean * 0.3, seat + 0.71),
        "face": (0, 0.20 + lean * 0.3, seat + 0.63),
        "face2": (0, 0.20 + lean * 0.3, seat + 0.66),
    }
    for p, x, s in (("l", -1, 1), ("r", 1, -1)):
        up = 0.0 if motor else 0.16 * np.sin(phase) * s
        foot_y = 0.12 if motor else 0.02 + 0.14 * np.cos(phase) * s
        j |= {
            f"{p}hip": (x * 0.09, -0.22, seat),
            f"{p}knee": (x * 0.12, 0.22 + up * 0.2, seat - 0.32 + up * 0.7),
            f"{p}foot": (x * 0.11, foot_y, 0.30 + up),
            f"{p}toe": (x * 0.11, foot_y + 0.14, 0.27 + up),
            f"{p}shoulder": (x * 0.18, 0.06 + lean * 0.3, seat + 0.49),
            f"{p}elbow": (x * 0.26, 0.24 + lean * 0.3, seat + 0.26),
            f"{p}hand": (x * 0.24, 0.50, seat + 0.12),
        }
    return Pose(j, _body(far, near))


def _pick(rng: np.random.Generator, choices: tuple[tuple[float, ...], ...]) -> np.ndarray:
    return np.array(choices[int(rng.integers(len(choices)))]) * rng.uniform(0.8, 1.15)


def outfit(seed: int) -> dict[str, np.ndarray]:
    """Colours by part, linear RGB."""
    rng = np.random.default_rng(seed)
    top = _pick(rng, CLOTH)
    out = {
        "skin": _pick(rng, SKIN),
        "hair": _pick(rng, HAIR),
        "top": top,
        "trousers": _pick(rng, CLOTH[:7] + CLOTH[8:9]),
        "shoes": _pick(rng, HAIR),
    }
    out["sleeve"] = top if rng.random() < 0.7 else out["skin"]
    return out


def capsules(p: np.ndarray, q: np.ndarray, rp: np.ndarray, rq: np.ndarray) -> np.ndarray:
    """Rounded strokes from p to q (`k 2` pixels) with end radii `k`, as polygons `k 10 2`."""
    d = q - p
    angle = np.arctan2(d[:, 1], d[:, 0])[:, None]
    back = angle + np.pi / 2 + np.linspace(0, np.pi, 5)
    fore = angle - np.pi / 2 + np.linspace(0, np.pi, 5)
    start = p[:, None] + rp[:, None, None] * np.stack([np.cos(back), np.sin(back)], -1)
    end = q[:, None] + rq[:, None, None] * np.stack([np.cos(fore), np.sin(fore)], -1)
    return np.concatenate([start, end], axis=1)


def _project(canvas: Canvas, local: np.ndarray, at: np.ndarray, heading: float) -> tuple[np.ndarray, float]:
    """Image points of local joints, and the depth of the figure (negative if it is behind the camera)."""
    cam = canvas.camera.to_camera(local @ turning(heading) + at)
    if cam[:, 2].min() < NEAR + 0.3:
        return NOWHERE, -1.0
    return canvas.camera.to_image(cam), float(cam[:, 2].mean())


def draw_figure(
    canvas: Canvas,
    pose: Pose,
    colours: dict[str, np.ndarray],
    at: np.ndarray,
    heading: float,
    tall: float,
    owner: int,
    category: int,
) -> np.ndarray:
    """Draw a person; returns the outline points `n 2`, empty if not seen."""
    names = list(pose.joints)
    points, depth = _project(canvas, np.array([pose.joints[n] for n in names]) * (tall / 1.75), at, heading)
    if depth < 0:
        return points
    index = {n: i for i, n in enumerate(names)}
    scale = canvas.camera.focal / depth * tall / 1.75
    p, q = points[[index[m[0]] for m in pose.limbs]], points[[index[m[1]] for m in pose.limbs]]
    rp, rq = (np.array([m[k] for m in pose.limbs]) * scale for k in (2, 3))
    colour = np.array([colours[m[4]] for m in pose.limbs])
    outer = capsules(p, q, rp, rq)
    _paint_limbs(
        canvas,
        outer,
        capsules(p - 0.25 * rp[:, None], q - 0.25 * rq[:, None], rp * 0.62, rq * 0.62),
        colour,
        depth,
        owner,
        category,
        rounded=scale > 22,
    )
    return outer.reshape(-1, 2)


def _paint_limbs(
    canvas: Canvas,
    outer: np.ndarray,
    inner: np.ndarray,
    colour: np.ndarray,
    depth: float,
    owner: int,
    category: int,
    *,
    rounded: bool,
) -> None:
    view = -canvas.camera.axes[2]
    right = canvas.camera.axes[0]
    away, towards = (
        _unit(view * 0.5 + right * 0.75 - np.array([0, 0, 0.25])),
        _unit(view * 0.75 - right * 0.35 + np.array([0, 0, 0.45])),
    )
    n = len(colour)
    shade = canvas.add_flat(
        n,
        depth,
        colour=colour,
        normal=away if rounded else towards,
        material=int(Material.MATTE),
        owner=owner,
        category=category,
    )
    light = canvas.add_flat(
        n, depth, colour=colour, normal=towards, material=int(Material.MATTE), owner=owner, category=category
    )
    if not rounded:
        canvas.fill(shade, outer)
        return
    for i in range(n):
        canvas.fill(shade + i, outer[i : i + 1])
        canvas.fill(light + i, inner[i : i + 1])


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.linalg.norm(v)


def _ring(cx: float, cy: float, r: float, n: int = 18) -> np.ndarray:
    a = np.arange(n + 1) * (2 * np.pi / n)
    return np.column_stack([np.zeros(n + 1), cy + r * np.cos(a), cx + r * np.sin(a)])


def _strokes(*, motor: bool) -> list[tuple[np.ndarray, float, str]]:
    """Lines of a bicycle or motorcycle: points `n 3`, thickness in metres, what colours it."""
    if motor:
        body = [
            np.array([(0, -0.75, 0.72), (0, -0.15, 0.70), (0, 0.25, 0.85)]),
            np.array([(0, -0.35, 0.45), (0, 0.30, 0.45)]),
        ]
        wheels = [(_ring(0.31, y, 0.25), 0.13, "tyre") for y in (-0.70, 0.70)]
        fork = [
            (np.array([(0, 0.70, 0.31), (0, 0.48, 0.95)]), 0.06, "metal"),
            (np.array([(-0.33, 0.42, 1.0), (0.33, 0.42, 1.0)]), 0.04, "metal"),
        ]
        return [*wheels, (body[1], 0.26, "metal"), (body[0], 0.20, "frame"), *fork]
    hoops = [(_ring(0.34, y, 0.33), 0.035, "tyre") for y in (-0.53, 0.53)]
    hubs = [np.array([(0, -0.53, 0.34), (0, -0.05, 0.30), (0, -0.20, 0.88), (0, -0.53, 0.34)])]
    main = np.array([(0, -0.05, 0.30), (0, 0.40, 0.82), (0, -0.17, 0.78)])
    front = np.array([(0, 0.53, 0.34), (0, 0.38, 0.98)])
    bar, seat = (
        np.array([(-0.26, 0.44, 1.04), (0.0, 0.38, 1.0), (0.26, 0.44, 1.04)]),
        np.array([(0, -0.32, 0.92), (0, -0.10, 0.92)]),
    )
    return [
        *hoops,
        (hubs[0], 0.03, "frame"),
        (main, 0.04, "frame"),
        (front, 0.035, "metal"),
        (bar, 0.03, "metal"),
        (seat, 0.06, "tyre"),
    ]


def draw_cycle(
    canvas: Canvas, seed: int, at: np.ndarray, heading: float, owner: int, category: int, *, motor: bool
) -> np.ndarray:
    """Draw a bicycle or motorcycle as thick strokes; returns outline points, empty if not seen."""
    colour = {
        "tyre": np.array([0.012, 0.012, 0.013]),
        "metal": np.array([0.2, 0.2, 0.21]),
        "frame": _pick(np.random.default_rng(seed), CLOTH),
    }
    seen: list[np.ndarray] = []
    for line, thick, what in _strokes(motor=motor):
        points, depth = _project(canvas, line, at, heading)
        if depth < 0:
            return NOWHERE
        face = canvas.add_flat(
            1,
            depth,
            colour=colour[what],
            normal=-canvas.camera.axes[2],
            material=int(Material.METAL),
            owner=owner,
            category=category,
        )
        width = max(round(thick * canvas.camera.focal / depth), 1)
        cv2.polylines(canvas.faces, [fixed_point(np.clip(points, -4000, 4000))], False, face, width, cv2.LINE_8, 3)
        seen.append(points)
    return np.concatenate(seen)


def draw_tree(canvas: Canvas, thing: Thing, at: np.ndarray, owner: int, trunk: int, crown: int) -> np.ndarray:
    """A trunk and a crown of leaf clumps with a ragged edge."""
    rng = np.random.default_rng(thing.seed)
    tall = thing.size[2] * (0.28 if thing.style == "bush" else 1.0)
    points, depth = _project(canvas, np.array([[0, 0, 0.0], [0.1, 0, tall * 0.35], [-0.1, 0, tall * 0.62]]), at, 0.0)
    if depth < 0:
        return points
    scale = canvas.camera.focal / depth
    if thing.style != "bush":
        _draw_trunk(canvas, points, depth, scale * 0.024 * tall, owner, trunk)
    middle, radius = _crown(thing, tall)
    centres = rng.standard_normal((26 if scale * tall > 60 else 12, 3))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    centres = centres * rng.uniform(0.35, 0.85, (len(centres), 1)) * radius
    return _draw_crown(canvas, rng, at + middle, centres, float(radius.mean()) * 0.42, owner, crown)


def _crown(thing: Thing, tall: float) -> tuple[np.ndarray, np.ndarray]:
    if thing.style == "bush":
        return np.array([0, 0, tall * 0.45]), np.array([tall * 0.6, tall * 0.6, tall * 0.45])
    slim = 0.20 if thing.style == "tall" else 0.31
    return np.array([0, 0, tall * 0.66]), np.array([tall * slim, tall * slim, tall * (0.34 if slim < 0.3 else 0.29)])


def _draw_trunk(canvas: Canvas, points: np.ndarray, depth: float, width: float, owner: int, category: int) -> None:
    colour = np.array([0.11, 0.085, 0.062])
    face = canvas.add_flat(
        2,
        depth,
        colour=colour,
        normal=-canvas.camera.axes[2],
        tile=int(Tile.PLASTER),
        scale=1.0,
        owner=owner,
        category=category,
    )
    w = np.full(2, width)
    canvas.fill(face, capsules(points[:2], points[1:], w, w * 0.75))


def _draw_crown(
    canvas: Canvas,
    rng: np.random.Generator,
    middle: np.ndarray,
    offsets: np.ndarray,
    radius: float,
    owner: int,
    category: int,
) -> np.ndarray:
    order = np.argsort(-(offsets @ canvas.camera.axes[2]))
    offsets = offsets[order]
    cam = canvas.camera.to_camera(middle + offsets)
    if cam[:, 2].min() < NEAR + 0.5:
        return NOWHERE
    centres, depth = canvas.camera.to_image(cam), cam[:, 2]
    size = radius * canvas.camera.focal / depth
    if canvas.misses(np.concatenate([centres - size[:, None] * 1.5, centres + size[:, None] * 1.5])):
        return NOWHERE
    hue = (
        np.array([0.075, 0.125, 0.032])
        * rng.uniform(0.65, 1.25)
        * np.array([rng.uniform(0.75, 1.6), 1.0, rng.uniform(0.7, 1.2)])
    )
    n = len(offsets)
    colour = hue * rng.uniform(0.8, 1.2, (n, 1))
    normal = offsets / np.maximum(np.linalg.norm(offsets, axis=1, keepdims=True), 1e-6)
    first = canvas.add_flat(
        n,
        depth,
        colour=colour,
        normal=normal,
        material=int(Material.FOLIAGE),
        tile=int(Tile.LEAVES),
        scale=radius * 1.8,
        owner=owner,
        category=category,
    )
    a = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    wobble = rng.uniform(0.75, 1.15, (n, 14))
    outline = centres[:, None] + (size[:, None] * wobble)[..., None] * np.stack([np.cos(a), np.sin(a)], -1)
    return _ragged(canvas, outline, first, float(size.mean()) * 0.35, int(rng.integers(0, 900)))


def _ragged(canvas: Canvas, outline: np.ndarray, first: int, reach: float, seed: int) -> np.ndarray:
    """Paint clumps, then break their edge: a pixel takes what the painter put a few noisy pixels away."""
    height, width = canvas.faces.shape
    flat = outline.reshape(-1, 2)
    x0, y0 = np.floor(np.clip(flat.min(0) - 2, 0, (width, height))).astype(int)
    x1, y1 = np.ceil(np.clip(flat.max(0) + 3, 0, (width, height))).astype(int)
    if x1 <= x0 or y1 <= y0:
        return flat
    before = canvas.faces[y0:y1, x0:x1].copy()
    canvas.fill(first, outline)
    window = canvas.faces[y0:y1, x0:x1]
    after = window.copy()
    dy, dx = _jitter(seed, y1 - y0, x1 - x0, min(reach, 24.0))
    moved = after[
        np.clip(np.arange(y1 - y0)[:, None] + dy, 0, y1 - y0 - 1), np.clip(np.arange(x1 - x0) + dx, 0, x1 - x0 - 1)
    ]
    window[:] = np.where(moved >= first, moved, before)
    return flat


def _jitter(seed: int, h: int, w: int, reach: float) -> tuple[np.ndarray, np.ndarray]:
    noise = leaf_noise()
    rows, columns = (seed + np.arange(h)) % 512, (seed * 7 + np.arange(w)) % 512
    patch = noise[rows][:, columns] * reach
    return np.rint(patch[..., 0]).astype(np.int32), np.rint(patch[..., 1]).astype(np.int32)
