"""Suites in pieces: a piece is made once, turns become their median."""

from __future__ import annotations

import json

import pytest

from benchmarks.figure import Figure, measured, undecided
from benchmarks.formats import export_figure, medians, pieces
from benchmarks.million import _step, curve_of, draw_memory, make_frames, memory_figures
from benchmarks.pieces import folder_or, kept, wanted
from s2st_aug.storage.progress import read_snapshot
from s2st_aug.storage.run_folder import RunFolder


def test_a_piece_is_made_once(tmp_path):
    made = []
    for _ in range(2):
        assert kept(tmp_path / "pieces", "a", lambda: made.append(1) or {"n": 3}) == {"n": 3}
    assert made == [1]


def test_a_suite_can_be_told_to_make_nothing(tmp_path, monkeypatch):
    assert wanted(tmp_path, "a")
    monkeypatch.setenv("S2ST_ONLY_KEPT", "1")
    assert not wanted(tmp_path, "a")
    kept(tmp_path, "a", lambda: 1)
    assert wanted(tmp_path, "a")


def test_pieces_are_kept_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.delenv("S2ST_PIECES", raising=False)
    assert folder_or(tmp_path) == tmp_path
    monkeypatch.setenv("S2ST_PIECES", str(tmp_path / "b"))
    assert folder_or(tmp_path) == tmp_path / "b"


def _turns(*values: float | None) -> list[Figure]:
    return [
        undecided("speed", "ratio", 1, "not here")
        if value is None
        else measured("speed", value, "ratio", 1, "at_least", n=5, why=f"turn of {value}")
        for value in values
    ]


def test_turns_become_their_median_with_the_range():
    turns = _turns(1.5, 1.2, 3.0)
    (speed, alone) = medians([turns[0], undecided("alone", "s", 1, "not here"), *turns[1:]])
    assert (speed.value, speed.interval, speed.holds) == (1.5, (1.2, 3.0), True)
    assert speed.why == "median of 3 turns: turn of 1.5"
    assert (alone.value, alone.why) == (None, "not here")


@pytest.mark.parametrize(
    ("values", "holds"),
    [
        ((1.5, 0.5, 3.0), None),  # the median reaches the goal, one turn does not
        ((0.8, 0.5, 3.0), None),
        ((0.8, 0.5, 0.9), False),
        ((1.5, None, 3.0), None),
    ],
)
def test_turns_that_disagree_about_the_goal_decide_nothing(values, holds):
    (speed,) = medians(_turns(*values))
    assert speed.holds is holds
    assert (holds is None) == speed.why.startswith("undecided: ")


def test_two_turns_have_their_mean_as_median():
    (speed,) = medians(_turns(2.0, 3.0))
    assert (speed.value, speed.interval, speed.holds) == (2.5, (2.0, 3.0), True)


def test_no_side_of_an_export_pays_for_files_that_the_suite_deleted(tmp_path):
    for turn in range(2):
        figure = export_figure(tmp_path, turn=turn, frames=30)
        assert f"{('ours', 'loop')[turn]} first" in figure.why
    assert sorted(side.name for side in tmp_path.glob("exported-*/*")) == ["loop"] * 4 + ["ours"] * 4
    assert list(pieces(tmp_path, quick=False))[:4] == ["export-0", "export-1", "export-2", "others"]


def test_the_memory_curve_takes_each_step_where_it_was_measured():
    small = {"scenes": 1000, **{step: {"gib": 0.2, "store_mib": 2.0} for step in ("plan", "resume", "stream")}}
    large = {"scenes": 1_000_000, **{step: {"gib": 0.5} for step in ("plan", "resume")}}
    assert curve_of([large, small], "plan", "gib") == ([1000, 1_000_000], [0.2, 0.5])
    assert curve_of([large, small], "stream", "store_mib") == ([1000], [2.0])
    assert [f.name for f in memory_figures([small, large])] == ["memory_plan_gib_growth", "memory_resume_gib_growth"]
    assert draw_memory([small, large]).startswith("<?xml")


def test_a_thousand_scenes_are_planned_resumed_and_counted(tmp_path, capsys):
    """Their images were not there; since absent ones are left out of a plan, each of these pieces failed."""
    root = make_frames(tmp_path / "data", 1)
    for step in ("plan", "resume", "status"):
        _step(step, root, tmp_path / "run")
    spent = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(spent) == 3
    assert read_snapshot(RunFolder(tmp_path / "run")).total == 1000
