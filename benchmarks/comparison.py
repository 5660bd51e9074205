"""Side by side: S2ST and what it is compared with, each swept over its own knob, on the same streets, model and
machine.

Every method sees the day view and all of its labels (and, as S2ST, what a domain looks like), and is finished as S2ST
finishes its own: detail, lights, held signals. The true render judges. Doing nothing and the true render itself are
rows of the table: the two ends of every scale.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from benchmarks import baselines
from benchmarks.baselines import Made
from benchmarks.controls import CONTROLS
from benchmarks.finishing import Finish
from benchmarks.render_distance import render_distance
from benchmarks.scenes import HELD_OUT, SIZE, TARGET_COLOURS, bootstrap, boxes, rendered
from benchmarks.svg import svg
from s2st_aug.arrays import Image
from s2st_aug.config.hashes import hash_of
from s2st_aug.errors import Diverged
from s2st_aug.methods.ddib import Ddib
from s2st_aug.methods.editing import Editing, EditingTranslator
from s2st_aug.methods.ledits import Ledits
from s2st_aug.methods.photometric import faded
from s2st_aug.methods.sdedit import SDEdit
from s2st_aug.procedural.drawing import draw_street
from s2st_aug.procedural.render import render_drawn
from s2st_aug.procedural.sampling import sample_street
from s2st_aug.procedural.surfaces import surfaces
from s2st_aug.profiles.colours import Colours, colours_of
from s2st_aug.records.domains import ConditionName
from s2st_aug.records.profile import DomainProfile
from s2st_aug.records.scene import SceneObject
from s2st_aug.translation.translator import Translator
from s2st_aug.validation.judge import judge
from s2st_aug.validation.settings import ValidationSettings
from s2st_aug.validation.structure import structure

FIRST = 3000  # index of the first held-out street of the comparison
TARGETS: tuple[ConditionName, ...] = ("night", "rain")
OURS = "S2ST"
NULL_TEXT = "null-text"
NULL_TEXT_GUIDANCE = (3.0, 7.5)
TRUTH = "true render"
ENDS = ("identity", TRUTH)  # no translators: what doing nothing and a perfect translation come to
AIMS = {"structure": (0.9, 1.25), "strength": (0.6, 1.4)}
"""Too much is as wrong as too little: the day image has structure 1.85 and keeps every label."""


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """What a method is given: the photo, the domain's profile, and the domain's colours for the photometric controls.

    `street` carries what it is judged by, which no method sees: the true render and the labels.
    """

    own: Translator
    profile: DomainProfile
    colours: Colours
    street: HeldOutStreet
    finish: Finish

    @property
    def photo(self) -> Image:
        """The street by day."""
        return self.street.views["day"]


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutStreet:
    """A held-out street under each condition; all its labels, and those of them that can be judged: an unchanged image
    keeps them all.
    """

    number: int
    views: Mapping[ConditionName, Image]
    told: list[SceneObject]
    labels: list[SceneObject]


def street(number: int) -> HeldOutStreet:
    """The comparison's street of this number."""
    drawn = draw_street(sample_street(HELD_OUT, FIRST + number, SIZE))
    surface = surfaces(drawn)
    views: dict[ConditionName, Image] = {c: render_drawn(drawn, surface, c) for c in ("day", *TARGETS)}
    day, labels = views["day"], boxes(drawn)
    unchanged = judge(day, day, day, labels, None, ValidationSettings()).objects
    return HeldOutStreet(
        number, views, labels, [o for o, v in zip(labels, unchanged, strict=True) if v.verdict == "keep"]
    )


@dataclass(frozen=True, slots=True)
class Row:
    """One variant of one method at one knob.

    `structure` is over the true render's own; `kept` is the share of the judgeable labels that are judged still true
    (null without any), `passed` whether no gate rejects the image; `evaluations` count a backward pass twice.
    """

    method: str
    knob: float
    street: int
    domain: str
    distance: float
    structure: float
    strength: float
    kept: float | None
    passed: bool
    evaluations: float
    seconds: float


Method = Callable[[Given, float], Made]


