"""Pictures to train the small street detector on: rendered streets, with whole
objects pasted anywhere and a camera's wear and tear.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from s2st_aug.arrays import Image
from s2st_aug.procedural.categories import CATEGORIES
from s2st_aug.procedural.drawing import draw_street
from s2st_aug.procedural.labels import StreetLabels, read_labels
from s2st_aug.procedural.render import render_drawn
from s2st_aug.procedural.sampling import sample_street
from s2st_aug.procedural.surfaces import surfaces
from s2st_aug.records.domains import ConditionName

SIZE = (640, 384)  # w, h that the network sees; a 16:9 frame leaves a bar below
FRAME = (640, 360)
NAMES = ("car", "pedestrian", "bicycle", "traffic light", "traffic sign")
CLASS_OF = {
    "car": 0, "truck": 0, "bus": 0, "pedestrian": 1, "rider": 1, "bicycle": 2, "motorcycle": 2,
    "traffic light": 3, "traffic sign": 4,
}  # fmt: skip
PAD = 114
LEAST_SIDE = 4.0  # px of the shorter side of an object that must be found
LEAST_OWN = 0.3  # visible share of its box
HIDDEN = 0.5  # of a box that a pasted object may cover before it need not be found


Cut = tuple[np.ndarray, np.ndarray, int]  # a whole object to paste: pixels `a b 3`, mask `a b`, class


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """One picture; `boxes` n 4 xyxy, `classes` n, `sure` n: whether the object
    must be found (else it is neither right nor wrong).
    """

    image: Image
    boxes: np.ndarray
    classes: np.ndarray
    sure: np.ndarray
    cuts: tuple[Cut, ...] = ()


def render_examples(
    key: int, streets: Sequence[int], conditions: Sequence[Sequence[ConditionName]]
) -> Iterator[Example]:
    """Each street under one group of conditions, in turn."""
    for index in streets:
        drawn = draw_street(sample_street(key, index, FRAME))
        surface, labels = surfaces(drawn), read_labels(drawn)
        for condition in conditions[index % len(conditions)]:
            yield example_of(render_drawn(drawn, surface, condition), labels)


def example_of(image: Image, labels: StreetLabels) -> Example:
    """A rendered picture with its boxes and the objects worth pasting elsewhere."""
    found = [
        (o, CLASS_OF[name]) for o in labels.objects if (name := CATEGORIES[o.instance.category].det or "") in CLASS_OF
    ]
    boxes = np.array([o.box for o, _ in found], np.float32).reshape(-1, 4)
    w, h = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    own = np.array([o.pixels for o, _ in found], np.float32) / np.maximum(w * h, 1)
    sure = (np.minimum(w, h) >= LEAST_SIDE) & (own >= LEAST_OWN)
    whole = [
        (o, c)
        for o, c in found
        if not o.occluded and min(o.box[2] - o.box[0], o.box[3] - o.box[1]) >= 8 and o.box[2] - o.box[0] < 240
    ]
    cuts = tuple(
        (image[y1:y2, x1:x2].copy(), labels.owner[y1:y2, x1:x2] == o.instance.number, c)
        for o, c in whole
        for x1, y1, x2, y2 in [o.box]
    )
    return Example(image, boxes, np.array([c for _, c in found], np.int64), sure, cuts)


def with_pasted(example: Example, cuts: Sequence[Cut], rng: np.random.Generator) -> Example:
    """The example with whole objects pasted at random places, mirrored and resized at random.

    What they hide need not be found.
    """
    image, boxes, classes, sure = example.image.copy(), [*example.boxes], [*example.classes], [*example.sure]
    for n in rng.permutation(len(cuts))[: rng.integers(0, 4)].tolist():
        pixels, mask, number = cuts[n]
        k = float(np.exp(rng.uniform(np.log(0.6), np.log(1.5))))
        size = max(4, round(pixels.shape[1] * k)), max(4, round(pixels.shape[0] * k))
        if size[0] >= image.shape[1] or size[1] >= image.shape[0]:
            continue
        x, y = int(rng.integers(0, image.shape[1] - size[0])), int(rng.integers(0, image.shape[0] - size[1]))
        small, inside = (
            cv2.resize(pixels, size, interpolation=cv2.INTER_AREA),
            cv2.resize(mask.astype(np.uint8), size) > 0,
        )
        if rng.random() < 0.5:
            small, inside = small[:, ::-1], inside[:, ::-1]
        image[y : y + size[1], x : x + size[0]][inside] = small[inside]
        box = np.array([x, y, x + size[0], y + size[1]], np.float32)
        sure = [s and _covered_share(b, box) < HIDDEN for s, b in zip(sure, boxes, strict=True)]
        boxes, classes, sure = [*boxes, box], [*classes, number], [*sure, True]
    return Example(image, np.array(boxes, np.float32).reshape(-1, 4), np.array(classes, np.int64), np.array(sure, bool))


def _covered_share(box: np.ndarray, by: np.ndarray) -> float:
    w, h = min(box[2], by[2]) - max(box[0], by[0]), min(box[3], by[3]) - max(box[1], by[1])
    return float(max(w, 0) * max(h, 0) / max((box[2] - box[0]) * (box[3] - box[1]), 1))


def worn(example: Example, rng: np.random.Generator) -> Example:
    """Mirrored, brighter or darker, tinted, blurred as a small autoencoder blurs, noisy: labels stay true."""
    image, boxes = example.image, example.boxes.copy()
    if rng.random() < 0.5:
        image = np.ascontiguousarray(image[:, ::-1])
        boxes[:, [0, 2]] = image.shape[1] - boxes[:, [2, 0]]
    if rng.random() < 0.4:
        k = rng.uniform(0.35, 0.9)
        image = cv2.resize(
            cv2.resize(image, None, fx=k, fy=k, interpolation=cv2.INTER_AREA),
            image.shape[1::-1],
            interpolation=cv2.INTER_CUBIC,
        )
    table = (np.arange(256) / 255.0) ** np.exp(rng.uniform(-0.4, 0.5)) * np.exp(rng.uniform(-0.6, 0.25))
    channels = [np.clip(255 * table * tint, 0, 255).astype(np.uint8) for tint in rng.uniform(0.85, 1.12, 3)]
    image = cv2.LUT(image, np.stack(channels, -1)[None])
    if rng.random() < 0.5:
        image = cv2.add(image, rng.normal(0, rng.uniform(1, 6), image.shape).astype(np.float32), dtype=cv2.CV_8U)
    return Example(image, boxes, example.classes, example.sure)


def padded(image: Image) -> np.ndarray:
    """The picture in a frame of SIZE, grey below."""
    out = np.full((SIZE[1], SIZE[0], 3), PAD, np.uint8)
    out[: image.shape[0], : image.shape[1]] = image
    return out
