"""Fit what the checks make of a traffic light's lamps before the detail step; one command does all of it:

nice python pipelines/fit_lamps.py [--streets 75] [--keep FILE] writes s2st_aug/validation/lamps.safetensors. It learns
from streets 5000 to 5039 and 5080 to 5114 of rng_key 4. Five networks, each fitted without a fifth of the streets, say
what is found on streets that were not fitted on, and which outputs a fiftieth and a two hundredth of the true signals
of 16 px and more lie below: a signal is ignored and lost from there on. The network that is written is fitted on all.
With --keep, the lessons stay in FILE. The same arguments give the same bytes on the same machine. Run it again when
street-mini's autoencoder has changed.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/ is not part of the installed package

from benchmarks.fault_cases import CHOSEN_KEY, CONTROL, LEAST_SIDE
from benchmarks.fault_rates import size_name
from benchmarks.lamp_lessons import Lesson, lamp_lessons
from s2st_aug.diffusion.stable_diffusion import load_model
from s2st_aug.training.lamps import fit_lamps, with_shares, write_lamps
from s2st_aug.validation.lamps import logits
from s2st_aug.validation.settings import ValidationSettings

OUT = Path(__file__).parents[1] / "s2st_aug" / "validation" / "lamps.safetensors"
NUMBERS = (*range(5000, 5040), *range(5080, 5115))  # of streets
FOLDS = 5
LOST, DOUBTED = 0.005, 0.02  # share of true signals that may be called lost, and not kept


def gathered(streets: Sequence[int]) -> Iterator[tuple[int, Lesson]]:
    """Every lesson with the number of its street."""
    model = load_model("street-mini")
    for index in streets:
        yield from ((index, lesson) for lesson in lamp_lessons(CHOSEN_KEY, index, model))


def fitted(some: Sequence[Lesson]) -> dict[str, np.ndarray]:
    """A network on these lessons."""
    return fit_lamps(np.stack([x.numbers for x in some]), np.array([x.fault == CONTROL for x in some]))


def held_out(numbered: Sequence[tuple[int, Lesson]]) -> np.ndarray:
    """The output for each lesson of a network that was fitted without its street."""
    streets = list(dict.fromkeys(n for n, _ in numbered))
    fold = np.array([streets.index(n) % FOLDS for n, _ in numbered])
    numbers, out = np.stack([x.numbers for _, x in numbered]), np.zeros(len(numbered))
    for k in range(FOLDS):
        weights = fitted([x for (_, x), its in zip(numbered, fold, strict=True) if its != k])
        out[fold == k] = logits(weights, numbers[fold == k])
    return out


def report(outputs: np.ndarray, bars: Sequence[float], some: Sequence[Lesson]) -> None:
    """How many of each kind are lost and not kept, by size."""
    kinds: dict[str, list[float]] = defaultdict(list)
    for value, x in zip(outputs.tolist(), some, strict=True):
        kinds[f"{x.fault}{', sharp' if x.sharp else ''}, {size_name(x.side)} px"].append(value)
    for kind, values in sorted(kinds.items()):
        lost, doubted = (f"{np.mean(np.array(values) < bar):.3f}" for bar in bars)
        print(f"{kind}: not kept {doubted}, lost {lost} (n {len(values)})")


def main() -> None:
    """Gather, fit without a fifth of the streets at a time, report, fit on all, set both shares, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streets", type=int, default=len(NUMBERS))
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--out", type=Path, default=OUT)
    a = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    numbered = _kept(a.keep) if a.keep and a.keep.is_file() else list(gathered(NUMBERS[: a.streets]))
    if a.keep and not a.keep.is_file():
        _keep(a.keep, numbered)
    some, outputs, s = [x for _, x in numbered], held_out(numbered), ValidationSettings()
    true = np.array([x.fault == CONTROL and not x.sharp and x.side >= LEAST_SIDE for x in some])
    lost, doubted = (float(v) for v in np.quantile(outputs[true], (LOST, DOUBTED)))
    report(outputs, (lost, doubted), some)
    weights = with_shares(fitted(some), (lost, doubted), (s.lost_signal_kept, s.least_signal_kept))
    write_lamps(weights, a.out, f"{a.streets} streets of rng_key {CHOSEN_KEY} with more signals put into them")
    print(f"{a.out}: {len(some)} lessons, {sum(x.fault == CONTROL for x in some)} of them true")


def _keep(path: Path, numbered: Sequence[tuple[int, Lesson]]) -> None:
    street, some = [n for n, _ in numbered], [x for _, x in numbered]
    fault, origin, side, sharp = ([getattr(x, f) for x in some] for f in ("fault", "origin", "side", "sharp"))
    numbers = np.stack([x.numbers for x in some])
    with path.open("wb") as file:  # by its name, numpy would write another file where it does not end in .npz
        np.savez(file, street=street, numbers=numbers, fault=fault, origin=origin, side=side, sharp=sharp)


def _kept(path: Path) -> list[tuple[int, Lesson]]:
    with np.load(path) as file:
        kept = {f: file[f] for f in file.files}
    rows = zip(*(kept[f] for f in ("street", "numbers", "fault", "origin", "side", "sharp")), strict=True)
    return [(int(n), Lesson(z, str(f), str(o), float(side), bool(sharp))) for n, z, f, o, side, sharp in rows]


if __name__ == "__main__":
    main()
