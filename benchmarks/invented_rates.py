"""How many of the lights that no training knows are found, by kind, and how many true renders are taken for them.

Lights are painted over true renders of the same streets under every condition, at full size, as the light layer or a
large model would paint one. A light is found where something made out at its place rejects the image.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from benchmarks.fault_cases import REPORTED_KEY, SIZE
from benchmarks.fault_rates import rate_figure
from benchmarks.figure import Figure
from benchmarks.invented import KINDS, LAMPS, SMEARS, invented
from s2st_aug.arrays import Box, Image
from s2st_aug.procedural.categories import CATEGORIES
from s2st_aug.procedural.drawing import draw_street
from s2st_aug.procedural.labels import read_labels
from s2st_aug.procedural.render import render_drawn
from s2st_aug.procedural.sampling import sample_street
from s2st_aug.procedural.surfaces import surfaces
from s2st_aug.randomness import numpy_generator
from s2st_aug.records.domains import ConditionName
from s2st_aug.records.scene import SceneObject
from s2st_aug.records.verdicts import Hallucination
from s2st_aug.validation.hallucinations import hallucinated_lights
from s2st_aug.validation.patches import Frame, frame
from s2st_aug.validation.settings import ValidationSettings

CONDITIONS: tuple[ConditionName, ...] = ("night", "rain", "dusk", "fog", "night_rain")
TRUE_THERE = {"red_sky": ("dusk",)}  # kind -> conditions that have the like of it
GOAL, ALLOWED = 0.9, 0.10  # of lights found, and of true images rejected for one
LEAST = ValidationSettings().max_hallucination or 2.0


def invented_figures(streets: Sequence[int], key: int = REPORTED_KEY) -> Iterator[Figure]:
    """Recall by kind and over all lamps and all smears; true renders rejected, by condition and over all."""
    found: dict[str, list[bool]] = defaultdict(list)
    rejected: dict[str, list[bool]] = defaultdict(list)
    for index in streets:
        for condition, day, truth, objects in _street(key, index):
            seen = hallucinated_lights(day, frame(truth), objects)
            rejected[condition].append(any(h.score >= LEAST for h in seen))
            for kind in KINDS:
                if condition not in TRUE_THERE.get(kind, ()):
                    hit = _is_found(kind, f"{key}-{index}-{condition}", day, truth, objects)
                    found[kind] += [] if hit is None else [hit]
    yield from rates(found, rejected)


def rates(found: dict[str, list[bool]], rejected: dict[str, list[bool]]) -> Iterator[Figure]:
    """The figures of what was found, by kind, and of which true images were rejected, by condition."""
    for label, kinds in (("lamps", LAMPS), ("smears", SMEARS)):
        hits = [hit for kind in kinds for hit in found[kind]]
        yield rate_figure(f"recall_invented_{label}", hits, GOAL, ", ".join(kinds), at_least=True)
    for kind in KINDS:
        yield rate_figure(f"recall_invented_{kind}", found[kind], None, "true renders, full size", at_least=True)
    every = [hit for hits in rejected.values() for hit in hits]
    yield rate_figure("rejected_for_lights", every, ALLOWED, "true renders with a light that is taken for false")
    for condition, hits in rejected.items():
        yield rate_figure(f"rejected_for_lights_{condition}", hits, None, "")


def _street(key: int, index: int) -> Iterator[tuple[ConditionName, Frame, Image, tuple[SceneObject, ...]]]:
    drawn = draw_street(sample_street(key, index, SIZE))
    surface = surfaces(drawn)
    named = [(o, CATEGORIES[o.instance.category].det) for o in read_labels(drawn).objects]
    objects = tuple(SceneObject(str(o.instance.number), "box", name, o.box) for o, name in named if name)
    day = frame(render_drawn(drawn, surface, "day"))
    for condition in CONDITIONS:
        yield condition, day, render_drawn(drawn, surface, condition), objects


def _is_found(kind: str, name: str, day: Frame, truth: Image, objects: Sequence[SceneObject]) -> bool | None:
    """None where no place for it was found."""
    planted = invented(kind, truth, [o.bbox for o in objects], numpy_generator(0, "invented", name, kind))
    if planted is None:
        return None
    seen = hallucinated_lights(day, frame(planted.variant), objects)
    return any(h.score >= LEAST and _touches(h, planted.box) for h in seen)


def _touches(found: Hallucination, box: Box) -> bool:
    x1, y1, x2, y2 = found.bbox
    return x1 < box[2] and box[0] < x2 and y1 < box[3] and box[1] < y2
