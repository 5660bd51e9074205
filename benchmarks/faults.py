"""Suite `faults`: what the validity checks find of planted faults, and how often they doubt what is true.

Thresholds were chosen on streets of rng_key 4 and on CamVid's video 0016E5; every figure here is of streets of rng_key
6 and of CamVid's 0006R0, which nothing was chosen on. With the folder S2ST_BENCH_KEEP in the environment, what is done
is kept there, a file a street, and a run that was stopped goes on from it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

import cv2
import numpy as np

from benchmarks.fault_cases import (
    CHOSEN_KEY,
    REPORTED_KEY,
    REPORTED_VIDEO,
    SIZE,
    Case,
    photo_cases,
    signal_streets,
    street_cases,
)
from benchmarks.fault_rates import rate_figure
from benchmarks.fault_sets import set_figures
from benchmarks.fault_trials import (
    CONTROL,
    SETTINGS,
    SMALL_TOO,
    Trial,
    caught,
    profile_of,
    read_trials,
    signal_trials,
    trials_of,
    write_trials,
)
from benchmarks.figure import Figure, measured
from benchmarks.planted_faults import FAULTS
from s2st_aug.errors import MissingDependency
from s2st_aug.validation.detectors import Detector, load_detector
from s2st_aug.validation.gates import decide
from s2st_aug.validation.judge import LISTED, judge

__all__ = ["CHOSEN_KEY", "SIZE", "run"]
AIMED = ("erased", "shift8", "pasted_light", "signal_changed", "identity", "darkened")
DETECTOR = "street-mini-detector"
QUICK, FULL = (5, 2, 12), (24, 6, 40)  # streets, further streets for their signals, photos
OBJECTS = 20  # of the timed image
PHOTOS_A_FILE = 10
SIGNALS_FROM = 500  # number of the first street that is taken for its signals alone


def run(*, quick: bool) -> Iterator[Figure]:
    """Every figure of docs/reference/figures.md for this suite, and the other faults as they are."""
    trials = collected(quick=quick)
    for name in FAULTS:
        yield _recall(name, trials)
    for name in SMALL_TOO:
        yield _recall(name, trials, small=True)
    yield from _false_alarms(trials)
    yield from _with_detector(trials)
    yield from set_figures()
    yield _milliseconds(20 if quick else 60)


def collected(*, quick: bool, key: int = REPORTED_KEY, video: str = REPORTED_VIDEO) -> list[Trial]:
    """All trials of the suite, from the kept files where they are there."""
    streets, more, photos = QUICK if quick else FULL
    detector = _detector()
    units: list[tuple[str, Callable[[], Iterable[Trial]]]] = []
    for part in range(0, photos, PHOTOS_A_FILE):
        some = partial(photo_cases, photos, video, part, part + PHOTOS_A_FILE)
        units.append((f"photos-{video}-{photos}-{part:03d}", partial(_all, some, detector)))
    for index in signal_streets(key, SIGNALS_FROM, more):
        units.append((f"signals-{key}-{index:03d}", partial(_signals, key, index)))
    for index in range(streets):
        units.append((f"street-{key}-{index:03d}", partial(_all, partial(street_cases, key, index), detector)))
    return list(chain.from_iterable(_kept(name, compute) for name, compute in units))


def _all(cases: Callable[[], Iterable[Case]], detector: Detector | None) -> Iterator[Trial]:
    return chain.from_iterable(trials_of(case, detector) for case in cases())


def _signals(key: int, index: int) -> Iterator[Trial]:
    return chain.from_iterable(signal_trials(case) for case in street_cases(key, index))


def _kept(name: str, compute: Callable[[], Iterable[Trial]]) -> list[Trial]:
    folder = os.environ.get("S2ST_BENCH_KEEP")
    if not folder:
        return list(compute())
    path = Path(folder) / f"{name}.jsonl"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_trials(path, compute())
    return read_trials(path)


def _detector() -> Detector | None:
    """The shipped detector; None without onnxruntime."""
    try:
        return load_detector(DETECTOR, LISTED * SETTINGS.detector_score)
    except MissingDependency:
        return None


def _is_small(trial: Trial) -> bool:
    return trial.item is not None and trial.side < 16


def _recall(name: str, trials: Sequence[Trial], *, small: bool = False) -> Figure:
    hits = [caught(t) for t in trials if t.fault == name and _is_small(t) == small]
    goal = 0.95 if name in AIMED and not small else None
    why = (
        "objects of 10 to 16 px, where 16 px and more count for the goal"
        if small
        else ""
        if goal
        else "reported as it is"
    )
    return rate_figure(f"recall_{name}{'_small' if small else ''}", hits, goal, why, at_least=True)


def _false_alarms(trials: Sequence[Trial]) -> Iterator[Figure]:
    """True objects not kept and true renders rejected: pooled, apart, and by condition.

    A true night's own two figures.
    """
    control = [t for t in trials if t.fault == CONTROL and not _is_small(t)]
    objects, images = [t for t in control if t.item], [t for t in control if not t.item and t.origin != "photo"]
    pooled = (
        "true objects (16 px and more) not kept and true renders rejected, "
        "pooled over night, rain, dusk and retouched photos"
    )
    yield rate_figure("fpr", [caught(t) for t in (*objects, *images)], 0.05, pooled)
    yield rate_figure("fpr_objects", [caught(t) for t in objects], None, "true objects alone")
    yield rate_figure("fpr_images", [caught(t) for t in images], None, "true renders alone")
    for kind, some in (("objects", objects), ("images", images)):
        for origin in sorted({t.origin for t in some}):
            yield rate_figure(f"fpr_{kind}_{origin}", [caught(t) for t in some if t.origin == origin], None, "")
    small = [caught(t) for t in trials if t.fault == CONTROL and _is_small(t)]
    yield rate_figure("fpr_objects_small", small, None, "objects of 10 to 16 px, not in fpr")
    lamps = [t.lamp >= (SETTINGS.max_hallucination or 2.0) for t in images]
    yield rate_figure("fpr_lights", lamps, None, "true renders with a made-up light: what recall_pasted_light costs")
    verdicts = [decide(t.item, SETTINGS, t.width).verdict for t in objects if t.origin == "night" and t.item]
    visible = "objects visible by noise-free contrast"
    yield rate_figure("lost_on_true_night", [v == "lost" for v in verdicts], 0.03, visible)
    yield rate_figure("not_keep_on_true_night", [v != "keep" for v in verdicts], 0.10, visible)


def _with_detector(trials: Sequence[Trial]) -> Iterator[Figure]:
    """The same with the shipped detector switched on: what it finds more, and what it costs."""
    seen = [t for t in trials if t.there_detector is not None]
    for name in ("pasted_car", "duplicated", "pasted_light"):
        hits = [caught(t, detector=True) for t in seen if t.fault == name]
        yield rate_figure(f"recall_{name}_with_detector", hits, None, f"detector: {DETECTOR}", at_least=True)
    images = [t for t in trials if t.fault == CONTROL and t.detected is not None and t.origin != "photo"]
    yield rate_figure(
        "fpr_images_with_detector",
        [caught(t, detector=True) for t in images],
        None,
        "true renders rejected, all checks",
    )
    alone = [(t.detected or 0) >= SETTINGS.detector_score for t in images]
    yield rate_figure(
        "fpr_detector", alone, None, "true renders in which the detector finds an object that is not there"
    )


def _milliseconds(times: int) -> Figure:
    """Processor time of one judgement of a 1280x720 image with 20 objects and a
    raw image of its own, one thread, strength included.
    """
    case = next(c for i in range(20) for c in street_cases(REPORTED_KEY, i) if len(c.labels) >= OBJECTS)
    labels, raw, profile = case.labels[:OBJECTS], cv2.GaussianBlur(case.pair.variant, (0, 0), 1.5), profile_of("night")
    before, spent = cv2.getNumThreads(), []
    cv2.setNumThreads(1)
    try:
        for _ in range(times):
            start = time.process_time()
            judge(case.pair.source, case.pair.variant, raw, labels, profile, SETTINGS)
            spent.append(1000 * (time.process_time() - start))
    finally:
        cv2.setNumThreads(before)
    low, middle, high = np.quantile(spent, [0.1, 0.5, 0.9])
    why = "median processor time of all checks without a detector, 10-90 % beside it"
    return measured("ms_per_image", middle, "ms", 40, "at_most", n=times, interval=(low, high), why=why)
