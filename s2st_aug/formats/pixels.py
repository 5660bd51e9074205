"""In which pixels labels are: the declared size and the orientation of an image against its file, label by label.

A format says whether its labels are in stored or in upright pixels (`DatasetFormat.orientation`). A size that the label
file declares goes before that: where it is the other one of the two, labels are in those pixels. Where it is neither,
the labels were drawn on another picture, and reading them raises, unless the card asks to rescale them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np

from s2st_aug.arrays import Box
from s2st_aug.errors import LabelError
from s2st_aug.formats.geometry import is_inside, outline_box
from s2st_aug.formats.values import plain_id
from s2st_aug.records.scene import LINES, SceneObject

Size = tuple[int, int]
Orientation = Literal["apply", "ignore"]
NOWHERE: Box = (0.0, 0.0, 0.0, 0.0)
NO_GEOMETRY = "it has no geometry"
FEWEST_OUTSIDE = 2
"""Labels wholly outside of an image from which, being more than half of all, none of them is believed."""


@dataclass(frozen=True, slots=True)
class PixelFrame:
    """The picture that labels are drawn on: how its file is turned, its size then, and the factors of the labels."""

    orientation: Orientation
    size: Size  # width, height
    scale: tuple[float, float] = (1.0, 1.0)


def pixel_frame(
    orientation: Orientation, stored: Size, upright: Size, declared: Size | None, *, rescale: bool, where: str
) -> PixelFrame:
    """The frame of one scene. Raises LabelError, with both sizes, where the declared size is not the image's.

    >>> pixel_frame("ignore", (160, 256), (256, 160), (256, 160), rescale=False, where="a.json: a.jpg").orientation
    'apply'
    """
    sizes: dict[Orientation, Size] = {"ignore": stored, "apply": upright}
    order: list[Orientation] = ["ignore", "apply"] if orientation == "ignore" else ["apply", "ignore"]
    if declared is None:
        return PixelFrame(orientation, sizes[orientation])
    for one in order:
        if declared == sizes[one]:
            return PixelFrame(one, sizes[one])
    like = next((one for one in order if is_rescaled(declared, sizes[one])), None)
    if like is not None and rescale:
        size = sizes[like]
        return PixelFrame(like, size, (size[0] / declared[0], size[1] / declared[1]))
    found = " or upright ".join(dict.fromkeys(f"{w}x{h}" for w, h in (stored, upright)))
    why = "the labels are of another picture"
    if like is not None:
        why = "a plain rescale: `dataset.rescale_labels: true` scales the labels to the image"
    raise LabelError(f"{where} is {found}, its labels declare {declared[0]}x{declared[1]}; {why}")


def is_rescaled(declared: Size, size: Size) -> bool:
    """Whether one size is the other with both sides scaled alike, to a pixel's rounding."""
    (a, b), (w, h) = declared, size
    return abs(a * h - b * w) <= max(a, b, w, h)


def declared(width: object, height: object) -> Size | None:
    """A size out of a label file, `"512"` and `512.0` too; None where it is no size: absent, null, zero.

    >>> declared("512", 320.0), declared(512, None), declared(0, 0)
    ((512, 320), None, None)
    """
    sides = [plain_id(width), plain_id(height)]
    return (sides[0], sides[1]) if all(type(v) is int and 0 < v < 10**7 for v in sides) else None  # type: ignore[return-value]


def mask_size(objects: Iterable[SceneObject]) -> Size | None:
    """The one size that all masks have, as width and height; None without masks, or where they differ."""
    sizes = {item.mask.shape for item in objects if item.mask is not None}
    return (sizes.pop()[1::-1] if len(sizes) == 1 else None) if sizes else None


def in_frame(objects: Iterable[SceneObject], frame: PixelFrame, where: str) -> tuple[SceneObject, ...]:
    """The labels in the image's pixels, each with what makes it unsound there.

    Raises LabelError where more than half of them, two or more, lie wholly outside: then those inside are not believed
    either.
    """
    found = tuple(sound(_scaled(item, frame), frame.size) for item in objects)
    placed = [item for item in found if item.kind not in LINES and item.bbox != NOWHERE]
    outside = [item.object_id for item in placed if not is_inside(item.bbox, *frame.size)]
    if len(outside) >= FEWEST_OUTSIDE and 2 * len(outside) > len(placed):
        raise LabelError(
            f"{where}: {len(outside)} of {len(placed)} labels lie outside the image of {_said(frame.size)}: they are of"
            " another size, or of another picture"
        )
    return found


def without_frame(objects: Iterable[SceneObject]) -> tuple[SceneObject, ...]:
    """The labels of an image that is not there, with what makes them unsound in any image."""
    return tuple(sound(item, None) for item in objects)


def _scaled(item: SceneObject, frame: PixelFrame) -> SceneObject:
    if frame.scale == (1.0, 1.0):
        return item
    (sx, sy), mask = frame.scale, item.mask
    if mask is not None:
        mask = cv2.resize(mask.astype(np.uint8), frame.size, interpolation=cv2.INTER_NEAREST).astype(bool)
    x1, y1, x2, y2 = item.bbox
    outlines = tuple(outline * np.asarray(frame.scale) for outline in item.outlines)
    return replace(item, bbox=(x1 * sx, y1 * sy, x2 * sx, y2 * sy), outlines=outlines, mask=mask)


def sound(item: SceneObject, size: Size | None) -> SceneObject:
    """The label with what makes it unsound in an image of this width and height; None where there is no image."""
    why = item.unsound or _fault(item, size)
    return item if why == item.unsound else replace(item, unsound=why)


def _fault(item: SceneObject, size: Size | None) -> str | None:
    if item.mask is not None and size is not None and item.mask.shape[1::-1] != size:
        return f"its mask is of {_said(item.mask.shape[1::-1])}, the image of {_said(size)}"
    box = item.bbox
    if item.kind in LINES:
        box = outline_box(item.outlines) if item.outlines else box
        x1, y1, x2, y2 = box
        box = (x1 - 1, y1 - 1, x2 + 1, y2 + 1)
    elif box == NOWHERE:
        return NO_GEOMETRY
    elif box[2] <= box[0] or box[3] <= box[1]:
        return "its box has no width" if box[2] <= box[0] else "its box has no height"
    if size is not None and not is_inside(box, *size):
        return f"it lies outside the image of {_said(size)}"
    return None


def _said(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
