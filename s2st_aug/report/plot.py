"""Strength against structure as an inline SVG: a shape for each domain, a fill for each status."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 640, 400, 56, 48, 16, 16
SHAPES = ("circle", "triangle", "square", "diamond", "cross")
MOST = 2000  # points drawn; more are thinned evenly


@dataclass(frozen=True, slots=True)
class Point:
    """One variant."""

    x: float  # strength
    y: float  # structure
    domain: str
    status: str
    name: str


@dataclass(frozen=True, slots=True)
class Axis:
    """A linear axis between two values."""

    low: float
    high: float
    start: float  # pixels
    end: float

    def at(self, value: float) -> float:
        """Pixels for a value."""
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start), 1)

    def ticks(self) -> list[float]:
        """About five round values."""
        step = next(s for s in (0.1, 0.2, 0.25, 0.5, 1, 2, 5, 10, 50, 100, 1e9) if (self.high - self.low) / s <= 7)
        first = np.ceil(self.low / step) * step
        return [round(float(v), 6) + 0.0 for v in np.arange(first, self.high + step / 1e3, step)]


def scatter(points: Sequence[Point], domains: Sequence[str]) -> Markup:
    """The plot; its numbers stand in the tables too, so it is described in one sentence for a screen reader."""
    shown = (
        [points[i] for i in np.linspace(0, len(points) - 1, min(len(points), MOST)).round().astype(int)]
        if points
        else []
    )
    x = Axis(*_range([p.x for p in shown]), LEFT, WIDTH - RIGHT)
    y = Axis(*_range([p.y for p in shown]), HEIGHT - BOTTOM, TOP)
    marks = "".join(_mark(p, x.at(p.x), y.at(p.y), domains) for p in shown)
    label = f"Scatter plot of structure against strength for {len(shown)} variants; medians are in the table above."
    return Markup(
        f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">'
        f"{_grid(x, y)}{marks}"
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">'
        "strength (0 source, 1 target)</text>"
        f'<text transform="translate(14 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle">'
        "structure</text></svg>"
    )


def key_mark(domain: str, domains: Sequence[str], status: str = "ok") -> Markup:
    """A small SVG with a domain's shape, for the legend."""
    mark = _mark(Point(0, 0, domain, status, domain), 8, 8, domains)
    return Markup(f'<svg class="key" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">{mark}</svg>')


def _range(values: list[float]) -> tuple[float, float]:
    low, high = min([0.0, *values]), max([1.0, *values])
    pad = 0.05 * (high - low)
    return low - pad, high + pad


def _grid(x: Axis, y: Axis) -> str:
    columns = "".join(
        f'<path d="M{x.at(v)} {TOP}V{HEIGHT - BOTTOM}"/>'
        f'<text x="{x.at(v)}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{v:g}</text>'
        for v in x.ticks()
    )
    rows = "".join(
        f'<path d="M{LEFT} {y.at(v)}H{WIDTH - RIGHT}"/>'
        f'<text x="{LEFT - 6}" y="{y.at(v) + 4}" text-anchor="end">{v:g}</text>'
        for v in y.ticks()
    )
    return f'<g class="grid">{columns}{rows}</g>'


def _mark(p: Point, x: float, y: float, domains: Sequence[str]) -> str:
    number = list(domains).index(p.domain) if p.domain in domains else len(SHAPES) - 1
    shape = SHAPES[min(number, len(SHAPES) - 1)]
    paths = {
        "circle": f"M{x - 4} {y}a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z",
        "triangle": f"M{x} {y - 5}l5 9h-10z",
        "square": f"M{x - 4} {y - 4}h8v8h-8z",
        "diamond": f"M{x} {y - 5}l5 5l-5 5l-5 -5z",
        "cross": f"M{x - 4} {y - 4}l8 8M{x + 4} {y - 4}l-8 8",
    }
    title = escape(f"{p.name}, {p.domain}: strength {p.x:.2f}, structure {p.y:.2f}, {p.status}")
    return f'<path class="d{min(number, 4)} {escape(p.status)}" d="{paths[shape]}"><title>{title}</title></path>'
