"""Lights, streaks and glows that are not there, in many shapes: what teaches the network of made-up lights.

The benchmarks examine it with others (`benchmarks/invented.py`), which nothing here knows.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from s2st_aug.arrays import Image
from s2st_aug.training.pasted_lights import LIGHTS, Pair, Planted, free_place, pasted_light

LEAST_CHANGE = 24  # levels that a painted shape changes at its strongest pixel; weaker ones nobody sees
SOFT, CELL = 0.4, (2.5, 5.0)  # share of shapes as blurred as a model paints them, and px of its pixels at 720
ANY_COLOUR = 0.25  # share of shapes of a colour that no lamp has


def false_light(pair: Pair, rng: np.random.Generator) -> Planted | None:
    """The pair's variant with one false light where no label is; None where none fits or shows."""
    family = str(rng.choice(list(FAMILIES), p=_shares()))
    if family == "lamp":
        return pasted_light(pair, None, rng)
    height = pair.variant.shape[0]
    low, high = SIZES[family]
    size = [max(4, round(float(np.exp(rng.uniform(np.log(low), np.log(high)))) * height / 720)) for _ in range(2)]
    corner = free_place(pair, (size[0], size[1]), rng)
    if corner is None:
        return None
    shape, darkness = FAMILIES[family]((size[1], size[0]), rng)
    image = pair.variant.copy()
    cut = (slice(corner[1], corner[1] + size[1]), slice(corner[0], corner[0] + size[0]))
    image[cut] = _painted(image[cut], shape, darkness, _colour(rng), rng)
    if rng.random() < SOFT:
        image[cut] = _as_decoded(image[cut], float(rng.uniform(*CELL)) * height / 720)
    shown = cv2.absdiff(image[cut], pair.variant[cut]).max(-1) > LEAST_CHANGE
    if not shown.any():
        return None
    ys, xs = np.nonzero(shown)
    x, y = corner
    left, top, right, bottom = (float(v) for v in (x + xs.min(), y + ys.min(), x + xs.max() + 1, y + ys.max() + 1))
    return Planted(image, None, (left, top, right, bottom))


def _as_decoded(place: Image, cell: float) -> Image:
    """The place as a small model's decoder paints it, one pixel a cell, enlarged."""
    h, w = place.shape[:2]
    size = max(2, round(w / cell)), max(2, round(h / cell))
    small = cv2.resize(place, size, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (w, h), interpolation=cv2.INTER_CUBIC)


def _shares() -> np.ndarray:
    """How often each family is drawn: what shines as a lamp twice as often as the rest."""
    weights = np.array([2.0 if name in ("lamp", "spot", "twins") else 1.0 for name in FAMILIES])
    return weights / weights.sum()


def _painted(
    place: Image, shape: np.ndarray, dark: np.ndarray | None, colour: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """The place with the shape painted over it or added to it, in pixel values."""
    x: np.ndarray = place.astype(np.float32)
    if dark is not None:
        x = x * (1 - dark[..., None]) + 25 * dark[..., None]
    opacity = float(rng.uniform(0.35, 1.0)) * shape[..., None]
    x = x * (1 - opacity) + colour * opacity if rng.random() < 0.6 else x + opacity * colour * (1 - x / 255)
    return np.clip(x, 0, 255).astype(np.uint8)


def _colour(rng: np.random.Generator) -> np.ndarray:
    if rng.random() < ANY_COLOUR:
        hsv = np.array([[[rng.uniform(0, 180), rng.uniform(0, 255), rng.uniform(150, 255)]]], np.uint8)
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0].astype(np.float32)
    lamp = np.array(LIGHTS[list(LIGHTS)[rng.integers(len(LIGHTS))]], np.float32)
    return np.asarray(np.clip(lamp * rng.uniform(0.7, 1.1) + rng.uniform(-25, 25, 3), 0, 255), np.float32)


