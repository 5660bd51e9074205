"""Lights and smears that a translation might invent, painted by code of its own.

What is examined was trained on other lights (`s2st_aug.training`), and an import contract keeps the two apart: nothing
here is imported there, and nothing there here. Shapes are drawn four times as large and shrunk, and light is added in
linear light, where the training adds it to the pixels as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from s2st_aug.arrays import Box, Image

GAMMA = 2.2
FINE = 4  # times as large that shapes are drawn
TRIES = 60  # places that are tried
MARGIN = 8  # px around a label that stay as they are
LEAST_SHOW = 20.0  # levels by which a painted shape changes in one channel, in the mean; else another place is tried
LINEAR = (np.arange(256, dtype=np.float32) / 255) ** np.float32(GAMMA)

Colour = tuple[float, float, float]
RED: Colour = (255, 36, 24)
WHITE: Colour = (250, 250, 255)
WARM: Colour = (255, 214, 150)
GREEN: Colour = (60, 255, 150)
AMBER: Colour = (255, 190, 40)
LEAST_HOUSING, LENS = 9, 0.7  # px of a housing's height, and a lens' share of a third of it


@dataclass(frozen=True, slots=True, eq=False)
class Invented:
    """A variant with something in it that the scene does not have, and where; xyxy in pixels."""

    variant: Image
    box: Box


Place = tuple[int, int, int, int]  # x1 y1 x2 y2
Paint = Callable[[np.ndarray, Place, np.random.Generator], None]
"""Paints into a place of a linear image `h w 3` in 0..1."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How one kind is painted: its place's width and height in pixels at a height of 720, from and to, and the rows (as
    shares of the height) that its place's middle lies in.
    """

    paint: Paint
    width: tuple[int, int]
    height: tuple[int, int]
    rows: tuple[float, float] = (0.08, 0.85)
    large: bool = False  # lies behind labels too


def invented(kind: str, variant: Image, taken: Sequence[Box], rng: np.random.Generator) -> Invented | None:
    """The variant with one thing of this kind where no label (`taken`) is; None where none shows at any place tried."""
    recipe = KINDS[kind]
    for _ in range(TRIES):
        place = _free_place(recipe, variant.shape[:2], taken, rng)
        if place is None:
            continue
        before = LINEAR[variant]
        linear = before.copy()
        recipe.paint(linear, place, rng)
        changed = (linear != before).any(-1)
        out = variant.copy()
        out[changed] = np.round(255 * np.clip(linear[changed], 0, 1) ** (1 / GAMMA)).astype(np.uint8)
        shown = cv2.absdiff(out[changed], variant[changed]).max(-1, initial=0)
        if (shown > 2).any() and float(shown[shown > 2].mean()) >= LEAST_SHOW:
            return Invented(out, place)
    return None


def _free_place(recipe: Kind, shape: tuple[int, int], taken: Sequence[Box], rng: np.random.Generator) -> Place | None:
    height, width = shape
    w, h = (max(3, round(int(rng.integers(a, b + 1)) * height / 720)) for a, b in (recipe.width, recipe.height))
    if w + 2 * MARGIN >= width or h + 2 * MARGIN >= height:
        return None
    x = int(rng.integers(MARGIN, width - w - MARGIN))
    y = int(np.clip(rng.uniform(*recipe.rows) * height - h / 2, MARGIN, height - h - MARGIN))
    room = x - MARGIN, y - MARGIN, x + w + MARGIN, y + h + MARGIN
    touched = (room[0] < b[2] and b[0] < room[2] and room[1] < b[3] and b[1] < room[3] for b in taken)
    return None if not recipe.large and any(touched) else (x, y, x + w, y + h)


def _cover(image: np.ndarray, corner: tuple[int, int], mask: np.ndarray, colour: Colour, strength: float = 1.0) -> None:
    """Paint over, `mask` `h w` in 0..1, what falls outside the image cut away."""
    part, mask = _part(image, corner, mask)
    light = (np.array(colour, np.float32) / 255) ** GAMMA
    part += strength * mask[..., None] * (light - part)


def _shine(image: np.ndarray, corner: tuple[int, int], mask: np.ndarray, colour: Colour, strength: float) -> None:
    """Add light."""
    part, mask = _part(image, corner, mask)
    part += strength * mask[..., None] * (np.array(colour, np.float32) / 255) ** GAMMA


def _part(image: np.ndarray, corner: tuple[int, int], mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, y = max(corner[0], 0), max(corner[1], 0)
    mask = mask[y - corner[1] :, x - corner[0] :][: image.shape[0] - y, : image.shape[1] - x]
    return image[y : y + mask.shape[0], x : x + mask.shape[1]], mask


def _ellipse(w: int, h: int) -> np.ndarray:
    """A flat ellipse that fills `h w`, its rim smooth."""
    fine = np.zeros((h * FINE, w * FINE), np.uint8)
    cv2.ellipse(fine, (w * FINE // 2, h * FINE // 2), (w * FINE // 2 - 2, h * FINE // 2 - 2), 0, 0, 360, 255, -1)
    return cv2.resize(fine, (w, h), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def _falling(radius: int) -> np.ndarray:
    """Light around a lamp: 1 in the middle, falling with the square of the distance, 0 at `radius`."""
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1] / max(radius, 1)
    far = np.hypot(x, y)
    return np.asarray(np.clip(1 / (1 + 24 * far**2) - 1 / 25, 0, None) * 25 / 24, np.float32)


def _disc(colour: Colour) -> Paint:
    def paint(image: np.ndarray, place: Place, _rng: np.random.Generator) -> None:
        side = min(place[2] - place[0], place[3] - place[1])
        _cover(image, place[:2], _ellipse(side, side), colour)

    return paint


def _lamp(image: np.ndarray, place: Place, rng: np.random.Generator) -> None:
    """A street lamp: a small hot core in a wide light."""
    colour = (WARM, WHITE, (255, 170, 70))[rng.integers(3)]
    radius = (place[2] - place[0]) // 2
    _shine(image, place[:2], _falling(radius), colour, float(rng.uniform(1.0, 2.0)))


def _pair(colour: Colour, strength: tuple[float, float], glow: float) -> Paint:
    def paint(image: np.ndarray, place: Place, rng: np.random.Generator) -> None:
        x1, y1, x2, y2 = place
        h = y2 - y1
        w = max(2, round(h * rng.uniform(0.9, 1.5)))
        power = float(rng.uniform(*strength))
        for x in (x1, x2 - w):
            _cover(image, (x, y1), _ellipse(w, h), colour, power)
            radius = 2 * h
            _shine(image, (x + w // 2 - radius, y1 + h // 2 - radius), _falling(radius), colour, glow * power)

    return paint


def _line(shape: tuple[int, int], ends: np.ndarray, widths: tuple[float, float], soft: float) -> np.ndarray:
    """A stroke from one end to the other, its width growing, its rim soft; `h w` in 0..1."""
    along = ends[1] - ends[0]
    across = np.array([-along[1], along[0]]) / max(float(np.hypot(*along)), 1e-6)
    corners = [ends[0] + across * widths[0] / 2, ends[1] + across * widths[1] / 2]
    corners += [ends[1] - across * widths[1] / 2, ends[0] - across * widths[0] / 2]
    fine = np.zeros((shape[0] * FINE, shape[1] * FINE), np.uint8)
    cv2.fillPoly(fine, [np.round(np.array(corners) * FINE).astype(np.int32)], 255)
    small = cv2.resize(fine, shape[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return cv2.GaussianBlur(small, (0, 0), soft) if soft else small


def _smear(image: np.ndarray, place: Place, rng: np.random.Generator) -> None:
    """A bright streak, as of a brush: any direction, its ends soft."""
    w, h = place[2] - place[0], place[3] - place[1]
    colour = (WHITE, WARM, (255, 150, 60), (190, 200, 215))[rng.integers(4)]
    ends = np.array([(0.12 * w, rng.uniform(0.15, 0.85) * h), (0.88 * w, rng.uniform(0.15, 0.85) * h)])
    thick = float(rng.uniform(5, 12)) * image.shape[0] / 720
    _cover(
        image, place[:2], _line((h, w), ends, (thick, thick * 0.6), thick / 4), colour, float(rng.uniform(0.5, 0.95))
    )


def _kerb(image: np.ndarray, place: Place, rng: np.random.Generator) -> None:
    """A line on the ground that glows, wider towards the camera."""
    w, h = place[2] - place[0], place[3] - place[1]
    colour = (WARM, WHITE, (255, 120, 60))[rng.integers(3)]
    right = (place[0] + place[2]) / 2 > image.shape[1] / 2
    near, far = ((0.97 * w, 0.95 * h), (0.03 * w, 0.05 * h)) if right else ((0.03 * w, 0.95 * h), (0.97 * w, 0.05 * h))
    k = image.shape[0] / 720
    mask = _line((h, w), np.array([far, near]), (1.5 * k, float(rng.uniform(4, 8)) * k), 0.6 * k)
    _cover(image, place[:2], mask, colour, float(rng.uniform(0.6, 1.0)))
    _shine(image, place[:2], cv2.GaussianBlur(mask, (0, 0), 4 * k), colour, 0.4)


def _glow(image: np.ndarray, place: Place, rng: np.random.Generator) -> None:
    """A wide light with no lamp in it."""
    colour = (WARM, RED, (120, 160, 255))[rng.integers(3)]
    w, h = place[2] - place[0], place[3] - place[1]
    y, x = np.mgrid[:h, :w]
    far = np.hypot((x - w / 2) / (w / 2), (y - h / 2) / (h / 2))
    _shine(image, place[:2], (np.clip(1 - far, 0, 1) ** 1.5).astype(np.float32), colour, float(rng.uniform(0.3, 0.8)))


def second_lamp(variant: Image, box: Box, lit: int, rng: np.random.Generator) -> Invented | None:
    """The variant with one more lamp lit in the housing `box` of an upright traffic light whose lamp `lit` (0 is the
    uppermost) is; None where the housing lies or is too small to show two.
    """
    x1, y1, x2, y2 = (round(v) for v in box)
    w, h = x2 - x1, y2 - y1
    if h < LEAST_HOUSING or h < 1.5 * w or x1 < 0 or y1 < 0 or x2 > variant.shape[1] or y2 > variant.shape[0]:
        return None
    third = int(rng.choice([n for n in range(3) if n != lit]))
    side = max(2, round(LENS * h / 3))
    at = round((x1 + x2 - side) / 2), round(y1 + (third + 0.5) * h / 3 - side / 2)
    linear = LINEAR[variant].copy()
    _cover(linear, at, _ellipse(side, side), (RED, AMBER, GREEN)[third])
    out = np.round(255 * np.clip(linear, 0, 1) ** (1 / GAMMA)).astype(np.uint8)
    return Invented(out, box)


def _signal(image: np.ndarray, place: Place, rng: np.random.Generator) -> None:
    """A traffic light: a dark housing with one lamp lit."""
    x1, y1, x2, y2 = place
    _cover(image, (x1, y1), np.ones((y2 - y1, x2 - x1), np.float32), (22, 24, 26), 0.97)
    side = max(2, round(0.6 * (x2 - x1)))
    third, colour = (((0, RED), (1, AMBER), (2, GREEN)))[rng.integers(3)]
    at = x1 + (x2 - x1 - side) // 2, round(y1 + (third + 0.5) * (y2 - y1) / 3 - side / 2)
    _cover(image, at, _ellipse(side, side), colour)
    _shine(image, (at[0] - side, at[1] - side), _falling(3 * side // 2), colour, 0.35)


def _neon(image: np.ndarray, place: Place, rng: np.random.Generator) -> None:
    """A shining rectangle of one strong colour."""
    colour = ((255, 60, 200), (60, 200, 255), (255, 230, 60), (90, 255, 90))[rng.integers(4)]
    shape = place[3] - place[1], place[2] - place[0]
    _cover(image, place[:2], np.ones(shape, np.float32), colour, float(rng.uniform(0.7, 1.0)))


def _red_sky(image: np.ndarray, place: Place, rng: np.random.Generator) -> None:
    """A red cloud of light over much of the sky, strongest at a place of its own."""
    w, h = place[2] - place[0], place[3] - place[1]
    y, x = np.mgrid[:h, :w]
    centre = rng.uniform(0.25, 0.75) * w, rng.uniform(0.2, 0.6) * h
    mask = np.exp(-(((x - centre[0]) / (0.35 * w)) ** 2) - ((y - centre[1]) / (0.5 * h)) ** 2).astype(np.float32)
    mask *= np.clip((h - y) / (0.3 * h), 0, 1)
    colour = ((220, 60, 50), (200, 70, 110), (230, 90, 40))[rng.integers(3)]
    _cover(image, place[:2], mask, colour, float(rng.uniform(0.35, 0.7)))


KINDS: dict[str, Kind] = {
    "lamp": Kind(_lamp, (40, 90), (40, 90), (0.08, 0.6)),
    "red_disc": Kind(_disc(RED), (8, 22), (8, 22)),
    "white_disc": Kind(_disc(WHITE), (8, 22), (8, 22)),
    "tail_pair": Kind(_pair(RED, (0.7, 1.0), 0.5), (36, 90), (6, 14), (0.5, 0.85)),
    "dim_pair": Kind(_pair(WARM, (0.25, 0.55), 0.2), (30, 70), (7, 14), (0.48, 0.8)),
    "signal": Kind(_signal, (12, 24), (36, 66), (0.12, 0.5)),
    "neon": Kind(_neon, (16, 60), (10, 26), (0.1, 0.6)),
    "smear": Kind(_smear, (36, 100), (20, 60)),
    "glowing_kerb": Kind(_kerb, (90, 260), (50, 130), (0.6, 0.9)),
    "glow": Kind(_glow, (60, 140), (60, 120)),
    "red_sky": Kind(_red_sky, (700, 1100), (220, 330), (0.15, 0.22), large=True),
}
LAMPS = ("lamp", "red_disc", "white_disc", "tail_pair", "dim_pair", "signal", "neon")
"""What shines as a lamp does; the rest are smears and wide lights."""
SMEARS = ("smear", "glowing_kerb", "glow", "red_sky")
