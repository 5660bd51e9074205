"""Suite `faults`: what the validity checks find of planted faults, and how often they doubt what is true.

Thresholds were chosen on the streets of rng_key 4 and on CamVid's video 0016E5; every figure here is of streets of
rng_key 5 and of CamVid's 0006R0, which nothing was chosen on.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

from s2st_aug.arrays import Box, Image, Mask
from s2st_aug.benchmarks.figure import Figure, measured, undecided
from s2st_aug.images import read_image
from s2st_aug.randomness import numpy_generator
from s2st_aug.records.domains import Condition
from s2st_aug.records.scene import SceneObject, SignalState
from s2st_aug.records.verdicts import Judgement
from s2st_aug.scenes.categories import CATEGORIES
from s2st_aug.scenes.drawing import Drawn, draw_street
from s2st_aug.scenes.labels import read_labels
from s2st_aug.scenes.render import render_drawn
from s2st_aug.scenes.sampling import sample_street
from s2st_aug.scenes.surfaces import Surfaces, surfaces
from s2st_aug.validation.calibration import retouched
from s2st_aug.validation.faults import FAULTS, IMAGE_FAULTS, Pair, objects_of_masks
from s2st_aug.validation.judge import judge
from s2st_aug.validation.settings import ValidationSettings
from s2st_aug.validation.signals import STATES

REPORTED_KEY, CHOSEN_KEY = 5, 4
SIZE = (1280, 720)
CONDITIONS: tuple[Condition, ...] = ("night", "rain", "dusk")
AIMED = ("erased", "shift8", "pasted_light", "signal_changed", "identity", "darkened")
OBJECT_FAULTS = tuple(name for name in FAULTS if name not in (*IMAGE_FAULTS, "pasted_car", "duplicated"))
VISIBLE_SHARE, VISIBLE_STEP = (
    0.5,
    3.0,
)  # of the outline that must show a step of so many CIE76 units without noise, by day and in the variant
LEAST_SIDE, LEAST_OWN = 16, 0.4  # px of both sides, and share of its box that is not hidden, of an object that counts
SMALL_SIDE = 10  # px from which smaller objects are reported beside the rest
CAMVID = Path(__file__).parents[2].parent / "shared" / "data" / "camvid" / "day"
CAMVID_CLASSES = {6: "traffic sign", 8: "car", 9: "pedestrian", 10: "rider"}
SETTINGS = ValidationSettings()


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A pair with known truth, the objects a fault may strike, and where it comes from."""

    pair: Pair
    labels: tuple[SceneObject, ...]  # as the data set has them: boxes
    strikable: tuple[SceneObject, ...]  # visible ones, with their pixels
    small: tuple[SceneObject, ...]  # visible, and smaller than those
    origin: str  # night, rain, dusk, photo
    name: str


@dataclass(slots=True)
class Tally:
    """Hits of n by name."""

    hits: Counter[str] = field(default_factory=Counter)
    n: Counter[str] = field(default_factory=Counter)

    def add(self, name: str, *, hit: bool) -> None:
        """Count one trial."""
        self.hits[name] += int(hit)
        self.n[name] += 1

    def rate(self, name: str) -> float:
        """Share of hits, NaN of none."""
        return self.hits[name] / self.n[name] if self.n[name] else float("nan")


def run(*, quick: bool) -> Iterator[Figure]:
    """Every figure of the contract for this suite, and the other faults as they are."""
    tally, false, true_night = Tally(), Tally(), Tally()
    for case in cases(5 if quick else 40, 12 if quick else 101):
        _controls(case, false, true_night)
        _planted(case, tally)
    for name in (*FAULTS, "erased_small", "shift8_small"):
        yield _recall(name, tally)
    yield _rate(
        "fpr", false, "all", 0.05, "true objects not kept and true renders rejected, pooled over night, rain, dusk and retouched photos"
    )
    for name in sorted(k for k in false.n if k != "all"):
        yield _rate(f"fpr_{name}", false, name, None, "")
    yield _rate("lost_on_true_night", true_night, "lost", 0.03, "objects visible by noise-free contrast")
    yield _rate("not_keep_on_true_night", true_night, "not_keep", 0.10, "objects visible by noise-free contrast")
    yield _milliseconds(20 if quick else 60)


def cases(streets: int, photos: int, *, key: int = REPORTED_KEY, video: str = "0006R0") -> Iterator[Case]:
    """True renders first, then photometric changes of photos where they are there."""
    for index in range(streets):
        yield from street_cases(key, index)
    yield from photo_cases(photos, video)


