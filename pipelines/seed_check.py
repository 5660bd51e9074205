"""Why the seed matters, with numbers: python pipelines/seed_check.py [--count N] --out docs/measured/seed_check.md."""

from __future__ import annotations

import argparse
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/ is not part of the installed package

import torch

from benchmarks.method import translator
from benchmarks.seed_check import as_markdown, draw, lightness, seed_means
from s2st_aug.errors import S2STError


def main() -> int:
    """Exit 0 once the page and the plot beside it are written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=12, help="held-out streets")
    parser.add_argument("--out", type=Path, default=Path("docs/measured/seed_check.md"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    try:
        own = translator("standard")
        means, found = list(seed_means(own, arguments.count)), lightness(own, arguments.count)
    except S2STError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    schedule = own.model.schedule
    expected = schedule.abar(schedule.timesteps(own.settings.steps)[0]) ** 0.5
    machine = f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}"
    about = f"{machine}, {own.model.name}, {arguments.count} held-out streets, {own.settings.steps} steps."
    arguments.out.write_text(as_markdown(means, expected, found, about), encoding="utf-8")
    arguments.out.with_suffix(".svg").write_text(draw(means, expected), encoding="utf-8")
    print(arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
