"""What the checks find of lights that no training knows, and which true pictures they reject for a light.

python pipelines/examine_lights.py --key 313370 --streets 10 [--size 640x360] [--emitted] [--misses DIR] prints shares
with their 95 % intervals, of lights painted over sharp renders or over what the product emits of them; into DIR it
draws ten of the lights that were missed and of the true pictures that were rejected.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/ is not part of the installed package

from benchmarks.invented_rates import LEAST, examined, is_wrong, rates, write_misses


def main() -> None:
    """Examine, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--key", type=int, required=True, help="rng_key of the streets")
    parser.add_argument("--streets", type=int, default=10)
    parser.add_argument("--size", default="1280x720", help="width x height")
    parser.add_argument("--emitted", action="store_true", help="over what the product emits")
    parser.add_argument("--least", type=float, default=LEAST, help="the score that rejects")
    parser.add_argument("--misses", type=Path, help="a folder for ten pictures of misses")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    width, height = map(int, arguments.size.split("x"))
    every = examined(arguments.key, range(arguments.streets), (width, height), emitted=arguments.emitted)
    none = np.zeros((0, 0, 3), np.uint8)  # of what was judged rightly no picture is wanted
    cases = [c if is_wrong(c, arguments.least) else replace(c, source=none, variant=none) for c in every]
    for figure in rates(cases, least=arguments.least):
        low, high = figure.interval or (0.0, 1.0)
        value = "no case" if figure.value is None else f"{figure.value:.3f} ({low:.3f} to {high:.3f})"
        print(f"{figure.name:36} {value:26} n {figure.n}")
    if arguments.misses:
        arguments.misses.mkdir(parents=True, exist_ok=True)
        print(*write_misses(cases, arguments.misses, arguments.least), sep="\n")


if __name__ == "__main__":
    main()
