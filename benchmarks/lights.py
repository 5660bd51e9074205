"""Lights at night and the wet road in rain: how much of what the true render shows a variant shows too.

Both (docs/method.md#lights, docs/method.md#wet-road) need the true render of the same scene at the same pixels, so they
are for procedural scenes only. Images are RGB, 0..255, of any one size: both measure at 640x360.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass

import cv2
import numpy as np

from s2st_aug.arrays import Grey, Image
from s2st_aug.errors import UsageError
from s2st_aug.images import luma, resize, to_lab

SIZE = (640, 360)  # w, h in pixels: where both are measured
GLOW, CORE = 110, 150  # Y: every pixel of a light is above the first, one of it at least above the second
LEAST_PIXELS = 6  # of a light
WIDEN = 4  # px around a true light in which a variant's light still counts as that one
LIT_QUANTILE = 80  # per cent: a fifth of a true light's core above GLOW is enough
ROAD_FROM = 0.55  # of the image's height: the lower 45 % is taken for the road
CELL = 8  # px: side of the squares over which lightness is averaged
LEAST_DEVIATION = 0.3  # of L*, 0..100: below it a residual is rounding, and correlates with nothing


@dataclass(frozen=True, slots=True)
class LightCounts:
    """Lights of one scene or of many, which add up."""

    true: int = 0  # lights of the true render
    found: int = 0  # ... that are lit in the variant
    made: int = 0  # lights of the variant
    right: int = 0  # ... that touch a true one

    def __add__(self, other: LightCounts) -> LightCounts:
        """Counts of both."""
        return LightCounts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def recall(self) -> float | None:
        """Share of true lights that are lit in the variant; None where the true render has none."""
        return self.found / self.true if self.true else None

    @property
    def precision(self) -> float | None:
        """Share of the variant's lights that touch a true one; None where the variant has none."""
        return self.right / self.made if self.made else None

    @property
    def f1(self) -> float | None:
        """Harmonic mean of recall and precision; 0 where nothing is right, None where the true render has no light."""
        recall, precision = self.recall, self.precision or 0.0
        if recall is None:
            return None
        return 2 * recall * precision / (recall + precision) if recall + precision else 0.0


def sum_counts(counts: Iterable[LightCounts]) -> LightCounts:
    """Counts over many scenes: recall, precision and F1 are over all their lights, not means over scenes."""
    return sum(counts, LightCounts())


def light_components(y: Grey) -> np.ndarray:
    """Lights numbered from 1, 0 elsewhere: 8-connected parts of Y > GLOW of LEAST_PIXELS or more, one above CORE."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats((y > GLOW).astype(np.uint8), connectivity=8)
    peak = np.zeros(count)
    np.maximum.at(peak, parts.ravel().astype(np.intp), y.ravel())
    is_light = (peak > CORE) & (stats[:, cv2.CC_STAT_AREA] >= LEAST_PIXELS)
    is_light[0] = False
    return np.where(is_light, np.cumsum(is_light), 0).astype(np.int32)[parts]


def count_lights(variant: Image, truth: Image) -> LightCounts:
    """Lights of a night variant against the true render; raises UsageError for two sizes."""
    _check_sizes(variant, truth)
    made_y, true_y = luma(resize(variant, SIZE)), luma(resize(truth, SIZE))
    true_lights, made_lights = light_components(true_y), light_components(made_y)
    cores = np.where(true_y > CORE, true_lights, 0)
    true = int(true_lights.max())
    found = sum(bool(np.percentile(made_y[cores == k], LIT_QUANTILE) > GLOW) for k in range(1, true + 1))
    near = cv2.dilate((true_lights > 0).astype(np.uint8), np.ones((2 * WIDEN + 1, 2 * WIDEN + 1), np.uint8)) > 0
    right = np.unique(made_lights[near & (made_lights > 0)]).size
    return LightCounts(true, found, int(made_lights.max()), right)


def wet_road(source: Image, variant: Image, truth: Image) -> float:
    """Correlation of what is new on the road in the variant with what is new in the true rain, -1..1.

    New is what no smooth function of the source's lightness and of the height in the image explains: a tone curve,
    banded too, has little. 0 for an unchanged image, 1 for the true render. Raises UsageError for several sizes.
    """
    _check_sizes(source, variant, truth)
    dry = _road_cells(source)
    made, true = _residual(dry, _road_cells(variant)), _residual(dry, _road_cells(truth))
    if made.std() < LEAST_DEVIATION or true.std() == 0:
        return 0.0
    return float(np.corrcoef(made.ravel(), true.ravel())[0, 1])


def _road_cells(image: Image) -> np.ndarray:
    """Mean L* of the road's cells, `rows columns`; rows that do not fill a cell are dropped at the top."""
    light = to_lab(resize(image, SIZE))[..., 0]
    rows = (SIZE[1] - round(ROAD_FROM * SIZE[1])) // CELL
    return light[SIZE[1] - rows * CELL :].reshape(rows, CELL, SIZE[0] // CELL, CELL).mean((1, 3))


def _residual(dry: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """`cells` less their least-squares fit on the source's L*, the height, their squares and product."""
    light, height = dry / 100, np.broadcast_to(np.linspace(0, 1, len(dry))[:, None], dry.shape)
    terms = [np.ones_like(light), light, height, light**2, height**2, light * height]
    design = np.stack([t.ravel() for t in terms], 1)
    weights = np.linalg.lstsq(design, cells.ravel(), rcond=None)[0]
    return cells - (design @ weights).reshape(cells.shape)


def _check_sizes(*images: Image) -> None:
    if len({image.shape for image in images}) != 1:
        shapes = ", ".join(str(image.shape) for image in images)
        raise UsageError(f"the images to compare must be of one size; got {shapes}")
