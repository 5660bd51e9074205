"""S2ST beside its peers on held-out scenes: python pipelines/compare.py [--count N] [--null-text N] --out docs/measured/comparison.md."""

from __future__ import annotations

import argparse
import logging
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

import torch

from s2st_aug.benchmarks.comparison import METHODS, as_markdown, compare, compare_null_text, draw_pareto, summarise
from s2st_aug.benchmarks.method import translator
from s2st_aug.errors import S2STError


def main() -> int:
    """Exit 0 once the table and the plot beside it are written; they are rewritten as rows come in."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=8, help="streets; each is one variant per domain, method and knob")
    parser.add_argument("--null-text", type=int, default=2, help="streets for null-text, which is dear")
    parser.add_argument("--null-text-steps", type=int, default=50, help="the published: 50")
    parser.add_argument("--method", action="append", choices=sorted(METHODS), help="default: all")
    parser.add_argument("--out", type=Path, default=Path("docs/measured/comparison.md"))
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    try:
        own = translator("standard")
        rows = list(compare(own, arguments.count, methods=arguments.method or tuple(METHODS)))
        write(rows, arguments)
        for row in compare_null_text(own, arguments.null_text, steps=arguments.null_text_steps):
            rows.append(row)
            write(rows, arguments)
    except S2STError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{len(rows)} rows in {arguments.out}")
    return 0


def write(rows: list, arguments: argparse.Namespace) -> None:
    """The table and, beside it, the plot."""
    found = summarise(rows)
    machine = f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, street-mini, one core, batch 1, CPU time."
    about = (
        f"# Side by side\n\n{machine} {arguments.count} held-out streets to night and rain (null-text, at {arguments.null_text_steps} "
        f"steps: {arguments.null_text}). Each method is swept over its own knob; its best is bold. The last column is paired, with a "
        "95 % bootstrap interval; below 0 ours is nearer to the true render.\n\n"
        f"![structure against distance]({arguments.out.stem}.svg)"
    )
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(as_markdown(found, about), encoding="utf-8")
    arguments.out.with_suffix(".svg").write_text(draw_pareto(found), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
