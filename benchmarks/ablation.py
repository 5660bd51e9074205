"""The paper's open questions as tables: one setting changed at a time,
on held-out scenes whose true answer is known.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.lights import count_lights, wet_road
from benchmarks.render_distance import render_distance
from benchmarks.scenes import HELD_OUT, bootstrap, rendered
from benchmarks.svg import svg
from s2st_aug.arrays import AnyImage
from s2st_aug.config.hashes import hash_of
from s2st_aug.diffusion.model import LatentModel
from s2st_aug.diffusion.stable_diffusion import load_model
from s2st_aug.errors import Diverged
from s2st_aug.profiles import find_profile
from s2st_aug.records.domains import ConditionName
from s2st_aug.records.profile import Discriminant
from s2st_aug.translation.presets import presets_of
from s2st_aug.translation.settings import PRESETS, MethodSettings, method_settings
from s2st_aug.translation.translator import Translator
from s2st_aug.validation.strength import strength
from s2st_aug.validation.structure import structure

Interval = tuple[float, float, float]  # mean and the ends of its 95 % interval
FIRST = 5000  # index of the first held-out street: no other suite uses these
TRAINED = Path("runs/backbones")  # weights that are not shipped; docs/measured/ablations.md says how they are made
log = logging.getLogger(__name__)

QUESTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "budget": {
        "8 steps (standard)": {},
        "2 steps": {"steps": 2},
        "4 steps (draft)": {"preset": "draft"},
        "16 steps": {"steps": 16},
        "24 steps": {"steps": 24},
        "8 steps, inversion refined once": {"inversion_refinements": 1},
        "8 steps, second order": {"solver": "dpm2m"},
        "4 steps, second order": {"steps": 4, "solver": "dpm2m"},
    },
    "optimisation": {
        "neither (standard)": {},
        "ST 10": {"st_iterations": 10},
        "TO 10": {"to_method": "latents"},
        "ST 10, TO 10": {"st_iterations": 10, "to_method": "latents"},
        "ST 10, TO 10, one-sided": {"st_iterations": 10, "to_method": "latents", "structure_sides": "one"},
        "direct inversion": {"to_method": "direct"},
        "10 % fresh noise in the seed": {"seed_noise": 0.1},
    },
    "guidance": {
        "1 (standard)": {},
        "1.5": {"guidance": 1.5, "guidance_until": 1.0},
        "1.5, first half": {"guidance": 1.5},
        "2": {"guidance": 2.0, "guidance_until": 1.0},
        "4, first half": {"guidance": 4.0},
    },
    "detail": {
        "0.1 (standard)": {},
        **{f"{share:g}": {"detail": share} for share in (0.0, 0.3, 0.5, 1.0)},
    },
    "lights": {
        "1 (standard)": {},
        **{f"{share:g}": {"lights": share} for share in (0.0, 0.5)},
    },
    "weights": {
        "street-mini": {},
        "native 512x288 (not shipped)": {"trained": "native"},
        "before the GPU": {"trained": "aligned"},
        "first weights, their own standard": {"trained": "first"},
        "street-photo": {"model": "street-photo"},
    },
    "iterations": {
        "ST 10, TO 10": {},
        "ST 0, TO 10": {"st_iterations": 0},
        "ST 20, TO 10": {"st_iterations": 20},
        "ST 10, TO 0": {"to_iterations": 0},
        "ST 10, TO 5": {"to_iterations": 5},
        "ST 5, TO 5": {"st_iterations": 5, "to_iterations": 5},
        "ST 10, TO 20": {"to_iterations": 20},
        "ST 0, TO 0": {"st_iterations": 0, "to_iterations": 0},
    },
    "eta": {kind: {"eta": kind} for kind in ("profile", "uniform", "shuffled", "inverted")},
    "losses": {
        "bands and whole": {},
        "whole": {"bands": "whole"},
        "bands": {"bands": "bands"},
        "principal directions": {"views": "principal"},
        "both views": {"views": "both"},
        "no tail": {"tail": 0.0},
        "tail 0.03": {"tail": 0.03},
        "detail 0": {"detail": 0.0},
        "detail 1": {"detail": 1.0},
        "ST on x0": {"st_space": "x0"},
        "no structure": {"st_structure": 0.0, "to_structure": 0.0},
        "no appearance": {"st_appearance": 0.0, "to_appearance": 0.0},
        "structure 0.3": {"st_structure": 0.3, "to_structure": 0.3},
        "structure 3": {"st_structure": 3.0, "to_structure": 3.0},
        "appearance 2": {"st_appearance": 2.0, "to_appearance": 2.0},
        "appearance 8": {"st_appearance": 8.0, "to_appearance": 8.0},
    },
    "path": {
        "latents": {},
        "direct": {"to_method": "direct"},
        "none": {"to_method": "none"},
        "second order": {"solver": "dpm2m"},
        "guidance 1": {"guidance": 1.0},
        "guidance 2": {"guidance": 2.0},
        "guidance 6": {"guidance": 6.0},
        "guided throughout": {"guidance_until": 1.0},
        "TO from the start": {"to_from": 0.0},
        "TO from 0.7": {"to_from": 0.7},
    },
    "null-text": {
        "latents": {},
        "null-text, 3 iterations": {"to_method": "null_text", "to_iterations": 3, "to_rate": 0.01},
        "null-text, 10 iterations (the paper's)": {"to_method": "null_text", "to_iterations": 10, "to_rate": 0.01},
    },
    "plain budget": {
        "reference (50 steps)": {"preset": "reference"},
        "50 steps": {"steps": 50},
        "24 steps": {"steps": 24},
        "16 steps (standard)": {},
        "10 steps": {"steps": 10},
        "draft (10 steps)": {"preset": "draft"},
        "6 steps": {"steps": 6},
        "4 steps": {"steps": 4},
        "10 steps, second order": {"steps": 10, "solver": "dpm2m"},
        "6 steps, second order": {"steps": 6, "solver": "dpm2m"},
    },
    "backbones": {
        "street-mini": {},
        "street-photo": {"model": "street-photo"},
        "its shape, 1050 steps (an earlier version)": {"trained": "early"},
        "its shape, 600 steps from nothing": {"trained": "short"},
        "half the width, 600 steps from nothing": {"trained": "half"},
    },
}
"""Question -> cell -> what differs from the standard preset; `preset` is another one, `model` another model, `trained`
a folder of weights that are not shipped.
"""
PLAIN = ("plain budget", "iterations", "eta", "losses", "path", "null-text", "backbones")
"""Questions on the plain presets, which every model has that tunes none of its own, on the first weights: those learnt
no aligned seeds, and seed translation and trajectory optimisation had all to do.
"""


class Measures(NamedTuple):
    """One variant: None where a figure cannot be measured, or has no meaning for its domain."""

    distance: float | None
    """to the true render: 1 is doing nothing, 0 the render itself"""
    structure: float | None
    """over the true render's own"""
    strength: float | None
    evaluations: float
    """of the network; a backward pass counts twice"""
    lights: float | None = None
    """F1 against the true render's lights, 0..1, at night"""
    wet: float | None = None
    """correlation with what is new on the true render's road, -1..1, in rain"""