def street_cases(key: int, index: int) -> Iterator[Case]:
    """One street by day against its night, rain and dusk."""
    drawn = draw_street(sample_street(key, index, SIZE))
    surface, labels = surfaces(drawn), read_labels(drawn)
    names = [(CATEGORIES[o.instance.category].det or "", o) for o in labels.objects]
    objects = [
        SceneObject(str(o.instance.number), "mask", name, _box(o.box), (), labels.owner == o.instance.number, _state(o.instance.signal))
        for name, o in names
        if name
    ]
    day, seen_by_day = render_drawn(drawn, surface, "day"), _visible(drawn, surface, "day", objects)
    boxes = tuple(replace(o, kind="box", mask=None) for o in objects)
    for condition in CONDITIONS:
        variant, seen = render_drawn(drawn, surface, condition), _visible(drawn, surface, condition, objects)
        visible = [o for o, a, b in zip(objects, seen_by_day, seen, strict=True) if a and b]
        strikable = tuple(o for o in visible if _side(o) >= LEAST_SIDE)
        small = tuple(o for o in visible if SMALL_SIDE <= _side(o) < LEAST_SIDE)
        yield Case(Pair(day, variant, boxes), boxes, strikable, small, condition, f"{key}-{index}-{condition}")


def _box(corners: Sequence[int]) -> Box:
    x1, y1, x2, y2 = corners
    return float(x1), float(y1), float(x2), float(y2)


def _state(signal: str | None) -> SignalState | None:
    return next((state for state in STATES if state == signal), None)


def photo_cases(photos: int, video: str) -> Iterator[Case]:
    """Photos of one CamVid video against photometric changes of themselves; nothing where the photos are absent."""
    paths = sorted((CAMVID / "images").glob(f"{video}*")) if CAMVID.is_dir() else []
    for path in paths[:: max(1, len(paths) // photos)][:photos]:
        source = read_image(path)
        classes = read_ids(next((CAMVID / "labels").glob(f"{path.stem}.*")))
        objects = tuple(objects_of_masks(classes, CAMVID_CLASSES, least=LEAST_SIDE))
        variant = retouched(source, path.stem)
        yield Case(Pair(source, variant, objects), objects, objects, (), "photo", path.stem)


def read_ids(path: Path) -> np.ndarray:
    """Class ids of a mask file, `h w`."""
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))


def _side(item: SceneObject) -> float:
    return min(item.bbox[2] - item.bbox[0], item.bbox[3] - item.bbox[1])


