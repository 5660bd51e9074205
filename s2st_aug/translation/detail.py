"""Back to the source's own size: the variant enlarged, with the source's fine structure where the variant follows it.

What the model cannot show is `source - enlarged(autoencoder(source))`. It returns scaled by a gain that says how much
of the source's contrast is left at each place: the slope of a local regression of the variant on the source (a guided
filter's coefficient, He et al. 2010), at least a share of the ratio of their brightness. Both have a noise floor, so
that nothing is embossed into the dark, and at an amount of 1 a variant that equals the source's own round trip gives
the source back exactly.
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
class RestoredDetail:
    """A variant at the source's size: with the detail step, and `raw` without it."""

    image: Image
    raw: Image


def restore_detail(
    source: Image,
    reconstruction: Colour,
    variant: Colour,
    *,
    amount: float,
    floor: float,
    keep_mask: Map | None = None,
    keep_amount: float = 1.0,
) -> RestoredDetail:
    """`reconstruction` is the source after the autoencoder's round trip; it and `variant` are at working size.

    `amount` is the share of the detail that is put back. `keep_mask` (working size, 0..1) marks labelled objects: there
    the gain is at least what their brightness allows, and the share is `keep_amount`.
    """
    size = (source.shape[1], source.shape[0])
    raw = resize(variant, size)
    gain = detail_gain(reconstruction, variant, floor, keep_mask)
    gain *= amount if keep_mask is None else amount + (keep_amount - amount) * keep_mask
    gain = cv2.resize(gain, size, interpolation=cv2.INTER_LINEAR)
    detail = source.astype(np.float32)
    detail -= resize(reconstruction, size)
    detail *= gain[..., None]
    detail += raw
    return RestoredDetail(to_uint8(detail), to_uint8(raw))


def detail_gain(reconstruction: Colour, variant: Colour, floor: float, keep_mask: Map | None) -> Map:
    """How much of the source's contrast the variant shows, 0..1.5, smooth; 1 everywhere if it shows the source itself.

    `floor` (grey levels) keeps what is as dark or as flat as noise from counting.
    """
    s, v = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (reconstruction, variant))
    mean_s, mean_v = _local_mean(s), _local_mean(v)
    covariance, variance = _local_mean(s * v) - mean_s * mean_v, _local_mean(s * s) - mean_s * mean_s
    shade = (mean_v + floor) / (mean_s + floor)  # brightness of the variant over the source's
    slope = (covariance + floor * floor * shade) / (variance + floor * floor)
    shade = np.clip(shade, 0, LARGEST_GAIN)
    least = SHADE * shade
    if keep_mask is not None:
        least = np.maximum(least, shade * keep_mask)
    return _local_mean(np.clip(slope, least, LARGEST_GAIN))


def _local_mean(image: Map) -> Map:
    return cv2.blur(image, (2 * RADIUS + 1, 2 * RADIUS + 1), borderType=cv2.BORDER_REPLICATE)
