"""Suite `gpu` on a lent machine: python -m benchmarks.gpu.run_checks FILE [--device cuda] [--seconds 100]. FILE grows check by check."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from benchmarks import write_figures
from benchmarks.figure import Figure
from benchmarks.gpu import run_checks


def main() -> None:
    """Measure, and write the whole file anew after every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--seconds", type=float, default=100.0)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
    figures: list[Figure] = []
    for figure in run_checks(quick=True, device=arguments.device, seconds=arguments.seconds):
        figures.append(figure)
        logging.info("%s = %s %s; %s", figure.name, figure.value, figure.unit, figure.why)
        write_figures(figures, arguments.file)


if __name__ == "__main__":
    main()
