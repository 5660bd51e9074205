"""S2ST beside its peers on held-out scenes: python pipelines/compare.py [--count N] [--null-text N].

Rows are kept in docs/measured/comparison.json street by street, and a street that is there with the same settings,
weights, profiles and thresholds is not measured again; comparison.md and comparison.svg are made from all of them.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/ is not part of the installed package

import torch

from benchmarks.comparison import (
    AIMS,
    NULL_TEXT,
    NULL_TEXT_GUIDANCE,
    Row,
    as_markdown,
    compare,
    compare_null_text,
    draw_pareto,
    identity,
    summarise,
)
from benchmarks.method import translator
from s2st_aug.errors import S2STError
from s2st_aug.translation.translator import Translator


def main() -> int:
    """Exit 0 once the table and the plot beside it are written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=8, help="streets; each is one variant per domain, method and knob")
    parser.add_argument(
        "--null-text", type=int, default=None, help="streets for null-text, which is dear (default: all)"
    )
    parser.add_argument("--null-text-steps", type=int, default=50, help="the published: 50")
    parser.add_argument("--json", type=Path, default=Path("docs/measured/comparison.json"))
    asked = parser.parse_args()
    asked.null_text = asked.count if asked.null_text is None else asked.null_text
    torch.set_num_threads(1)
    rows: list[Row] = []
    try:
        own = translator("standard")
        rows = stored(asked.json, identity(own))
        for street in measured(own, rows, asked):
            rows.extend(street)
            kept = {"identity": identity(own), "rows": [asdict(row) for row in rows]}
            asked.json.write_text(json.dumps(kept, allow_nan=False) + "\n", encoding="utf-8")
            print(f"{street[0].method} and others, street {street[0].street}: {len(street)} rows", flush=True)
    except S2STError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    write(rows, asked)
    return 0


def stored(path: Path, wanted: str) -> list[Row]:
    """The rows that are kept, if they were measured with all that is wanted."""
    kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return [Row(**row) for row in kept["rows"]] if kept.get("identity") == wanted else []


def measured(own: Translator, rows: list[Row], asked: argparse.Namespace) -> Iterator[list[Row]]:
    """The rows of every street that is asked for and not there yet."""
    done = {(row.knob if row.method == NULL_TEXT else None, row.street) for row in rows}
    yield from compare(own, [s for s in range(asked.count) if (None, s) not in done])
    for guidance in NULL_TEXT_GUIDANCE:
        left = [s for s in range(asked.null_text) if (guidance, s) not in done]
        yield from compare_null_text(own, left, steps=asked.null_text_steps, guidance=guidance)


def write(rows: list[Row], asked: argparse.Namespace) -> None:
    """The table and, beside it, the plot."""
    found = summarise(rows)
    aims = ", ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in AIMS.items())
    machine = f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, street-mini, one core, batch 1, CPU time."
    about = (
        f"# Side by side\n\n{machine} {asked.count} held-out streets to night and rain "
        f"(null-text, at {asked.null_text_steps} steps: {asked.null_text}). "
        "Every method gets the labels, and the same detail step, lights and held signals afterwards. Each is run at "
        "several values of its main setting (knob); its best is bold. Distance is 0 for the true render and 1 for "
        f"identity, which does nothing. Aims have two sides: {aims}. The last two columns compare S2ST's distance with "
        "the other method's at the same structure, variant by variant, with a 95 % bootstrap interval (below 0: S2ST "
        "is nearer to the truth), and say for how many variants S2ST reaches that structure.\n\n"
        f"![Structure against distance, one line for each method]({asked.json.stem}.svg)"
    )
    asked.json.with_suffix(".md").write_text(as_markdown(found, about), encoding="utf-8")
    asked.json.with_suffix(".svg").write_text(draw_pareto(found), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
