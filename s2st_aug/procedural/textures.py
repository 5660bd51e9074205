"""Small surface tiles, made once from fixed noise: asphalt, paving, grass, leaves, brick, and window bays of facades.

All tiles lie in one atlas with their mip levels beside them, so that a whole frame is textured by a single remap.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

import cv2
import numpy as np

SIZE, LEVELS, PAD = 128, 6, 2
ONE = 100  # the tile value that leaves a colour as it is


class Tile(IntEnum):
    """Rows of the atlas."""

    PLAIN, ASPHALT, PAVING, GRASS, LEAVES, PLASTER, BRICK, ROOF, PLANKS = range(9)
    BAY_SASH, BAY_TALL, BAY_RIBBON, BAY_PAIR, BAY_BALCONY, BAY_BRICK, BAY_SMALL, BAY_CURTAIN = range(9, 17)
    SHOP, DOOR, ARCADE, GARAGE = range(17, 21)
    PAINT, PANE = range(21, 23)


BAYS = (
    Tile.BAY_SASH,
    Tile.BAY_TALL,
    Tile.BAY_RIBBON,
    Tile.BAY_PAIR,
    Tile.BAY_BALCONY,
    Tile.BAY_BRICK,
    Tile.BAY_SMALL,
    Tile.BAY_CURTAIN,
)
FRONTS = (Tile.SHOP, Tile.SHOP, Tile.DOOR, Tile.ARCADE, Tile.GARAGE)


@dataclass(frozen=True, slots=True, eq=False)
class Atlas:
    """`pixels` h w 4 (colour factor with ONE as 1, glass); `left` and `size` of each mip level.

    Rows are PITCH apart.
    """

    pixels: np.ndarray
    left: np.ndarray
    size: np.ndarray


PITCH = SIZE + 2 * PAD


def fractal_noise(rng: np.random.Generator, size: int, lowest: int, octaves: int, fade: float = 0.55) -> np.ndarray:
    """Tiling value noise `size size`, mean 0, standard deviation 1; `lowest` cells across in the first octave."""
    out, weight = np.zeros((size, size), np.float32), 1.0
    for k in range(octaves):
        cells = min(lowest << k, size)
        grid = np.pad(rng.standard_normal((cells, cells)).astype(np.float32), 2, mode="wrap")
        scale = size // cells
        big = cv2.resize(grid, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        out += weight * big[2 * scale : 2 * scale + size, 2 * scale : 2 * scale + size]
        weight *= fade
    out -= out.mean()
    return out / max(float(out.std()), 1e-6)


def _grey(factor: np.ndarray) -> np.ndarray:
    """A colourless tile without glass from factors about 1."""
    value = np.clip(factor * ONE, 0, 255)
    return np.dstack([value, value, value, np.zeros_like(value)]).astype(np.uint8)


def _asphalt(rng: np.random.Generator) -> np.ndarray:
    tile = 1 + 0.10 * fractal_noise(rng, SIZE, 64, 2) + 0.06 * fractal_noise(rng, SIZE, 4, 4)
    tile[fractal_noise(rng, SIZE, 32, 2) > 2.1] *= 1.35
    crack = np.abs(fractal_noise(rng, SIZE, 4, 4)) < 0.025
    return _grey(tile * np.where(crack, 0.75, 1.0))


def _slabs(rng: np.random.Generator) -> np.ndarray:
    tile = 1 + 0.05 * fractal_noise(rng, SIZE, 32, 3)
    n = 4
    step = SIZE // n
    for r in range(n):
        for c in range(n):
            tile[r * step : (r + 1) * step, c * step : (c + 1) * step] *= 1 + 0.06 * rng.standard_normal()
    tile[::step] *= 0.72
    tile[:, ::step] *= 0.72
    return _grey(tile)


def _grass(rng: np.random.Generator) -> np.ndarray:
    tile = _grey(1 + 0.22 * fractal_noise(rng, SIZE, 32, 3) + 0.12 * fractal_noise(rng, SIZE, 4, 3)).astype(np.float32)
    tile[..., 0] *= 1 + 0.12 * fractal_noise(rng, SIZE, 4, 3)
    return np.clip(tile, 0, 255).astype(np.uint8)


def _leaves(rng: np.random.Generator) -> np.ndarray:
    clumps = fractal_noise(rng, SIZE, 8, 5, 0.8)
    tile = _grey(np.clip(1 + 0.42 * clumps, 0.18, 2.2)).astype(np.float32)
    tile[..., 0] *= np.clip(1 + 0.10 * clumps, 0.7, 1.3)
    return np.clip(tile, 0, 255).astype(np.uint8)


def _bricks(rng: np.random.Generator, rows: int = 16) -> np.ndarray:
    tile = np.ones((SIZE, SIZE), np.float32)
    step = SIZE // rows
    for r in range(rows):
        for c in range(rows // 2):
            shade = 1 + 0.13 * rng.standard_normal()
            columns = (np.arange(2 * step) + c * 2 * step + (r % 2) * step) % SIZE
            tile[r * step : (r + 1) * step, columns] = shade
            tile[r * step : (r + 1) * step, columns[0]] = 1.25
        tile[r * step] = 1.25
    return _grey(tile * (1 + 0.05 * fractal_noise(rng, SIZE, 8, 4)))


def _planks(rng: np.random.Generator) -> np.ndarray:
    tile = 1 + 0.06 * fractal_noise(rng, SIZE, 4, 5)
    for c in range(0, SIZE, 16):
        tile[:, c : c + 16] *= 1 + 0.08 * rng.standard_normal()
        tile[:, c : c + 2] *= 0.5
    return _grey(tile)


def _roof(rng: np.random.Generator) -> np.ndarray:
    tile = 1 + 0.08 * fractal_noise(rng, SIZE, 16, 3)
    ramp = (np.arange(SIZE) % 12) / 12
    return _grey(tile * (0.75 + 0.4 * ramp)[:, None])


def _pane(
    tile: np.ndarray, x0: float, y0: float, x1: float, y1: float, *, bars: tuple[int, int] = (1, 1), frame: int = 175
) -> None:
    """A window in place: frame, glass in `bars` columns and rows, sill; fractions from the tile's top left."""
    a, b, c, d = (int(v * SIZE) for v in (x0, y0, x1, y1))
    tile[b:d, a:c] = (frame, frame, frame, 0)
    for i in range(bars[0]):
        for j in range(bars[1]):
            left, right = a + 3 + i * (c - a - 3) // bars[0], a + (i + 1) * (c - a - 3) // bars[0]
            top, low = b + 3 + j * (d - b - 3) // bars[1], b + (j + 1) * (d - b - 3) // bars[1]
            tile[top:low, left:right] = (40, 46, 52, 255)
    tile[b : b + 3, a:c, :3] //= 3
    tile[d : d + 4, max(a - 3, 0) : c + 3] = (130, 130, 130, 0)
    tile[d + 4 : d + 7, max(a - 3, 0) : c + 3, :3] = tile[d + 4 : d + 7, max(a - 3, 0) : c + 3, :3] * 0.62


