"""What the shipped detector finds of objects that a model invents, and which true pictures it rejects for one.

python pipelines/examine_objects.py --key 820017 --streets 10 [--detector FILE] prints shares with their 95 % intervals.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/ is not part of the installed package

from benchmarks.invented_objects import LEAST, examined, rates
from s2st_aug.validation.detectors import load_detector
from s2st_aug.validation.judge import LISTED


def main() -> None:
    """Examine and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--key", type=int, required=True, help="rng_key of the streets")
    parser.add_argument("--streets", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, help="number of the first street")
    parser.add_argument("--detector", default="street-mini-detector", help="a shipped one, or an ONNX file")
    parser.add_argument("--least", type=float, nargs="+", default=[LEAST], help="scores that reject")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    detector = load_detector(arguments.detector, LISTED * min(arguments.least))
    streets = range(arguments.first, arguments.first + arguments.streets)
    cases = list(examined(detector, arguments.key, streets))
    for least in arguments.least:
        print(f"from a score of {least:g}")
        for figure in rates(cases, least):
            low, high = figure.interval or (0.0, 1.0)
            value = "no case" if figure.value is None else f"{figure.value:.3f} ({low:.3f} to {high:.3f})"
            print(f"{figure.name:44} {value:26} n {figure.n}")


if __name__ == "__main__":
    main()
