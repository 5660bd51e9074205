"""The table against peers: what its columns mean."""

from __future__ import annotations

import pytest

from benchmarks.comparison import OURS, Row, as_markdown, at_structure, draw_pareto, summarise


def row(method: str, knob: float, street: int, distance: float, structure: float) -> Row:
    return Row(method, knob, street, "night", distance, structure, 0.7, 0.9, True, 20.0, 2.0)


ROWS = [
    *(row(OURS, k, s, d + 0.1 * s, q) for s in (0, 1) for k, d, q in ((1.0, 0.8, 1.2), (4.0, 0.4, 1.0))),
    *(row("peer", k, s, d + 0.1 * s, q) for s in (0, 1) for k, d, q in ((1.0, 0.9, 1.1), (2.0, 0.7, 1.0))),
]


def test_ours_is_read_at_the_others_structure():
    curve = [row(OURS, 4.0, 0, 0.4, 1.0), row(OURS, 1.0, 0, 0.8, 1.2)]
    assert at_structure(curve, 1.1) == pytest.approx(0.6)
    assert at_structure(curve, 0.5) is at_structure(curve, 2.0) is at_structure([], 1.0) is None, (
        "what it does not reach is not compared"
    )


def test_the_best_knob_is_the_nearest_and_differences_are_paired():
    found = {(s.method, s.knob): s for s in summarise(ROWS)}
    assert [key for key, s in found.items() if s.best] == [(OURS, 4.0), ("peer", 2.0)]
    assert found["peer", 2.0].ours_less_theirs[0] == pytest.approx(-0.3)
    assert found["peer", 1.0].ours_less_theirs[0] == pytest.approx(-0.3)
    assert found["peer", 1.0].reached == 2
    assert found[OURS, 4.0].ours_less_theirs is None
    far = summarise([*ROWS, row("far", 1.0, 0, 0.9, 1.5), row("far", 1.0, 1, 0.9, 1.1)])[-1]
    assert far.reached == 1 and far.ours_less_theirs[0] == pytest.approx(0.7 - 0.9)


def test_table_and_plot_name_every_method():
    table, plot = as_markdown(summarise(ROWS), "about"), draw_pareto(summarise(ROWS))
    assert table.index(f"**{OURS}** | 4") < table.index("**peer** | 2")
    assert "-0.30 (-0.30 to -0.30)" in table
    assert plot.startswith("<?xml") and "peer" in plot
