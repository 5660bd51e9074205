"""Suite `gpu` on a lent machine: python -m benchmarks.gpu.measure FILE [--seconds 100]. FILE grows by figures."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from pathlib import Path

import psutil

from benchmarks import write_figures
from benchmarks.figure import Figure
from benchmarks.gpu import CHECKS, run_checks


def merged(paths: list[Path]) -> list[Figure]:
    """The figures of several calls, in the first one's order: of each name the first with a value."""
    found: dict[str, Figure] = {}
    for row in (row for path in paths for row in json.loads(path.read_text())):
        figure = Figure(**row | {"interval": tuple(row["interval"]) if row["interval"] else None})
        if figure.name not in found or found[figure.name].value is None:
            found[figure.name] = figure
    return list(found.values())


def main() -> None:
    """Measure, and write the whole file anew after every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--seconds", type=float, default=100.0)
    parser.add_argument("--checks", nargs="*", default=list(CHECKS), choices=CHECKS, help="only these")
    parser.add_argument("--merge", nargs="*", type=Path, metavar="GPU.JSON", help="no checks: put files together")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
    if arguments.merge:
        return write_figures(merged(arguments.merge), arguments.file)
    figures: list[Figure] = []
    left = arguments.seconds - (time.time() - psutil.Process().create_time())  # importing PyTorch counts
    for figure in run_checks(quick=True, device=arguments.device, seconds=left, names=arguments.checks):
        figures.append(figure)
        logging.info("%s = %s %s; %s", figure.name, figure.value, figure.unit, figure.why)
        write_figures(figures, arguments.file)


if __name__ == "__main__":
    main()
