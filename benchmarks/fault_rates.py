"""Rates with their intervals, curves over a threshold, and tables of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.fault_cases import CONTROL
from benchmarks.fault_trials import FAULTS, PASTED, SETTINGS, Trial, caught
from benchmarks.figure import Figure, measured, undecided, wilson

SIZES = (
    (10, "10-16"),
    (16, "16-24"),
    (24, "24-40"),
    (40, "40-80"),
    (80, "80 and more"),
)  # px of the shorter side, from
COUNTED = tuple(name for least, name in SIZES if least >= 16)
ALLOWED = 0.05  # false alarms at which curves are read


@dataclass(frozen=True, slots=True)
class Curve:
    """Recall of one fault against false alarms as one threshold moves.

    `thresholds`, `alarms`, `recall` are of one length.
    """

    fault: str
    threshold: str
    thresholds: np.ndarray
    alarms: np.ndarray
    recall: np.ndarray
    n: int

    @property
    def area(self) -> float:
        """The area under the curve, its ends joined to (0, 0) and (1, 1)."""
        order = np.lexsort((self.recall, self.alarms))
        x, y = np.r_[0.0, self.alarms[order], 1.0], np.r_[0.0, self.recall[order], 1.0]
        return float(np.trapezoid(y, x))

    @property
    def at_allowed(self) -> tuple[float, float] | None:
        """The best recall at no more than ALLOWED false alarms, and its threshold.

        None where no threshold keeps to it.
        """
        fits = np.flatnonzero(self.alarms <= ALLOWED)
        if not len(fits):
            return None
        best = fits[np.argmax(self.recall[fits])]
        return float(self.recall[best]), float(self.thresholds[best])


def rate_figure(label: str, hits: Sequence[bool], goal: float | None, why: str, *, at_least: bool = False) -> Figure:
    """A share with its 95 % interval, judged where it has a goal."""
    if not hits:
        return undecided(label, "1", goal, "no case of it in this run")
    n, value = len(hits), float(np.mean(hits))
    interval = wilson(int(sum(hits)), n)
    if goal is None:
        return Figure(label, value, "1", None, None, n, interval, why)
    return measured(label, value, "1", goal, "at_least" if at_least else "at_most", n=n, interval=interval, why=why)


def size_name(side: float) -> str:
    """The size bin of an object's shorter side."""
    return next((name for least, name in reversed(SIZES) if side >= least), f"below {SIZES[0][0]}")


def curves(trials: Sequence[Trial]) -> list[Curve]:
    """Object faults over keep_of_around, made-up things over max_hallucination, image faults over max_tone_explained.

    False alarms are those of true objects of at least 16 px, or of true renders: the same threshold on the same scenes.
    """
    large = [t for t in trials if not (t.small or t.translated or t.origin == "photo")]
    by_name = {name: [t for t in large if t.fault == name] for name in (CONTROL, *FAULTS)}
    objects = [t for t in by_name[CONTROL] if t.item]
    images = [t for t in by_name[CONTROL] if not t.item]
    keep = np.round(np.arange(0, 1.01, 0.05), 3)
    if not objects or not images:
        return []
    doubts = [_by_share(t, keep) for t in objects]
    out = []
    for name in FAULTS:
        some = by_name[name]
        if some and some[0].item:
            found = np.mean([_by_share(t, keep) for t in some], 0)
            out.append(Curve(name, "keep_of_around", keep, np.mean(doubts, 0), found, len(some)))
        elif some and name in PASTED:
            out.append(_scored(name, "max_hallucination", [t.there or 0.0 for t in some], [t.lamp for t in images]))
        elif some:
            out.append(_scored(name, "max_tone_explained", [t.tone for t in some], [t.tone for t in images]))
    return out


def _by_share(trial: Trial, thresholds: np.ndarray) -> np.ndarray:
    free = {"least_structure": 0.1, "keep_structure": 0.7}  # so that the share alone decides
    return np.array(
        [caught(trial, SETTINGS.model_copy(update={**free, "keep_of_around": float(v)})) for v in thresholds]
    )


def _scored(name: str, threshold: str, planted: list[float], true: list[float]) -> Curve:
    steps = np.unique(np.round([*np.linspace(0, 1, 101), *np.linspace(0.9, 1, 101)], 3))
    alarms, recall = (np.array([np.mean(np.array(v) >= s) for s in steps]) for v in (true, planted))
    return Curve(name, threshold, steps, alarms, recall, len(planted))


def precision_rows(trials: Sequence[Trial]) -> Iterator[tuple[str, float, float, float, int]]:
    """(fault, recall, false alarms, precision, planted) at the shipped thresholds, for one planted fault to each true
    object or image.

    False alarms are the same kind's: true objects not kept, true renders with a made-up light, or true renders
    rejected.
    """
    some = [t for t in trials if not (t.small or t.translated or t.origin == "photo")]
    control = [t for t in some if t.fault == CONTROL]
    images = [t for t in control if not t.item]
    limit = SETTINGS.max_hallucination or 2.0
    alarms = {
        "object": [caught(t) for t in control if t.item],
        "light": [t.lamp >= limit for t in images],
        "image": [caught(t) for t in images],
    }
    for name in FAULTS:
        planted = [t for t in some if t.fault == name]
        false = alarms["object" if planted and planted[0].item else "light" if name in PASTED else "image"]
        if planted and false:
            recall, alarm = float(np.mean([caught(t) for t in planted])), float(np.mean(false))
            yield name, recall, alarm, recall / max(recall + alarm, 1e-9), len(planted)


def breakdown(
    trials: Sequence[Trial], by: Callable[[Trial], str], *, detector: bool = False
) -> Iterator[tuple[str, str, int, int]]:
    """(fault, group, hits, n), faults in their order, for everything that strikes an object or a place."""
    for name in (CONTROL, *FAULTS):
        some = [t for t in trials if t.fault == name and t.category != "image" and not t.translated]
        for group in sorted({by(t) for t in some}):
            hits = [caught(t, detector=detector) for t in some if by(t) == group]
            yield name, group, sum(hits), len(hits)


def pivot(rows: Sequence[tuple[str, str, int, int]], order: Sequence[str]) -> list[str]:
    """A Markdown table: groups down, faults across, `share (n)` with its interval's lower end for faults."""
    names = list(dict.fromkeys(r[0] for r in rows))
    cells = {(name, group): (hits, n) for name, group, hits, n in rows}
    groups = [g for g in order if any((name, g) in cells for name in names)]
    lines = [
        "| | " + " | ".join("true, not kept" if n == CONTROL else n for n in names) + " |",
        "|" + "---|" * (len(names) + 1),
    ]
    for group in groups:
        lines.append(f"| {group} | " + " | ".join(_cell(cells.get((name, group))) for name in names) + " |")
    return lines


def _cell(found: tuple[int, int] | None) -> str:
    if found is None:
        return ""
    low, high = wilson(*found)
    return f"{found[0] / found[1]:.2f} ({low:.2f}-{high:.2f}), {found[1]}"
