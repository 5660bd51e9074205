"""What faults are planted into: true renders of streets under other conditions, and photometric changes of photos."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from benchmarks.planted_faults import Pair, objects_of_masks
from s2st_aug.arrays import Mask
from s2st_aug.errors import DatasetError
from s2st_aug.images import read_image
from s2st_aug.procedural.categories import CATEGORIES
from s2st_aug.procedural.drawing import Drawn, draw_street
from s2st_aug.procedural.labels import read_labels
from s2st_aug.procedural.render import render_drawn
from s2st_aug.procedural.sampling import sample_street
from s2st_aug.procedural.surfaces import Surfaces, surfaces
from s2st_aug.real_data import real_data
from s2st_aug.records.domains import ConditionName
from s2st_aug.records.scene import SceneObject
from s2st_aug.validation.calibration import retouched
from s2st_aug.validation.signals import STATES

CHOSEN_KEY, REPORTED_KEY = 4, 6
CHOSEN_VIDEO, REPORTED_VIDEO = "0016E5", "0006R0"
SIZE = (1280, 720)
CONDITIONS: tuple[ConditionName, ...] = ("night", "rain", "dusk")
VISIBLE_SHARE, VISIBLE_STEP = (
    0.5,
    3.0,
)  # of the outline that must step by so many CIE76 units without noise, by day and in the variant
LEAST_SIDE, LEAST_OWN = 16, 0.4  # px of both sides, and share of its box that is not hidden, of an object that counts
SMALL_SIDE = 10  # px from which smaller objects are reported beside the rest
NEAR_SIGNAL = 32.0  # metres within which a traffic light shows its lamp
CAMVID_CLASSES = {6: "traffic sign", 8: "car", 9: "pedestrian", 10: "rider"}


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A pair with known truth, the objects a fault may strike, and where it comes from."""

    pair: Pair
    labels: tuple[SceneObject, ...]  # as the data set has them: boxes
    strikable: tuple[SceneObject, ...]  # visible ones, with their pixels
    small: tuple[SceneObject, ...]  # visible, and smaller than those
    origin: str  # night, rain, dusk, photo
    name: str


def signal_streets(key: int, start: int, count: int) -> Iterator[int]:
    """Streets from number `start` on that have a traffic light near enough to read."""
    index = start
    while count:
        if any(thing.kind == "signal" and thing.s < NEAR_SIGNAL for thing in sample_street(key, index, SIZE).things):
            count -= 1
            yield index
        index += 1


def street_cases(key: int, index: int) -> Iterator[Case]:
    """One street by day against its night, rain and dusk."""
    drawn = draw_street(sample_street(key, index, SIZE))
    surface, labels = surfaces(drawn), read_labels(drawn)
    objects = []
    for o in labels.objects:
        if name := CATEGORIES[o.instance.category].det:
            x1, y1, x2, y2 = map(float, o.box)
            signal = next((state for state in STATES if state == o.instance.signal), None)
            number = o.instance.number
            objects.append(SceneObject(str(number), "mask", name, (x1, y1, x2, y2), (), labels.owner == number, signal))
    day, seen_by_day = render_drawn(drawn, surface, "day"), _visible(drawn, surface, "day", objects)
    boxes = tuple(replace(o, kind="box", mask=None) for o in objects)
    for condition in CONDITIONS:
        variant, seen = render_drawn(drawn, surface, condition), _visible(drawn, surface, condition, objects)
        visible = [o for o, a, b in zip(objects, seen_by_day, seen, strict=True) if a and b]
        strikable = tuple(o for o in visible if _side(o) >= LEAST_SIDE)
        small = tuple(o for o in visible if SMALL_SIDE <= _side(o) < LEAST_SIDE)
        yield Case(Pair(day, variant, boxes), boxes, strikable, small, condition, f"{key}-{index}-{condition}")


def photo_cases(photos: int, video: str, start: int = 0, stop: int | None = None) -> Iterator[Case]:
    """Photos of one CamVid video against photometric changes of themselves; nothing where the photos are absent."""
    try:
        camvid = real_data("camvid/day")
    except DatasetError:
        return  # the suite then measures on streets alone, and its figures say on how many photos
    paths = sorted((camvid / "images").glob(f"{video}*"))
    for path in paths[:: max(1, len(paths) // photos)][:photos][start:stop]:
        source = read_image(path)
        classes = read_ids(next((camvid / "labels").glob(f"{path.stem}.*")))
        objects = tuple(objects_of_masks(classes, CAMVID_CLASSES, least=LEAST_SIDE))
        variant = retouched(source, path.stem)
        yield Case(Pair(source, variant, objects), objects, objects, (), "photo", path.stem)


def read_ids(path: Path) -> np.ndarray:
    """Class ids of a mask file, `h w`."""
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))


def _side(item: SceneObject) -> float:
    return min(item.bbox[2] - item.bbox[0], item.bbox[3] - item.bbox[1])


def _visible(drawn: Drawn, surface: Surfaces, condition: ConditionName, objects: Sequence[SceneObject]) -> list[bool]:
    clean = render_drawn(drawn, surface, condition, noise=0.0)
    lab = cv2.cvtColor(clean.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    return [
        _own_share(o) >= LEAST_OWN and outline_contrast(lab, o.mask) >= VISIBLE_SHARE
        for o in objects
        if o.mask is not None
    ]


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
    a, b = (
        cv2.blur(part * w[..., None], (7, 7)) / np.maximum(cv2.blur(w, (7, 7)), 1e-4)[..., None]
        for w in (inside, 1 - inside)
    )
    edge = (inside > 0) & (cv2.erode(inside, np.ones((3, 3))) == 0) & (near > 0.05)
    return float((np.linalg.norm(a - b, axis=-1)[edge] >= VISIBLE_STEP).mean()) if edge.any() else 0.0
