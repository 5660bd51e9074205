"""Means, intervals and paired tests over few seeds of the random numbers; one is never called a gain."""

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


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and t interval; raises ValueError for no value."""
    if not values:
        raise ValueError("no value to take a mean of")
    mean, n = float(np.mean(values)), len(values)
    if n < 2:
        return Estimate(mean, None, None, n)
    half = float(stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / math.sqrt(n))
    return Estimate(mean, mean - half, mean + half, n)


def compare(arm: Sequence[float], baseline: Sequence[float]) -> Comparison:
    """The paired difference arm - baseline; both in the same order of rng_keys."""
    difference = estimate([a - b for a, b in zip(arm, baseline, strict=True)])
    p = (
        float(stats.ttest_rel(arm, baseline).pvalue)
        if difference.n >= 2 and np.ptp(np.subtract(arm, baseline)) > 0
        else None
    )
    return Comparison(difference, p, _statement(difference))


def _statement(difference: Estimate) -> str:
    if difference.n < 3 or difference.low is None or difference.high is None:
        return f"{difference.n} seed{'s' if difference.n > 1 else ''}: no statement"
    if difference.low > 0:
        return "gain"
    return "loss" if difference.high < 0 else "not shown"
