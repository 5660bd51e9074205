"""What labels are worth to the translation: the same held-out scenes translated with their labels and without."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.figure import Figure, measured, undecided, wilson
from benchmarks.scenes import HELD_OUT, boxes
from s2st_aug.arrays import Image
from s2st_aug.errors import Diverged
from s2st_aug.procedural.drawing import Drawn, draw_street
from s2st_aug.procedural.render import render_drawn
from s2st_aug.procedural.sampling import sample_street
from s2st_aug.procedural.surfaces import surfaces
from s2st_aug.records.scene import SceneObject
from s2st_aug.records.translated import Translated
from s2st_aug.translation.translator import Translator
from s2st_aug.validation.judge import judge
from s2st_aug.validation.settings import ValidationSettings
from s2st_aug.validation.signals import signal_state

FIRST = 4000  # index of the first held-out street here
SIZE = (1280, 720)
GOAL_SIGNALS = ("share", 0.95)
GOAL_KEPT = ("share", 0.0)
BARE = (
    0.3,
    1.0,
    3.0,
)  # weights of structure at which the translation without labels is shown: a curve of strength against kept
REPEATS = 2000


def signal_state_kept(own: Translator, count: int) -> Figure:
    """Lit traffic lights of held-out scenes whose state is measurable by day and is the same in the variant."""
    aware: list[float] = []
    plain: list[float] = []
    for drawn in itertools.islice((d for d in _streets() if any(o.signal for o in boxes(d))), count):
        photo, labels = _by_day(drawn), [o for o in boxes(drawn) if o.signal]
        for kept, told in ((aware, labels), (plain, [])):
            for variant in _variants(own, photo, told).values():
                kept += _states_kept(photo, variant.image, labels)
    if not aware:
        return undecided("signal_state_kept", *GOAL_SIGNALS, "no signal was measurable by day in these scenes")
    where = f"{len(aware)} signals of {count} scenes to {' and '.join(own.profiles)} at {own.settings.preset}"
    why = f"{where}; without labels {np.mean(plain):.2f}"
    return measured(
        "signal_state_kept",
        float(np.mean(aware)),
        *GOAL_SIGNALS,
        "at_least",
        n=len(aware),
        interval=wilson(int(sum(aware)), len(aware)),
        why=why,
    )


def _states_kept(source: Image, variant: Image, labels: Sequence[SceneObject]) -> list[float]:
    before = [(o, signal_state(source, o.bbox)) for o in labels]
    return [
        float(signal_state(variant, o.bbox) == state) for o, state in before if state is not None and state == o.signal
    ]


@dataclass(frozen=True, slots=True)
class Kept:
    """One variant: how many of the labels that an unchanged image keeps it keeps, of how many, and its strength."""

    kept: int
    of: int
    strength: float


def kept_at_equal_strength(own: Translator, count: int) -> Figure:
    """Share of boxes judged still true with labels, less the share without at the same strength.

    Without labels structure's weight is swept, and kept read off at the strength that the labelled variants have; the
    mean over the domains, with a 95 % bootstrap interval over the scenes.
    """
    bare = [
        Translator(
            own.model,
            own.profiles,
            own.settings.model_copy(update={"label_aware": False, "st_structure": w, "to_structure": w}),
        )
        for w in BARE
    ]
    scenes = [_judged(drawn, own, bare) for drawn in itertools.islice(_streets(), count)]
    value = _gained(scenes)
    drawn_again = np.random.default_rng(0).integers(0, count, (REPEATS, count))
    interval = np.quantile([_gained([scenes[i] for i in row]) for row in drawn_again], (0.025, 0.975))
    why = f"{count} scenes at {own.settings.preset}; " + "; ".join(_said(scenes, domain) for domain in own.profiles)
    return measured(
        "kept_at_equal_strength",
        value,
        *GOAL_KEPT,
        "above",
        n=count,
        interval=(float(interval[0]), float(interval[1])),
        why=why,
    )


Scene = Mapping[str, Sequence[Kept]]
"""Domain -> the labelled variant, then those without labels by rising weight of structure."""


def _judged(drawn: Drawn, own: Translator, bare: Sequence[Translator]) -> Scene:
    photo, labels = _by_day(drawn), boxes(drawn)
    unchanged = judge(photo, photo, photo, labels, None, ValidationSettings()).objects
    labels = [o for o, v in zip(labels, unchanged, strict=True) if v.verdict == "keep"]
    made = [_variants(own, photo, labels), *(_variants(translator, photo, []) for translator in bare)]
    return {domain: [_kept(photo, some[domain], labels, own, domain) for some in made] for domain in own.profiles}


def _kept(photo: Image, variant: Translated, labels: Sequence[SceneObject], own: Translator, domain: str) -> Kept:
    found = judge(photo, variant.image, variant.raw, labels, own.profiles[domain], ValidationSettings())
    if found.strength is None:
        raise ValueError(f"strength to {domain} cannot be measured: {'; '.join(found.reasons)}")
    return Kept(sum(v.verdict == "keep" for v in found.objects), len(labels), found.strength)


def _gained(scenes: Sequence[Scene]) -> float:
    """Kept with labels less kept without, at the strength with labels, the mean over the domains."""
    gained = []
    for domain in scenes[0]:
        (labelled, *kept), (wanted, *strength) = _curves(scenes, domain)
        order = np.argsort(strength)
        gained.append(labelled - np.interp(wanted, np.array(strength)[order], np.array(kept)[order]))
    return float(np.mean(gained))


def _curves(scenes: Sequence[Scene], domain: str) -> tuple[list[float], list[float]]:
    """Share kept and mean strength, of the labelled translation and of each without labels."""
    columns = list(zip(*(scene[domain] for scene in scenes), strict=True))
    kept = [sum(k.kept for k in column) / max(sum(k.of for k in column), 1) for column in columns]
    return kept, [float(np.mean([k.strength for k in column])) for column in columns]


def _said(scenes: Sequence[Scene], domain: str) -> str:
    kept, strength = _curves(scenes, domain)
    bare = ", ".join(f"{k:.3f} at {s:.2f}" for k, s in zip(kept[1:], strength[1:], strict=True))
    return f"{domain}: kept {kept[0]:.3f} at strength {strength[0]:.2f}, without labels {bare}"


def _streets() -> Iterator[Drawn]:
    return (draw_street(sample_street(HELD_OUT, index, size=SIZE)) for index in itertools.count(FIRST))


def _by_day(drawn: Drawn) -> Image:
    return render_drawn(drawn, surfaces(drawn), "day")


def _variants(own: Translator, photo: Image, labels: Sequence[SceneObject]) -> dict[str, Translated]:
    made = own.translate([photo], list(own.profiles), [labels])[0]
    for done in made.values():
        if isinstance(done, Diverged):
            raise done
    return made  # type: ignore[return-value]
