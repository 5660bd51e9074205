"""Lights laid over a variant in linear light: what shines, its halo, what it falls on, and nothing else that bright."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32

from s2st_aug.arrays import Image
from s2st_aug.images import luma, to_uint8
from s2st_aug.lights.light_map import LightMap
from s2st_aug.lights.radiance import linear, shown

Map = Float32[np.ndarray, "h w"]
Colour = Float32[np.ndarray, "h w 3"]


@dataclass(frozen=True, slots=True)
class Lighting:
    """What the lights of a domain do. Strengths are those of a night."""

    heads: float = 1.0
    tails: float = 1.0
    lamps: float = 1.0
    windows: float = 0.65  # of a room's light; as bright as the median of true ones
    lit: float = 1.0  # times the chance that a window is lit
    surfaces: float = 0.9  # light on the road, walls and things
    even: float = 0.5  # share of the variant's own, even light that is left beside the lamps'
    wet: bool = False
    ceiling: float | None = 50.0  # luma 0..255 that nothing else rises above


NIGHTS: dict[str, Lighting] = {
    "night": Lighting(),
    "night_rain": Lighting(wet=True),
    "dusk": Lighting(heads=0.3, tails=0.6, lamps=0.1, windows=0.0, lit=0.0, surfaces=0.0, even=0.85, ceiling=None),
}
"""Domains, by name, in which lights are on."""
SURE = {"head": 0.5, "tail": 0.5, "lamp": 0.45}
"""Probability that one pixel of a light must have; what is connected to it at half of that shines too."""
PANE = 0.35  # probability of glass from which it is a window's
LIT, CHANCE = 0.1, 0.2  # mean probability of light over a window from which it is lit; by how much chance moves that
VARIETY = 0.6  # how far apart, as a factor's logarithm, the darkest and the brightest room are
LEAST = 3  # pixels of a light, at the map's size
SIZES = {"head": (1500, 99.0), "tail": (400, 5.0), "lamp": (150, 99.0)}
"""Pixels of the largest light, at the map's size, and its longer side over its shorter one: longer tails are paint."""
SHORT = 12  # pixels: what is shorter may be of any shape
INSIDE = 0.8  # share of a pane in a vehicle's box from which it is the vehicle's own glass
HALO = {"head": ((1.0, 0.95, 0.84), 14.0), "tail": ((1.0, 0.03, 0.02), 1.0), "lamp": ((1.0, 0.66, 0.31), 14.0)}
"""Colour and excess over white of what spreads around a light, in the unit in which a white wall by day is 1."""
MARGIN = {"head": 10, "lamp": 10}  # times brighter than white: at a third of its strength a lamp is still white
NEAR, FAR = 75, 15  # parts of the image's height: widths of the lens's own spread
SPREAD = 0.30, 0.09  # how much of the excess goes near, and far
EXPOSURE = 1.9  # of a night over that of a day
SIGNAL_CHROMA = 60  # levels between a lit signal's channels
HORIZON, CAMERA = 0.465, 1.5  # where the horizon is taken to be, as a share of the height; metres over the road
OVER_ROAD = {"head": 0.65, "tail": 0.85, "lamp": 8.0, "pane": 5.0}  # metres
MOST, MIRROR = 4.0, (0.08, 0.25)  # of a mirrored light, over white; what a wet road sends back, and more far away
KNEE = 0.6  # share of the ceiling from which on brightness is pressed


@dataclass(frozen=True, slots=True, eq=False)
class Shining:
    """What shines, at the map's size: 0..1 for each kind but `signal`; the tint of rooms; where signals' lamps are."""

    alpha: dict[str, Map]
    tint: Colour
    signal: Bool[np.ndarray, "h w"]


