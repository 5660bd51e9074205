"""The picture of the fault suite's curves: a panel for objects, one for images and pasted things.

No two lines look alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.fault_rates import ALLOWED, Curve
from benchmarks.fault_trials import SETTINGS
from benchmarks.svg import svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 0.3  # false alarms at the right end
FINE = 0.9  # recall from which the upper half of a panel shows the rest
# Eight colours that colour-blind readers tell apart (Okabe and Ito, 2008); yellow, too pale for a line, comes last.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9", "#B8A800")
DASHES = ("-", "--", ":", "-.", (0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)), (0, (2, 2)), (0, (1, 1)))
MARKS = "s^DvPoX*"
TITLES = ("one object each: share of the surroundings' structure", "the image, or a thing without a label")


def draw_curves(found: Sequence[Curve]) -> str:
    """The panels as SVG text."""
    return svg(panels(found))


def panels(found: Sequence[Curve]) -> Figure:
    """Recall up (its last tenth over half of the height), false alarms
    across, a mark where the shipped threshold stands.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5))
    objects = (
        [c for c in found if c.threshold == "keep_of_around"],
        [c for c in found if c.threshold != "keep_of_around"],
    )
    for axes, title, curves in zip(figure.subplots(1, 2), TITLES, objects, strict=True):
        _frame(axes, title)
        for n, curve in enumerate(curves):
            _line(axes, curve, n)
        if curves:
            axes.legend(ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.14), frameon=False, fontsize=9)
    return figure


def _frame(axes: Axes, title: str) -> None:
    ends = [0, FINE, 1], [0, 0.5, 1]
    axes.set_yscale("function", functions=(lambda r: np.interp(r, *ends), lambda up: np.interp(up, *ends[::-1])))
    axes.set_title(title, fontsize=10, fontweight="bold", loc="left")
    axes.set(
        xlim=(0, MOST),
        ylim=(0, 1),
        xlabel="false alarms; a mark where the shipped threshold stands",
        yticks=(0, 0.3, 0.6, FINE, 0.95, 1),
    )
    axes.set_ylabel(f"recall (upper half: {FINE} to 1)")
    axes.axvline(ALLOWED, color="#999", linestyle="--", linewidth=0.8)
    axes.grid(axis="y", color="#ddd")


def _line(axes: Axes, curve: Curve, n: int) -> None:
    order = np.lexsort((curve.recall, curve.alarms))
    shipped = int(np.argmin(np.abs(curve.thresholds - float(SETTINGS.model_dump()[curve.threshold]))))
    at, style = int(np.flatnonzero(order == shipped)[0]), n % len(COLOURS)
    (drawn,) = axes.plot(
        curve.alarms[order], curve.recall[order], color=COLOURS[style], marker=MARKS[style], label=curve.fault
    )
    drawn.set(linestyle=DASHES[style], markevery=[at], markerfacecolor="white")
