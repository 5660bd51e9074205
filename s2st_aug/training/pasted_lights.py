"""Lights that are not there, painted into variants whose truth is known:
what the network of false lights is trained on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from s2st_aug.arrays import Box, Image
from s2st_aug.records.scene import SceneObject

LIGHTS = {
    "red": (255, 40, 30),
    "amber": (255, 180, 40),
    "green": (40, 255, 140),
    "white": (255, 250, 235),
    "yellow": (255, 225, 150),
}
LEAST_SHOW = 80  # levels in one channel by which a pasted lamp stands out from its place


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """A source, its true (or accepted) variant, and the labels of both."""

    source: Image
    variant: Image
    objects: tuple[SceneObject, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Planted:
    """A variant with one fault in it; `object_id` is the label that it strikes, None where it strikes the image.

    `box` is where.
    """

    variant: Image
    object_id: str | None
    box: Box | None


def pasted_light(pair: Pair, item: SceneObject | None, rng: np.random.Generator) -> Planted | None:
    """A lamp with a halo, red, amber, green, white or yellow, where no label is and where it shows.

    Strikes the image.
    """
    h = pair.variant.shape[0]
    radius = float(rng.uniform(4, 10)) * h / 720
    side = int(np.ceil(6 * radius))
    corner = free_place(pair, (side, side), rng)
    if corner is None:
        return None
    colour = np.array(LIGHTS[list(LIGHTS)[rng.integers(len(LIGHTS))]], np.float32)
    place = pair.variant[corner[1] : corner[1] + side, corner[0] : corner[0] + side]
    if float(np.abs(0.4 * 255 + 0.6 * colour - place.reshape(-1, 3).mean(0)).max()) < LEAST_SHOW:
        return None
    yy, xx = np.mgrid[:side, :side] - (side - 1) / 2
    far = np.hypot(xx, yy) / radius
    core, halo = np.clip((1.25 - far) * 4, 0, 1)[..., None], (0.6 * np.exp(-((far / 1.6) ** 2)))[..., None]
    image = pair.variant.copy()
    part = image[corner[1] : corner[1] + side, corner[0] : corner[0] + side].astype(np.float32)
    lit = part + halo * colour * (1 - part / 255)
    lit = lit * (1 - core) + core * (0.4 * 255 + 0.6 * colour)
    image[corner[1] : corner[1] + side, corner[0] : corner[0] + side] = np.clip(lit, 0, 255).astype(np.uint8)
    middle = corner[0] + side / 2, corner[1] + side / 2
    return Planted(image, None, (middle[0] - radius, middle[1] - radius, middle[0] + radius, middle[1] + radius))


def free_place(
    pair: Pair, size: tuple[int, int], rng: np.random.Generator, *, row: int | None = None
) -> tuple[int, int] | None:
    """Top left corner of a place of `size` that no labelled object touches; None after 50 tries."""
    h, w = pair.variant.shape[:2]
    boxes = np.array([o.bbox for o in pair.objects if o.kind not in ("stuff", "polyline")] or [(0, 0, 0, 0)])
    if size[0] + 8 >= w or size[1] + 8 >= h:
        return None
    for _ in range(50):
        x = int(rng.integers(4, w - size[0] - 4))
        y = row if row is not None and row + size[1] < h else int(rng.integers(4, h - size[1] - 4))
        clear = (
            (boxes[:, 0] > x + size[0] + 6)
            | (boxes[:, 2] < x - 6)
            | (boxes[:, 1] > y + size[1] + 6)
            | (boxes[:, 3] < y - 6)
        )
        if clear.all():
            return x, y
    return None
