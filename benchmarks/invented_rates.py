"""How many of the lights that no training knows are found, by kind, and how many true pictures are taken for them.

Lights are painted over true pictures of the same streets under every condition, at their full size, as the light layer
or a large model would paint one: over sharp renders, or over what the product emits where a model paints the truth.
A light is found where something made out at its place rejects the image.

`pipelines/examine_lights.py` runs this on any streets and draws what was judged wrongly.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

import cv2
import numpy as np

from benchmarks.fault_cases import REPORTED_KEY, SIZE
from benchmarks.fault_emission import Emission, painted, shipped_settings
from benchmarks.fault_rates import rate_figure
from benchmarks.figure import Figure
from benchmarks.invented import KINDS, LAMPS, SMEARS, invented
from s2st_aug.arrays import Box, Image
from s2st_aug.diffusion.stable_diffusion import load_model
from s2st_aug.images import encode_png
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
SMALL = (640, 360)  # w, h of streets whose lamps are as sharp as can be where the checks look
MODEL = "street-mini"
MISSES, CROP, ENLARGED = 10, 96, 4  # pictures written, px at a width of 640 around a miss, and times as large


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A true picture, or one with an invented light of a `kind` in it; `score` is what the checks made out, of a light
    at its place (`box`), of a true picture (`kind` None) the highest, at `box`.
    """

    name: str
    condition: str
    kind: str | None
    score: float
    box: Box
    source: Image
    variant: Image


def invented_figures(streets: Sequence[int], key: int = REPORTED_KEY) -> Iterator[Figure]:
    """Of sharp renders recall by kind, over all lamps and smears, and true pictures rejected; of small sharp renders
    and of what is emitted the same over all kinds.
    """
    yield from rates(examined(key, streets))
    for ending, cases in (("small", examined(key, streets, SMALL)), ("emitted", examined(key, streets, emitted=True))):
        yield from (f for f in rates(cases, f"_{ending}") if f.name.removesuffix(f"_{ending}") in POOLED)


POOLED = ("recall_invented_lamps", "recall_invented_smears", "rejected_for_lights")


def rates(cases: Iterable[Case], ending: str = "", least: float = LEAST) -> Iterator[Figure]:
    """The figures of what was found, by kind, and of which true images were rejected, by condition."""
    found: dict[str, list[bool]] = defaultdict(list)
    rejected: dict[str, list[bool]] = defaultdict(list)
    for case in cases:
        (rejected[case.condition] if case.kind is None else found[case.kind]).append(case.score >= least)
    for label, kinds in (("lamps", LAMPS), ("smears", SMEARS)):
        hits = [hit for kind in kinds for hit in found[kind]]
        yield rate_figure(f"recall_invented_{label}{ending}", hits, GOAL, ", ".join(kinds), at_least=True)
    for kind in KINDS:
        yield rate_figure(f"recall_invented_{kind}{ending}", found[kind], None, "", at_least=True)
    every = [hit for hits in rejected.values() for hit in hits]
    why = "true pictures with a light that is taken for false"
    yield rate_figure(f"rejected_for_lights{ending}", every, ALLOWED, why)
    for condition, hits in rejected.items():
        yield rate_figure(f"rejected_for_lights_{condition}{ending}", hits, None, "")


def examined(
    key: int, streets: Sequence[int], size: tuple[int, int] = SIZE, *, emitted: bool = False
) -> Iterator[Case]:
    """Every case of some streets of a key: under each condition the true picture, and one with a light of each kind."""
    for index in streets:
        for condition, day, truth, objects in _street(key, index, size, emitted=emitted):
            name = f"{key}-{index}-{condition}"
            found = max(hallucinated_lights(day, frame(truth), objects), key=lambda h: h.score, default=None)
            score, box = (found.score, found.bbox) if found else (0.0, (0.0, 0.0, 0.0, 0.0))
            yield Case(name, condition, None, score, box, day.image, truth)
            for kind in KINDS:
                if condition in TRUE_THERE.get(kind, ()):
                    continue
                planted = invented(kind, truth, [o.bbox for o in objects], numpy_generator(0, "invented", name, kind))
                if planted is not None:
                    seen = hallucinated_lights(day, frame(planted.variant), objects)
                    score = max((h.score for h in seen if _touches(h, planted.box)), default=0.0)
                    yield Case(name, condition, kind, score, planted.box, day.image, planted.variant)


