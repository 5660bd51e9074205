"""Side by side: S2ST and what it is compared with, each swept over its own knob, on the same streets, model and machine.

Every method sees the day view alone (and, as S2ST, what a domain looks like); the true render judges.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from s2st_aug.arrays import Image
from s2st_aug.benchmarks import baselines
from s2st_aug.benchmarks.baselines import Made
from s2st_aug.benchmarks.controls import CONTROLS, Colours, colours, faded
from s2st_aug.benchmarks.scenes import HELD_OUT, TARGET_COLOURS, bootstrap, rendered
from s2st_aug.benchmarks.svg import svg
from s2st_aug.errors import Diverged
from s2st_aug.records.domains import Condition
from s2st_aug.records.profile import DomainProfile
from s2st_aug.translation.settings import method_settings
from s2st_aug.translation.translator import Translator
from s2st_aug.validation.render_distance import render_distance
from s2st_aug.validation.strength import strength
from s2st_aug.validation.structure import structure

FIRST = 3000  # index of the first held-out street of the comparison
TARGETS: tuple[Condition, ...] = ("night", "rain")
OURS = "S2ST"
NULL_TEXT = "null-text"


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """What a method is given: the photo, the domain's profile, and the domain's colours for the photometric controls."""

    own: Translator
    photo: Image
    profile: DomainProfile
    colours: Colours


@dataclass(frozen=True, slots=True)
class Row:
    """One variant of one method at one knob. `structure` is over the true render's own; `evaluations` count a backward pass twice."""

    method: str
    knob: float
    street: int
    domain: str
    distance: float
    structure: float
    strength: float
    evaluations: float
    seconds: float


Method = Callable[[Given, float], Made]


def _s2st(given: Given, appearance: float) -> Made:
    settings = method_settings("standard", {"to_appearance": appearance, "st_appearance": appearance})
    own = Translator(given.own.model, {given.profile.name: given.profile}, settings)
    done = own.translate([given.photo], [given.profile.name])[0][given.profile.name]
    if isinstance(done, Diverged):
        raise done
    return Made(done.image, done.forward_evals, done.backward_evals)


def _control(name: str, given: Given, share: float) -> Made:
    return Made(faded(given.photo, CONTROLS[name](given.photo, given.colours), share), 0)


def _weather(given: Given, share: float) -> Made:
    """albumentations' rain; for night its darkening, by `share`."""
    import albumentations as A

    rain = A.RandomRain(brightness_coefficient=1 - share / 2, p=1.0)
    dark = A.RandomBrightnessContrast((-share, -share), (0.0, 0.0), p=1.0)
    return Made(A.Compose([rain if given.profile.name == "rain" else dark], seed=0)(image=given.photo)["image"], 0)


METHODS: dict[str, tuple[Method, tuple[float, ...]]] = {
    OURS: (_s2st, (1.0, 2.0, 4.0, 8.0)),
    "SDEdit": (lambda g, k: baselines.sdedit(g.own.model, g.photo, g.profile, strength=k), (0.3, 0.5, 0.8)),
    "DDIB": (lambda g, k: baselines.ddib(g.own.model, g.photo, g.profile, guidance=k), (1.0, 3.0, 6.0)),
    "LEDITS++": (lambda g, k: baselines.ledits(g.own.model, g.photo, g.profile, guidance=k), (2.0, 5.0, 10.0)),
    "histogram": (partial(_control, "histogram"), (0.5, 0.75, 1.0)),
    "gamma": (partial(_control, "gamma"), (0.5, 0.75, 1.0)),
    "Reinhard": (partial(_control, "reinhard"), (0.5, 0.75, 1.0)),
    "albumentations": (_weather, (0.3, 0.5, 0.7)),
    "identity": (partial(_control, "identity"), (1.0,)),
}
"""Method -> how it is called, and the values of its own knob (appearance's weight, noise, guidance, share of the change)."""


def compare(own: Translator, streets: Iterable[int], *, methods: Sequence[str] = tuple(METHODS)) -> Iterator[list[Row]]:
    """Every method at every knob on each of these held-out streets in both domains, street by street."""
    known = {d: colours([rendered(TARGET_COLOURS, i, (d,))[d] for i in range(12)]) for d in TARGETS}
    for street in streets:
        views = rendered(HELD_OUT, FIRST + street, ("day", *TARGETS))
        givens = [(Given(own, views["day"], own.profiles[d], known[d]), views[d]) for d in TARGETS]
        cells = [(name, METHODS[name][0], knob) for name in methods for knob in METHODS[name][1]]
        yield [_row(n, k, street, given, truth, partial(make, given, k)) for given, truth in givens for n, make, k in cells]