def _hump(
    shape: tuple[int, int], middle: tuple[float, float], reach: tuple[float, float], angle: float, power: float
) -> np.ndarray:
    """exp(-r^power) about a middle (x, y): 2 is a soft bell, 8 nearly flat with a rim."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    dx, dy = x - middle[0], y - middle[1]
    u, v = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
    return np.exp(-(np.hypot(u / reach[0], v / reach[1]) ** power)).astype(np.float32)


def _spot(shape: tuple[int, int], rng: np.random.Generator) -> tuple[np.ndarray, None]:
    h, w = shape
    return _hump(shape, (w / 2, h / 2), (w / 3, h / 3), 0.0, float(rng.choice([2, 4, 8]))), None


def _twins(shape: tuple[int, int], rng: np.random.Generator) -> tuple[np.ndarray, None]:
    h, w = shape
    reach = float(rng.uniform(0.08, 0.16)) * w
    apart, power = float(rng.uniform(0.2, 0.32)) * w, float(rng.choice([2, 4, 8]))
    both = [_hump(shape, (w / 2 + side * apart, h / 2), (reach, reach), 0.0, power) for side in (-1, 1)]
    return np.maximum(*both), None


def _streak(shape: tuple[int, int], rng: np.random.Generator) -> tuple[np.ndarray, None]:
    h, w = shape
    long = 0.42 * max(h, w)
    reach = long, long / float(rng.uniform(3, 9))
    return _hump(shape, (w / 2, h / 2), reach, float(rng.uniform(0, np.pi)), float(rng.choice([2, 4]))), None


def _curve(shape: tuple[int, int], rng: np.random.Generator) -> tuple[np.ndarray, None]:
    """A bent line through the place, its width the same all along."""
    h, w = shape
    ends = rng.uniform(0.05, 0.95, (3, 2)) * [w, h]
    t = np.linspace(0, 1, 24)[:, None]
    points = (1 - t) ** 2 * ends[0] + 2 * t * (1 - t) * ends[1] + t**2 * ends[2]
    mask = np.zeros(shape, np.uint8)
    cv2.polylines(mask, [np.round(points).astype(np.int32)], False, 255, int(rng.integers(1, 5)), cv2.LINE_AA)
    soft = float(rng.uniform(0.4, 2.0))
    line = cv2.GaussianBlur(mask, (0, 0), soft).astype(np.float32) / 255
    return line / max(float(line.max()), 1e-3), None


def _cloud(shape: tuple[int, int], rng: np.random.Generator) -> tuple[np.ndarray, None]:
    h, w = shape
    return float(rng.uniform(0.3, 0.9)) * _hump(shape, (w / 2, h / 2), (w / 3.2, h / 3.2), 0.0, 2.0), None


def _plate(shape: tuple[int, int], rng: np.random.Generator) -> tuple[np.ndarray, None]:
    """A turned rectangle with sharp edges."""
    h, w = shape
    corners = cv2.boxPoints(((w / 2, h / 2), (0.6 * w, float(rng.uniform(0.2, 0.6)) * h), float(rng.uniform(-20, 20))))
    mask = np.zeros(shape, np.uint8)
    cv2.fillConvexPoly(mask, np.round(corners).astype(np.int32), 255, cv2.LINE_AA)
    return mask.astype(np.float32) / 255, None


def _housing(shape: tuple[int, int], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A spot in a dark upright box."""
    h, w = shape
    dark = np.zeros(shape, np.float32)
    half = max(2, min(w, h // 2) // 3)
    dark[:, max(w // 2 - half, 0) : w // 2 + half] = float(rng.uniform(0.6, 1.0))
    middle = w / 2, float(rng.uniform(0.2, 0.8)) * h
    return _hump(shape, middle, (0.7 * half, 0.7 * half), 0.0, 6.0), dark


FAMILIES: dict[str, Callable[[tuple[int, int], np.random.Generator], tuple[np.ndarray, np.ndarray | None]]] = {
    "lamp": _spot,  # `pasted_light` in its place
    "spot": _spot,
    "twins": _twins,
    "streak": _streak,
    "curve": _curve,
    "cloud": _cloud,
    "plate": _plate,
    "housing": _housing,
}
SIZES = {
    "spot": (8, 40),
    "twins": (24, 120),
    "streak": (24, 140),
    "curve": (50, 300),
    "cloud": (50, 260),
    "plate": (10, 70),
    "housing": (18, 80),
}  # px at a height of 720, of either side of the place
