"""docs/measured/faults.md and faults.svg from the suite's kept trials: S2ST_BENCH_KEEP=DIR python
pipelines/fault_page.py.

Run `S2ST_BENCH_KEEP=DIR python pipelines/benchmark.py --suite faults --json docs/measured/faults.json` first.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/ is not part of the installed package

from benchmarks.fault_plot import draw_curves
from benchmarks.fault_rates import SIZES, breakdown, curves, pivot, precision_rows, size_name
from benchmarks.faults import collected

PRECISION = (
    "At the shipped thresholds, without a detector, for one planted fault to each true object or image; "
    "false alarms of the same kind."
)
MEASURED = Path(__file__).parents[1] / "docs" / "measured"


def main() -> None:
    """Read, count, draw, write."""
    trials = collected(quick=False)
    found = curves(trials)
    (MEASURED / "faults.svg").write_text(draw_curves(found), encoding="utf-8")
    sizes = pivot(list(breakdown(trials, lambda t: size_name(t.side))), [name for _, name in SIZES])
    classes = pivot(list(breakdown(trials, lambda t: t.category)), sorted({t.category for t in trials}))
    origins = pivot(list(breakdown(trials, lambda t: t.origin)), ["night", "rain", "dusk", "photo"])
    notes = (MEASURED / "faults.md").read_text(encoding="utf-8").partition("\n## Notes\n")[2]
    figures = json.loads((MEASURED / "faults.json").read_text(encoding="utf-8"))
    table = ["| figure | value | 95 % | n | goal | holds |", "|---|---|---|---|---|---|", *map(_row, figures)]
    suite = "[the suite](../validity.md#the-planted-fault-suite)"
    parts = [
        "# Planted faults", "", f"Made by `pipelines/fault_page.py` from the trials of {suite}.",
        "", "## Figures", "", *table, "", "## Curves", "", "![recall against false alarms](faults.svg)", "",
        *_curve_table(found), "", "## Precision", "", PRECISION, "", *_precision_table(trials), "",
        "## By size", "", "Px of the shorter side. Share found (95 % interval), number planted.", "", *sizes,
        "", "## By class", "", *classes, "", "## By condition", "", *origins, "", "## Notes", notes.rstrip(), "",
    ]  # fmt: skip
    (MEASURED / "faults.md").write_text("\n".join(parts), encoding="utf-8")


def _precision_table(trials: list) -> list[str]:
    rows = [f"| {name} | {r:.3f} | {a:.3f} | {p:.3f} | {n} |" for name, r, a, p, n in precision_rows(trials)]
    return ["| fault | recall | false alarms | precision | n |", "|---|---|---|---|---|", *rows]


def _row(f: dict) -> str:
    between = "{:.3f}-{:.3f}".format(*f["interval"]) if f["interval"] else ""
    value = "n/a" if f["value"] is None else f"{f['value']:.3f}"
    goal, holds = "" if f["goal"] is None else f["goal"], {True: "yes", False: "**no**", None: ""}[f["holds"]]
    return f"| `{f['name']}` | {value} | {between} | {f['n']} | {goal} | {holds} |"


def _curve_table(found: list) -> list[str]:
    lines = [
        "| fault | threshold moved | recall at no more than 5 % false alarms | at | area under the curve | n |",
        "|---|---|---|---|---|---|",
    ]
    for c in found:
        best = "none keeps to it | " if c.at_allowed is None else "{:.3f} | {:g}".format(*c.at_allowed)
        lines.append(f"| {c.fault} | `{c.threshold}` | {best} | {c.area:.3f} | {c.n} |")
    return lines


if __name__ == "__main__":
    main()