def shining(found: LightMap, how: Lighting) -> Shining:
    """Whole lights, not pixels: parts with one sure pixel; windows of which enough is likely to be lit."""
    signal = cv2.dilate((found.mask("signal") > 0.3).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    taken = signal | (found.label("signal") > 0)  # its other lamps stay dark
    alpha = {}
    for kind, sure in SURE.items():
        p = np.where(taken, 0, found.mask(kind)).astype(np.float32)
        alpha[kind] = _ramped(p, sure) * _sure_parts(p, sure, *SIZES[kind])
    p = np.where(taken, 0, found.mask("pane")).astype(np.float32)
    lit, tint = _lit_windows(p > PANE, found.mask("light"), found.label("vehicle"), how.lit)
    alpha["pane"] = _ramped(p, PANE) * lit
    return Shining(alpha, tint, signal)


def _ramped(p: Map, middle: float) -> Map:
    return np.clip((p - middle) / np.float32(0.3) + np.float32(0.5), 0, 1)


def _sure_parts(p: Map, sure: float, most: int, longest: float) -> np.ndarray:
    """The connected parts above half of `sure` that have one pixel above it, and the size and shape of a light."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats((p > sure / 2).astype(np.uint8), connectivity=8)
    kept = np.zeros(count, bool)
    kept[parts[p > sure]] = True
    area, width, height = (stats[:, c] for c in (cv2.CC_STAT_AREA, cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT))
    kept &= (area >= LEAST) & (area <= most)
    kept &= np.maximum(width, height) <= np.maximum(longest * np.minimum(width, height), SHORT)
    kept[0] = False
    return kept[parts]


def _lit_windows(mask: np.ndarray, light: Map, vehicles: Map, lit: float) -> tuple[np.ndarray, Colour]:
    """The windows (connected parts of `mask`) behind which a room is lit, and each one's own brightness and tint.

    By how likely it is, with a chance that hangs on nothing but the place: the same photo has the same rooms lit.
    """
    count, parts, stats, middles = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    area = np.maximum(stats[:, cv2.CC_STAT_AREA], 1)
    likely = np.bincount(parts.ravel(), light.ravel(), count) / area
    chance, bright, warm = _chances(middles)
    kept = (likely * lit > LIT + CHANCE * (chance - 0.5)) & (area >= LEAST)
    kept &= np.bincount(parts.ravel(), vehicles.ravel(), count) < INSIDE * area
    kept[0] = False
    tint = np.exp(VARIETY * (bright[:, None] - 0.5) + np.outer(warm - 0.5, (0.0, -0.1, -0.35))).astype(np.float32)
    return kept[parts], np.where(kept[:, None], tint, 1).astype(np.float32)[parts]


def _chances(middles: np.ndarray) -> np.ndarray:
    """Three numbers 0..1 for each place (x, y in pixels), the same wherever the place is the same to 8 pixels."""
    x, y = np.floor(middles / 8).T
    return np.modf(np.abs(np.sin(np.outer((12.99, 39.35, 73.16), x) + np.outer((78.23, 11.14, 52.24), y))) * 43758.5)[0]


def add_lights(day: Image, variant: Image, found: LightMap, how: Lighting, strength: float = 1.0) -> Image:
    """The variant with its lights on; `day` is its source, at the same pixels.

    At strength 0 it is returned as it is.
    """
    if not strength:
        return variant
    size = (variant.shape[1], variant.shape[0])
    lit = shining(found, how)
    own, colour = (cv2.resize(part, size, interpolation=cv2.INTER_LINEAR) for part in _emission(found, lit, how))
    falls = cv2.resize(found.wet if how.wet else found.dry, size, interpolation=cv2.INTER_LINEAR)
    falls = falls * (linear(day) + np.float32(0.02)) * np.float32(how.surfaces)
    free = _signals_of(variant, found, lit)
    base = variant if how.ceiling is None else _pressed(variant, how.ceiling, np.maximum(own, free))
    even, falls = how.even + (1 - how.even) * free, falls * (1 - np.maximum(own, free))[..., None]
    out = linear(base) * even[..., None].astype(np.float32) + falls
    around = _halo(lit, how) + (_mirrored(found, lit, how) if how.wet else 0)
    out += cv2.resize(around, size, interpolation=cv2.INTER_LINEAR)
    out += own[..., None] * np.maximum(colour - out, 0)
    done = shown(out)
    return to_uint8(done if strength == 1 else variant + np.float32(strength) * (done - variant))


def _emission(found: LightMap, lit: Shining, how: Lighting) -> tuple[Map, Colour]:
    """Where lenses, lamps and windows are, 0..1, and their light, spread a little: enlarging brings no rim in."""
    strengths = {"head": how.heads, "tail": how.tails, "lamp": how.lamps, "pane": how.windows}
    share = np.max([lit.alpha[k] for k in strengths], axis=0)
    dimmed = np.max([lit.alpha[k] * np.float32(min(strengths[k] * MARGIN.get(k, 1), 1)) for k in strengths], axis=0)
    colour = found.radiance * lit.tint * (dimmed / np.maximum(share, 1e-3))[..., None]
    weight = share + np.float32(1e-3)
    wide = cv2.blur(colour * weight[..., None], (5, 5)) / cv2.blur(weight, (5, 5))[..., None]
    return share, np.where(share[..., None] > 0.5, colour, wide)


def _signals_of(variant: Image, found: LightMap, lit: Shining) -> Map:
    """Where a signal's lamp shines in the variant, 0..1: neither dimmed nor lit up here; in a box, what has colour."""
    size = (variant.shape[1], variant.shape[0])
    boxes = cv2.resize(found.label("signal"), size, interpolation=cv2.INTER_NEAREST) > 0
    free = cv2.resize(lit.signal.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    return np.where(boxes & (np.ptp(variant, axis=2) > SIGNAL_CHROMA), np.float32(1), free)


def _excess(lit: Shining, how: Lighting) -> dict[str, Colour]:
    """By how much each kind's light is brighter than white."""
    strengths = {"head": how.heads, "tail": how.tails, "lamp": how.lamps}
    return {
        kind: lit.alpha[kind][..., None] * np.array(colour, np.float32) * np.float32(most * strengths[kind])
        for kind, (colour, most) in HALO.items()
    }


def _halo(lit: Shining, how: Lighting) -> Colour:
    """The spread of what is many times brighter than white, by the tone curve of a camera."""
    excess = np.sum(list(_excess(lit, how).values()), axis=0)
    near, far = (cv2.GaussianBlur(excess, (0, 0), max(len(excess) / parts, 0.5)) for parts in (NEAR, FAR))
    return _toned(near * np.float32(SPREAD[0]) + far * np.float32(SPREAD[1]))


def _toned(light: Colour) -> Colour:
    light = light * np.float32(EXPOSURE)
    return light / (1 + np.float32(0.6) * light)


def _mirrored(found: LightMap, lit: Shining, how: Lighting) -> Colour:
    """The lights' reflections on a wet, level road: streaks as far below the horizon as heights over the road ask for.

    What is labelled, and what shines itself, mirrors nothing.
    """
    height, width = lit.signal.shape
    horizon, seen = HORIZON * height, np.zeros((height, width, 3), np.float32)
    kinds = _excess(lit, how) | {"pane": lit.alpha["pane"][..., None] * found.radiance * np.float32(how.windows)}
    for kind, light in kinds.items():
        slope = (CAMERA + OVER_ROAD[kind]) / (CAMERA - OVER_ROAD[kind])
        turn = np.array([[1, 0, 0], [0, slope, horizon * (1 - slope)]], np.float32)
        seen += np.minimum(cv2.warpAffine(light, turn, (width, height), flags=cv2.INTER_AREA), MOST)
    smooth = cv2.blur(seen, (3, max(height // 20 | 1, 3))) + cv2.blur(seen, (3, max(height // 6 | 1, 3)))
    below = (np.arange(height, dtype=np.float32)[:, None] - np.float32(horizon)) / height
    share = np.where(below > 0, MIRROR[0] + MIRROR[1] * np.clip(1 - 4 * below, 0, 1) ** 2, 0)
    share = share * (1 - np.maximum(found.labels.max(0), np.max(list(lit.alpha.values()), axis=0)))
    return _toned(smooth * share[..., None].astype(np.float32))


def _pressed(variant: Image, ceiling: float, free: Map) -> np.ndarray:
    """The variant with what is not `free` pressed below the ceiling, softly; sRGB 0..255, float32."""
    y = luma(variant)
    knee = np.float32(KNEE * ceiling)
    room = np.float32(ceiling) - knee
    pressed = np.where(y > knee, knee + room * (1 - np.exp((knee - y) / room)), y)
    gain = (pressed + free * (y - pressed)) / np.maximum(y, 1)
    return variant * gain[..., None]
