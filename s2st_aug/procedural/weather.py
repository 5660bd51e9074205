"""What stands between the scene and the sensor (fog, reflections, rain streaks, drops on the glass), and the sensor."""

from __future__ import annotations

import cv2
import numpy as np

from s2st_aug.procedural.conditions import Condition
from s2st_aug.procedural.drawing import Drawn
from s2st_aug.procedural.surfaces import Surfaces, spread
from s2st_aug.procedural.textures import clouds, grain

F = np.float32


def wet_ground(drawn: Drawn, surface: Surfaces, condition: Condition, image: np.ndarray) -> None:
    """Mirror the scene in the wet ground, in place: darker asphalt, stronger towards the horizon and in puddles."""
    mirror = _mirrored(drawn, surface, image)
    _, down = drawn.camera.rays()
    grazing = np.clip(1 - 2.6 * np.abs(down - down[_horizon_row(drawn)]), 0.0, 1)[:, None]
    puddle = _puddles(drawn, surface)
    share = F(condition.wet) * np.clip(0.16 + 0.50 * grazing**2 + 0.40 * puddle, 0, 0.85)
    share = np.where(surface.ground, share, F(0)).astype(F)
    image *= spread(1 - F(0.9) * share - F(0.28 * condition.wet) * surface.ground)
    mirror *= spread(share)
    image += mirror


def _horizon_row(drawn: Drawn) -> int:
    return int(np.clip(round(drawn.camera.horizon), 0, drawn.camera.height - 1))


