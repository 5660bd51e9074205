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
    windows: float = 1.0
    lit: float = 1.0  # times the chance that a window is lit
    surfaces: float = 1.0  # light on the road, walls and things
    wet: bool = False
    ceiling: float | None = 80.0  # luma 0..255 that nothing else rises above


NIGHTS: dict[str, Lighting] = {
    "night": Lighting(),
    "night_rain": Lighting(wet=True),
    "dusk": Lighting(heads=0.8, tails=0.6, lamps=0.35, windows=0.4, lit=0.7, surfaces=0.3, ceiling=None),
}
"""Domains, by name, in which lights are on."""
SURE = {"head": 0.4, "tail": 0.4, "lamp": 0.4}
"""Probability that one pixel of a light must have; what is connected to it at half of that shines too."""
PANE, LIT = 0.4, 0.3  # probability of glass; mean probability over a window from which it is lit
LEAST = 3  # pixels of a light, at the map's size
HALO = {"head": 1.6, "tail": 0.25, "lamp": 1.4}
"""How much of a light's own brightness is spread around it: lenses are many times brighter than white."""
KNEE = 0.6  # share of the ceiling from which on brightness is pressed


@dataclass(frozen=True, slots=True, eq=False)
class Shining:
    """What shines, at the map's size: 0..1 for each kind but `signal`, and where a signal is."""

    alpha: dict[str, Map]
    signal: Bool[np.ndarray, "h w"]


def shining(found: LightMap, how: Lighting) -> Shining:
    """Whole lights, not pixels: parts with one sure pixel; windows of which enough is likely to be lit."""
    signal = cv2.dilate((found.mask("signal") > 0.3).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    alpha = {}
    for kind, sure in SURE.items():
        p = np.where(signal, 0, found.mask(kind))
        alpha[kind] = _ramped(p, sure / 2) * _parts(p > sure / 2, p, sure, np.maximum)
    p = np.where(signal, 0, found.mask("pane"))
    alpha["pane"] = _ramped(p, PANE) * _lit_windows(p > PANE, found.mask("light"), LIT / max(how.lit, 1e-6))
    return Shining(alpha, signal)


def _ramped(p: Map, least: float) -> Map:
    return np.clip((p - least) / max(0.5 - least, 0.15) + 0.5, 0, 1).astype(np.float32)


def _parts(mask: np.ndarray, p: Map, sure: float, _how: object) -> np.ndarray:
    """The connected parts of `mask` that have LEAST pixels and one above `sure`."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    kept = np.zeros(count, bool)
    kept[parts[p > sure]] = True
    kept &= stats[:, cv2.CC_STAT_AREA] >= LEAST
    kept[0] = False
    return kept[parts]


def _lit_windows(mask: np.ndarray, light: Map, least: float) -> np.ndarray:
    """The connected parts of `mask` over which `light` has a mean above `least`."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    mean = np.bincount(parts.ravel(), light.ravel(), count) / np.maximum(stats[:, cv2.CC_STAT_AREA], 1)
    kept = (mean > least) & (stats[:, cv2.CC_STAT_AREA] >= LEAST)
    kept[0] = False
    return kept[parts]


def emission(found: LightMap, lit: Shining, how: Lighting) -> tuple[Colour, Map]:
    """Light that leaves lenses, lamps and windows, linear, at the map's size; and where, 0..1."""
    strengths = {"head": how.heads, "tail": how.tails, "lamp": how.lamps, "pane": how.windows}
    share = np.max([lit.alpha[k] * min(strengths[k], 1) for k in strengths], axis=0).astype(np.float32)
    return found.radiance, share


def add_lights(day: Image, variant: Image, found: LightMap, how: Lighting, strength: float = 1.0) -> Image:
    """The variant with its lights on; `day` is its source, at the same pixels."""
    size = (variant.shape[1], variant.shape[0])
    lit = shining(found, how)
    radiance, share = emission(found, lit, how)
    own = cv2.resize(share, size, interpolation=cv2.INTER_LINEAR)[..., None]
    colour = cv2.resize(_filled(radiance, share), size, interpolation=cv2.INTER_LINEAR)
    day_light = linear(day)
    surfaces = cv2.resize(found.wet if how.wet else found.dry, size, interpolation=cv2.INTER_LINEAR) * (
        day_light + 0.02
    )
    out = linear(variant) if how.ceiling is None else linear(_pressed(variant, how.ceiling, lit, own[..., 0], surfaces))
    out = out + np.float32(how.surfaces * strength) * surfaces * (1 - own)
    out += np.float32(strength) * cv2.resize(_halo(lit, radiance, how), size, interpolation=cv2.INTER_LINEAR)
    out += np.float32(strength) * own * np.maximum(colour - out, 0)
    return to_uint8(shown(out))


def _filled(radiance: Colour, share: Map) -> Colour:
    """The lights' colours spread a little beyond their borders, so that enlarging brings no dark rim in."""
    weight = share + np.float32(1e-3)
    wide = cv2.blur(radiance * weight[..., None], (5, 5)) / cv2.blur(weight, (5, 5))[..., None]
    return np.where(share[..., None] > 0.5, radiance, wide)


def _halo(lit: Shining, radiance: Colour, how: Lighting) -> Colour:
    strengths = {"head": how.heads, "tail": how.tails, "lamp": how.lamps}
    bright = sum(lit.alpha[k][..., None] * np.float32(HALO[k] * strengths[k]) for k in strengths) * radiance
    height = radiance.shape[0]
    near = cv2.GaussianBlur(bright, (0, 0), height / 300)
    far = cv2.GaussianBlur(bright, (0, 0), height / 60)
    return near * np.float32(0.3) + far * np.float32(0.3)


def _pressed(variant: Image, ceiling: float, lit: Shining, own: Map, surfaces: Colour) -> np.ndarray:
    """The variant with what is not a light pressed below the ceiling, softly; sRGB 0..255, float32."""
    y = luma(variant)
    knee = np.float32(KNEE * ceiling)
    room = np.float32(ceiling) - knee
    pressed = np.where(y > knee, knee + room * (1 - np.exp((knee - y) / room)), y)
    signal = cv2.dilate(lit.signal.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(np.float32)
    free = np.maximum(own, cv2.resize(signal, (y.shape[1], y.shape[0]), interpolation=cv2.INTER_LINEAR))
    gain = (pressed + free * (y - pressed)) / np.maximum(y, 1)
    return variant * gain[..., None]
