"""A figure is judged by its whole interval, says what it stands on, and is stale once what decides it has changed."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest

from benchmarks import SUITES, provenance, write_figures
from benchmarks.figure import measured

MEASURED = Path(__file__).parents[2] / "docs/measured"
STAMP = {"commit": "abc", "weights": "w", "date": "2026-11-27", "decides": "d", "decided_by": "formats"}


@pytest.mark.parametrize(
    ("value", "interval", "goal", "direction", "holds"),
    [
        (0.97, (0.96, 0.98), 0.95, "at_least", True),
        (0.97, (0.94, 0.99), 0.95, "at_least", None),
        (0.94, (0.90, 0.97), 0.95, "at_least", None),
        (0.94, (0.92, 0.949), 0.95, "at_least", False),
        (0.04, (0.03, 0.06), 0.05, "at_most", None),
        (1.0, (0.95, 1.1), (0.9, 1.25), "within", True),
        (1.0, (0.8, 1.1), (0.9, 1.25), "within", None),
        (1.0, (0.5, 2.0), (0.9, 1.25), "within", None),
        (0.97, None, 0.95, "at_least", True),
        (0.97, (float("nan"), 1.0), 0.95, "at_least", True),
    ],
)
def test_a_goal_within_the_interval_is_undecided(value, interval, goal, direction, holds):
    figure = measured("x", value, "share", goal, direction, n=40, interval=interval, why="how")
    assert figure.holds is holds
    assert ("undecided by 40 samples; how" in figure.why) == (holds is None)


def tree(root: Path, code: str, weights: bytes = b"1") -> Path:
    (root / "s2st_aug/formats").mkdir(parents=True)
    (root / "s2st_aug/formats/read.py").write_text(code)
    (root / "s2st_aug/weights/street-mini/unet").mkdir(parents=True)
    (root / "s2st_aug/weights/street-mini/unet/w.safetensors").write_bytes(weights)
    return root


CODE = '"""Read."""\n\n\ndef read(x):\n    """One."""\n    return x + 1\n'


def test_what_decides_a_figure_changes_with_its_code_and_weights_and_not_with_its_words(tmp_path):
    patterns = (*provenance.DECIDES["formats"], "s2st_aug/weights/street-mini/**/*")
    first = provenance.fingerprint(patterns, tree(tmp_path / "a", CODE))
    words = CODE.replace("One.", "Adds one.").replace("    return", "    # the next\n    return")
    assert provenance.fingerprint(patterns, tree(tmp_path / "b", words)) == first
    assert provenance.fingerprint(patterns, tree(tmp_path / "c", CODE.replace("+ 1", "+ 2"))) != first
    assert provenance.fingerprint(patterns, tree(tmp_path / "d", CODE, b"2")) != first
    card = tree(tmp_path / "e", CODE)
    (card / "s2st_aug/weights/street-mini/README.md").write_text("a model card")
    assert provenance.fingerprint(patterns, card) == first


SETTINGS = """
class Settings(BaseModel):
    model_config = ConfigDict(frozen=True)
    steps: int = Field(3, description="how many")
    rate: float = 0.5
"""
DESCRIBED = """
class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)
    steps: int = Field(3)
    '''how many steps'''
    rate: float = 0.5
    '''of each'''
"""


def test_what_a_setting_means_may_be_said_better_and_its_value_may_not_change(tmp_path):
    patterns = provenance.DECIDES["formats"]
    first = provenance.fingerprint(patterns, tree(tmp_path / "a", SETTINGS))
    assert provenance.fingerprint(patterns, tree(tmp_path / "b", DESCRIBED)) == first
    assert provenance.fingerprint(patterns, tree(tmp_path / "c", DESCRIBED.replace("0.5", "0.6"))) != first


def test_a_figure_is_stale_once_what_decides_it_is_another_or_unknown():
    now = provenance.stamp_of("formats")
    assert not provenance.is_stale(now)
    assert provenance.is_stale({**now, "decides": "another"})
    assert provenance.is_stale({**now, "decides": None})
    assert provenance.is_stale({"name": "x"})


def test_a_figure_is_kept_over_a_change_only_if_it_held_before_it(tmp_path, monkeypatch):
    before, now = tree(tmp_path / "before", CODE), tree(tmp_path / "now", CODE.replace("+ 1", "+ 1 + 0"))
    monkeypatch.setattr(provenance, "ROOT", now)
    monkeypatch.setattr(provenance, "at_commit", lambda commit: contextlib.nullcontext(before))
    held = {"decided_by": "formats", "decides": provenance.fingerprint(provenance.DECIDES["formats"], before)}
    path = tmp_path / "formats.json"
    path.write_text(json.dumps([{"name": "a", **held}, {"name": "b", **held, "decides": "older"}, {"name": "c"}]))
    assert provenance.keep(path, "abc", "adds nothing") == 1
    a, b, c = json.loads(path.read_text())
    assert not provenance.is_stale(a) and a["kept"] == ["adds nothing"]
    assert b == {"name": "b", **held, "decides": "older"} and c == {"name": "c"}
    assert provenance.keep(path, "abc", "again") == 0


def test_written_figures_carry_kit_and_stamp_and_an_older_experiment_keeps_its_own(tmp_path):
    own = {**STAMP, "date": "2026-11-01", "decided_by": "gain"}
    figures = [measured("lossless_coco", 1.0, "share", 1.0, "at_least", n=3)]
    old = measured("gain_miou_dusk", 20.0, "points", 15, "at_least", n=3)
    figures.append(type(old)(*[getattr(old, f) for f in old.__slots__[:-1]], stamp=own))
    write_figures(figures, tmp_path / "x.json", STAMP)
    stored = json.loads((tmp_path / "x.json").read_text())
    assert [(f["kit"], f["date"], f["decided_by"]) for f in stored] == [
        ("fake", "2026-11-27", "formats"),
        ("real", "2026-11-01", "gain"),
    ]
    assert "stamp" not in stored[0] and stored[0]["weights"] == "w"


def test_the_speed_of_runs_is_not_stale_once_they_are_shot_at_in_another_way(tmp_path):
    figures = [measured(name, 1.0, "x", 1.0, "at_least", n=3) for name in ("scaling_8", "node_faults", "chaos_kills")]
    own = provenance.stamps_of("cluster", [f.name for f in figures])
    write_figures(figures, tmp_path / "x.json", provenance.stamp_of("cluster"), own)
    stored = json.loads((tmp_path / "x.json").read_text())
    assert [f["decided_by"] for f in stored] == ["cluster", "node_faults", "kills"]
    assert {f["kit"] for f in stored} == {"fake"} and not any(map(provenance.is_stale, stored))
    assert not any("faults" in path or "chaos" in path for path in provenance.DECIDES["cluster"])


@pytest.mark.parametrize("suite", SUITES)
def test_every_stored_figure_says_what_it_stands_on(suite):
    path = MEASURED / f"{suite}.json"
    for figure in json.loads(path.read_text()) if path.is_file() else []:
        assert figure["kit"] in ("fake", "judged", "real"), figure["name"]
        assert {"commit", "weights", "date", "decides", "decided_by"} <= figure.keys(), figure["name"]


def test_every_pattern_of_what_decides_a_figure_names_files():
    for suite, patterns in provenance.DECIDES.items():
        for pattern in patterns:
            assert any(provenance.ROOT.glob(pattern)), f"{suite}: {pattern}"
    assert SUITES.keys() <= provenance.DECIDES.keys()
    figures = {name for names in SUITES.values() for name in names}
    assert provenance.PARTS.keys() <= figures and set(provenance.PARTS.values()) <= provenance.DECIDES.keys()