def _mirrored(drawn: Drawn, surface: Surfaces, image: np.ndarray) -> np.ndarray:
    """Each standing pixel where flat water shows it, as far below its foot as it is above; then smeared upright."""
    camera = drawn.camera
    height, width = surface.depth.shape
    horizon = camera.horizon
    rows = np.arange(height, dtype=F)[:, None]
    foot = np.where(surface.sky, F(horizon), F(horizon) + F(camera.focal * camera.z) / surface.depth)
    target = np.rint(2 * foot - rows)
    source = ~surface.ground & (target >= 0) & (target < height) & (target > foot)
    mirror = np.empty_like(image)
    mirror[:] = image[: max(_horizon_row(drawn) // 2, 1)].mean((0, 1)) if horizon > 2 else image.mean((0, 1))
    y, x = np.nonzero(source)
    mirror[target[y, x].astype(np.intp), x] = image[y, x]
    np.minimum(mirror, F(8), out=mirror)
    near = cv2.blur(mirror, (3, max(int(height / 60) | 1, 3)))
    far = cv2.blur(np.maximum(mirror - F(0.35), 0), (max(int(width / 300) | 1, 1), max(int(height / 6) | 1, 3)))
    return near * F(0.7) + cv2.blur(near, (1, max(int(height / 20) | 1, 3))) * F(0.3) + far * F(0.9)


def _puddles(drawn: Drawn, surface: Surfaces) -> np.ndarray:
    """Where water stands, 0 to 1, fixed to the ground."""
    shift = drawn.street.key & 255
    height, width = surface.depth.shape
    x, y = (surface.east[::2, ::2] * 18 + shift) % 512, (surface.north[::2, ::2] * 7 + shift) % 512
    noise = cv2.remap(clouds(), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return cv2.resize(np.clip((noise - 0.35) * 1.2, 0, 1), (width, height), interpolation=cv2.INTER_LINEAR)


def fog(surface: Surfaces, condition: Condition, image: np.ndarray) -> None:
    """Blend towards the haze by distance, in place; the sky keeps a part of its own light."""
    through = np.exp(-F(condition.fog) * np.minimum(surface.depth, F(260)))
    through = np.where(surface.sky, np.maximum(through, F(0.5)), through)
    image *= spread(through)
    image += cv2.merge([F(part) * (1 - through) for part in condition.haze])


def halos(image: np.ndarray, *, wide: float) -> None:
    """Bloom of what is brighter than white, in place; `wide` is the share that spreads far."""
    height, width = image.shape[:2]
    small = cv2.resize(image, (max(width // 4, 1), max(height // 4, 1)), interpolation=cv2.INTER_AREA)
    bright = np.minimum(np.maximum(small - F(0.9), 0), F(14))
    near, far = (
        cv2.GaussianBlur(bright, (0, 0), max(height / 300, 0.5)),
        cv2.GaussianBlur(bright, (0, 0), max(height / 60, 0.8)),
    )
    image += cv2.resize(near * F(0.30) + far * F(wide), (width, height), interpolation=cv2.INTER_LINEAR)


def streaks(condition: Condition, image: np.ndarray, rng: np.random.Generator) -> None:
    """Falling rain, in place: short slanted lines that take the brightness of the air."""
    height, width = image.shape[:2]
    layer = np.zeros((height, width), np.uint8)
    n = int(170 * condition.streaks * width * height / (640 * 360)) + 4
    x, y = rng.uniform(-0.1, 1.1, n) * width, rng.uniform(-0.1, 1.0, n) * height
    length = height * rng.uniform(0.02, 0.10, n)
    slant = float(rng.uniform(-0.28, 0.28))
    ends = np.stack([np.column_stack([x, y]), np.column_stack([x + slant * length, y + length])], 1)
    for line, value in zip(np.round(ends * 8).astype(np.int32), rng.integers(40, 150, n).tolist(), strict=True):
        cv2.line(layer, line[0].tolist(), line[1].tolist(), value, 1, cv2.LINE_AA, 3)
    alpha = spread(cv2.blur(layer, (1, 3)).astype(F) * F(1 / 255))
    local = cv2.resize(
        cv2.resize(image, (16, 9), interpolation=cv2.INTER_AREA), (width, height), interpolation=cv2.INTER_LINEAR
    )
    image += alpha * (local * F(0.55) + F(0.10) * np.array(condition.haze, F) + F(0.004))


def drops(condition: Condition, image: np.ndarray, rng: np.random.Generator) -> None:
    """Drops on the glass, in place: each shows the scene small and upside down."""
    height, width = image.shape[:2]
    flipped = cv2.GaussianBlur(
        cv2.resize(image, (max(width // 4, 2), max(height // 4, 2)), interpolation=cv2.INTER_AREA), (0, 0), 1.0
    )[::-1]
    for _ in range(condition.drops):
        r = height * float(rng.uniform(0.006, 0.022))
        _drop(
            image, flipped, rng.uniform(0, width), rng.uniform(0, height * 0.92), r, r * float(rng.uniform(0.9, 1.35))
        )


def _drop(image: np.ndarray, flipped: np.ndarray, cx: float, cy: float, rx: float, ry: float) -> None:
    height, width = image.shape[:2]
    x0, x1, y0, y1 = (
        int(max(cx - rx, 0)),
        int(min(cx + rx + 1, width)),
        int(max(cy - ry, 0)),
        int(min(cy + ry + 1, height)),
    )
    if x1 - x0 < 2 or y1 - y0 < 2:
        return
    dx, dy = (np.arange(x0, x1) - cx)[None] / rx, (np.arange(y0, y1) - cy)[:, None] / ry
    reach = np.sqrt(dx * dx + dy * dy)
    h, w = flipped.shape[:2]
    sx = np.clip((cx / width + 0.30 * dx + 0 * dy) * w, 0, w - 1).astype(np.intp)
    sy = np.clip((0.5 + 0.36 * dy + 0 * dx) * h, 0, h - 1).astype(np.intp)
    alpha = np.clip((1 - reach) * 3, 0, 0.85)[..., None].astype(F)
    inside = flipped[sy, sx] * (1.05 - 0.45 * np.clip(reach - 0.5, 0, 1) * (dy < 0))[..., None].astype(F)
    image[y0:y1, x0:x1] += alpha * (inside - image[y0:y1, x0:x1])


def soften_edges(drawn: Drawn, image: np.ndarray) -> np.ndarray:
    """Antialias: pixels at a border between faces take the mean of their surroundings, weighted to the middle."""
    faces = drawn.faces
    edge = np.zeros(faces.shape, bool)
    across, down = faces[:, 1:] != faces[:, :-1], faces[1:] != faces[:-1]
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    edge[1:] |= down
    edge[:-1] |= down
    return cv2.copyTo(cv2.GaussianBlur(image, (3, 3), 0.75), edge.view(np.uint8), image)


def vignette(height: int, width: int, amount: float) -> np.ndarray:
    """Fall-off towards the corners, `h w`."""
    y, x = (
        (np.arange(height, dtype=F) / max(height - 1, 1) - 0.5),
        (np.arange(width, dtype=F) / max(width - 1, 1) - 0.5),
    )
    return 1 - F(amount) * (x[None] ** 2 + y[:, None] ** 2) * 2


def develop(condition: Condition, image: np.ndarray, lens: np.random.Generator, rng: np.random.Generator) -> np.ndarray:
    """Radiance to an 8-bit sRGB photo: exposure, fall-off, tone curve, colour, lens blur, sensor noise.

    `lens` is the same in every frame of a sequence, `rng` is not.
    """
    height, width = image.shape[:2]
    image *= spread(vignette(height, width, float(lens.uniform(0.05, 0.35))))
    grey = np.tile(np.array([0.2126, 0.7152, 0.0722], F), (3, 1))
    colour = (grey * F(1 - condition.saturation) + np.eye(3, dtype=F) * F(condition.saturation)).astype(F)
    image = cv2.transform(image, colour * F(condition.exposure))
    np.maximum(image, 0, out=image)
    image *= (1 + image * F(0.10)) / (1 + image * F(0.62))
    shown = np.sqrt(np.minimum(image, 1, out=image), out=image)
    shown *= F(0.82) + shown * (F(0.54) - F(0.36) * shown)
    shown = cv2.GaussianBlur(shown, (3, 3), float(lens.uniform(0.32, 0.55)))
    return cv2.addWeighted(shown, 255.0, _grain_at(height, width, rng), 255.0 * condition.noise, 0.0, dtype=cv2.CV_8U)


def _grain_at(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """A piece of the grain at a random place, wrapped where the image is larger."""
    tile = grain()
    y, x = (int(v) for v in rng.integers(0, 1024, 2))
    if height <= 512 and width <= 768:
        y, x = y % (1025 - height), x % (1025 - width)
        return tile[y : y + height, x : x + width]
    return np.take(np.take(tile, np.arange(y, y + height) % 1024, axis=0), np.arange(x, x + width) % 1024, axis=1)
