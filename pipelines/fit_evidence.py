"""Fit what the checks make of an object before the detail step, on the choosing half: streets of rng_key 4.

S2ST_BENCH_KEEP=DIR python pipelines/fit_evidence.py [--streets 7] prints the constants of
s2st_aug/validation/evidence.py and, for thresholds, the share of true objects doubted and of faults found. Pictures
come from the suite's own store.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/ is not part of the installed package

import numpy as np

from benchmarks.fault_cases import CHOSEN_KEY, CONTROL, LEAST_SIDE, place_of, side_of
from benchmarks.faults import pictures_of
from s2st_aug.diffusion.stable_diffusion import load_model
from s2st_aug.images import resize, to_uint8
from s2st_aug.validation.evidence import coarse, measures
from s2st_aug.validation.patches import in_front

WRONG = (
    "erased",
    "shift8",
    "shift16",
    "replaced_farther",
    "replaced_class",
    "reversed",
    "scaled",
    "melted",
    "erased_painted",
)
RIDGE, STEPS = 2.0, 60


def gathered(streets: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Measures of every struck object, whether it is true, and `fault` or `fault origin` of each."""
    model, rows, kinds = load_model("street-mini"), [], []
    for index in range(streets):
        place = place_of(CHOSEN_KEY, index, model)
        objects, source = place.emission.objects, coarse(place.day)
        by_id, size = {o.object_id: o for o in objects}, place.day.shape[1::-1]
        fronts = {o.object_id: f for o, f in zip(objects, in_front(objects), strict=True)}
        for picture in pictures_of(place, signals_alone=False, with_model=False):
            if picture.translated or picture.fault not in (CONTROL, *WRONG):
                continue
            raw = coarse(to_uint8(resize(picture.painted, size)))
            for struck in picture.struck:
                i = struck.object_id
                found = measures(by_id[i], fronts[i], source, raw, size[0])
                if found is not None and side_of(struck) >= LEAST_SIDE:
                    rows.append(found)
                    kinds.append(f"{CONTROL} {picture.origin}" if picture.fault == CONTROL else picture.fault)
    return np.array(rows), np.array([k.startswith(CONTROL) for k in kinds], float), kinds


def fitted(x: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Weights, means, spreads and bias of a logistic regression in which both sides count as much (Newton steps)."""
    mean, spread = x.mean(0), x.std(0) + 1e-6
    z = np.column_stack([(x - mean) / spread, np.ones(len(x))])
    w, ridge = np.zeros(z.shape[1]), RIDGE * np.r_[np.ones(x.shape[1]), 1e-3]
    even = np.where(true > 0, 0.5 / true.mean(), 0.5 / (1 - true.mean()))
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-z @ w))
        hessian = (z * (even * p * (1 - p))[:, None]).T @ z + np.diag(ridge)
        w -= np.linalg.solve(hessian, z.T @ (even * (p - true)) + ridge * w)
    return w[:-1], mean, spread, float(w[-1])


def main() -> None:
    """Gather, fit, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streets", type=int, default=7)
    if not os.environ.get("S2ST_BENCH_KEEP"):
        parser.error("set S2ST_BENCH_KEEP to a folder for the pictures")
    x, true, kinds = gathered(parser.parse_args().streets)
    weights, mean, spread, bias = fitted(x, true)
    for name, values in (("WEIGHTS", weights), ("MEANS", mean), ("SPREADS", spread)):
        print(f"{name} = ({', '.join(f'{v:.3f}' for v in values)})")
    print(f"BIAS = {bias:.3f}")
    scores = defaultdict(list)
    for kind, value in zip(kinds, 1 / (1 + np.exp(-((x - mean) / spread @ weights + bias))), strict=True):
        scores[kind].append(value)
    for least in (0.15, 0.2, 0.25, 0.3, 0.35, 0.4):
        print(least, ", ".join(f"{k} {np.mean(np.array(v) < least):.3f} ({len(v)})" for k, v in sorted(scores.items())))


if __name__ == "__main__":
    main()