DETAIL = {0.1: 0.0, 0.3: 0.5, 1.0: 1.0, 3.0: 2.0, 10.0: 2.0, 30.0: 2.0, 100.0: 2.0}
"""Our knob, the weight of structure, with how many times the preset's own detail is put back at each; at 1 it is the
preset as it ships.
"""


def _s2st(given: Given, weight: float) -> Made:
    detail = DETAIL[weight] * given.own.settings.detail
    knob = {"st_structure": weight, "to_structure": weight, "detail": detail}
    settings = given.own.settings.model_copy(update=knob)
    own = Translator(given.own.model, {given.profile.name: given.profile}, settings)
    done = own.translate([given.photo], [given.profile.name], [given.street.told])[0][given.profile.name]
    if isinstance(done, Diverged):
        raise done
    return Made(done.image, done.forward_evals, done.backward_evals, done.raw)


def _nothing(given: Given, _: float) -> Made:
    return Made(given.photo, 0)


def _truth(given: Given, _: float) -> Made:
    return Made(given.street.views[given.profile.name], 0)  # type: ignore[index]


def _control(name: str, given: Given, share: float) -> Made:
    return _recoloured(given, faded(given.photo, CONTROLS[name](given.photo, given.colours), share))


def _recoloured(given: Given, picture: Image) -> Made:
    finished = given.finish.photometric(given.photo, picture, given.profile.name, given.street.told)
    return Made(finished, 0, raw=picture)


def _edited(method: Editing[Any], knob: str, given: Given, value: float) -> Made:
    """One of the product's editing methods, as it ships but for its own knob."""
    settings = method.settings.model_validate({knob: value})
    translator = EditingTranslator(method, given.own.model, {given.profile.name: given.profile}, settings)
    done = translator.translate([given.photo], [given.profile.name])[0][given.profile.name]
    if isinstance(done, Diverged):
        raise done
    finished, raw = given.finish.generated(given.photo, done.image, given.profile.name, given.street.told)
    return Made(finished, done.forward_evals, raw=raw)


def _weather(given: Given, share: float) -> Made:
    """albumentations' rain; for night its darkening, by `share`."""
    import albumentations as A

    rain = A.RandomRain(brightness_coefficient=1 - share / 2, p=1.0)
    dark = A.RandomBrightnessContrast((-share, -share), (0.0, 0.0), p=1.0)
    weather = A.Compose([rain if given.profile.name == "rain" else dark], seed=0)
    return _recoloured(given, weather(image=given.photo)["image"])


KNOBS: dict[str, tuple[str, tuple[float, ...]]] = {
    "sdedit": ("strength", (0.3, 0.5, 0.8)),
    "ddib": ("guidance", (1.0, 3.0, 6.0)),
    "ledits": ("guidance", (2.0, 5.0, 10.0)),
    "histogram": ("share", (0.5, 0.75, 1.0)),
    "gamma": ("share", (0.5, 0.75, 1.0)),
    "reinhard": ("share", (0.5, 0.75, 1.0)),
}
"""The product's other methods, each with its own knob and the values that it is tried at."""

METHODS: dict[str, tuple[Method, tuple[float, ...]]] = {
    OURS: (_s2st, tuple(DETAIL)),
    "SDEdit": (partial(_edited, SDEdit(), KNOBS["sdedit"][0]), KNOBS["sdedit"][1]),
    "DDIB": (partial(_edited, Ddib(), KNOBS["ddib"][0]), KNOBS["ddib"][1]),
    "LEDITS++": (partial(_edited, Ledits(), KNOBS["ledits"][0]), KNOBS["ledits"][1]),
    "histogram": (partial(_control, "histogram"), KNOBS["histogram"][1]),
    "gamma": (partial(_control, "gamma"), KNOBS["gamma"][1]),
    "Reinhard": (partial(_control, "reinhard"), KNOBS["reinhard"][1]),
    "albumentations": (_weather, (0.3, 0.5, 0.7)),
    "identity": (_nothing, (1.0,)),
    TRUTH: (_truth, (1.0,)),
}
"""Method -> how it is called, and the values of its own knob (structure's
weight, noise, guidance, share of the change).
"""


