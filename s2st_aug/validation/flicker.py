"""Flicker of a sequence: what neighbouring outputs differ beyond what their sources do (docs/method.md#sequences)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np

from s2st_aug.arrays import Image
from s2st_aug.errors import UsageError

FLOW_WIDTH = 480  # px that motion is estimated at


def flicker(sources: Sequence[np.ndarray], variants: Sequence[np.ndarray]) -> float | None:
    """Mean warped difference between neighbouring variants over that of the sources; 1: as steady as the sources.

    Motion is estimated on the sources alone. None for fewer than two frames or sources that do not change;
    raises UsageError where the two sequences differ in length or size.
    """
    if len(sources) != len(variants) or len({i.shape for i in (*sources, *variants)}) > 1:
        raise UsageError(
            f"a sequence needs one variant per source, all of one size; got {len(sources)} and {len(variants)}"
        )
    steps = [_step(s0, s1, v0, v1) for (s0, s1), (v0, v1) in zip(pairwise(sources), pairwise(variants), strict=True)]
    whole = sum(s for s, _ in steps)
    return float(sum(v for _, v in steps) / whole) if whole > 1e-6 else None


def _step(s0: Image, s1: Image, v0: Image, v1: Image) -> tuple[float, float]:
    now, before = _small_grey(s1), _small_grey(s0)
    start = np.zeros((*now.shape, 2), np.float32)
    flow = cv2.calcOpticalFlowFarneback(now, before, start, 0.5, 4, 21, 3, 7, 1.5, 0)  # where each pixel was before
    h, w = flow.shape[:2]
    yy, xx = np.mgrid[:h, :w].astype(np.float32)
    x, y = xx + flow[..., 0], yy + flow[..., 1]
    seen = (x >= 0) & (x < w) & (y >= 0) & (y < h)
    return _warped_difference(s0, s1, x, y, seen), _warped_difference(v0, v1, x, y, seen)


def _warped_difference(before: Image, after: Image, x: np.ndarray, y: np.ndarray, seen: np.ndarray) -> float:
    a, b = (cv2.resize(i, x.shape[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) for i in (before, after))
    warped = cv2.remap(a, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return float(np.abs(warped - b)[seen].mean()) if seen.any() else 0.0


def _small_grey(image: Image) -> np.ndarray:
    k = min(1.0, FLOW_WIDTH / image.shape[1])
    size = (max(8, round(image.shape[1] * k)), max(8, round(image.shape[0] * k)))
    return cv2.cvtColor(cv2.resize(image, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
