"""Pairs of day and another condition made of one photo, for conditions in which nobody has the same street by day.

A photo at dusk becomes a day by its colours: each CIELAB channel gets the quantiles of a real day photo. What stands in
the street stays where it is, so the pair is aligned, and aligned seeds can learn the way from such a day to the photo.
Only the photo is ever learnt from; the made-up day gives nothing but a seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from s2st_aug.arrays import Image
from s2st_aug.errors import DatasetError
from s2st_aug.images import from_lab, to_lab
from s2st_aug.records.domains import CONDITIONS
from s2st_aug.training.data import TrainingSample
from s2st_aug.training.streets import DAY

LEVELS = np.linspace(0, 1, 64)  # at which quantiles are matched


def recoloured(image: Image, reference: Image) -> Image:
    """The image with the reference's quantiles in each CIELAB channel, uint8 RGB `h w 3`."""
    lab, other = to_lab(image), to_lab(reference)
    matched = [
        np.interp(lab[..., k], np.quantile(lab[..., k], LEVELS), np.quantile(other[..., k], LEVELS)) for k in range(3)
    ]
    return from_lab(np.stack(matched, -1).astype(np.float32))


def photo_pairs(
    samples: Sequence[TrainingSample], images: torch.Tensor, conditions: Sequence[str], each: int, rng_key: int
) -> Iterator[tuple[torch.Tensor, list[str]]]:
    """Streets uint8 `6 3 h w` in which only the named conditions are filled, and those names.

    `samples` and `images` (uint8 `n 3 h w`) are the photos; each photo of one of `conditions`, and its mirror image, is
    paired with `each` days. As many day photos come as days alone: they keep their own inversion true. Raises
    DatasetError where photos of day or of a condition are missing.
    """
    rng = np.random.default_rng(rng_key)
    by_domain = {c: np.flatnonzero([s.domain == c for s in samples]) for c in ("day", *conditions)}
    if missing := [c for c, found in by_domain.items() if not len(found)]:
        raise DatasetError(f"pairs of photos: none of {', '.join(missing)} among the photos of the recipe")
    for condition in conditions:
        for index in by_domain[condition]:
            for k in range(2 * each):
                photo = images[index] if k % 2 else images[index].flip(-1)
                day = images[rng.choice(by_domain["day"])]
                made = recoloured(*(np.ascontiguousarray(i.permute(1, 2, 0).numpy()) for i in (photo, day)))
                street = torch.zeros(len(CONDITIONS), *photo.shape, dtype=torch.uint8)
                street[DAY] = torch.from_numpy(made).permute(2, 0, 1)
                street[CONDITIONS.index(condition)] = photo
                yield street, [condition]
                street = torch.zeros_like(street)
                street[DAY] = day
                yield street, ["day"]
