"""Faults planted into images whose truth is known: what the checks must find."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import cv2
import numpy as np

from benchmarks.invented import KINDS, LAMPS, SMEARS, invented, second_lamp
from s2st_aug.arrays import Box, Image, Mask
from s2st_aug.records.scene import LINES, SceneObject
from s2st_aug.training.pasted_lights import Pair, Planted, free_place
from s2st_aug.validation.patches import clipped
from s2st_aug.validation.signals import STATES

Plant = Callable[[Pair, SceneObject | None, np.random.Generator], Planted | None]


def region(item: SceneObject, shape: tuple[int, ...], *, grow: int = 0) -> Mask:
    """The pixels of an object, grown by some; bool, image size."""
    mask = np.zeros(shape[:2], np.uint8)
    left, top, right, bottom = clipped(item.bbox, shape)
    if item.mask is not None:
        mask[item.mask] = 1
    elif item.kind == "polygon" and item.outlines:
        cv2.fillPoly(mask, [np.round(o).astype(np.int32) for o in item.outlines], 1)
    else:
        mask[top:bottom, left:right] = 1
    return (cv2.dilate(mask, np.ones((2 * grow + 1,) * 2, np.uint8)) if grow else mask).astype(bool)


def erased(pair: Pair, item: SceneObject | None, rng: np.random.Generator) -> Planted | None:
    """The object painted over with its surroundings."""
    return _strike(pair, item, lambda image, mask: _inpainted(image, mask)) if item else None


def blurred(pair: Pair, item: SceneObject | None, rng: np.random.Generator) -> Planted | None:
    """The object blurred by a third of its size."""
    if item is None:
        return None
    sigma = max(2.0, min(item.bbox[2] - item.bbox[0], item.bbox[3] - item.bbox[1]) / 3)
    return _strike(pair, item, lambda image, mask: _smeared(image, mask, sigma))


def washed_region(pair: Pair, item: SceneObject | None, rng: np.random.Generator) -> Planted | None:
    """The object nearly flat: a tenth of its contrast about its own mean."""
    return _strike(pair, item, _flattened) if item else None


def melted(pair: Pair, item: SceneObject | None, rng: np.random.Generator) -> Planted | None:
    """The object's pixels dragged about by a smooth field, a fifth of its size: same colours, no sound shape."""
    if item is None:
        return None
    side = min(item.bbox[2] - item.bbox[0], item.bbox[3] - item.bbox[1])
    return _strike(pair, item, lambda image, mask: _dragged(image, mask, side, rng))


def shifted(pair: Pair, item: SceneObject | None, rng: np.random.Generator, *, px: int) -> Planted | None:
    """The object cut out, its place filled, and pasted `px` away in a random direction along or across the image."""
    if item is None:
        return None
    dx, dy = [(px, 0), (-px, 0), (0, px), (0, -px)][rng.integers(4)]
    return _strike(pair, item, lambda image, mask: _moved(image, mask, dx, dy))


def two_lit(pair: Pair, item: SceneObject | None, rng: np.random.Generator) -> Planted | None:
    """A second lamp lit beside the one that the label names."""
    if item is None or item.signal is None:
        return None
    found = second_lamp(pair.variant, item.bbox, STATES.index(item.signal), rng)
    return Planted(found.variant, item.object_id, item.bbox) if found else None


def light(pair: Pair, _item: SceneObject | None, rng: np.random.Generator, *, kind: str) -> Planted | None:
    """A lamp or smear where no label is, of one of the kinds that no training knows; strikes the image."""
    found = invented(kind, pair.variant, [o.bbox for o in pair.objects if o.kind not in LINES], rng)
    return Planted(found.variant, None, found.box) if found else None


def duplicated(pair: Pair, item: SceneObject | None, rng: np.random.Generator) -> Planted | None:
    """A second copy of the object beside the labelled ones; strikes the image."""
    if item is None:
        return None
    return _pasted(pair, pair.variant, region(item, pair.variant.shape, grow=1), item.bbox, rng)


