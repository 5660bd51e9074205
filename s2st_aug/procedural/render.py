"""From a street and a condition to a photo. All conditions share one drawing, so they are aligned to the pixel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from s2st_aug.arrays import Image
from s2st_aug.errors import UsageError, did_you_mean
from s2st_aug.procedural import lighting, weather
from s2st_aug.procedural.conditions import BY_NAME, Condition, condition_of
from s2st_aug.procedural.drawing import Drawn, draw_street
from s2st_aug.procedural.street import Street
from s2st_aug.procedural.surfaces import Surfaces, surfaces
from s2st_aug.records.domains import ConditionName


def render_scene(street: Street, name: ConditionName) -> Image:
    """The street under a condition (day, dusk, night, rain, fog, night_rain), RGB at the camera's size."""
    drawn = draw_street(street)
    return render_drawn(drawn, surfaces(drawn), name)


def render_drawn(
    drawn: Drawn, surface: Surfaces, name: ConditionName, *, noise: float = 1.0, lights: float = 1.0
) -> Image:
    """As `render_scene`, for a street that is drawn already.

    Sensor noise times `noise` (0: what is truly to be seen); the strength of lamps, head and tail lights and the share
    of lit windows times `lights` (0: only signals and brake lights shine).
    """
    if name not in BY_NAME:
        raise UsageError(f"unknown condition {name!r}{did_you_mean(name, BY_NAME)}")
    street = drawn.street
    condition, sun = condition_of(street, name)
    condition = _dimmed(replace(condition, noise=condition.noise * noise), lights)
    kind = 1 + sorted(BY_NAME).index(name)
    lens = np.random.default_rng([street.key, kind])
    rng = np.random.default_rng([street.key, kind, round(street.moment * 1000)])
    image = lighting.lit_scene(drawn, surface, condition, sun)
    if condition.wet > 0:
        weather.wet_ground(drawn, surface, condition, image)
    weather.fog(surface, condition, image)
    image = weather.soften_edges(drawn, image)
    weather.halos(image, wide=0.02 + 2.2 * condition.fog + 0.07 * (condition.lamps > 0.5))
    if condition.streaks > 0:
        weather.streaks(condition, image, rng)
    if condition.drops > 0:
        weather.drops(condition, image, lens)
    return weather.develop(condition, image, lens, rng)


def _dimmed(condition: Condition, lights: float) -> Condition:
    c = condition
    return replace(
        c, lamps=c.lamps * lights, heads=c.heads * lights, tails=c.tails * lights, windows=c.windows * lights
    )
