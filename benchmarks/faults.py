"""Suite `faults`: what the validity checks find of planted faults, and how often they doubt what is true.

Every picture takes the way of a variant (autoencoder, the source's detail, lights, held signals) before it is judged.
Thresholds were chosen on streets of rng_key 4 and on CamVid's video 0016E5; every figure here is of streets of rng_key
6 and of CamVid's 0006R0, which nothing was chosen on. With the folder S2ST_BENCH_KEEP in the environment, pictures and
verdicts are kept there, a file a street: a run that was stopped goes on from it, and verdicts that other checks gave
are not taken from it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from itertools import chain
from pathlib import Path

import cv2
import numpy as np

from benchmarks.fault_cases import (
    CHOSEN_KEY,
    CONTROL,
    REPORTED_KEY,
    REPORTED_VIDEO,
    SIZE,
    Picture,
    Place,
    photo_pictures,
    place_of,
    signal_streets,
    street_pictures,
)
from benchmarks.fault_emission import Emitted
from benchmarks.fault_rates import COUNTED, rate_figure, size_name
from benchmarks.fault_sets import set_figures
from benchmarks.fault_store import read_pictures, write_pictures
from benchmarks.fault_trials import (
    COPIES,
    FAULTS,
    SETTINGS,
    SHOWN,
    Trial,
    caught,
    profile_of,
    read_trials,
    trials_of,
    write_trials,
)
from benchmarks.figure import Figure, measured
from benchmarks.invented_objects import invented_object_figures
from benchmarks.invented_rates import invented_figures
from benchmarks.planted_faults import LIGHT_FAULTS
from benchmarks.provenance import DECIDES, ROOT, fingerprint
from s2st_aug.diffusion.model import LatentModel
from s2st_aug.diffusion.stable_diffusion import load_model
from s2st_aug.errors import MissingDependency
from s2st_aug.validation.detectors import Detector, PairDetector, load_detector
from s2st_aug.validation.gates import decide
from s2st_aug.validation.identity import validation_identity
from s2st_aug.validation.judge import LISTED, judge

__all__ = ["CHOSEN_KEY", "SIZE", "run"]
AIMED = ("erased", "shift8", "pasted_light", "signal_changed", "identity", "darkened")
REPLACED = ("replaced_farther", "replaced_class", "reversed")
DETECTOR = "street-mini-detector"
QUICK, FULL = (1, 1, 0, 2), (14, 4, 4, 24)  # streets, more for their signals, first ones with the model's own, photos
INVENTED_STREETS = 10  # that lights of independent kinds are painted over, and objects drawn into
OBJECTS = 20  # of the timed image
PHOTOS_A_FILE = 8
SIGNALS_FROM = 500  # number of the first street that is taken for its signals alone


def run(*, quick: bool) -> Iterator[Figure]:
    """Every figure of docs/reference/figures.md for this suite, and the other faults as they are."""
    trials = collected(quick=quick)
    for name in FAULTS:
        yield _recall(name, trials)
    yield from _shown(trials)
    yield from _false_alarms(trials)
    yield from _by_size_and_class(trials)
    yield from _of_the_model(trials)
    yield from _of_photos(trials)
    yield from _with_detector(trials)
    streets = range(1 if quick else INVENTED_STREETS)
    yield from invented_figures(streets)
    if (detector := _detector()) is not None:
        yield from invented_object_figures(detector, streets)
    yield from set_figures()
    yield _milliseconds(20 if quick else 60)


def collected(*, quick: bool, key: int = REPORTED_KEY, video: str = REPORTED_VIDEO) -> list[Trial]:
    """All trials of the suite, from the kept files where they are there and of these checks."""
    streets, more, by_model, photos = QUICK if quick else FULL
    numbers = [*range(streets), *signal_streets(key, SIGNALS_FROM, more)]
    units: list[tuple[str, Callable[[], Iterable[Trial]]]] = [
        (f"street-{key}-{n:03d}{'-model' * (n < by_model)}", partial(_street, key, n, with_model=n < by_model))
        for n in numbers
    ]
    for part in range(0, photos, PHOTOS_A_FILE):
        compute = partial(_photos, photos, video, part, part + PHOTOS_A_FILE)
        units.append((f"photos-{video}-{photos}-{part:03d}", compute))
    return list(chain.from_iterable(_kept(name, compute) for name, compute in units))


@cache
def _model(name: str) -> LatentModel:
    return load_model(name)


def _street(key: int, index: int, *, with_model: bool) -> Iterator[Trial]:
    place = place_of(key, index, _model("street-mini"))
    pictures = pictures_of(place, signals_alone=index >= SIGNALS_FROM, with_model=with_model)
    controls: dict[str, Emitted] = {}
    for picture in pictures:
        if picture.fault == CONTROL and not picture.translated:
            controls[picture.origin] = place.emission.emitted(picture.painted, picture.origin)
        yield from trials_of(place.name, place.emission, picture, _detector(), controls.get(picture.origin))


def pictures_of(place: Place, *, signals_alone: bool, with_model: bool) -> Iterable[Picture]:
    """A street's pictures, kept where a folder is named for them: with the model's own, or what else there is."""
    if not (folder := os.environ.get("S2ST_BENCH_KEEP")):
        return street_pictures(place, signals_alone=signals_alone, with_model=with_model)
    path = Path(folder) / f"pictures-{_code()}-{place.name}{'-model' * with_model}.npz"
    fuller = Path(folder) / f"pictures-{_code()}-{place.name}-model.npz"
    if not with_model and fuller.is_file():
        return [p for p in read_pictures(fuller, place.objects) if not p.translated]
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_pictures(path, street_pictures(place, signals_alone=signals_alone, with_model=with_model))
    return read_pictures(path, place.objects)


def _photos(photos: int, video: str, start: int, stop: int) -> Iterator[Trial]:
    for name, emission, picture in photo_pictures(photos, video, _model("street-photo"), start, stop):
        yield from trials_of(name, emission, picture, _detector())


def _kept(name: str, compute: Callable[[], Iterable[Trial]]) -> list[Trial]:
    folder = os.environ.get("S2ST_BENCH_KEEP")
    if not folder:
        return list(compute())
    checks = str(validation_identity(SETTINGS)["checks"])[:8]
    path = Path(folder) / f"{name}-{_code()}-{checks}.jsonl"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_trials(path, compute())
    return read_trials(path)


def _code() -> str:
    """Of all that decides the suite: what older code planted is not taken for what this one would."""
    return fingerprint(DECIDES["faults"], ROOT)[:8]


@cache
def _detector() -> Detector | PairDetector | None:
    """The shipped detector; None without onnxruntime."""
    try:
        return load_detector(DETECTOR, LISTED * SETTINGS.detector_score)
    except MissingDependency:
        return None


def _counted(name: str, trials: Sequence[Trial]) -> list[Trial]:
    """Rendered streets alone, objects of 16 px and more."""
    some = [t for t in trials if t.fault == name and not t.translated and t.origin != "photo"]
    return [t for t in some if not t.small]


def _recall(name: str, trials: Sequence[Trial]) -> Figure:
    goal = 0.95 if name in AIMED else None
    return rate_figure(f"recall_{name}", [caught(t) for t in _counted(name, trials)], goal, "", at_least=True)


def _shown(trials: Sequence[Trial]) -> Iterator[Figure]:
    """How many lights and copies of the source can still be seen in what is emitted, and what is found of those."""
    for name in (*LIGHT_FAULTS, *COPIES):
        every = [t for t in trials if t.fault == name and not t.translated and t.origin != "photo"]
        why = f"lights: {SHOWN:g} CIE76 units from the picture without it; copies: nearer to it than to the true one's"
        yield rate_figure(f"shown_{name}", [not t.hidden for t in every], None, why)
        found = [caught(t) for t in every if not t.hidden]
        yield rate_figure(f"recall_{name}_shown", found, None, "of those that can be seen in what is emitted")


def _false_alarms(trials: Sequence[Trial]) -> Iterator[Figure]:
    """True objects not kept and true renders rejected: pooled, apart, and by condition.

    A true night's own two figures.
    """
    control = _counted(CONTROL, trials)
    objects, images = [t for t in control if t.item], [t for t in control if not t.item]
    pooled = "true objects (16 px and more) not kept and true renders rejected, pooled over night, rain and dusk"
    yield rate_figure("fpr", [caught(t) for t in control], 0.05, pooled)
    yield rate_figure("fpr_objects", [caught(t) for t in objects], None, "true objects alone")
    yield rate_figure("fpr_images", [caught(t) for t in images], None, "true renders alone")
    for kind, some in (("objects", objects), ("images", images)):
        for origin in sorted({t.origin for t in some}):
            yield rate_figure(f"fpr_{kind}_{origin}", [caught(t) for t in some if t.origin == origin], None, "")
    lamps = [t.lamp >= (SETTINGS.max_hallucination or 2.0) for t in images]
    yield rate_figure("fpr_lights", lamps, None, "true renders with a made-up light: what recall_pasted_light costs")
    verdicts = [decide(t.item, SETTINGS, t.width).verdict for t in objects if t.origin == "night" and t.item]
    visible = "objects visible by noise-free contrast"
    yield rate_figure("lost_on_true_night", [v == "lost" for v in verdicts], 0.03, visible)
    yield rate_figure("not_keep_on_true_night", [v != "keep" for v in verdicts], 0.10, visible)


def _by_size_and_class(trials: Sequence[Trial]) -> Iterator[Figure]:
    """What was found of what is gone, replaced or lit otherwise, by size and by class, and what it cost there."""
    rendered = [t for t in trials if t.item and not t.translated and t.origin != "photo"]
    groups: dict[str, tuple[str, ...]] = {
        "recall_erased": ("erased",),
        "recall_replaced": REPLACED,
        "recall_signal_changed": ("signal_changed",),
        "fpr_objects": (CONTROL,),
    }
    for label, names in groups.items():
        some = [t for t in rendered if t.fault in names]
        for size in COUNTED:
            hits = [caught(t) for t in some if size_name(t.side) == size]
            if hits:
                yield rate_figure(f"{label}_{size.replace(' ', '_')}_px", hits, None, "px of the shorter side")
        for category in sorted({t.category for t in some if not t.small}):
            hits = [caught(t) for t in some if t.category == category and not t.small]
            yield rate_figure(f"{label}_{category.replace(' ', '_')}", hits, None, "16 px and more")


def _of_the_model(trials: Sequence[Trial]) -> Iterator[Figure]:
    """The same where the shipped model painted the faulty street itself; what it spoilt of true objects is unknown."""
    some = [t for t in trials if t.translated and t.item and not t.small]
    for name in dict.fromkeys(t.fault for t in some if t.fault != CONTROL):
        hits = [caught(t) for t in some if t.fault == name]
        yield rate_figure(f"recall_{name}_translated", hits, None, "by street-mini, preset draft", at_least=True)
    control = [caught(t) for t in some if t.fault == CONTROL]
    yield rate_figure("not_keep_translated", control, None, "true or spoilt by the model: nobody knows")


def _of_photos(trials: Sequence[Trial]) -> Iterator[Figure]:
    """The same on photos changed photometrically, with street-photo's autoencoder and detail."""
    some = [t for t in trials if t.origin == "photo"]
    for name in dict.fromkeys(t.fault for t in some):
        hits = [caught(t) for t in some if t.fault == name and (t.item or name != CONTROL)]
        label = "fpr_objects_photo" if name == CONTROL else f"recall_{name}_photo"
        yield rate_figure(label, hits, None, "CamVid, 16 px and more")


