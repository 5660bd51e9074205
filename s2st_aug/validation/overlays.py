"""What variants have in common and their sources do not: an ego bonnet or a watermark that all references show."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from s2st_aug.errors import UsageError
from s2st_aug.images import luma
from s2st_aug.records.verdicts import Hallucination
from s2st_aug.validation.gradients import gradients, variant_directions
from s2st_aug.validation.patches import shrunk_to

WIDTH = 160  # px that images are compared at
LEAST_IMAGES = 8
LEAST_GAIN = 0.4  # consensus of the variants' edges above that of the sources', in [0, 1]
LEAST_AREA = 40  # px at WIDTH that must agree: of eight images some agree by chance, but not over so much


def pasted_everywhere(sources: Sequence[np.ndarray], variants: Sequence[np.ndarray]) -> tuple[Hallucination, ...]:
    """Places where most variants of *different* scenes have the same edges and their sources do not.

    Boxes are in the first source's pixels; the score is the mean consensus there. Raises UsageError on fewer than eight
    pairs: a statistic of a set needs a set.
    """
    if len(sources) != len(variants) or len(sources) < LEAST_IMAGES:
        raise UsageError(
            f"common overlays need at least {LEAST_IMAGES} pairs; "
            f"got {len(sources)} sources and {len(variants)} variants"
        )
    gain = consensus(variants) - consensus(sources)
    joined = cv2.dilate((gain > LEAST_GAIN).astype(np.uint8), np.ones((5, 5), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(joined)
    k = sources[0].shape[1] / WIDTH
    alike = np.where(gain > LEAST_GAIN, labels, 0)
    pixels = np.bincount(alike.ravel(), minlength=count)
    total = np.bincount(alike.ravel(), gain.ravel(), minlength=count)
    found = []
    for n in range(1, count):
        if pixels[n] >= LEAST_AREA:
            x, y, w, h = (float(v) * k for v in stats[n][:4])
            found.append(Hallucination((x, y, x + w, y + h), "overlay", float(total[n] / pixels[n])))
    return tuple(sorted(found, key=lambda h: -h.score))


def consensus(images: Sequence[np.ndarray]) -> np.ndarray:
    """Length of the mean edge direction of a set at each pixel, in [0, 1]: 1 where all have one and the same edge."""
    height = max(8, round(images[0].shape[0] * WIDTH / images[0].shape[1]))
    fields = []
    for image in images:
        grey = gradients(luma(shrunk_to(image, (WIDTH, height))))
        fields.append(variant_directions(grey.x, grey.y))
    return np.linalg.norm(np.mean(fields, axis=0), axis=-1)
