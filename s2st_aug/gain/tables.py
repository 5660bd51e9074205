"""An experiment's results as figures, a Markdown page and a plot."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from s2st_aug.gain.config import CONTROLS, ONCE, GainConfig
from s2st_aug.gain.experiment import HEADLINE, Measures
from s2st_aug.gain.statistics import Comparison, Estimate, compare, estimate


@dataclass(frozen=True, slots=True)
class ArmResult:
    """One arm's headline measure, and its paired differences to real_only and to the best control."""

    arm: str
    headline: Estimate
    to_real_only: Comparison | None
    to_best_control: Comparison | None


def summarise(results: Mapping[str, Sequence[Measures]], measure: str) -> list[ArmResult]:
    """Every arm against real_only and against the control of the highest mean, on one measure."""
    values = {
        arm: [m[measure] for m in measures] for arm, measures in results.items() if all(measure in m for m in measures)
    }
    best = best_control(values)
    return [
        ArmResult(
            arm,
            estimate(own),
            compare(own, values["real_only"]) if arm != "real_only" and "real_only" in values else None,
            compare(own, values[best]) if best and arm not in (best, "real_only") else None,
        )
        for arm, own in values.items()
    ]


def best_control(values: Mapping[str, Sequence[float]]) -> str | None:
    """The control arm of the highest mean, or None without a control."""
    present = [arm for arm in (*CONTROLS, *ONCE) if arm in values]
    return max(present, key=lambda arm: estimate(values[arm]).mean) if present else None


def write_tables(config: GainConfig, results: Mapping[str, Sequence[Measures]]) -> Path:
    """`out/result.json`, `out/result.md` and `out/result.png`; the path of the page."""
    config.out.mkdir(parents=True, exist_ok=True)
    rows = summarise(results, HEADLINE[config.task])
    stored = {
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "config": json.loads(config.model_dump_json()),
    }
    stored |= {"results": {arm: list(m) for arm, m in results.items()}, "summary": [asdict(row) for row in rows]}
    (config.out / "result.json").write_text(json.dumps(stored, indent=1, default=str))
    page = config.out / "result.md"
    page.write_text(markdown(config, results, rows))
    _plot(config, rows)
    return page


def machine() -> str:
    """Processor count and Python, as a table's caption needs them."""

    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, no GPU"


def markdown(config: GainConfig, results: Mapping[str, Sequence[Measures]], rows: Sequence[ArmResult]) -> str:
    """The headline table with intervals and paired tests, then every measure by arm."""
    head = f"| arm | {HEADLINE[config.task]} | to real only | to best control |\n|---|---|---|---|\n"
    body = "".join(
        f"| {r.arm} | {_estimate(r.headline)} | {_comparison(r.to_real_only)} | {_comparison(r.to_best_control)} |\n"
        for r in rows
    )
    return f"{head}{body}\n{_protocol(config)}\n{_details(results)}"


def _protocol(config: GainConfig) -> str:
    training = config.training
    size = f"{training.size[0]}x{training.size[1]}"
    same = f"{training.steps} updates of {training.batch} at {size} in every arm, {training.replaced:.0%} replaced"
    keys = ", ".join(map(str, config.rng_keys))
    return f"{same}; rng_keys {keys}; mean and 95 % t interval over them, paired t-test. {machine()}.\n"


def _details(results: Mapping[str, Sequence[Measures]]) -> str:
    names = list(dict.fromkeys(name for measures in results.values() for m in measures for name in m))
    lines = ["| measure | " + " | ".join(results) + " |", "|---" * (len(results) + 1) + "|"]
    for name in names:
        means = [
            estimate([m[name] for m in measures if name in m]).mean if any(name in m for m in measures) else None
            for measures in results.values()
        ]
        lines.append(f"| {name} | " + " | ".join("-" if mean is None else f"{mean:.1f}" for mean in means) + " |")
    return "\n".join(lines) + "\n"


def _estimate(e: Estimate) -> str:
    return f"{e.mean:.1f}" if e.low is None or e.high is None else f"{e.mean:.1f} ({e.low:.1f} to {e.high:.1f})"


def _comparison(c: Comparison | None) -> str:
    if c is None:
        return "-"
    e, p = c.difference, "" if c.p is None else f", p {c.p:.3f}"
    interval = "" if e.low is None or e.high is None else f" ({e.low:+.1f} to {e.high:+.1f})"
    return f"{e.mean:+.1f}{interval}{p}: {c.statement}"


def _plot(config: GainConfig, rows: Sequence[ArmResult]) -> None:
    """Means with intervals as a bar chart, where matplotlib is installed (it comes with FiftyOne)."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    figure = Figure(figsize=(7, 0.5 * len(rows) + 1.2), layout="constrained")
    axes: Any = figure.subplots()
    errors = [
        [r.headline.mean - (r.headline.low or r.headline.mean) for r in rows],
        [(r.headline.high or r.headline.mean) - r.headline.mean for r in rows],
    ]
    axes.barh([r.arm for r in rows], [r.headline.mean for r in rows], xerr=errors, capsize=4, color="#4878a8")
    axes.invert_yaxis()
    axes.set_xlabel(f"{HEADLINE[config.task]}, mean and 95 % interval over {len(config.rng_keys)} rng_keys")
    figure.savefig(config.out / "result.png", dpi=110)