@dataclass(frozen=True, slots=True)
class Cell:
    """One setting, measured on every (street, domain) in the same order as the
    question's other cells, so that rows are paired.
    """

    question: str
    name: str
    model: str
    preset: str
    settings: str  # hash over every setting, the model's weights and the profiles
    rows: list[Measures]


def ablate(
    questions: Sequence[str],
    *,
    count: int,
    preset: str = "standard",
    model: str = "street-mini",
    domains: Sequence[ConditionName] = ("night", "rain"),
    known: Sequence[Cell] = (),
    trained: Path = TRAINED,
) -> Iterator[Cell]:
    """Every cell of these questions over `count` streets, the same in each; settings that are `known` are not measured
    again.

    A cell whose weights are not in `trained` is left out, and the log says so.
    """
    streets = [rendered(HELD_OUT, FIRST + i, ("day", *domains)) for i in range(count)]
    stored = {(c.settings, len(c.rows)): c.rows for c in known}
    for question in questions:
        for name, changed in _present(question, trained):
            loaded, presets = _loaded(chosen := changed.pop("model", model)), PRESETS
            if question not in PLAIN:
                presets = presets_of(chosen)
            settings = method_settings(changed.pop("preset", preset), changed, presets)
            profiles = {str(d): find_profile(d, loaded).sha256 for d in domains}
            identity = hash_of(
                {"method": settings.model_dump(mode="json"), "model": loaded.sha256, "profiles": profiles}
            )
            at = identity, count * len(domains)
            if at not in stored:
                stored[at] = _rows(loaded, settings, streets, domains)
            yield Cell(question, name, loaded.name, preset, identity, stored[at])


