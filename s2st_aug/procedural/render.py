"""From a street and a condition to a photo. All conditions share one drawing, so they are aligned to the pixel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from s2st_aug.arrays import Image
from s2st_aug.errors import UsageError, did_you_mean
from s2st_aug.procedural import lighting, weather
from s2st_aug.procedural.conditions import LOOKS, look_of
from s2st_aug.procedural.drawing import Drawn, draw_street
from s2st_aug.procedural.street import Street
from s2st_aug.procedural.surfaces import Surfaces, surfaces
from s2st_aug.records.domains import Condition


def render_scene(street: Street, condition: Condition) -> Image:
    """The street under a condition (day, dusk, night, rain, fog, night_rain), RGB at the camera's size."""
    drawn = draw_street(street)
    return render_drawn(drawn, surfaces(drawn), condition)


def render_drawn(drawn: Drawn, surface: Surfaces, condition: Condition, *, noise: float = 1.0) -> Image:
    """As `render_scene`, for a street that is drawn already; sensor noise times `noise` (0: what is truly to be seen)."""
    if condition not in LOOKS:
        raise UsageError(f"unknown condition {condition!r}{did_you_mean(condition, LOOKS)}")
    street = drawn.street
    look, sun = look_of(street, condition)
    look = replace(look, noise=look.noise * noise)
    kind = 1 + sorted(LOOKS).index(condition)
    lens, rng = (
        np.random.default_rng([street.key, kind]),
        np.random.default_rng([street.key, kind, round(street.moment * 1000)]),
    )
    image = lighting.lit_scene(drawn, surface, look, sun)
    if look.wet > 0:
        weather.wet_ground(drawn, surface, look, image)
    weather.fog(surface, look, image)
    image = weather.soften_edges(drawn, image)
    weather.halos(image, wide=0.02 + 2.2 * look.fog + 0.07 * (look.lamps > 0.5))
    if look.streaks > 0:
        weather.streaks(look, image, rng)
    if look.drops > 0:
        weather.drops(look, image, lens)
    return weather.develop(look, image, lens, rng)
