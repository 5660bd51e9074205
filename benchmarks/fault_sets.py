"""What only several variants together show: a picture that all of them got
from the references, and flicker of a sequence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np

from benchmarks.fault_cases import REPORTED_KEY
from benchmarks.fault_rates import rate_figure
from benchmarks.figure import Figure
from s2st_aug.arrays import Image
from s2st_aug.procedural.drawing import draw_street
from s2st_aug.procedural.render import render_drawn, render_scene
from s2st_aug.procedural.sampling import sample_street
from s2st_aug.procedural.surfaces import surfaces
from s2st_aug.records.domains import ConditionName
from s2st_aug.validation.flicker import flicker
from s2st_aug.validation.overlays import pasted_everywhere

SMALL = (640, 360)
GROUPS, A_GROUP = 2, 8
SEQUENCES, FRAMES, STEP = 3, 5, 0.2  # seconds between frames, as in BDD100K's tracking sets
UNSTEADY = 0.15  # by which the brightness of a frame is off in a flickering sequence


def set_figures() -> Iterator[Figure]:
    """Overlays found and made up, and how flicker tells a steady night from an unsteady one."""
    found, false = [], []
    for group in range(GROUPS):
        days, nights = _pairs(range(group * A_GROUP, (group + 1) * A_GROUP))
        false.append(bool(pasted_everywhere(days, nights)))
        for plant in OVERLAYS.values():
            found.append(bool(pasted_everywhere(days, [plant(i) for i in nights])))
    about = f"{GROUPS} sets of {A_GROUP} true nights at 640x360"
    yield rate_figure(
        "recall_pasted_everywhere", found, None, f"a bonnet, a watermark and a timestamp in {about}", at_least=True
    )
    yield rate_figure("fpr_pasted_everywhere", false, None, about)
    yield from _flickers()


def _pairs(streets: Sequence[int]) -> tuple[list[Image], list[Image]]:
    days, nights = [], []
    for index in streets:
        drawn = draw_street(sample_street(REPORTED_KEY, index, SMALL))
        surface = surfaces(drawn)
        days.append(render_drawn(drawn, surface, "day"))
        nights.append(render_drawn(drawn, surface, "night"))
    return days, nights


def _with_bonnet(image: Image) -> Image:
    return cv2.ellipse(image.copy(), (320, 372), (260, 60), 0, 180, 360, (70, 74, 82), -1, cv2.LINE_AA)


def _with_watermark(image: Image) -> Image:
    return cv2.putText(
        image.copy(), "SAMPLE", (230, 110), cv2.FONT_HERSHEY_SIMPLEX, 1.6, (190, 190, 190), 4, cv2.LINE_AA
    )


def _with_stamp(image: Image) -> Image:
    return cv2.putText(
        image.copy(), "2019-03-02 21:14", (16, 344), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (230, 230, 120), 2, cv2.LINE_AA
    )


OVERLAYS: dict[str, Callable[[Image], Image]] = {
    "bonnet": _with_bonnet,
    "watermark": _with_watermark,
    "stamp": _with_stamp,
}


def _flickers() -> Iterator[Figure]:
    steady, unsteady = [], []
    for number in range(SEQUENCES):
        days, nights = (_frames(number, condition) for condition in ("day", "night"))
        rng = np.random.default_rng(number)
        gains = rng.choice([1 - UNSTEADY, 1 + UNSTEADY], FRAMES)
        steady.append(flicker(days, nights) or 0.0)
        off = [np.clip(i * k, 0, 255).astype(np.uint8) for i, k in zip(nights, gains, strict=True)]
        unsteady.append(flicker(days, off) or 0.0)
    why = f"mean over {SEQUENCES} sequences of {FRAMES} true frames; 1 is as steady as the day"
    yield Figure(
        "flicker_true_night", float(np.mean(steady)), "ratio", None, None, SEQUENCES, (min(steady), max(steady)), why
    )
    why = f"the same with frames {UNSTEADY:.0%} too bright or too dark"
    yield Figure(
        "flicker_unsteady_night",
        float(np.mean(unsteady)),
        "ratio",
        None,
        None,
        SEQUENCES,
        (min(unsteady), max(unsteady)),
        why,
    )


def _frames(number: int, condition: ConditionName) -> list[Image]:
    street = sample_street(REPORTED_KEY, 1000 + number, SMALL)
    return [render_scene(street.after(STEP * n), condition) for n in range(FRAMES)]
