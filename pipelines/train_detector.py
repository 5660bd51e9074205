"""Train the shipped street detector on rendered streets: python pipelines/train_detector.py [--seconds 240] [--work
DIR].

Renders streets of rng_key 8 into DIR, trains from the last checkpoint in DIR for at most so many seconds, and writes
the ONNX file. The same command goes on; `--measure` prints recall and precision on streets of rng_key 9 instead.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from s2st_aug.training.detector_recipe import DetectorRecipe, measure_detector

ONNX = Path(__file__).parents[1] / "s2st_aug" / "weights" / "street-mini-detector" / "detector.onnx"


def main() -> None:
    """Render, train, write; or measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=240.0, help="processor time of this sitting")
    parser.add_argument(
        "--epochs", type=int, default=12, help="of the whole training, which the learning rate falls over"
    )
    parser.add_argument("--streets", type=int, default=320)
    parser.add_argument("--work", type=Path, default=Path("checkpoints/street-mini-detector"))
    parser.add_argument("--measure", type=int, metavar="N", help="on N held-out streets by day, night and rain")
    parser.add_argument("--out", type=Path, default=ONNX)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if arguments.measure:
        for line in measure_detector(arguments.out, arguments.measure):
            print(line)
        return
    recipe = DetectorRecipe(arguments.work, arguments.streets, arguments.epochs)
    if recipe.render(arguments.seconds) and recipe.train(arguments.seconds):
        print(f"trained: {recipe.write(arguments.out)}")


if __name__ == "__main__":
    main()
