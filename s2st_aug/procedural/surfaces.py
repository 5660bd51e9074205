"""What every pixel shows before any light falls on it: depth, colour, glass, and which window it is."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from s2st_aug.procedural.categories import NUMBER
from s2st_aug.procedural.drawing import Drawn
from s2st_aug.procedural.mesh import Material
from s2st_aug.procedural.textures import LEVELS, ONE, PITCH, SIZE, Tile, atlas, clouds

WHITE_PAINT, YELLOW_PAINT = np.array([0.62, 0.62, 0.60], np.float32), np.array([0.60, 0.36, 0.03], np.float32)
GROUND = tuple(NUMBER[n] for n in ("road", "sidewalk", "terrain"))


@dataclass(frozen=True, slots=True, eq=False)
class Surfaces:
    """Per pixel, `h w`: face index, depth (m), colour (linear RGB), glass (0..1), window hash (0..255), flat ground."""

    face: np.ndarray
    depth: np.ndarray
    colour: np.ndarray
    glass: np.ndarray
    window: np.ndarray
    ground: np.ndarray
    sky: np.ndarray
    east: np.ndarray  # world x and y, metres
    north: np.ndarray


def spread(layer: np.ndarray) -> np.ndarray:
    """A layer `h w` three times over, `h w 3`: many times quicker than numpy's broadcasting over a last axis."""
    return cv2.merge((layer, layer, layer))


def look_up(table: np.ndarray, face: np.ndarray) -> np.ndarray:
    """`table[face]` for a float32 table `n 3`, as one 16-byte number a pixel, which is twice as quick."""
    padded = np.zeros((len(table), 4), np.float32)
    padded[:, :3] = table
    return cv2.cvtColor(np.take(padded.view(np.complex128)[:, 0], face)[..., None].view(np.float32), cv2.COLOR_BGRA2BGR)


def surfaces(drawn: Drawn) -> Surfaces:
    """Look everything up from the face numbers and texture it."""
    table = drawn.table
    face = drawn.faces.astype(np.intp)
    across, down = drawn.camera.rays()
    depth = _depth(table.inverse, table.bounds, face, across, down)
    texel, window = _texture(drawn, face, depth, across, down)
    colour = look_up(table.colour, face)
    colour *= cv2.cvtColor(texel, cv2.COLOR_BGRA2BGR)
    colour *= np.float32(1 / ONE)
    flat = np.isin(table.category, GROUND) & (table.normal[:, 2] > 0.9)
    ground = np.take(flat, face)
    east, north = _plan_position(drawn, depth, across, down)
    colour *= spread(_wear(drawn, ground, east, north))
    _lay_paint(drawn, colour, face)
    glass = texel[..., 3] * np.float32(1 / 255)
    car_glass = np.take(table.material == Material.GLASS, face)
    glass[car_glass] = texel[..., 0][car_glass] * np.float32(0.9 / ONE)
    return Surfaces(face, depth, colour, glass, window, ground, face == 0, east, north)


