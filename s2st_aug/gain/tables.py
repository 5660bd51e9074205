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

from s2st_aug.gain.config import CONTROLS, ONCE, ORACLES, GainConfig
from s2st_aug.gain.experiment import HEADLINE
from s2st_aug.gain.results import Outcome
from s2st_aug.gain.statistics import Comparison, Estimate, compare, estimate, headroom_closed, image_spread
from s2st_aug.gain.training import first_file

Results = Mapping[str, Sequence[Outcome]]


@dataclass(frozen=True, slots=True)
class ArmResult:
    """One arm's measure, its paired differences to real_only and to the best control, and how much it closes of the way
    from real_only to the true renders.
    """

    arm: str
    headline: Estimate
    to_real_only: Comparison | None
    to_best_control: Comparison | None
    headroom: Estimate | None


def summarise(results: Results, measure: str) -> list[ArmResult]:
    """Every arm against real_only and against the control of the highest mean, on one measure."""
    arms = {arm: tested for arm, tested in results.items() if all(measure in t.measures for t in tested)}
    values = {arm: [t.measures[measure] for t in tested] for arm, tested in arms.items()}
    draws = {arm: [t.resampled.get(measure, []) for t in tested] for arm, tested in arms.items()}
    best = best_control(values)

    def to(arm: str, other: str | None) -> Comparison | None:
        if other is None or other not in values or arm in (other, "real_only"):
            return None
        return compare(values[arm], values[other], image_spread(draws[arm], draws[other]))

    def closed(arm: str) -> Estimate | None:
        if not {"real_only", "true_render"} <= values.keys() or arm in ("real_only", "true_render"):
            return None
        return headroom_closed(values[arm], values["real_only"], values["true_render"])

    return [
        ArmResult(arm, estimate(own, image_spread(draws[arm])), to(arm, "real_only"), to(arm, best), closed(arm))
        for arm, own in values.items()
    ]


def best_control(values: Mapping[str, Sequence[float]]) -> str | None:
    """The control arm of the highest mean, or None without a control; oracles are no controls."""
    present = [arm for arm in (*CONTROLS, *ONCE) if arm in values]
    return max(present, key=lambda arm: estimate(values[arm]).mean) if present else None


def write_tables(config: GainConfig, results: Results) -> Path:
    """`out/result.json`, `out/result.md` and `out/result.png`; the path of the page."""
    config.out.mkdir(parents=True, exist_ok=True)
    stored = {
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "config": json.loads(config.model_dump_json()),
        "first": _first_measures(config),
        "results": {arm: [t.measures for t in tested] for arm, tested in results.items()},
        "summary": {name: [asdict(row) for row in summarise(results, name)] for name in _all_measures(results)},
    }
    (config.out / "result.json").write_text(json.dumps(stored, indent=1, default=str))
    page = config.out / "result.md"
    page.write_text(markdown(config, results))
    _plot(config, summarise(results, HEADLINE[config.task]))
    return page


def headlines(config: GainConfig, results: Results) -> list[str]:
    """What a table of its own is made of: the task's measure, and of each domain that has a test set."""
    measured = _all_measures(results)
    by_domain = [f"{domain}_{HEADLINE[config.task]}" for domain in config.domains]
    return [HEADLINE[config.task], *(name for name in by_domain if name in measured)]


def _all_measures(results: Results) -> list[str]:
    return list(dict.fromkeys(name for tested in results.values() for t in tested for name in t.measures))


def _first_measures(config: GainConfig) -> dict[str, float] | None:
    if config.training.first is None:
        return None
    stored: dict[str, float] = json.loads(first_file(config).with_suffix(".json").read_text())
    return stored


def machine() -> str:
    """Processor count and Python, as a table's caption needs them."""

    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, no GPU"


def markdown(config: GainConfig, results: Results) -> str:
    """A table with intervals and paired tests for each headline, then every measure by arm."""
    parts = [_table(name, summarise(results, name)) for name in headlines(config, results)]
    return "\n".join([*parts, _protocol(config), _details(results)])


def _table(measure: str, rows: Sequence[ArmResult]) -> str:
    head = f"| arm | {measure} | to real only | to best control | headroom closed |\n|---|---|---|---|---|\n"
    body = "".join(
        f"| {_named(r.arm)} | {_estimate(r.headline)} | {_comparison(r.to_real_only)} | "
        f"{_comparison(r.to_best_control)} | {_share(r.headroom)} |\n"
        for r in rows
    )
    return head + body


def _named(arm: str) -> str:
    return f"{arm} (oracle)" if arm in ORACLES else arm


def _share(e: Estimate | None) -> str:
    if e is None:
        return "-"
    return f"{e.mean:.0%}" if e.low is None or e.high is None else f"{e.mean:.0%} ({e.low:.0%} to {e.high:.0%})"


def _protocol(config: GainConfig) -> str:
    training = config.training
    size = f"{training.size[0]}x{training.size[1]}"
    same = f"{training.steps} updates of {training.batch} at {size} in every arm, {training.replaced:.0%} replaced"
    keys = ", ".join(map(str, config.rng_keys))
    first = "" if training.first is None else f" from one network that saw {training.first.steps} updates by day first"
    over = "mean and 95 % t interval over rng_keys and test images, paired"
    return f"{same}{first}; rng_keys {keys}; {over}. {machine()}.\n"


def _details(results: Results) -> str:
    names = _all_measures(results)
    lines = ["| measure | " + " | ".join(results) + " |", "|---" * (len(results) + 1) + "|"]
    for name in names:
        means = [
            estimate([t.measures[name] for t in tested if name in t.measures]).mean
            if any(name in t.measures for t in tested)
            else None
            for tested in results.values()
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
    axes.set_xlabel(f"{HEADLINE[config.task]}, mean and 95 % interval over rng_keys and test images")
    figure.savefig(config.out / "result.png", dpi=110)