def compare_null_text(own: Translator, streets: Iterable[int], *, steps: int, guidance: float = 7.5) -> Iterator[list[Row]]:
    """Null-text as published: one optimisation serves both domains, whose cost is booked in halves."""
    profiles = [own.profiles[d] for d in TARGETS]
    for street in streets:
        views = rendered(HELD_OUT, FIRST + street, ("day", *TARGETS))
        start = time.process_time()
        made = baselines.null_text(own.model, views["day"], profiles, steps=steps, guidance=guidance)
        seconds = (time.process_time() - start) / len(made)
        pairs = zip(TARGETS, made, strict=True)
        yield [measured(NULL_TEXT, guidance, street, own.profiles[d], views["day"], m, views[d], seconds) for d, m in pairs]


def _row(name: str, knob: float, street: int, given: Given, truth: Image, make: Callable[[], Made]) -> Row:
    start = time.process_time()
    made = make()
    return measured(name, knob, street, given.profile, given.photo, made, truth, time.process_time() - start)


def measured(method: str, knob: float, street: int, profile: DomainProfile, day: Image, made: Made, truth: Image, seconds: float) -> Row:
    """A variant's measures; raises ValueError where the street is too flat to measure (no held-out street is)."""
    own, true, fitted = structure(day, made.image), structure(day, truth), profile.discriminant
    moved, far = strength(day, made.image, fitted) if fitted else None, render_distance(day, made.image, truth)
    if own is None or true is None or moved is None or far is None:
        raise ValueError(f"street {street} to {profile.name}: structure, strength or distance cannot be measured")
    return Row(method, knob, street, profile.name, far, own / true, moved, made.forward + 2 * made.backward, seconds)


@dataclass(frozen=True, slots=True)
class Summary:
    """One method at one knob over all variants: means, and (but for ours) ours less theirs at their structure, paired."""

    method: str
    knob: float
    n: int
    distance: float
    structure: float
    strength: float
    evaluations: float
    seconds: float
    ours_less_theirs: tuple[float, float, float] | None
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


def _summary(key: tuple[str, float], some: Sequence[Row], ours: Mapping[tuple[int, str], Sequence[Row]], *, best: bool) -> Summary:
    def mean(name: str) -> float:
        return float(np.mean([getattr(r, name) for r in some]))

    paired = [at_structure(ours[r.street, r.domain], r.structure) - r.distance for r in some if (r.street, r.domain) in ours]
    less = (float(np.mean(paired)), *bootstrap(paired)) if paired and key[0] != OURS else None
    measures = mean("distance"), mean("structure"), mean("strength"), mean("evaluations"), mean("seconds")
    return Summary(*key, len(some), *measures, ours_less_theirs=less, best=best)


def at_structure(curve: Sequence[Row], wanted: float) -> float:
    """Our distance where our curve has that structure; its end where the curve does not reach so far."""
    return float(np.interp(wanted, [r.structure for r in curve], [r.distance for r in curve]))


def as_markdown(found: Sequence[Summary], about: str) -> str:
    """The table, methods by the distance of their best knob."""
    order = {s.method: s.distance for s in found if s.best}
    cost = next(s.seconds for s in found if s.method == OURS and s.best)
    lines = [
        "| method | knob | n | distance to the true render | structure over the true render's | strength | evaluations | time over ours "
        "| ours less theirs, at their structure |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for s in sorted(found, key=lambda s: (order[s.method], s.knob)):
        name = f"**{s.method}**" if s.best else s.method
        less = "{:+.2f} ({:+.2f} to {:+.2f})".format(*s.ours_less_theirs) if s.ours_less_theirs else ""
        measures = f"{s.distance:.2f} | {s.structure:.2f} | {s.strength:.2f} | {s.evaluations:.0f} | {s.seconds / cost:.2f}"
        lines.append(f"| {name} | {s.knob:g} | {s.n} | {measures} | {less} |")
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