def _plan_position(
    drawn: Drawn, depth: np.ndarray, across: np.ndarray, down: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    axes = drawn.camera.axes.astype(np.float32)
    out = []
    for k, origin in ((0, drawn.camera.x), (1, drawn.camera.y)):
        out.append(depth * ((axes[2, k] + across * axes[0, k])[None] + down[:, None] * axes[1, k]) + np.float32(origin))
    return out[0], out[1]


def _wear(drawn: Drawn, ground: np.ndarray, east: np.ndarray, north: np.ndarray) -> np.ndarray:
    """A factor `h w` on the ground's brightness by traffic and weather: patches, and darker tracks in the lanes."""
    road, shift = drawn.street.road, drawn.street.key & 511
    height, width = ground.shape
    first = int(np.clip(drawn.camera.horizon, 0, height - 1))
    x, y = east[first::2, ::2], north[first::2, ::2]  # smooth enough to be worked out at half the size
    noise = cv2.remap(
        clouds(), (x * 9 + shift) % 512, (y * 5 + shift) % 512, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
    )
    lateral = (x - np.float32(road.curvature / 2) * y * y) * np.float32(4 * np.pi / road.lane_width)
    half = 1 + np.float32(0.10) * np.clip(noise, -2, 2) - np.float32(0.07) * np.cos(lateral)
    factor = np.ones(ground.shape, np.float32)
    factor[first:] = np.where(
        ground[first:], cv2.resize(half, (width, height - first), interpolation=cv2.INTER_LINEAR), np.float32(1)
    )
    return factor


def _depth(
    inverse: np.ndarray, bounds: np.ndarray, face: np.ndarray, across: np.ndarray, down: np.ndarray
) -> np.ndarray:
    a, b, c = (np.take(np.ascontiguousarray(inverse[:, k]), face) for k in range(3))
    a *= across
    b *= down[:, None]
    a += b
    a += c
    np.maximum(a, np.take(np.ascontiguousarray(bounds[:, 0]), face), out=a)
    np.minimum(a, np.take(np.ascontiguousarray(bounds[:, 1]), face), out=a)
    return 1 / a


def _texture(
    drawn: Drawn, face: np.ndarray, depth: np.ndarray, across: np.ndarray, down: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Atlas pixels `h w 4` uint8 and the hash of the tile repetition."""
    table, book = drawn.table, atlas()
    s = _along(table.across, table.start[:, 0], table.scale[:, 0], face, depth, across, down)
    t = _along(table.up, table.start[:, 1], table.scale[:, 1], face, depth, across, down)
    cell_s, cell_t = np.floor(s), np.floor(t)
    s -= cell_s
    t -= cell_t
    tile = np.take(table.tile, face)
    level = _level(table.scale, drawn.camera.focal, face, depth)
    side = np.take(book.size, level)
    x = np.take(book.left, level) + s * side - np.float32(0.5)
    y = (tile * PITCH).astype(np.float32) + np.float32(2 - 0.5) + (1 - t) * side
    texel = cv2.remap(book.pixels, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    window = (cell_s.astype(np.int32) * 73 + cell_t.astype(np.int32) * 151 + (face * 37).astype(np.int32)) * 40503
    return texel, ((window >> 8) & 255).astype(np.uint8)


def _along(
    axis: np.ndarray,
    start: np.ndarray,
    scale: np.ndarray,
    face: np.ndarray,
    depth: np.ndarray,
    across: np.ndarray,
    down: np.ndarray,
) -> np.ndarray:
    size = np.where(scale > 0, scale, 1.0).astype(np.float32)
    a, b, c = (np.take(axis[:, k] / size, face) for k in range(3))
    a *= across
    b *= down[:, None]
    a += b
    a += c
    a *= depth
    a += np.take(start / size, face)
    return a


def _level(scale: np.ndarray, focal: float, face: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Mip level from texels per pixel; slanted faces take a little more."""
    density = np.where(scale > 0, SIZE / np.maximum(scale, 1e-3), 1e-3).max(axis=1).astype(np.float32)
    texels = np.take(density, face) * depth * np.float32(1.5 / focal)
    exponent = (texels.view(np.int32) >> 23) - 127  # floor(log2)
    return np.clip(exponent, 0, LEVELS - 1)


def _lay_paint(drawn: Drawn, colour: np.ndarray, face: np.ndarray) -> None:
    table = drawn.table
    road = np.take((table.category == NUMBER["road"]) & (table.tile == Tile.ASPHALT), face)
    for layer, paint in ((drawn.white, WHITE_PAINT), (drawn.yellow, YELLOW_PAINT)):
        rows, columns = np.nonzero((layer > 0) & road)
        alpha = (layer[rows, columns] * np.float32(0.9 / 255))[:, None]
        under = colour[rows, columns]
        wear = np.clip(0.6 + 4.0 * under.mean(1, keepdims=True), 0.7, 1.15)
        colour[rows, columns] = under * (1 - alpha) + paint * wear * alpha