def identity(own: Translator) -> str:
    """Hash over what rows depend on: settings, weights, profiles and thresholds."""
    profiles = {d: own.profiles[d].sha256 for d in TARGETS}
    thresholds = ValidationSettings().model_dump(mode="json")
    return hash_of(
        {
            "method": own.settings.model_dump(mode="json"),
            "model": own.model.sha256,
            "profiles": profiles,
            "gates": thresholds,
            "finish": 1,  # every method is finished as ours
        }
    )


def compare(own: Translator, streets: Iterable[int], *, methods: Sequence[str] = tuple(METHODS)) -> Iterator[list[Row]]:
    """Every method at every knob on each of these held-out streets in both domains, street by street."""
    known = {d: colours_of([rendered(TARGET_COLOURS, i, (d,))[d] for i in range(12)]) for d in TARGETS}
    finish = Finish.of(own)
    for shown in map(street, streets):
        givens = [Given(own, own.profiles[d], known[d], shown, finish) for d in TARGETS]
        cells = [(name, METHODS[name][0], knob) for name in methods for knob in METHODS[name][1]]
        rows = []
        for given in givens:
            for name, make, knob in cells:
                start = time.process_time()
                made = make(given, knob)
                seconds = time.process_time() - start
                rows.append(measured(name, knob, given.street, given.profile, made, seconds))
        yield rows


def compare_null_text(own: Translator, streets: Iterable[int], *, steps: int, guidance: float) -> Iterator[list[Row]]:
    """Null-text as published, finished as ours; one optimisation serves both domains, its cost is booked in halves."""
    profiles, finish = [own.profiles[d] for d in TARGETS], Finish.of(own)
    for shown in map(street, streets):
        start, day = time.process_time(), shown.views["day"]
        made = baselines.null_text(own.model, day, profiles, steps=steps, guidance=guidance)
        done = [finish.generated(day, m.image, d, shown.told) for d, m in zip(TARGETS, made, strict=True)]
        seconds = (time.process_time() - start) / len(made)
        whole = [Made(i, m.forward, m.backward, raw) for (i, raw), m in zip(done, made, strict=True)]
        yield [
            measured(NULL_TEXT, guidance, shown, own.profiles[d], m, seconds)
            for d, m in zip(TARGETS, whole, strict=True)
        ]


