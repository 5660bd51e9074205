"""The six conditions as numbers: light, sky, air, wetness, camera."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from s2st_aug.procedural.street import Street, Sun
from s2st_aug.records.domains import ConditionName

RGB = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Condition:
    """Light and air of one condition. Strengths are linear; 1 is what a white wall sends back under the midday sky."""

    sun: RGB
    ambient: RGB
    bounce: RGB
    zenith: RGB
    horizon: RGB
    cloud: RGB
    cover: float
    fog: float  # extinction per metre
    haze: RGB
    wet: float  # 0 dry to 1 mirror
    lamps: float
    heads: float
    tails: float
    windows: float  # share of windows that are lit
    exposure: float
    noise: float
    saturation: float
    streaks: float = 0.0
    drops: int = 0


DAY = Condition(
    sun=(1.55, 1.42, 1.22),
    ambient=(0.42, 0.50, 0.62),
    bounce=(0.16, 0.15, 0.13),
    zenith=(0.17, 0.36, 0.75),
    horizon=(0.62, 0.76, 0.92),
    cloud=(0.98, 0.98, 1.0),
    cover=0.4,
    fog=0.0012,
    haze=(0.66, 0.76, 0.88),
    wet=0.0,
    lamps=0.0,
    heads=0.03,
    tails=0.04,
    windows=0.0,
    exposure=1.45,
    noise=0.006,
    saturation=1.12,
)
DUSK = Condition(
    sun=(0.20, 0.105, 0.045),
    ambient=(0.085, 0.095, 0.145),
    bounce=(0.03, 0.025, 0.022),
    zenith=(0.05, 0.085, 0.20),
    horizon=(0.62, 0.32, 0.155),
    cloud=(0.38, 0.20, 0.18),
    cover=0.5,
    fog=0.002,
    haze=(0.26, 0.18, 0.16),
    wet=0.0,
    lamps=0.35,
    heads=0.8,
    tails=0.6,
    windows=0.28,
    exposure=1.75,
    noise=0.009,
    saturation=1.0,
)
NIGHT = Condition(
    sun=(0.0, 0.0, 0.0),
    ambient=(0.0085, 0.0095, 0.015),
    bounce=(0.004, 0.003, 0.002),
    zenith=(0.0035, 0.005, 0.011),
    horizon=(0.040, 0.026, 0.017),
    cloud=(0.022, 0.016, 0.013),
    cover=0.35,
    fog=0.0015,
    haze=(0.016, 0.012, 0.011),
    wet=0.0,
    lamps=1.0,
    heads=1.0,
    tails=1.0,
    windows=0.42,
    exposure=1.9,
    noise=0.013,
    saturation=1.0,
)
RAIN = Condition(
    sun=(0.0, 0.0, 0.0),
    ambient=(0.42, 0.45, 0.49),
    bounce=(0.09, 0.09, 0.09),
    zenith=(0.36, 0.40, 0.45),
    horizon=(0.56, 0.60, 0.64),
    cloud=(0.50, 0.53, 0.57),
    cover=1.0,
    fog=0.0085,
    haze=(0.50, 0.54, 0.58),
    wet=1.0,
    lamps=0.08,
    heads=0.7,
    tails=0.6,
    windows=0.18,
    exposure=1.12,
    noise=0.008,
    saturation=0.8,
    streaks=1.0,
    drops=22,
)
FOG = Condition(
    sun=(0.06, 0.06, 0.055),
    ambient=(0.56, 0.58, 0.60),
    bounce=(0.12, 0.12, 0.12),
    zenith=(0.66, 0.68, 0.70),
    horizon=(0.70, 0.72, 0.73),
    cloud=(0.68, 0.70, 0.71),
    cover=1.0,
    fog=0.028,
    haze=(0.68, 0.70, 0.715),
    wet=0.12,
    lamps=0.10,
    heads=0.8,
    tails=0.6,
    windows=0.15,
    exposure=1.1,
    noise=0.006,
    saturation=0.8,
)
NIGHT_RAIN = replace(
    NIGHT,
    zenith=(0.006, 0.006, 0.009),
    horizon=(0.05, 0.034, 0.024),
    cloud=(0.030, 0.022, 0.017),
    cover=1.0,
    fog=0.007,
    haze=(0.030, 0.022, 0.018),
    ambient=(0.0095, 0.0095, 0.0125),
    wet=1.0,
    noise=0.015,
    streaks=0.8,
    drops=26,
    saturation=0.85,
)
BY_NAME: dict[ConditionName, Condition] = {
    "day": DAY,
    "dusk": DUSK,
    "night": NIGHT,
    "rain": RAIN,
    "fog": FOG,
    "night_rain": NIGHT_RAIN,
}


def condition_of(street: Street, name: ConditionName) -> tuple[Condition, Sun]:
    """The condition as this street sees it: its own sun by day, a low one at dusk, clouds where the street has them."""
    rng, sun = np.random.default_rng([street.key, sorted(BY_NAME).index(name)]), street.sun
    condition = replace(BY_NAME[name], exposure=BY_NAME[name].exposure * float(rng.uniform(0.9, 1.12)))
    if name == "day":
        return _day(condition, sun), sun
    if name == "dusk":
        low = replace(sun, elevation=float(rng.uniform(0.03, 0.14)))
        warm = float(rng.uniform(0.55, 1.15))
        r, g, b = condition.horizon
        return replace(condition, horizon=(r * warm, g * warm, b * warm), cover=max(sun.clouds * 0.8, 0.2)), low
    if name in ("fog", "rain", "night_rain"):
        fog = condition.fog * float(rng.uniform(0.65, 1.35))
        condition = replace(condition, fog=fog, drops=int(condition.drops * rng.uniform(0.3, 1.5)))
    if name in ("night", "night_rain"):
        condition = replace(condition, windows=float(rng.uniform(0.22, 0.5)))
    return condition, sun


def _day(condition: Condition, sun: Sun) -> Condition:
    if sun.clouds >= 1.0:
        grey = (0.72, 0.76, 0.80)
        return replace(
            condition,
            sun=(0, 0, 0),
            ambient=(0.92, 0.97, 1.04),
            bounce=(0.22, 0.22, 0.21),
            zenith=(0.62, 0.68, 0.76),
            horizon=grey,
            cloud=grey,
            cover=1.0,
            saturation=0.9,
        )
    warm = max(0.0, 0.75 - sun.elevation) * 0.6
    light = (condition.sun[0], condition.sun[1] * (1 - 0.30 * warm), condition.sun[2] * (1 - 0.75 * warm))
    return replace(condition, sun=light, cover=sun.clouds)
