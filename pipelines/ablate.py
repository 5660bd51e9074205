"""Answer the paper's open questions on held-out scenes: python pipelines/ablate.py [--question Q]... [--count N] --out FILE.md."""

from __future__ import annotations

import argparse
import logging
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

from s2st_aug.benchmarks.ablation import QUESTIONS, ablate, as_markdown
from s2st_aug.errors import S2STError


def main() -> int:
    """Exit 0 once the tables are written; they are rewritten after every cell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--question", action="append", choices=sorted(QUESTIONS), help="default: all")
    parser.add_argument("--count", type=int, default=8, help="streets; each is one variant per domain")
    parser.add_argument("--preset", default="standard")
    parser.add_argument("--model", default="street-mini")
    parser.add_argument("--out", type=Path, default=Path("docs/measured/ablations.md"))
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    about = (
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {arguments.model}, {arguments.preset}, {arguments.count} held-out streets."
    )
    cells = []
    try:
        for cell in ablate(arguments.question or list(QUESTIONS), count=arguments.count, preset=arguments.preset, model=arguments.model):
            cells.append(cell)
            arguments.out.parent.mkdir(parents=True, exist_ok=True)
            arguments.out.write_text(as_markdown(cells, about + " Mean and 95 % bootstrap interval. An evaluation is one forward pass."))
    except S2STError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{len(cells)} cells in {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
