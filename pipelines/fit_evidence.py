"""Fit what the checks make of an object before the detail step; one command does all of it:

nice python pipelines/fit_evidence.py [--streets 886] [--sharp 30] [--photos 30] [--keep FILE] writes
s2st_aug/validation/evidence.safetensors and prints, for thresholds, the share of true objects doubted and of faults
found on every sixth street, which are fitted on only after that. It learns from streets of rng_key 4, from number 100
on, and from photos of CamVid's video 0016E5; on streets 0 to 13 of that key an evidence of 0.15 is set so that it
doubts a fiftieth of the true objects of 16 px and more. With --keep, the lessons stay in FILE. The same arguments give
the same bytes on the same machine. Run it again when street-mini's autoencoder has changed.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/ is not part of the installed package

from benchmarks.evidence_lessons import Lesson, photo_lessons, street_lessons
from benchmarks.fault_cases import CHOSEN_KEY, CHOSEN_VIDEO, CONTROL, LEAST_SIDE, SMALL_SIDE
from s2st_aug.diffusion.stable_diffusion import load_model
from s2st_aug.errors import DatasetError
from s2st_aug.training.evidence import STEPS, fit_evidence, with_evidence, write_evidence
from s2st_aug.validation.evidence_network import Views, logits
from s2st_aug.validation.settings import ValidationSettings

OUT = Path(__file__).parents[1] / "s2st_aug" / "validation" / "evidence.safetensors"
NUMBERS = (*range(100, 243), *range(300, 343), *range(3000, 3700))  # of streets whose pictures pass the autoencoder
SHARP_FIRST = 400  # number of the first street whose pictures are only made as small
HELD_OUT = 6  # one street in so many says how well a fit does
CHOOSING, DOUBTED = 14, 0.02  # streets that say what an evidence means, and the share of their true objects below it
"""Streets 0 to 13 of the key."""
AT = (0.02, 0.03, 0.05, 0.08)


def lessons(streets: int, sharp: int, photos: int) -> Iterator[tuple[int, Lesson]]:
    """Every lesson with a number that those of one street or of all photos share."""
    model = load_model("street-mini")
    for numbers, painter in ((NUMBERS[:streets], model), (range(SHARP_FIRST, SHARP_FIRST + sharp), None)):
        for index in numbers:
            yield from ((index, lesson) for lesson in street_lessons(CHOSEN_KEY, index, painter))
    try:
        yield from ((-1, lesson) for lesson in photo_lessons(CHOSEN_VIDEO, photos, load_model("street-photo")))
    except DatasetError:
        print("no photos of CamVid: fitted on streets alone", file=sys.stderr)


def views_of(some: Sequence[Lesson]) -> tuple[Views, np.ndarray]:
    """What the network sees, and which of it is true."""
    seen = Views(np.stack([x.cutout for x in some]), np.stack([x.numbers for x in some]))
    return seen, np.array([x.fault == CONTROL for x in some])


def report(evidence: np.ndarray, some: Sequence[Lesson]) -> None:
    """What thresholds cost and find on streets that were not fitted on."""
    by_kind: dict[str, list[float]] = defaultdict(list)
    for value, lesson in zip(evidence.tolist(), some, strict=True):
        if lesson.side >= LEAST_SIDE:
            by_kind[f"true {lesson.origin}" if lesson.fault == CONTROL else lesson.fault].append(value)
    true = np.concatenate([v for k, v in by_kind.items() if k.startswith("true")])
    for share in AT:
        least = float(np.quantile(true, share))
        rows = (f"{k} {np.mean(np.array(v) < least):.3f} ({len(v)})" for k, v in sorted(by_kind.items()))
        print(f"{share:.0%} of true objects doubted, below {least:.3f}:", ", ".join(rows))


def choosing() -> Iterator[Lesson]:
    """True objects of streets that neither a fit nor a report knows, and nothing else."""
    model = load_model("street-mini")
    every = (street_lessons(CHOSEN_KEY, index, model, untouched=True) for index in range(CHOOSING))
    return (lesson for lesson in chain.from_iterable(every) if lesson.side >= LEAST_SIDE)


def main() -> None:
    """Gather, fit without every sixth street and report on it, fit on all, set what 0.15 means, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streets", type=int, default=len(NUMBERS))
    parser.add_argument("--sharp", type=int, default=30)
    parser.add_argument("--photos", type=int, default=30)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--out", type=Path, default=OUT)
    a = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    numbered = _kept(a.keep) if a.keep and a.keep.is_file() else list(lessons(a.streets, a.sharp, a.photos))
    numbered = [(n, x) for n, x in numbered if x.side >= SMALL_SIDE]
    if a.keep and not a.keep.is_file():
        _keep(a.keep, numbered)
    held = [x for n, x in numbered if n % HELD_OUT == HELD_OUT - 1]
    trial = fit_evidence(*views_of([x for n, x in numbered if n % HELD_OUT != HELD_OUT - 1]), steps=a.steps)
    report(_share(trial, held), held)
    weights = fit_evidence(*views_of([x for _, x in numbered]), steps=a.steps)
    value = float(np.quantile(_share(weights, list(choosing())), DOUBTED))
    weights = with_evidence(value, ValidationSettings().least_evidence, weights)
    about = f"{a.streets} streets of rng_key {CHOSEN_KEY}, {a.sharp} more without an autoencoder, {a.photos} photos"
    write_evidence(weights, a.out, f"{about} of CamVid's {CHOSEN_VIDEO}")
    print(f"{a.out}: {len(numbered)} lessons, {sum(x.fault == CONTROL for _, x in numbered)} of them true")


def _share(weights: dict[str, np.ndarray], some: Sequence[Lesson]) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits(weights, views_of(some)[0]), -30, 30))))


def _keep(path: Path, numbered: Sequence[tuple[int, Lesson]]) -> None:
    views, _ = views_of([x for _, x in numbered])
    fault, origin, side = ([getattr(x, name) for _, x in numbered] for name in ("fault", "origin", "side"))
    street = [n for n, _ in numbered]
    with path.open("wb") as file:  # by its name, numpy would write another file where it does not end in .npz
        np.savez(
            file, cutouts=views.cutouts, numbers=views.numbers, street=street, fault=fault, origin=origin, side=side
        )  # fmt: skip


def _kept(path: Path) -> list[tuple[int, Lesson]]:
    with np.load(path) as file:
        kept = {name: file[name] for name in file.files}
    return [
        (int(n), Lesson(cutouts, numbers, str(fault), str(origin), float(side)))
        for n, cutouts, numbers, fault, origin, side in zip(
            *(kept[k] for k in ("street", "cutouts", "numbers", "fault", "origin", "side")), strict=True
        )
    ]


if __name__ == "__main__":
    main()