def _present(question: str, trained: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """A question's cells with what differs in each, `trained` weights as a `model`.

    Those that are not there are logged.
    """
    for name, overrides in QUESTIONS[question].items():
        changed = {**_BARE, **overrides}
        weights = changed.pop("trained", "first" if question in PLAIN and "model" not in changed else None)
        if weights and not (trained / weights).is_dir():
            log.warning(
                "%s, %s: left out, no weights in %s (docs/measured/ablations.md: how to make them)",
                question,
                name,
                trained / weights,
            )
            continue
        yield name, changed | ({"model": str(trained / weights)} if weights else {})


_BARE = {"label_aware": False}  # true renders are compared as whole images: labels would tell the answer


def _rows(
    loaded: LatentModel, settings: MethodSettings, streets: Sequence[Mapping], domains: Sequence[ConditionName]
) -> list[Measures]:
    own = Translator(loaded, {str(d): find_profile(d, loaded) for d in domains}, settings)
    return [row for views in streets for row in measured_variants(own, views, domains)]


@lru_cache(maxsize=2)
def _loaded(model: str) -> LatentModel:
    return load_model(model)


def measured_variants(own: Translator, views: Mapping[str, AnyImage], domains: Sequence[str]) -> Iterator[Measures]:
    """Each domain's variant of `views["day"]`, measured against the view of that name; raises Diverged."""
    for domain, done in own.translate([views["day"]], list(domains))[0].items():
        if isinstance(done, Diverged):
            raise done
        cost = done.forward_evals + 2 * done.backward_evals
        yield measured_variant(views["day"], done.image, views[domain], own.profiles[domain].discriminant, cost, domain)


def measured_variant(
    day: AnyImage, variant: AnyImage, truth: AnyImage, fitted: Discriminant | None, cost: float, domain: str = ""
) -> Measures:
    """One variant's row."""
    kept, true = structure(day, variant), structure(day, truth)
    return Measures(
        render_distance(day, variant, truth),
        kept / true if kept is not None and true else None,
        strength(day, variant, fitted) if fitted else None,
        cost,
        count_lights(variant, truth).f1 if domain == "night" else None,
        wet_road(day, variant, truth) if domain == "rain" else None,
    )


def mean(cell: Cell, measure: int) -> Interval:
    """Mean of one of the `Measures` and its 95 % bootstrap interval; NaN where nothing could be measured."""
    return _interval([row[measure] for row in cell.rows])


def lost(cell: Cell, first: Cell, measure: int) -> Interval:
    """Paired loss against the first cell as a share of its mean: a rise of
    distance (0), a fall of structure (1) or strength (2).
    """
    pairs = [(row[measure], own[measure]) for row, own in zip(cell.rows, first.rows, strict=True)]
    both = [(r, f) for r, f in pairs if r is not None and f is not None]
    sign = 1 if measure == 0 else -1
    scale = sign * float(np.mean([f for _, f in both])) if both else math.nan
    return _interval([(r - f) / scale for r, f in both])


def _interval(values: Iterable[float | None]) -> Interval:
    found = [v for v in values if v is not None and math.isfinite(v)]
    return (float(np.mean(found)), *bootstrap(found)) if found else (math.nan,) * 3


def as_table(cells: Sequence[Cell]) -> str:
    """One question's cells as a Markdown table; losses are paired with its first row."""
    first = cells[0]
    shown = [k for k in ("lights", "wet") if any(getattr(row, k) is not None for c in cells for row in c.rows)]
    titles = ["distance to the true render", "structure over the true render's", "strength"]
    titles += [{"lights": "lights F1", "wet": "wet road"}[k] for k in shown]
    titles += ["evaluations", "distance lost", "structure lost"]
    lines = [f"{_about(cells)}\n", f"| setting | {' | '.join(titles)} |", "|---" * (1 + len(titles)) + "|"]
    for cell in cells:
        parts = ["{:.3f} ({:.3f} to {:.3f})".format(*mean(cell, k)) for k in range(3)]
        parts += [f"{mean(cell, Measures._fields.index(k))[0]:.2f}" for k in shown]
        losses = ["{:+.1f} % ({:+.1f} to {:+.1f})".format(*(100 * v for v in lost(cell, first, k))) for k in (0, 1)]
        lines.append(f"| {cell.name} | {' | '.join(parts)} | {mean(cell, 3)[0]:.0f} | {' | '.join(losses)} |")
    return "\n".join(lines)


def _about(cells: Sequence[Cell]) -> str:
    """On what a table was measured."""
    presets = "the plain presets" if cells[0].question in PLAIN else "the model's own presets"
    models = list(dict.fromkeys(Path(cell.model).name for cell in cells))
    return f"{', '.join(models)}; {presets}, {cells[0].preset}; {len(cells[0].rows)} variants."


def by_question(cells: Iterable[Cell]) -> dict[str, list[Cell]]:
    """Cells under their questions, in order."""
    found: dict[str, list[Cell]] = {}
    for cell in cells:
        found.setdefault(cell.question, []).append(cell)
    return found


def to_json(cells: Sequence[Cell]) -> str:
    """Cells as JSON, a row of measures a line's length: what `from_json` reads."""
    return (
        json.dumps(
            [{**asdict(c), "rows": [[_rounded(v) for v in row] for row in c.rows]} for c in cells], allow_nan=False
        )
        + "\n"
    )


def from_json(text: str) -> list[Cell]:
    """What `to_json` wrote."""
    return [Cell(**{**c, "rows": [Measures(*row) for row in c["rows"]]}) for c in json.loads(text)]


def _rounded(value: float | None) -> float | None:
    return round(value, 5) if value is not None and math.isfinite(value) else None


def draw(cells: Sequence[Cell]) -> str:
    """For every question, each setting's paired loss of distance and of structure with its interval, as SVG text."""
    from matplotlib.figure import Figure

    questions = by_question(cells)
    figure = Figure(figsize=(9, 1 + 0.25 * sum(2 + len(c) for c in questions.values())))
    rows = figure.subplots(
        len(questions), 2, squeeze=False, sharex="col", height_ratios=[2 + len(c) for c in questions.values()]
    )
    for (question, own), pair in zip(questions.items(), rows, strict=True):
        for measure, axes in enumerate(pair):
            found = [lost(cell, own[0], measure) for cell in own]
            middle, low, high = (100 * np.array(found)).T
            axes.errorbar(
                middle,
                range(len(own)),
                xerr=(middle - low, high - middle),
                fmt="o",
                color="#0072b2",
                markersize=4,
                capsize=2,
            )
            axes.axvline(0, color="black", linewidth=0.8)
            axes.axvspan(-2, 2, color="#999999", alpha=0.2, linewidth=0)
            axes.set_yticks(range(len(own)), [c.name for c in own] if measure == 0 else [""] * len(own), fontsize=8)
            axes.invert_yaxis()
        pair[0].set_title(question, loc="left", fontsize=9)
    for axes, words in zip(rows[-1], ("distance lost, %", "structure lost, %"), strict=True):
        axes.set_xlabel(words)
    return svg(figure)
