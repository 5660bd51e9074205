"""Suite `feed`, its figures on gain: read from the experiments as they were last run and committed; they take hours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.figure import Figure, measured, undecided
from benchmarks.provenance import stamp_of_result
from s2st_aug.gain.tables import best_control

OURS = "s2st_gated"


def gain_figures(segmentation: Path, detection: Path) -> Iterator[Figure]:
    """mIoU on dusk photos; AP on scenes at night and over both conditions. Each carries the experiment's own stamp."""
    for figure in (
        _difference("gain_miou_dusk", segmentation, "miou", "to_real_only", 15),
        _difference("gain_over_best_control", segmentation, "miou", "to_best_control", 5),
    ):
        yield replace(figure, stamp=stamp_of_result("gain", segmentation))
    for figure in (
        _ratio("traffic_light_ap_vs_real_only", detection, "ap_traffic light", "real_only", 1),
        _night_over_best_control(detection),
        _ratio("night_car_ap_vs_true_night", detection, "night_ap_car", "true_render", 0.6),
    ):
        yield replace(figure, stamp=stamp_of_result("gain", detection))


def _night_over_best_control(path: Path) -> Figure:
    """Holds where the difference is large enough and its whole interval above 0: a goal of two parts, judged here."""
    name, goal = "night_ap_over_best_control", 2
    found = _against(path, "night_ap", "to_best_control")
    if found is None:
        return _absent(name, path, goal)
    mean, interval, n, why = found
    holds = mean >= goal and interval is not None and interval[0] > 0
    return Figure(name, mean, "points", goal, holds, n, interval, why)


def _difference(name: str, path: Path, measure: str, to: str, goal: float) -> Figure:
    found = _against(path, measure, to)
    if found is None:
        return _absent(name, path, goal)
    mean, interval, n, why = found
    return measured(name, mean, "points", goal, "at_least", n=n, interval=interval, why=why)


def _absent(name: str, path: Path, goal: float) -> Figure:
    return undecided(name, "points", goal, f"{path.name} holds no {OURS} arm to compare so; run `s2st-aug gain`")


def _against(path: Path, measure: str, to: str) -> tuple[float, tuple[float, float] | None, int, str] | None:
    """Our mean difference to real_only or to the best control, its interval, the rng_keys and against what."""
    rows = _summary(path).get(measure, {})
    if OURS not in rows or rows[OURS][to] is None:
        return None
    e = rows[OURS][to]["difference"]
    interval = None if e["low"] is None else (e["low"], e["high"])
    means = {arm: [row["headline"]["mean"]] for arm, row in rows.items()}
    baseline = "real_only" if to == "to_real_only" else best_control(means)
    why = f"{OURS} against {baseline} by {measure}, read from the committed {path.name}, not run here"
    return e["mean"], interval, e["n"], why


def _ratio(name: str, path: Path, measure: str, baseline: str, goal: float) -> Figure:
    rows = _summary(path).get(measure, {})
    if not {OURS, baseline} <= rows.keys():
        return undecided(name, "ratio", goal, f"{path.name} holds no {OURS} beside {baseline}; run `s2st-aug gain`")
    ours, base = (rows[arm]["headline"] for arm in (OURS, baseline))
    why = f"{measure} {ours['mean']:.2f} against {base['mean']:.2f} of {baseline}, read from the committed {path.name}"
    ratio = ours["mean"] / base["mean"] if base["mean"] else float("nan")
    interval = _ratio_interval(path, measure, baseline)
    why = f"{why}, not run here" + ("; the interval is over rng_keys, not test images" if interval else "")
    return measured(name, ratio, "ratio", goal, "at_least", n=ours["n"], interval=interval, why=why)


def _ratio_interval(path: Path, measure: str, baseline: str) -> tuple[float, float] | None:
    """95 % t interval of our ratio to a baseline over rng_keys, paired, of its logarithm; None where a value is 0."""
    results = json.loads(path.read_text(encoding="utf-8")).get("results", {})
    ours, base = (np.array([key[measure] for key in results.get(arm, ())]) for arm in (OURS, baseline))
    if len(ours) < 2 or len(ours) != len(base) or min(ours.min(), base.min()) <= 0:
        return None
    log = np.log(ours / base)
    reach = stats.t.ppf(0.975, len(log) - 1) * log.std(ddof=1) / len(log) ** 0.5
    return float(np.exp(log.mean() - reach)), float(np.exp(log.mean() + reach))


def _summary(path: Path) -> dict[str, dict[str, Any]]:
    """Rows by measure and arm."""
    if not path.is_file():
        return {}
    summary = json.loads(path.read_text(encoding="utf-8"))["summary"]
    return {measure: {row["arm"]: row for row in rows} for measure, rows in summary.items()}