def pasted_car(pair: Pair, item: SceneObject | None, rng: np.random.Generator) -> Planted | None:
    """A vehicle of this scene, mirrored and half or one and a half as large, where no label is; strikes the image."""
    if item is None or item.category not in ("car", "truck", "bus"):
        return None
    left, top, right, bottom = clipped(item.bbox, pair.variant.shape)
    k = float(rng.choice([0.6, 1.4]))
    crop, mask = (
        pair.variant[top:bottom, left:right][:, ::-1],
        region(item, pair.variant.shape)[top:bottom, left:right][:, ::-1],
    )
    size = (max(4, round((right - left) * k)), max(4, round((bottom - top) * k)))
    crop, mask = (
        cv2.resize(np.ascontiguousarray(crop), size),
        cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST),
    )
    corner = free_place(pair, size, rng)
    if corner is None:
        return None
    image = pair.variant.copy()
    part = image[corner[1] : corner[1] + size[1], corner[0] : corner[0] + size[0]]
    part[mask > 0] = crop[mask > 0]
    return Planted(image, None, (*corner, corner[0] + size[0], corner[1] + size[1]))


def identity(pair: Pair, item: SceneObject | None, rng: np.random.Generator) -> Planted | None:
    """The source itself, as it is or as JPEG would have changed it."""
    quality = int(rng.integers(70, 101))
    if quality >= 90:
        return Planted(pair.source.copy(), None, None)
    coded = cv2.imencode(".jpg", pair.source, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return Planted(np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8), None, None)


def darkened(pair: Pair, item: SceneObject | None, rng: np.random.Generator) -> Planted | None:
    """The source, darker all over: gain or gamma, sometimes paler and bluer, with sensor noise."""
    x = pair.source / 255.0
    x = x * rng.uniform(0.15, 0.6) if rng.random() < 0.5 else x ** rng.uniform(1.8, 4)
    if rng.random() < 0.5:
        grey = x.mean(-1, keepdims=True)
        x = (grey + (x - grey) * rng.uniform(0.3, 0.9)) * np.array([0.85, 0.95, 1.1])
    x = x + rng.normal(0, rng.uniform(0, 0.01), x.shape)
    return Planted((255 * np.clip(x, 0, 1)).astype(np.uint8), None, None)


PAINTED_FAULTS: dict[str, Plant] = {
    "erased_painted": erased,
    "shift8_painted": partial(shifted, px=8),
    "melted": melted,
    "blurred": blurred,
    "washed_region": washed_region,
    "signal_two_lit": two_lit,
}
"""name -> how an object is spoilt. A plant returns None where it cannot strike."""
WHOLE_FAULTS: dict[str, Plant] = {
    "duplicated": duplicated,
    "pasted_car": pasted_car,
    "identity": identity,
    "darkened": darkened,
}
"""name -> how an image is spoilt, or what is added where no label is"""
LIGHT_FAULTS: dict[str, dict[str, Plant]] = {
    "pasted_light": {kind: partial(light, kind=kind) for kind in LAMPS},
    "pasted_smear": {kind: partial(light, kind=kind) for kind in SMEARS if not KINDS[kind].large},
}
"""name -> what shines where nothing does, by kind"""


def _strike(pair: Pair, item: SceneObject, change: Callable[[Image, Mask], np.ndarray]) -> Planted:
    mask = region(item, pair.variant.shape, grow=2)
    return Planted(change(pair.variant, mask).astype(np.uint8), item.object_id, item.bbox)


