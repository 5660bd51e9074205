"""The small classifier of made-up lights: a ridge logistic regression on a blob's features and their products two by two."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

import numpy as np

PENALTY, STEPS = 0.5, 15


def expanded(rows: np.ndarray) -> np.ndarray:
    """1, the features, and their products two by two; `n k` to `n (1 + k + k (k + 1) / 2)`."""
    a, b = np.triu_indices(rows.shape[1])
    return np.concatenate([np.ones((len(rows), 1)), rows, rows[:, a] * rows[:, b]], axis=1)


def scores(rows: np.ndarray) -> np.ndarray:
    """How likely each blob is made up, in [0, 1], with the shipped weights."""
    return _logistic(expanded(rows) @ shipped()) if len(rows) else np.empty(0)


@cache
def shipped() -> np.ndarray:
    """Weights in `lights.json`, fitted by `pipelines/fit_lights.py` on the choosing half of scenes and photos."""
    return np.array(json.loads(files("s2st_aug.validation").joinpath("lights.json").read_text("utf-8"))["weights"])


def fit(rows: np.ndarray, made_up: np.ndarray) -> np.ndarray:
    """Newton's method on the penalised logistic loss; `made_up` is bool, one a row."""
    x, y = expanded(rows), made_up.astype(float)
    ridge = PENALTY * np.r_[1e-6, np.ones(x.shape[1] - 1)]
    weights = np.zeros(x.shape[1])
    for _ in range(STEPS):
        p = _logistic(x @ weights)
        slope = x.T @ (p - y) + ridge * weights
        weights = weights - np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x + np.diag(ridge), slope)
    return weights


def _logistic(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(values, -30, 30)))