def _with_detector(trials: Sequence[Trial]) -> Iterator[Figure]:
    """The same with the shipped detector switched on: what it finds more, and what it costs."""
    for name in ("pasted_car", "duplicated", "pasted_light"):
        hits = [caught(t, detector=True) for t in _counted(name, trials) if t.there_detector is not None]
        yield rate_figure(f"recall_{name}_with_detector", hits, None, f"detector: {DETECTOR}", at_least=True)
    images = [t for t in _counted(CONTROL, trials) if t.detected is not None]
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
    """Processor time of one judgement of an emitted 1280x720 image with 20 objects, one thread, strength included."""
    places = (place_of(REPORTED_KEY, n, _model("street-mini")) for n in range(20))
    place = next(p for p in places if len(p.objects) >= OBJECTS)
    picture = next(iter(street_pictures(place)))
    done, labels, profile = (
        place.emission.emitted(picture.painted, "night"),
        place.emission.objects[:OBJECTS],
        profile_of("night"),
    )
    before, spent = cv2.getNumThreads(), []
    cv2.setNumThreads(1)
    try:
        for _ in range(times):
            start = time.process_time()
            judge(place.day, done.variant, done.raw, labels, profile, SETTINGS)
            spent.append(1000 * (time.process_time() - start))
    finally:
        cv2.setNumThreads(before)
    low, middle, high = (float(v) for v in np.quantile(spent, [0.1, 0.5, 0.9]))
    why = "median processor time of all checks without a detector, 10-90 % beside it"
    return measured("ms_per_image", middle, "ms", 40, "at_most", n=times, interval=(low, high), why=why)
