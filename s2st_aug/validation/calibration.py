"""Thresholds from one's own photos: changes that leave every label true must not raise an alarm."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from s2st_aug.arrays import Image
from s2st_aug.errors import DatasetError
from s2st_aug.randomness import numpy_generator
from s2st_aug.records.scene import SceneObject
from s2st_aug.validation.gates import IN_PLACE, UNMEASURED
from s2st_aug.validation.judge import judge
from s2st_aug.validation.settings import ValidationSettings

SIDES = (16, 24, 40, 72, 140)  # px of the stand-in objects
A_PHOTO = 12  # stand-in objects a photo
LEAST_PHOTOS = 8
FALSE_ALARMS = 0.05
LEAST_EVIDENCE, MOST_EVIDENCE = 0.05, 0.4  # that an object may be asked for before the detail step
MARGIN = 0.8  # for the few places that a threshold at the edge of a sample rests on


@dataclass(frozen=True, slots=True)
class TrueChange:
    """A photo, a change of it that leaves every label true, and the same without fine detail (a model's round trip)."""

    source: Image
    variant: Image
    raw: Image


@dataclass(frozen=True, slots=True)
class Calibration:
    """`settings` set on the even photos.

    Rates are of the odd ones: `before` with the given settings, `after` with these.
    """

    settings: ValidationSettings
    before: float
    after: float
    objects: int
    photos: int


def retouched(photo: Image, *key: str) -> Image:
    """A change within a camera's range: gain, gamma, colourfulness, tint and sensor noise, drawn from `key`."""
    rng = numpy_generator(0, "retouched", *key)
    x = (photo / 255.0) ** rng.uniform(0.8, 2.0) * rng.uniform(0.35, 1.0)
    grey = x.mean(-1, keepdims=True)
    x = (grey + (x - grey) * rng.uniform(0.4, 1.1)) * rng.uniform(0.85, 1.1, 3)
    x = x + rng.normal(0, rng.uniform(0.002, 0.012), x.shape)
    return (255 * np.clip(x, 0, 1)).astype(np.uint8)


def stand_ins(photo: Image, *key: str) -> tuple[SceneObject, ...]:
    """Boxes on places with edges, standing in for labels that a folder of photos does not have."""
    rng = numpy_generator(0, "stand-ins", *key)
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    h, w = grey.shape
    found: list[SceneObject] = []
    for _ in range(20 * A_PHOTO):
        side = int(rng.choice(SIDES))
        if side >= min(h, w) or len(found) == A_PHOTO:
            continue
        x, y = int(rng.integers(0, w - side)), int(rng.integers(0, h - side))
        if float(grey[y : y + side, x : x + side].std()) > 12:
            found.append(SceneObject(str(len(found)), "box", "stand-in", (x, y, x + side, y + side)))
    return tuple(found)


def calibrate(changes: Iterable[TrueChange], settings: ValidationSettings, seen: str) -> Calibration:
    """Set five thresholds so that at most one label in twenty is doubted.

    They are keep_of_around, lost_of_around, least_evidence, keep_structure_raw and max_shift_px.
    Raises DatasetError on fewer than eight photos, or none with structure in it.
    """
    rows = [_measured(change, i, settings) for i, change in enumerate(changes)]
    if len(rows) < LEAST_PHOTOS:
        raise DatasetError(f"calibrating needs at least {LEAST_PHOTOS} photos; got {len(rows)}")
    chosen, held = np.concatenate(rows[::2]), np.concatenate(rows[1::2])
    if not len(chosen) or not len(held):
        raise DatasetError("calibrating needs photos with edges, but these are flat (without structure)")
    new = settings.model_copy(update={**_thresholds(chosen), "calibrated_on": seen})
    return Calibration(new, _alarms(held, settings), _alarms(held, new), len(held), len(rows))


def _measured(change: TrueChange, number: int, settings: ValidationSettings) -> np.ndarray:
    """structure, structure_raw, shift, size, the surroundings' structure and evidence (NaN for none), `n 6`."""
    found = judge(change.source, change.variant, change.raw, stand_ins(change.source, str(number)), None, settings)
    rows = [
        # a well-kept object needs no comparison with its surroundings: its own structure stands for theirs
        (
            o.structure,
            o.structure_raw,
            o.shift_px,
            o.bbox[2] - o.bbox[0],
            o.structure if o.around is None else o.around,
            np.nan if o.evidence is None else o.evidence,
        )
        for o in found.objects
        if o.cause not in UNMEASURED and o.structure is not None
    ]
    return np.array(rows, np.float64).reshape(-1, 6)


def _thresholds(rows: np.ndarray) -> dict[str, float]:
    """Each of the three alarms (structure, a better place, evidence) gets a third of the allowance.

    Without evidence (no detail step) `least_evidence` stays as it is.
    """
    share = FALSE_ALARMS / 3
    keep = MARGIN * float(np.quantile(rows[:, 0] / np.maximum(rows[:, 4], 0.1), share))
    raw = MARGIN * float(np.quantile(rows[:, 1], share))
    moved = float(np.quantile(rows[:, 2], 1 - share)) / MARGIN
    sure = rows[:, 5][np.isfinite(rows[:, 5])]
    asked = np.clip(MARGIN * np.quantile(sure, share), LEAST_EVIDENCE, MOST_EVIDENCE) if len(sure) else None
    return {
        **({} if asked is None else {"least_evidence": round(float(asked), 3)}),
        "keep_of_around": round(float(np.clip(keep, 0.2, 0.9)), 3),
        "lost_of_around": round(float(np.clip(keep / 2, 0.1, 0.45)), 3),
        "keep_structure_raw": round(float(np.clip(raw, 0.0, 0.9)), 3),
        "max_shift_px": round(float(np.clip(moved, 3.0, 8.0)), 2),
    }


def _alarms(rows: np.ndarray, s: ValidationSettings) -> float:
    least = np.clip(s.keep_of_around * rows[:, 4], s.least_structure, s.keep_structure)
    moved = (rows[:, 0] < IN_PLACE) & (rows[:, 2] >= np.maximum(s.max_shift_px, s.max_shift_of_size * rows[:, 3]))
    unsure = np.where(np.isfinite(rows[:, 5]), rows[:, 5] < s.least_evidence, rows[:, 1] < s.keep_structure_raw)
    return float(((rows[:, 0] < least) | moved | unsure).mean())