def _wall(rng: np.random.Generator, base: np.ndarray) -> np.ndarray:
    stain = 1 + 0.04 * fractal_noise(rng, SIZE, 2, 4)[..., None]
    tile = base.astype(np.float32)
    tile[..., :3] *= stain
    return np.clip(tile, 0, 255).astype(np.uint8)


def _bays(rng: np.random.Generator, plaster: np.ndarray, brick: np.ndarray) -> list[np.ndarray]:
    sash, tall, ribbon, pair, balcony, masonry, small, curtain = (
        _wall(rng, brick if k == 5 else plaster) for k in range(8)
    )
    _pane(sash, 0.28, 0.22, 0.72, 0.76, bars=(2, 2))
    _pane(tall, 0.32, 0.10, 0.68, 0.86, bars=(2, 3), frame=60)
    tall[:6, :, :3] = (tall[:6, :, :3] * 1.15).clip(0, 255)
    _pane(ribbon, 0.0, 0.22, 1.0, 0.70, bars=(3, 1), frame=70)
    _pane(pair, 0.12, 0.24, 0.44, 0.74, bars=(1, 2))
    _pane(pair, 0.56, 0.24, 0.88, 0.74, bars=(1, 2))
    _pane(balcony, 0.22, 0.12, 0.78, 0.84, bars=(3, 1), frame=150)
    balcony[int(0.62 * SIZE) : int(0.9 * SIZE), int(0.1 * SIZE) : int(0.9 * SIZE) : 5] = (45, 45, 45, 0)
    balcony[int(0.60 * SIZE) : int(0.63 * SIZE), int(0.1 * SIZE) : int(0.9 * SIZE)] = (50, 50, 50, 0)
    balcony[int(0.88 * SIZE) : int(0.95 * SIZE), int(0.08 * SIZE) : int(0.92 * SIZE)] = (115, 115, 115, 0)
    _pane(masonry, 0.27, 0.20, 0.73, 0.78, bars=(2, 2), frame=200)
    _pane(small, 0.36, 0.30, 0.64, 0.68)
    _pane(curtain, 0.0, 0.0, 1.0, 0.97, bars=(2, 2), frame=90)
    return [sash, tall, ribbon, pair, balcony, masonry, small, curtain]


