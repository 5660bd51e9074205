"""Means, intervals and paired tests over few rng_keys, and over the test images; one key is never called a gain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over rng_keys with its 95 % interval (Student's t), or no interval for a single one."""

    mean: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Paired difference to another arm over the same rng_keys; `p` is the paired t-test's, two-sided."""

    difference: Estimate
    p: float | None
    statement: str


def estimate(values: Sequence[float], image_spread: float = 0.0) -> Estimate:
    """Mean and t interval; raises ValueError for no value.

    `image_spread` is the deviation of the mean over draws of the test images: it widens the interval, for other images
    would give another mean with the very same networks.
    """
    if not values:
        raise ValueError("no value to take a mean of")
    mean, n = float(np.mean(values)), len(values)
    if n < 2:
        return Estimate(mean, None, None, n)
    half = float(stats.t.ppf(0.975, n - 1)) * _deviation(values, image_spread)
    return Estimate(mean, mean - half, mean + half, n)


def _deviation(values: Sequence[float], image_spread: float) -> float:
    """Of the mean: over rng_keys and over images, which are independent."""
    return math.hypot(float(np.std(values, ddof=1)) / math.sqrt(len(values)), image_spread)


def image_spread(resampled: Sequence[Sequence[float]], baseline: Sequence[Sequence[float]] | None = None) -> float:
    """Deviation, over draws of the test images, of the mean over rng_keys (of the difference to a baseline that was
    tested on the same draws); each `rng_keys draws`. 0 where nothing was resampled.
    """
    if not all(map(len, resampled)) or (baseline is not None and not all(map(len, baseline))):
        return 0.0
    means = np.mean(resampled, axis=0) - (0.0 if baseline is None else np.mean(baseline, axis=0))
    return float(np.std(means, ddof=1))


def compare(arm: Sequence[float], baseline: Sequence[float], image_spread: float = 0.0) -> Comparison:
    """The paired difference arm - baseline; both in the same order of rng_keys. `p` is that of the t interval."""
    differences = [a - b for a, b in zip(arm, baseline, strict=True)]
    difference = estimate(differences, image_spread)
    deviation = _deviation(differences, image_spread) if difference.n >= 2 else 0.0
    p = None
    if deviation > 0:
        p = float(2 * stats.t.sf(abs(difference.mean) / deviation, difference.n - 1))
    return Comparison(difference, p, _statement(difference))


def headroom_closed(arm: Sequence[float], none: Sequence[float], all_: Sequence[float]) -> Estimate | None:
    """How far an arm comes from `none` (0) to `all_` (1): Fieller's interval of the ratio of the two mean differences
    over rng_keys; None where `all_` does not gain, without bounds where the ratio's interval is open.
    """
    gained = np.subtract(arm, none)
    possible = np.subtract(all_, none)
    if possible.mean() <= 0:
        return None
    n, ratio = len(gained), float(gained.mean() / possible.mean())
    if n < 3:
        return Estimate(ratio, None, None, n)
    covariance = np.cov(gained, possible) / n
    square = float(stats.t.ppf(0.975, n - 1)) ** 2
    a = possible.mean() ** 2 - square * covariance[1, 1]
    b = gained.mean() * possible.mean() - square * covariance[0, 1]
    c = gained.mean() ** 2 - square * covariance[0, 0]
    if a <= 0 or b * b < a * c:
        return Estimate(ratio, None, None, n)
    half = math.sqrt(b * b - a * c) / a
    return Estimate(ratio, float(b / a) - half, float(b / a) + half, n)


def _statement(difference: Estimate) -> str:
    if difference.n < 3 or difference.low is None or difference.high is None:
        return f"{difference.n} seed{'s' if difference.n > 1 else ''}: no statement"
    if difference.low > 0:
        return "gain"
    return "loss" if difference.high < 0 else "not shown"
