"""Histogram matching by horizontal band: no network at all, and so the least that a generative method has to beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from s2st_aug.arrays import Image
from s2st_aug.images import from_lab, resize, to_lab
from s2st_aug.methods.photometric import Photometric

if TYPE_CHECKING:
    from s2st_aug.profiles.colours import Colours

STEPS = 4096  # of the lookup table over a channel's range: under 0.07 of a level
LOWEST, RANGE = np.array([0.0, -128.0, -128.0], np.float32), np.array([100.0, 256.0, 256.0], np.float32)


class Histogram(Photometric):
    """Each horizontal band's CIELAB histograms become the domain's."""

    version = "2"

    def change(self, image: Image, target: Colours) -> Image:
        """As `match_histograms`."""
        return match_histograms(image, target)


def match_histograms(image: Image, target: Colours) -> Image:
    """Each horizontal band's CIELAB histograms are those of the target.

    Bands overlap linearly, so that no seam shows.
    """
    from s2st_aug.profiles.colours import THUMB, band_quantiles  # torch: a config is read without

    lab = to_lab(image)
    place = ((lab - LOWEST) * (STEPS / RANGE)).astype(np.int16).clip(0, STEPS)
    own = band_quantiles(to_lab(resize(image, THUMB)), target.levels)
    bands, height = len(own), len(lab)
    middles = (np.arange(height) + 0.5) / height * bands - 0.5
    matched = np.zeros_like(lab)
    for b in range(bands):
        weight = np.clip(1 - np.abs(np.clip(middles, 0, bands - 1) - b), 0, 1).astype(np.float32)
        rows = np.flatnonzero(weight)
        part = slice(rows[0], rows[-1] + 1)
        for c in range(3):
            table = _table(own[b, c], target.quantiles[b, c], c)
            matched[part, :, c] += weight[part, None] * table[place[part, :, c]]
    return from_lab(matched)


def _table(own: np.ndarray, wanted: np.ndarray, channel: int) -> np.ndarray:
    """What each of a channel's values becomes: `own` quantiles to `wanted` ones."""
    values = LOWEST[channel] + np.arange(STEPS + 1) / STEPS * RANGE[channel]
    rising = own + np.arange(len(own)) * 1e-6  # strictly, as interpolation wants
    return np.interp(values, rising, wanted).astype(np.float32)