def _street(
    key: int, index: int, size: tuple[int, int], *, emitted: bool
) -> Iterator[tuple[ConditionName, Frame, Image, tuple[SceneObject, ...]]]:
    drawn = draw_street(sample_street(key, index, size))
    surface = surfaces(drawn)
    named = [(o, CATEGORIES[o.instance.category].det) for o in read_labels(drawn).objects]
    objects = tuple(SceneObject(str(o.instance.number), "box", name, o.box) for o, name in named if name)
    day = frame(render_drawn(drawn, surface, "day"))
    emission = Emission(load_model(MODEL), day.image, objects, shipped_settings(MODEL)) if emitted else None
    for condition in CONDITIONS:
        truth = render_drawn(drawn, surface, condition)
        if emission:
            truth = emission.emitted(painted(emission.model, truth, emission.size), condition).variant
        yield condition, day, truth, objects


def _touches(found: Hallucination, box: Box) -> bool:
    x1, y1, x2, y2 = found.bbox
    return x1 < box[2] and box[0] < x2 and y1 < box[3] and box[1] < y2


def write_misses(cases: Sequence[Case], folder: Path, least: float = LEAST) -> list[Path]:
    """Ten pictures of what was judged wrongly, kinds in turn, the worst of each first: source beside variant, the whole
    and the place enlarged. `folder` must exist.
    """
    wrong: dict[str, list[Case]] = defaultdict(list)
    for case in sorted(cases, key=lambda c: c.score if c.kind else -c.score):
        if is_wrong(case, least):
            wrong[case.kind or "true"].append(case)
    chosen = [case for case in chain.from_iterable(zip_longest(*wrong.values())) if case is not None][:MISSES]
    paths = []
    for case in chosen:
        paths.append(folder / f"{case.kind or 'true'}-{case.name}-{case.score:.3f}.png")
        paths[-1].write_bytes(encode_png(_drawn(case)))
    return paths


def is_wrong(case: Case, least: float) -> bool:
    """Whether a light was missed, or a true picture rejected."""
    return (case.score < least) == (case.kind is not None)


def _drawn(case: Case) -> Image:
    """Source and variant beside each other, the place framed; below them the place of both, enlarged."""
    k = SMALL[0] / case.source.shape[1]
    size = SMALL[0], round(k * case.source.shape[0])
    both = [cv2.resize(i, size, interpolation=cv2.INTER_AREA) for i in (case.source, case.variant)]
    x1, y1, x2, y2 = (round(k * v) for v in case.box)
    reach = CROP // 2
    near = []
    for image in both:
        wide = cv2.copyMakeBorder(image, reach, reach, reach, reach, cv2.BORDER_REPLICATE)
        x, y = (x1 + x2) // 2, (y1 + y2) // 2
        part = wide[y : y + CROP, x : x + CROP]
        large = cv2.resize(part, None, fx=ENLARGED, fy=ENLARGED, interpolation=cv2.INTER_NEAREST)
        side = (SMALL[0] - large.shape[1]) // 2
        near.append(cv2.copyMakeBorder(large, 0, 0, side, SMALL[0] - large.shape[1] - side, cv2.BORDER_CONSTANT))
    cv2.rectangle(both[1], (x1 - 3, y1 - 3), (x2 + 3, y2 + 3), (255, 0, 255), 1)
    return np.concatenate([np.concatenate(both, 1), np.concatenate(near, 1)], 0)
