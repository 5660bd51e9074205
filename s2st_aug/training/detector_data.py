"""Examples that the shipped detector of invented objects is trained on, their wear and tear, and their files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from s2st_aug.arrays import Image

SIZE = (320, 192)  # w, h that the network sees; a 16:9 frame leaves a bar below
FRAME = (320, 180)
NAMES = ("car", "pedestrian", "bicycle", "traffic light", "traffic sign")
CLASS_OF = {
    "car": 0, "truck": 0, "bus": 0, "pedestrian": 1, "rider": 1, "bicycle": 2, "motorcycle": 2,
    "traffic light": 3, "traffic sign": 4,
}  # fmt: skip
PAD = 114
MIRRORED, CUT, TINTED, MOVED, NOISY = 0.5, 0.5, 0.8, 0.3, 0.3  # shares of examples that each befalls
SOURCE_BLURRED, PICTURE_BLURRED = 0.25, 0.3
ENLARGED = 1.7  # times at most that a part of an example is enlarged
LEAST_PART, SURE_PART = 0.02, 0.4  # of an object inside the part: below, it is not there, or need not be found
DIMMED = (0.25, 0.35)  # of source and picture, by which the logarithm of brightness varies


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """A source and a picture of its street, uint8 RGB `180 320 3`, and what the picture shows.

    `boxes` n 4 xyxy, `classes` n, `sure` n: whether the object must be found (else it is neither right nor wrong),
    `new` n: whether the source does not show it.
    """

    source: Image
    picture: Image
    boxes: np.ndarray
    classes: np.ndarray
    sure: np.ndarray
    new: np.ndarray


def worn(example: Example, rng: np.random.Generator) -> tuple[np.ndarray, Example]:
    """The input `192 320 6` of an example after mirroring, enlarging, tints, blur, noise, and a source that lies up to
    a pixel beside; and the example with its boxes there. Its labels stay true.
    """
    e = _mirrored(example) if rng.random() < MIRRORED else example
    e = _enlarged(e, rng) if rng.random() < CUT else e
    source, picture = (_tinted(i, d, rng) for i, d in zip((e.source, e.picture), DIMMED, strict=True))
    source = _blurred(source, rng) if rng.random() < SOURCE_BLURRED else source
    picture = _blurred(picture, rng) if rng.random() < PICTURE_BLURRED else picture
    if rng.random() < MOVED:
        x, y = rng.uniform(-1, 1, 2)
        by = np.array([[1, 0, x], [0, 1, y]], np.float32)
        source = cv2.warpAffine(source, by, FRAME, borderMode=cv2.BORDER_REPLICATE)
    both = np.concatenate([source, picture], -1)
    if rng.random() < NOISY:
        noise = rng.normal(0, rng.uniform(1, 5), both.shape)
        both = np.clip(np.rint(both + noise), 0, 255).astype(np.uint8)
    return padded(both), replace(e, source=source, picture=picture)


def padded(both: np.ndarray) -> np.ndarray:
    """`180 320 c` in a frame of SIZE, grey below."""
    out = np.full((SIZE[1], SIZE[0], both.shape[-1]), PAD, np.uint8)
    out[: both.shape[0]] = both
    return out


def _mirrored(e: Example) -> Example:
    boxes = e.boxes.copy()
    boxes[:, [0, 2]] = FRAME[0] - boxes[:, [2, 0]]
    source, picture = (np.ascontiguousarray(i[:, ::-1]) for i in (e.source, e.picture))
    return replace(e, source=source, picture=picture, boxes=boxes)


def _enlarged(e: Example, rng: np.random.Generator) -> Example:
    """A part of both pictures at full size."""
    k = float(rng.uniform(1, ENLARGED))
    w, h = int(FRAME[0] / k), int(FRAME[1] / k)
    x, y = int(rng.integers(0, FRAME[0] - w + 1)), int(rng.integers(0, FRAME[1] - h + 1))
    source, picture = (
        cv2.resize(i[y : y + h, x : x + w], FRAME, interpolation=cv2.INTER_CUBIC) for i in (e.source, e.picture)
    )
    boxes = (e.boxes - [x, y, x, y]) * k
    whole = _areas(boxes)
    boxes = boxes.clip(0, [*FRAME, *FRAME]).astype(np.float32)
    part = _areas(boxes) / np.maximum(whole, 1e-6)
    here = part > LEAST_PART
    return Example(source, picture, boxes[here], e.classes[here], (e.sure & (part >= SURE_PART))[here], e.new[here])


def _areas(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _tinted(image: Image, dimmed: float, rng: np.random.Generator) -> Image:
    if rng.random() >= TINTED:
        return image
    table = (np.arange(256) / 255.0) ** np.exp(rng.uniform(-0.35, 0.35)) * np.exp(rng.uniform(-dimmed, dimmed))
    channels = [np.clip(255 * table * tint, 0, 255).astype(np.uint8) for tint in rng.uniform(0.88, 1.12, 3)]
    return cv2.LUT(image, np.stack(channels, -1)[None])


def _blurred(image: Image, rng: np.random.Generator) -> Image:
    k = rng.uniform(0.4, 0.95)
    small = cv2.resize(image, None, fx=k, fy=k, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_CUBIC)


def store_examples(path: Path, examples: Sequence[Example]) -> None:
    """Examples in one file, written whole or not at all."""
    temporary = path.with_suffix(".part")
    with temporary.open("wb") as file:
        np.savez(
            file,
            sources=np.stack([e.source for e in examples]),
            pictures=np.stack([e.picture for e in examples]),
            boxes=np.concatenate([e.boxes for e in examples]),
            classes=np.concatenate([e.classes for e in examples]),
            sure=np.concatenate([e.sure for e in examples]),
            new=np.concatenate([e.new for e in examples]),
            counts=np.array([len(e.classes) for e in examples]),
        )
    temporary.replace(path)


def read_examples(path: Path) -> Iterator[Example]:
    """What `store_examples` wrote."""
    with np.load(path) as file:
        ends = np.cumsum(file["counts"])[:-1]
        parts = (np.split(file[name], ends) for name in ("boxes", "classes", "sure", "new"))
        for fields in zip(file["sources"], file["pictures"], *parts, strict=True):
            yield Example(*fields)