def measured(method: str, knob: float, shown: HeldOutStreet, profile: DomainProfile, made: Made, seconds: float) -> Row:
    """A variant's measures; raises ValueError where the street is too flat to measure (no held-out street is)."""
    day, truth = shown.views["day"], shown.views[profile.name]  # type: ignore[index]
    true, far = structure(day, truth), render_distance(day, made.image, truth)
    found = judge(
        day, made.image, made.image if made.raw is None else made.raw, shown.labels, profile, ValidationSettings()
    )
    if found.structure is None or true is None or found.strength is None or far is None:
        raise ValueError(f"street {shown.number} to {profile.name}: structure, strength or distance cannot be measured")
    kept = [v.verdict == "keep" for v in found.objects]
    return Row(
        method, knob, shown.number, profile.name, far, found.structure / true, found.strength,
        float(np.mean(kept)) if kept else None, found.status == "ok", made.forward + 2 * made.backward, seconds,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Summary:
    """One method at one knob over all variants: means, and (but for ours) ours less theirs at their structure, paired.

    `reached` counts the variants whose structure our own knob reaches; only those are paired. `within` is the share of
    variants whose structure and strength both lie within AIMS.
    """

    method: str
    knob: float
    n: int
    distance: float
    structure: float
    strength: float
    kept: float
    passed: float
    within: float
    evaluations: float
    seconds: float
    ours_less_theirs: tuple[float, float, float] | None
    reached: int
    best: bool


def summarise(rows: Sequence[Row]) -> list[Summary]:
    """Every (method, knob), the best knob of each method marked: the one nearest to the true render on average."""
    cells: dict[tuple[str, float], list[Row]] = {}
    for row in rows:
        cells.setdefault((row.method, row.knob), []).append(row)
    ours = ours_by_variant(rows)
    distance = {key: float(np.mean([r.distance for r in some])) for key, some in cells.items()}
    best = {name: min((k for k in cells if k[0] == name), key=distance.__getitem__) for name in {k[0] for k in cells}}
    return [_summary(key, some, ours, best=key == best[key[0]]) for key, some in cells.items()]


def ours_by_variant(rows: Sequence[Row]) -> dict[tuple[int, str], list[Row]]:
    """Our rows of each (street, domain), by rising structure: a curve to read at another method's structure."""
    found: dict[tuple[int, str], list[Row]] = {}
    for row in sorted((r for r in rows if r.method == OURS), key=lambda r: r.structure):
        found.setdefault((row.street, row.domain), []).append(row)
    return found


def _summary(
    key: tuple[str, float], some: Sequence[Row], ours: Mapping[tuple[int, str], Sequence[Row]], *, best: bool
) -> Summary:
    def mean(name: str) -> float:
        return float(np.mean([value for r in some if (value := getattr(r, name)) is not None]))

    there = [
        (at_structure(ours.get((r.street, r.domain), ()), r.structure), r.distance) for r in some if r.method != OURS
    ]
    paired = [mine - theirs for mine, theirs in there if mine is not None]
    less = (float(np.mean(paired)), *bootstrap(paired)) if paired else None
    within = [all(low <= getattr(r, name) <= high for name, (low, high) in AIMS.items()) for r in some]
    return Summary(
        *key, len(some),
        distance=mean("distance"), structure=mean("structure"), strength=mean("strength"), kept=mean("kept"),
        passed=mean("passed"), within=float(np.mean(within)),
        evaluations=mean("evaluations"), seconds=mean("seconds"), ours_less_theirs=less,
        reached=len(paired), best=best,
    )  # fmt: skip


def at_structure(curve: Sequence[Row], wanted: float) -> float | None:
    """Our distance where our curve (by rising structure) has that structure; None where it does not reach so far."""
    if not curve or not curve[0].structure <= wanted <= curve[-1].structure:
        return None
    return float(np.interp(wanted, [r.structure for r in curve], [r.distance for r in curve]))


def as_markdown(found: Sequence[Summary], about: str) -> str:
    """The table, methods by the distance of their best knob."""
    order = {s.method: s.distance for s in found if s.best}
    cost = next(s.seconds for s in found if s.method == OURS and s.best)
    lines = [
        "| method | knob | n | distance to the true render | structure over the true render's | strength "
        "| labels kept | images passed | structure and strength within their aims "
        "| evaluations | time over ours | ours less theirs, at their structure | of them reached |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for s in sorted(found, key=lambda s: (order[s.method], s.knob)):
        name = f"**{s.method}**" if s.best else s.method
        less = "{:+.2f} ({:+.2f} to {:+.2f})".format(*s.ours_less_theirs) if s.ours_less_theirs else ""
        reached = "" if s.method in (OURS, *ENDS) else s.reached
        measures = " | ".join(
            f"{value:.2f}" for value in (s.distance, s.structure, s.strength, s.kept, s.passed, s.within)
        )
        lines.append(
            f"| {name} | {s.knob:g} | {s.n} | {measures} | {s.evaluations:.0f} | {s.seconds / cost:.2f} "
            f"| {less} | {reached} |"
        )
    return "\n".join([about, "", *lines, ""])


def draw_pareto(found: Sequence[Summary]) -> str:
    """Structure against distance, one line a method over its knob, as SVG text; lower and further right is better."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5))
    axes = figure.subplots()
    markers = "osD^vPX*<>"
    for i, method in enumerate(dict.fromkeys(s.method for s in found)):
        some = sorted((s for s in found if s.method == method), key=lambda s: s.knob)
        width, marker = 2.5 if method == OURS else 1.0, markers[i % len(markers)]
        axes.plot([s.structure for s in some], [s.distance for s in some], label=method, linewidth=width, marker=marker)
    axes.set(xlabel="structure over the true render's own", ylabel="distance to the true render (1: doing nothing)")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    return svg(figure)
