"""The paper's open questions as tables: one setting changed at a time, on held-out scenes whose true answer is known."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from s2st_aug.arrays import AnyImage
from s2st_aug.benchmarks.scenes import HELD_OUT, bootstrap, rendered
from s2st_aug.diffusion.stable_diffusion import load_model
from s2st_aug.errors import Diverged
from s2st_aug.profiles import find_profile
from s2st_aug.records.domains import Condition
from s2st_aug.translation.settings import method_settings
from s2st_aug.translation.translator import Translator
from s2st_aug.validation.render_distance import render_distance
from s2st_aug.validation.strength import strength
from s2st_aug.validation.structure import structure

log = logging.getLogger(__name__)
FIRST = 5000  # index of the first held-out street: no other suite uses these

QUESTIONS: dict[str, dict[str, dict[str, Any]]] = {
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
    "budget": {
        "reference (50 steps)": {"steps": 50},
        "24 steps": {"steps": 24},
        "16 steps (standard)": {"steps": 16},
        "10 steps": {"steps": 10},
        "10 steps, TO 8 (draft)": {"steps": 10, "to_iterations": 8},
        "6 steps": {"steps": 6},
        "4 steps": {"steps": 4},
        "10 steps, second order": {"steps": 10, "solver": "dpm2m"},
        "6 steps, second order": {"steps": 6, "solver": "dpm2m"},
        "10 steps, guided first half": {"steps": 10, "guidance_until": 0.5},
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
        "structure 0.1": {"st_structure": 0.1, "to_structure": 0.1},
        "structure 1": {"st_structure": 1.0, "to_structure": 1.0},
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
        "guided first half": {"guidance_until": 0.5},
        "TO from the start": {"to_from": 0.0},
        "TO from 0.7": {"to_from": 0.7},
    },
    "null-text": {"null_text": {"to_method": "null_text", "to_iterations": 3, "to_rate": 0.01}},
}
"""Question -> cell -> what differs from the preset. Null-text is dear: its cell takes fewer iterations, and says so."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One setting's means over (scene, domain), each with its 95 % interval: distance to the truth, structure over the true
    render's own, strength, evaluations; and what it loses against the question's first setting, paired: the mean rise of distance
    and fall of structure as shares of the first setting's means."""

    question: str
    name: str
    n: int
    distance: tuple[float, float, float]
    structure: tuple[float, float, float]
    strength: tuple[float, float, float]
    evaluations: float
    lost_distance: tuple[float, float, float] = (math.nan,) * 3
    lost_structure: tuple[float, float, float] = (math.nan,) * 3


def ablate(
    questions: Sequence[str],
    *,
    count: int,
    preset: str = "standard",
    model: str = "street-mini",
    domains: Sequence[Condition] = ("night", "rain"),
    base: Mapping[str, Any] | None = None,
) -> Iterator[Cell]:
    """Every cell of these questions over `count` streets; the same streets in each, so that differences are paired."""
    loaded = load_model(model)
    profiles = {str(d): find_profile(d, loaded) for d in domains}
    streets = [rendered(HELD_OUT, FIRST + i, ("day", *domains)) for i in range(count)]
    for question in questions:
        first: list[tuple] = []
        for name, overrides in QUESTIONS[question].items():
            own = Translator(loaded, profiles, method_settings(preset, {"label_aware": False, **(base or {}), **overrides}))
            rows = [row for views in streets for row in _measured(own, views, domains)]
            log.info("%s, %s: %d variants", question, name, len(rows))
            first = first or rows
            found = [[r[k] for r in rows if r[k] is not None and math.isfinite(r[k])] for k in range(4)]
            distance, structure, strength = (_interval(f) for f in found[:3])
            lost = _lost(rows, first, 0, 1), _lost(rows, first, 1, -1)
            yield Cell(question, name, len(rows), distance, structure, strength, float(np.mean(found[3])), *lost)


def _lost(rows: Sequence[tuple], first: Sequence[tuple], measure: int, sign: int) -> tuple[float, float, float]:
    """Paired loss of one measure against the first setting, as a share of its mean there."""
    pairs = [(r[measure], f[measure]) for r, f in zip(rows, first, strict=True) if r[measure] is not None and f[measure] is not None]
    scale = float(np.mean([f for _, f in pairs])) if pairs else math.nan
    return _interval([sign * (r - f) / scale for r, f in pairs])


def _measured(own: Translator, views: Mapping[Condition, AnyImage], domains: Sequence[Condition]) -> Iterator[tuple]:
    day = views["day"]
    for domain, done in own.translate([day], list(domains))[0].items():
        if isinstance(done, Diverged):
            raise done
        truth, fitted = views[domain], own.profiles[domain].discriminant  # type: ignore[index]
        kept, true = structure(day, done.image), structure(day, truth)
        yield (
            render_distance(day, done.image, truth),
            kept / true if kept is not None and true else None,
            strength(day, done.image, fitted) if fitted else None,
            done.forward_evals + 2 * done.backward_evals,
        )


def _interval(values: Sequence[float]) -> tuple[float, float, float]:
    return (float(np.mean(values)), *bootstrap(values)) if values else (math.nan, math.nan, math.nan)


def as_markdown(cells: Sequence[Cell], about: str) -> str:
    """The cells as one table for each question."""
    lines = ["# Ablations", "", about, ""]
    for question in dict.fromkeys(c.question for c in cells):
        lines += [
            f"## {question}",
            "",
            "| setting | distance to the true render | structure over the true render's | strength | evaluations | n "
            "| distance lost | structure lost |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for c in (c for c in cells if c.question == question):
            parts = [f"{mean:.3f} ({low:.3f} to {high:.3f})" for mean, low, high in (c.distance, c.structure, c.strength)]
            lost = [f"{100 * mean:+.1f} % (to {100 * high:+.1f} %)" for mean, _, high in (c.lost_distance, c.lost_structure)]
            lines.append(f"| {c.name} | {' | '.join(parts)} | {c.evaluations:.0f} | {c.n} | {' | '.join(lost)} |")
        lines.append("")
    return "\n".join(lines)
