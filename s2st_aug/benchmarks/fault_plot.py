"""The picture of the fault suite's curves: a panel for objects, one for images and pasted things; no two lines look alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from s2st_aug.benchmarks.fault_rates import ALLOWED, Curve
from s2st_aug.benchmarks.fault_trials import SETTINGS

WIDE, HIGH, LEFT, TOP, BELOW = 430, 330, 52, 34, 44  # px of a panel and of its margins
LEGEND, ROW = 112, 18  # px below the panels, and of a line there
MOST = 0.3  # false alarms at the right end
FINE = 0.9  # recall from which the upper half of a panel shows the rest
# Eight colours that colour-blind readers tell apart (Okabe and Ito, 2008); yellow, too pale for a line, is left to the last.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9", "#B8A800")
DASHES = ("", "8 3", "2 3", "9 3 2 3", "14 4", "5 2 1 2 1 2", "4 4", "1 2")
MARKS = ("M-4 -4H4V4H-4Z", "M0 -5L5 4H-5Z", "M0 -6L5 0L0 6L-5 0Z", "M-5 -4H5L0 5Z", "M-5 0H5M0 -5V5", "M-4 -4L4 4M4 -4L-4 4",
         "M0 -5A5 5 0 1 0 .1 -5Z", "M-5 0H5M-4 -4L4 4M4 -4L-4 4")  # fmt: skip
TITLES = {"keep_of_around": "one object each: share of the surroundings' structure", "": "the image, or a thing without a label"}


def draw_curves(found: Sequence[Curve]) -> str:
    """An SVG: recall up (its last tenth over half of the height), false alarms across, a mark where the shipped threshold stands."""
    panels = [[c for c in found if (c.threshold == "keep_of_around") == objects] for objects in (True, False)]
    parts = [part for n, curves in enumerate(panels) for part in _panel(curves, n * WIDE, TITLES["" if n else "keep_of_around"])]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDE} {HIGH + LEGEND}" font-family="sans-serif" font-size="12">'
    return "\n".join((head, '<rect width="100%" height="100%" fill="#fff"/>', *parts, "</svg>", ""))


def _x(alarms: float) -> float:
    return LEFT + min(alarms, MOST) / MOST * (WIDE - LEFT - 16)


def _y(recall: float) -> float:
    up = 0.5 * recall / FINE if recall < FINE else 0.5 + 0.5 * (recall - FINE) / (1 - FINE)
    return HIGH - BELOW - up * (HIGH - BELOW - TOP)


def _panel(curves: Sequence[Curve], left: int, title: str) -> Iterator[str]:
    yield f'<g transform="translate({left} 0)"><text x="{LEFT}" y="18" font-weight="bold">{title}</text>'
    yield from _axes()
    for n, curve in enumerate(curves):
        yield from _line(curve, n)
        x, y = LEFT + 180 * (n % 2), HIGH + 14 + ROW * (n // 2)
        yield f'<path d="M{x} {y - 4}h44" {_style(n)}/>{_mark(n, x + 22, y - 4)}<text x="{x + 52}" y="{y}">{curve.fault}</text>'
    yield "</g>"


def _axes() -> Iterator[str]:
    for v in (0, 0.3, 0.6, 0.9, 0.95, 1):
        yield f'<text x="{LEFT - 6}" y="{_y(v) + 4:.0f}" text-anchor="end">{v:g}</text>'
        yield f'<path d="M{_x(0):.0f} {_y(v):.1f}H{_x(MOST):.0f}" stroke="{"#999" if v == FINE else "#ddd"}"/>'
    for v in (0, 0.05, 0.1, 0.2, 0.3):
        yield f'<text x="{_x(v):.0f}" y="{HIGH - BELOW + 18}" text-anchor="middle">{v:g}</text>'
    yield f'<path d="M{_x(ALLOWED):.0f} {_y(0):.0f}V{_y(1):.0f}" stroke="#999" stroke-dasharray="4 3"/>'
    yield f'<text x="{LEFT}" y="{HIGH - 8}">false alarms; a mark where the shipped threshold stands</text>'
    middle = f'x="12" y="{HIGH / 2:.0f}" transform="rotate(-90 12 {HIGH / 2:.0f})" text-anchor="middle"'
    yield f"<text {middle}>recall (upper half: {FINE} to 1)</text>"


def _line(curve: Curve, n: int) -> Iterator[str]:
    order = np.lexsort((curve.recall, curve.alarms))
    points = [f"{_x(a):.1f} {_y(r):.1f}" for a, r in zip(curve.alarms[order], curve.recall[order], strict=True) if a <= MOST]
    if points:
        yield f'<path d="M{"L".join(points)}" {_style(n)}/>'
    at = int(np.argmin(np.abs(curve.thresholds - float(SETTINGS.model_dump()[curve.threshold]))))
    if curve.alarms[at] <= MOST:
        yield _mark(n, _x(curve.alarms[at]), _y(curve.recall[at]))


def _style(n: int) -> str:
    dash = DASHES[n % len(DASHES)]
    return f'fill="none" stroke="{COLOURS[n % len(COLOURS)]}" stroke-width="1.8"' + (f' stroke-dasharray="{dash}"' if dash else "")


def _mark(n: int, x: float, y: float) -> str:
    colour = COLOURS[n % len(COLOURS)]
    return f'<path transform="translate({x:.1f} {y:.1f})" d="{MARKS[n % len(MARKS)]}" fill="#fff" stroke="{colour}" stroke-width="1.8"/>'
