"""One suite's measured figures as JSON: python pipelines/benchmark.py --suite NAME [--quick] --json FILE.

Exit 0 once the file is written, whatever the figures say; 2 for wrong usage.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/ is not part of the installed package

from benchmarks import SUITES, note_machine, run_suite, write_figures
from benchmarks.provenance import stamp_of, stamps_of

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", required=True, choices=SUITES)
    parser.add_argument("--quick", action="store_true", help="at most five minutes on 2 cores")
    parser.add_argument("--json", required=True, type=Path, metavar="FILE")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    if not arguments.json.absolute().parent.is_dir():
        parser.error(f"--json: {arguments.json.parent} is not a folder")
    own = stamps_of(arguments.suite, SUITES[arguments.suite])
    stamp = stamp_of(arguments.suite)  # of what is measured, whatever is edited meanwhile
    figures = run_suite(arguments.suite, quick=arguments.quick)
    write_figures(figures, arguments.json, stamp, own)
    note_machine(arguments.suite, arguments.json, quick=arguments.quick)
    for figure in figures:
        held = {True: "holds", False: "FALLS SHORT", None: "undecided"}[figure.holds]
        value = "n/a" if figure.value is None else f"{figure.value:.6g}"
        print(f"{figure.name:36} {value:>12} {figure.unit:18} goal {figure.goal} {held} {figure.why}")