def _fronts(rng: np.random.Generator, plaster: np.ndarray) -> list[np.ndarray]:
    shop, door, arcade, garage = (_wall(rng, plaster) for _ in range(4))
    _pane(shop, 0.06, 0.28, 0.72, 0.88, bars=(2, 1), frame=60)
    _pane(shop, 0.76, 0.28, 0.95, 0.97, frame=60)
    shop[int(0.08 * SIZE) : int(0.25 * SIZE)] = (70, 70, 74, 0)
    shop[int(0.12 * SIZE) : int(0.20 * SIZE), int(0.2 * SIZE) : int(0.75 * SIZE)] = (230, 225, 205, 128)
    _pane(door, 0.08, 0.25, 0.48, 0.72, bars=(2, 2))
    door[int(0.24 * SIZE) :, int(0.60 * SIZE) : int(0.88 * SIZE)] = (52, 38, 30, 0)
    door[int(0.20 * SIZE) : int(0.24 * SIZE), int(0.57 * SIZE) : int(0.91 * SIZE)] = (140, 140, 140, 0)
    _pane(arcade, 0.14, 0.16, 0.86, 0.98, bars=(3, 2), frame=50)
    garage[int(0.22 * SIZE) :, int(0.10 * SIZE) : int(0.90 * SIZE)] = (88, 88, 92, 0)
    garage[int(0.22 * SIZE) :: 10, int(0.10 * SIZE) : int(0.90 * SIZE), :3] = 55
    return [shop, door, arcade, garage]


def _sheen() -> np.ndarray:
    """Car paint from sill to shoulder: the road's dark below, a bright line where the sky begins."""
    up = np.linspace(1, 0, SIZE, dtype=np.float32)
    value = np.interp(up, [0, 0.25, 0.7, 0.86, 0.93, 1.0], [0.62, 0.80, 1.0, 1.22, 1.05, 0.95]).astype(np.float32)
    return _grey(np.repeat(value[:, None], SIZE, axis=1))


def _reflection(rng: np.random.Generator) -> np.ndarray:
    """A car window: seats and dark below, sky above, broken by what it mirrors."""
    up = np.linspace(1, 0, SIZE, dtype=np.float32)[:, None]
    blocks = np.clip(0.25 * fractal_noise(rng, SIZE, 4, 3), -0.35, 0.35) * (up > 0.3)
    return _grey(np.clip(0.35 + 1.15 * up + blocks, 0.1, 2.0))


def _mips(tile: np.ndarray) -> np.ndarray:
    """One atlas row: the tile and its halvings, each padded by wrapping."""
    row = np.zeros((PITCH, _lefts()[-1] + (SIZE >> (LEVELS - 1)) + PAD, 4), np.uint8)
    for level, left in enumerate(_lefts()):
        side = SIZE >> level
        small = cv2.resize(tile, (side, side), interpolation=cv2.INTER_AREA)
        row[: side + 2 * PAD, left - PAD : left + side + PAD] = cv2.copyMakeBorder(
            small, PAD, PAD, PAD, PAD, cv2.BORDER_WRAP
        )
    return row


def _lefts() -> list[int]:
    sides = [(SIZE >> level) + 2 * PAD for level in range(LEVELS)]
    return [PAD + sum(sides[:level]) for level in range(LEVELS)]


@lru_cache(maxsize=1)
def atlas() -> Atlas:
    """All tiles, in the order of `Tile`."""
    rng = np.random.default_rng(20260)
    plaster = _grey(1 + 0.04 * fractal_noise(rng, SIZE, 4, 5))
    brick = _bricks(rng)
    tiles = [
        _grey(np.ones((SIZE, SIZE))),
        _asphalt(rng),
        _slabs(rng),
        _grass(rng),
        _leaves(rng),
        plaster,
        brick,
        _roof(rng),
        _planks(rng),
    ]
    tiles += _bays(rng, plaster, brick) + _fronts(rng, plaster) + [_sheen(), _reflection(rng)]
    assert len(tiles) == len(Tile)
    sides = np.array([SIZE >> level for level in range(LEVELS)], np.float32)
    return Atlas(np.concatenate([_mips(t) for t in tiles]), np.array(_lefts(), np.float32), sides)


@lru_cache(maxsize=1)
def clouds() -> np.ndarray:
    """Tiling cloud density `512 512`, mean 0, standard deviation 1, float32."""
    return fractal_noise(np.random.default_rng(77), 512, 4, 7, 0.58)


@lru_cache(maxsize=1)
def grain() -> np.ndarray:
    """Sensor noise `1024 1024 3`, standard deviation 1, a little correlated as demosaicing leaves it, float32."""
    noise = np.random.default_rng(99).standard_normal((1024, 1024, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (3, 3), 0.6)
    return soft / soft.std()


@lru_cache(maxsize=1)
def leaf_noise() -> np.ndarray:
    """Displacement that frays foliage, `512 512 2`, standard deviation 1, float32."""
    rng = np.random.default_rng(55)
    return np.dstack([fractal_noise(rng, 512, 64, 3, 0.9) for _ in range(2)])
