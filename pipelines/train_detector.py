"""Train the shipped detector of invented objects: python pipelines/train_detector.py [--seconds 3600] [--work DIR].

Draws pairs of source and picture of streets of rng_key 8 into DIR, trains from the last checkpoint in DIR for at most
so many seconds, and writes the ONNX file; the same command goes on. At a score of 0.5, three in a hundred of the true
pictures of 40 streets of rng_key 9 are rejected. `pipelines/examine_objects.py` examines it on other streets, with
objects of its own.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/ is not part of the installed package

from benchmarks.object_lessons import object_lessons, true_scores
from s2st_aug.diffusion.model import LatentModel
from s2st_aug.diffusion.stable_diffusion import load_model
from s2st_aug.training.detector_data import store_examples
from s2st_aug.training.detector_recipe import DetectorRecipe
from s2st_aug.validation.detectors import PairDetector, load_detector

ONNX = Path(__file__).parents[1] / "s2st_aug" / "weights" / "street-mini-detector" / "detector.onnx"
KEY, TRUE_KEY = 8, 9  # of the streets that are learnt from, and of those that say what 0.5 means
NUMBERS = (*range(300), *range(1000, 1300))  # of the former
TRUE_STREETS, REJECTED = 40, 0.03  # and the share of their pictures that 0.5 rejects
SHARD = 50  # streets a file


def main() -> None:
    """Draw, train, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3600.0, help="of this sitting")
    parser.add_argument("--steps", type=int, default=3200, help="updates of the whole training")
    parser.add_argument("--streets", type=int, default=len(NUMBERS))
    parser.add_argument("--work", type=Path, default=Path("checkpoints/street-mini-detector"))
    parser.add_argument("--out", type=Path, default=ONNX)
    a = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    end = time.monotonic() + a.seconds
    model = load_model("street-mini")
    if not drawn(a.work, NUMBERS[: a.streets], model, end):
        return
    recipe = DetectorRecipe(a.work, a.steps)
    if not recipe.train(end - time.monotonic()):
        return
    about = f"{a.streets} rendered streets of rng_key {KEY}, {a.steps} updates"
    detector = load_detector(str(recipe.write(a.work / "unlifted.onnx", about)), 0.01)
    assert isinstance(detector, PairDetector)
    true = [score for n in range(TRUE_STREETS) for score in true_scores(detector, TRUE_KEY, n, model)]
    bar = float(np.quantile(true, 1 - REJECTED))
    print(recipe.write(a.out, about, lift=-math.log(bar / (1 - bar))), f"0.5 was {bar:.3f}, {len(true)} true pictures")


def drawn(work: Path, numbers: Sequence[int], model: LatentModel, end: float) -> bool:
    """Draw what is missing until so late; True when all is there."""
    work.mkdir(parents=True, exist_ok=True)
    for first in range(0, len(numbers), SHARD):
        path = work / f"examples-{numbers[first]:04d}.npz"
        if path.exists():
            continue
        if time.monotonic() > end:
            return False
        some = numbers[first : first + SHARD]
        store_examples(path, [e for n in some for e in object_lessons(KEY, n, model)])
        logging.info("drawn %s", path.name)
    return True


if __name__ == "__main__":
    main()