def _visible(drawn: Drawn, surface: Surfaces, condition: Condition, objects: Sequence[SceneObject]) -> list[bool]:
    clean = render_drawn(drawn, surface, condition, noise=0.0)
    lab = cv2.cvtColor(clean.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    return [_own_share(o) >= LEAST_OWN and outline_contrast(lab, o.mask) >= VISIBLE_SHARE for o in objects if o.mask is not None]


def _own_share(item: SceneObject) -> float:
    """Share of an object's box that is the object."""
    x1, y1, x2, y2 = item.bbox
    return (0.0 if item.mask is None else float(np.count_nonzero(item.mask))) / max((x2 - x1) * (y2 - y1), 1.0)


def outline_contrast(lab: np.ndarray, mask: Mask) -> float:
    """Share of an object's outline across which CIELAB steps by at least VISIBLE_STEP, means of 7x7 on either side."""
    ys, xs = np.nonzero(mask)
    cut = (slice(max(ys.min() - 8, 0), ys.max() + 9), slice(max(xs.min() - 8, 0), xs.max() + 9))
    inside = mask[cut].astype(np.float32)
    near, part = cv2.blur(1 - inside, (7, 7)), lab[cut]
    a, b = (cv2.blur(part * w[..., None], (7, 7)) / np.maximum(cv2.blur(w, (7, 7)), 1e-4)[..., None] for w in (inside, 1 - inside))
    edge = (inside > 0) & (cv2.erode(inside, np.ones((3, 3))) == 0) & (near > 0.05)
    return float((np.linalg.norm(a - b, axis=-1)[edge] >= VISIBLE_STEP).mean()) if edge.any() else 0.0


def _judged(case: Case, variant: Image) -> Judgement:
    return judge(case.pair.source, variant, variant, case.labels, None, SETTINGS)


def _controls(case: Case, false: Tally, true_night: Tally) -> None:
    """Unplanted: every visible object should be kept, every true render accepted."""
    found = _judged(case, case.pair.variant)
    seen, small = ({o.object_id for o in some} for some in (case.strikable, case.small))
    for item in found.objects:
        if item.object_id in small:
            false.add("small_objects", hit=item.verdict != "keep")
        if item.object_id in seen:
            _count(false, f"objects_{case.origin}", hit=item.verdict != "keep")
            if case.origin == "night":
                true_night.add("lost", hit=item.verdict == "lost")
                true_night.add("not_keep", hit=item.verdict != "keep")
    if case.origin != "photo":
        _count(false, f"images_{case.origin}", hit=found.status == "rejected")


def _count(tally: Tally, name: str, *, hit: bool) -> None:
    tally.add(name, hit=hit)
    tally.add("all", hit=hit)


def _planted(case: Case, tally: Tally) -> None:
    rng = numpy_generator(0, "planted", case.name)
    for name in OBJECT_FAULTS:
        _plant_on_objects(case, case.strikable, name, rng, tally)
    for name in ("erased", "shift8"):
        _plant_on_objects(case, case.small, name, rng, tally, "_small")
    for name in (*IMAGE_FAULTS, "duplicated", "pasted_car"):
        _plant_on_image(case, name, rng, tally)


def _plant_on_objects(
    case: Case, items: Sequence[SceneObject], name: str, rng: np.random.Generator, tally: Tally, suffix: str = ""
) -> None:
    """Up to four objects that do not touch are struck in one image; each must come out as anything but keep."""
    pair = case.pair
    struck: list[str] = []
    for item in _apart(items, rng, name):
        if (planted := FAULTS[name](pair, item, rng)) is not None:
            pair, struck = replace(pair, variant=planted.variant), [*struck, item.object_id]
    if struck:
        verdicts = {o.object_id: o.verdict for o in _judged(case, pair.variant).objects}
        for object_id in struck:
            tally.add(name + suffix, hit=verdicts[object_id] != "keep")


def _apart(items: Sequence[SceneObject], rng: np.random.Generator, name: str) -> list[SceneObject]:
    chosen: list[SceneObject] = []
    fitting = [o for o in items if name != "signal_changed" or o.category == "traffic light"]
    for i in rng.permutation(len(fitting)).tolist():
        if len(chosen) < 4 and all(_gap(fitting[i], other) > 24 for other in chosen):
            chosen.append(fitting[i])
    return chosen


def _gap(a: SceneObject, b: SceneObject) -> float:
    return max(a.bbox[0] - b.bbox[2], b.bbox[0] - a.bbox[2], a.bbox[1] - b.bbox[3], b.bbox[1] - a.bbox[3])


def _plant_on_image(case: Case, name: str, rng: np.random.Generator, tally: Tally) -> None:
    """Struck images must be rejected; a made-up light or object at the very place where it was planted."""
    item = case.strikable[int(rng.integers(len(case.strikable)))] if case.strikable else None
    planted = FAULTS[name](case.pair, item, rng)
    if planted is None:
        return
    found = _judged(case, planted.variant)
    if planted.box is None:
        tally.add(name, hit=found.status == "rejected")
        return
    x, y = (planted.box[0] + planted.box[2]) / 2, (planted.box[1] + planted.box[3]) / 2
    least = SETTINGS.max_hallucination if SETTINGS.max_hallucination is not None else 2.0
    there = [
        h for h in found.hallucinations if h.score >= least and h.bbox[0] - 4 <= x <= h.bbox[2] + 4 and h.bbox[1] - 4 <= y <= h.bbox[3] + 4
    ]
    tally.add(name, hit=bool(there))


def _recall(name: str, tally: Tally) -> Figure:
    goal = 0.95 if name in AIMED else None
    return _rate(f"recall_{name}", tally, name, goal, "reported as it is" if goal is None else "", at_least=True)


def _rate(label: str, tally: Tally, name: str, goal: float | None, why: str, *, at_least: bool = False) -> Figure:
    n, value = tally.n[name], tally.rate(name)
    if not n:
        return undecided(label, "1", goal, "no case of it in this run")
    interval = wilson(tally.hits[name], n)
    if goal is None:
        return Figure(label, value, "1", None, None, n, interval, why)
    return measured(label, value, "1", goal, "at_least" if at_least else "at_most", n=n, interval=interval, why=why)


def wilson(hits: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a rate (Wilson)."""
    p, zz = hits / n, z * z / n
    middle, half = (p + zz / 2) / (1 + zz), z * np.sqrt(p * (1 - p) / n + zz / (4 * n)) / (1 + zz)
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def _milliseconds(times: int) -> Figure:
    """Processor time of one judgement of a 1280x720 image with 20 objects and a raw image of its own, one thread."""
    case = next(c for i in range(20) for c in street_cases(REPORTED_KEY, i) if len(c.labels) >= 20)
    labels, raw = case.labels[:20], cv2.GaussianBlur(case.pair.variant, (0, 0), 1.5)
    before, spent = cv2.getNumThreads(), []
    cv2.setNumThreads(1)
    try:
        for _ in range(times):
            start = time.process_time()
            judge(case.pair.source, case.pair.variant, raw, labels, None, SETTINGS)
            spent.append(1000 * (time.process_time() - start))
    finally:
        cv2.setNumThreads(before)
    low, middle, high = np.quantile(spent, [0.1, 0.5, 0.9])
    return measured(
        "ms_per_image", middle, "ms", 40, "at_most", n=times, interval=(low, high), why="median processor time, 10-90 % beside it"
    )