def _inpainted(image: Image, mask: Mask) -> Image:
    """Telea's inpainting in a crop, at most 96 px a side, with the grain of the surroundings put back."""
    ys, xs = np.nonzero(mask)
    pad = 12
    top, bottom, left, right = max(ys.min() - pad, 0), ys.max() + pad + 1, max(xs.min() - pad, 0), xs.max() + pad + 1
    crop, hole = image[top:bottom, left:right], mask[top:bottom, left:right]
    k = min(1.0, 96 / max(crop.shape[:2]))
    small = cv2.resize(crop, None, fx=k, fy=k, interpolation=cv2.INTER_AREA)
    inside = cv2.resize(hole.astype(np.uint8), small.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    filled = cv2.resize(
        cv2.inpaint(small, inside, 3, cv2.INPAINT_TELEA), crop.shape[1::-1], interpolation=cv2.INTER_CUBIC
    )
    grain = crop.astype(np.float32) - cv2.GaussianBlur(crop, (0, 0), 1.0)
    level = float(np.median(np.abs(grain[~hole]))) * 1.4826 if (~hole).any() else 0.0
    noise = np.random.default_rng(int(mask.sum())).normal(0, min(level, 8.0), crop.shape)
    out = image.copy()
    out[top:bottom, left:right][hole] = np.clip(filled + noise, 0, 255).astype(np.uint8)[hole]
    return out


def _smeared(image: Image, mask: Mask, sigma: float) -> Image:
    """The masked pixels after a Gaussian, taken of no more of the image than they depend on."""
    ys, xs = np.nonzero(mask)
    reach = int(4 * sigma) + 2
    cut = (slice(max(ys.min() - reach, 0), ys.max() + reach + 1), slice(max(xs.min() - reach, 0), xs.max() + reach + 1))
    out = image.copy()
    out[cut] = np.where(mask[cut][..., None], cv2.GaussianBlur(image[cut], (0, 0), sigma), image[cut])
    return out


def _dragged(image: Image, mask: Mask, side: float, rng: np.random.Generator) -> Image:
    """The masked pixels from where a random field of a third of the object's size points; its root mean square is a
    fifth of that size."""
    ys, xs = np.nonzero(mask)
    cut = (slice(ys.min(), ys.max() + 1), slice(xs.min(), xs.max() + 1))
    h, w = mask[cut].shape
    grid = (max(2, round(3 * h / side)), max(2, round(3 * w / side)))
    by = [cv2.resize(rng.normal(0, side / 5, grid).astype(np.float32), (w, h), interpolation=cv2.INTER_CUBIC)
          for _ in range(2)]  # fmt: skip
    yy, xx = np.mgrid[cut].astype(np.float32)
    moved = cv2.remap(image, xx + by[0], yy + by[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    out = image.copy()
    out[cut] = np.where(mask[cut][..., None], moved, image[cut])
    return out


def _flattened(image: Image, mask: Mask) -> Image:
    mean = image[mask].mean(0)
    return np.where(mask[..., None], mean + 0.1 * (image - mean), image).astype(np.uint8)


def _moved(image: Image, mask: Mask, dx: int, dy: int) -> Image:
    out = _inpainted(image, mask)
    ys, xs = np.nonzero(mask)
    inside = (ys + dy >= 0) & (ys + dy < mask.shape[0]) & (xs + dx >= 0) & (xs + dx < mask.shape[1])
    ys, xs = ys[inside], xs[inside]
    out[ys + dy, xs + dx] = image[ys, xs]
    return out


def _pasted(pair: Pair, image: Image, mask: Mask, box: Box, rng: np.random.Generator) -> Planted | None:
    left, top, right, bottom = clipped(box, image.shape)
    corner = free_place(pair, (right - left, bottom - top), rng, row=top)
    if corner is None:
        return None
    out, part = image.copy(), mask[top:bottom, left:right]
    out[corner[1] : corner[1] + bottom - top, corner[0] : corner[0] + right - left][part] = image[
        top:bottom, left:right
    ][part]
    return Planted(out, None, (*corner, corner[0] + right - left, corner[1] + bottom - top))


def objects_of_masks(classes: np.ndarray, names: dict[int, str], *, least: int) -> Sequence[SceneObject]:
    """Connected regions of the named classes as mask objects with both sides
    of at least `least` px (photos without instances).
    """
    found = []
    for value, name in names.items():
        count, labels, stats, _ = cv2.connectedComponentsWithStats((classes == value).astype(np.uint8))
        for n in range(1, count):
            x, y, w, h = (int(v) for v in stats[n, :4])
            if min(w, h) >= least:
                found.append(SceneObject(f"{name}-{n}", "mask", name, (x, y, x + w, y + h), mask=labels == n))
    return found
