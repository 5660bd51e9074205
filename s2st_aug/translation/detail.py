"""The way back to the source's own size: the variant enlarged, with the source's fine structure where the variant follows it.

What the model cannot hold is `source - enlarged(autoencoder(source))`. It returns scaled by a gain that says how much of
the source's contrast is left at each place: the slope of a local regression of the variant on the source (a guided
filter's coefficient, He et al. 2010), at least a share of the ratio of their brightness. Both have a noise floor, so that
nothing is embossed into the dark, and at an amount of 1 a variant that equals the source's own round trip gives the source
back exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32

from s2st_aug.arrays import Image
from s2st_aug.images import resize, to_uint8

Colour = Float32[np.ndarray, "y x 3"]  # 0..255, at working size
Map = Float32[np.ndarray, "y x"]

RADIUS = 4  # working pixels: half the window in which the variant is compared with the source
LARGEST_GAIN = 1.5
SHADE = 0.7  # how much of the brightness ratio counts as evidence that a surface is only darker


@dataclass(frozen=True, slots=True)
class Finished:
    """A variant at the source's size: with the detail step, and `raw` without it."""

    image: Image
    raw: Image


def restore_detail(
    source: Image,
    seen: Colour,
    variant: Colour,
    *,
    amount: float,
    floor: float,
    hold: Map | None = None,
    held: float = 1.0,
) -> Finished:
    """`seen` is the source after the autoencoder's round trip, `variant` the translated image, both at working size.

    `hold` (working size, 0..1) lifts the gain inside of labelled objects to what their brightness allows, and moves `amount`,
    the share of the detail that is put back, to `held` there.
    """
    size = (source.shape[1], source.shape[0])
    raw = resize(variant, size)
    gain = detail_gain(seen, variant, floor, hold)
    gain *= amount if hold is None else amount + (held - amount) * hold
    gain = cv2.resize(gain, size, interpolation=cv2.INTER_LINEAR)
    lost = source.astype(np.float32)
    lost -= resize(seen, size)
    lost *= gain[..., None]
    lost += raw
    return Finished(to_uint8(lost), to_uint8(raw))


def detail_gain(seen: Colour, variant: Colour, floor: float, hold: Map | None) -> Map:
    """How much of the source's contrast the variant shows, 0..1.5, smooth; 1 everywhere if it shows the source itself."""
    s, v = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (seen, variant))
    mean_s, mean_v = _mean(s), _mean(v)
    covariance, variance = _mean(s * v) - mean_s * mean_v, _mean(s * s) - mean_s * mean_s
    slope = (covariance + floor * floor * _shade(mean_s, mean_v, floor)) / (variance + floor * floor)
    shade = np.clip(_shade(mean_s, mean_v, floor), 0, LARGEST_GAIN)
    least = SHADE * shade
    if hold is not None:
        least = np.maximum(least, shade * hold)
    return _mean(np.clip(slope, least, LARGEST_GAIN))


def _shade(mean_s: Map, mean_v: Map, floor: float) -> Map:
    """Brightness of the variant over the source's; the floor keeps what is as dark as noise from counting."""
    return (mean_v + floor) / (mean_s + floor)


def _mean(image: Map) -> Map:
    return cv2.blur(image, (2 * RADIUS + 1, 2 * RADIUS + 1), borderType=cv2.BORDER_REPLICATE)
