"""A picture of pictures: streets down, conditions across."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from s2st_aug.arrays import Image
from s2st_aug.records.domains import CONDITIONS, Condition
from s2st_aug.scenes.drawing import draw_street
from s2st_aug.scenes.render import render_drawn
from s2st_aug.scenes.sampling import sample_street
from s2st_aug.scenes.surfaces import surfaces


def contact_sheet(
    rng_key: int,
    streets: Sequence[int],
    *,
    conditions: Sequence[Condition] = CONDITIONS,
    size: tuple[int, int] = (640, 360),
    shown: int = 320,
) -> Image:
    """Each street is rendered at `size` and shown `shown` pixels wide."""
    return np.concatenate([_row(rng_key, index, conditions, size, shown) for index in streets])


def _row(rng_key: int, index: int, conditions: Sequence[Condition], size: tuple[int, int], shown: int) -> Image:
    drawn = draw_street(sample_street(rng_key, index, size))
    surface = surfaces(drawn)
    small = (shown, round(shown * size[1] / size[0]))
    return np.concatenate([cv2.resize(render_drawn(drawn, surface, c), small, interpolation=cv2.INTER_AREA) for c in conditions], axis=1)
