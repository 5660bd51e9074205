from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import fault_plot, fault_rates, fault_sets, fault_trials, faults
from benchmarks.fault_cases import CONTROL, Picture, signal_streets
from benchmarks.fault_emission import Emitted
from benchmarks.figure import measured, wilson
from benchmarks.planted_faults import PAINTED_FAULTS, WHOLE_FAULTS
from s2st_aug.records.scene import SceneObject
from s2st_aug.validation.settings import ValidationSettings


@pytest.fixture(scope="module")
def trials(pair):
    """Of a drawn street and night, painted over and not passed through any model."""
    faults_of = {**PAINTED_FAULTS, **WHOLE_FAULTS}
    emission = Painted(pair.source, pair.objects)
    pictures = [Picture(CONTROL, "night", False, pair.objects, pair.variant)]
    for name in fault_trials.FAULTS:
        plant = faults_of.get(name, PAINTED_FAULTS["erased_painted"])
        if planted := plant(pair, pair.objects[0], np.random.default_rng(0)):
            struck = () if name in WHOLE_FAULTS else pair.objects[:1]
            pictures.append(Picture(name, "night", False, struck, planted.variant, planted.box))
    return [t for p in pictures for t in fault_trials.trials_of("drawn", emission, p, None)]


@dataclass(frozen=True)
class Painted:
    """An emission that leaves a picture as it is."""

    source: np.ndarray
    objects: tuple[SceneObject, ...]

    def emitted(self, picture: np.ndarray, _domain: str) -> Emitted:
        return Emitted(picture, picture)


def test_every_name_of_the_contract_comes_out_and_what_was_not_seen_says_so(monkeypatch, trials):
    monkeypatch.setattr(faults, "collected", lambda *, quick: [t for t in trials if t.fault != "erased"])
    monkeypatch.setattr(faults, "_milliseconds", lambda _: measured("ms_per_image", 30.0, "ms", 40, "at_most", n=1))
    monkeypatch.setattr(faults, "set_figures", lambda: iter(()))
    figures = {f.name: f for f in faults.run(quick=True)}
    names = {f"recall_{name}" for name in faults.AIMED} | {
        "fpr",
        "lost_on_true_night",
        "not_keep_on_true_night",
        "ms_per_image",
    }
    assert names <= set(figures)
    assert figures["recall_identity"].value == 1
    assert figures["recall_erased"].holds is None
    assert figures["recall_erased"].why


def test_a_trial_keeps_what_a_verdict_needs(trials, tmp_path):
    """Curves and tables come from stored trials: other thresholds give other verdicts, the same ones the same."""
    fault_trials.write_trials(tmp_path / "a.jsonl", trials)
    assert fault_trials.read_trials(tmp_path / "a.jsonl") == trials
    erased = [t for t in trials if t.fault == "erased"]
    assert erased and all(fault_trials.caught(t) for t in erased)
    blind = ValidationSettings(least_structure=-1, keep_structure=-1, keep_structure_raw=-1)
    assert not any(fault_trials.caught(replace(t, item=replace(t.item, shift_px=0.0)), blind) for t in erased)


def test_a_stopped_suite_goes_on_from_what_was_kept_but_not_from_other_checks(monkeypatch, tmp_path, trials):
    monkeypatch.setenv("S2ST_BENCH_KEEP", str(tmp_path))
    asked: list[int] = []

    def street(_key, index, *, with_model):
        asked.append(index)
        return trials

    monkeypatch.setattr(faults, "_street", street)
    monkeypatch.setattr(faults, "QUICK", (1, 0, 0, 0))
    first = faults.collected(quick=True)
    assert faults.collected(quick=True) == first == trials
    assert asked == [0]
    monkeypatch.setattr(faults, "validation_identity", lambda _: {"checks": "others"})
    faults.collected(quick=True)
    assert asked == [0, 0]


def test_a_share_is_judged_by_its_interval():
    assert fault_rates.rate_figure("a", [True] * 100, 0.95, "", at_least=True).holds is True
    assert fault_rates.rate_figure("a", [True] * 60 + [False] * 40, 0.95, "", at_least=True).holds is False
    straddles = fault_rates.rate_figure("a", [True] * 20, 0.95, "few", at_least=True)
    assert straddles.value == 1
    assert straddles.holds is None
    assert straddles.why == "the goal lies within the interval: undecided by 20 samples; few"
    assert fault_rates.rate_figure("b", [False] * 99 + [True], 0.1, "").holds is True
    assert fault_rates.rate_figure("b", [True] * 30 + [False] * 70, 0.1, "").holds is False


def test_curves_rise_with_their_alarms_and_are_read_at_one_in_twenty(trials):
    for curve in fault_rates.curves(trials):
        order = np.argsort(curve.alarms, kind="stable")
        assert (np.diff(np.maximum.accumulate(curve.recall[order])) >= 0).all()
        assert curve.at_allowed is None or 0 <= curve.at_allowed[0] <= 1
    assert "<svg" in fault_plot.draw_curves(fault_rates.curves(trials))


def test_streets_with_signals_are_found_without_drawing_them():
    found = list(signal_streets(4, 0, 3))
    assert len(found) == 3
    assert found == sorted(set(found))


def test_overlays_of_the_suite_change_the_picture():
    night = np.zeros((360, 640, 3), np.uint8)
    assert all((plant(night) != night).any() and not night.any() for plant in fault_sets.OVERLAYS.values())


def test_wilsons_interval_holds_the_rate_and_narrows():
    assert wilson(95, 100) == pytest.approx((0.888, 0.978), abs=1e-3)
    assert np.diff(wilson(950, 1000))[0] < np.diff(wilson(95, 100))[0]
    assert wilson(68, 68) == pytest.approx((0.947, 1.0), abs=1e-3)  # all of few is not certainty
    assert wilson(0, 68)[0] == 0 and wilson(68, 68)[1] == 1
    for hits, n in ((0, 0), (3, 2), (-1, 2)):
        with pytest.raises(ValueError, match=f"came {hits} of {n}"):
            wilson(hits, n)


def test_no_two_curves_of_a_panel_look_alike() -> None:
    line = np.linspace(0, 0.2, 3)
    names = [("keep_of_around", name) for name in "abcdefgh"] + [("max_tone_explained", name) for name in "ijklm"]
    drawn = fault_plot.panels([fault_rates.Curve(name, threshold, line, line, line, 9) for threshold, name in names])
    panels = [[line for line in axes.lines if not line.get_label().startswith("_")] for axes in drawn.axes]
    assert [len(lines) for lines in panels] == [8, 5]
    for looks in (
        [str(getattr(line, f"get_{what}")()) for line in lines] for lines in panels for what in ("color", "marker")
    ):
        assert len(set(looks)) == len(looks)
    for lines in panels:
        assert len({str(line._dash_pattern) for line in lines}) == len(lines)


def test_a_light_that_the_emitted_picture_does_not_show_is_no_miss(pair, trials):
    """The light layer may replace what a model painted: nothing is there to be found, and the share shown is told."""
    box = (40.0, 40.0, 60.0, 60.0)
    lit = pair.variant.copy()
    lit[44:56, 44:56] = 255
    assert fault_trials.light_shown(lit, pair.variant, box) > fault_trials.SHOWN
    assert fault_trials.light_shown(pair.variant, pair.variant, box) == 0
    light = next(t for t in trials if t.fault == CONTROL and t.item is None)
    every = [
        replace(light, fault="pasted_light", category="lamp", there=0.0, hidden=hidden) for hidden in (True, False)
    ]
    assert len(faults._counted("pasted_light", every)) == 2  # the figure with a goal is of all that were planted
    found = {f.name: f for f in faults._shown(every)}
    assert found["shown_pasted_light"].value == 0.5
    assert found["recall_pasted_light_shown"].n == 1


def test_a_copy_of_the_source_that_is_emitted_as_a_true_night_is_no_miss(pair):
    """The light layer makes a night of it: then there is no copy that could be found."""
    copy = Picture("identity", "night", False, (), pair.source)
    assert fault_trials.shows(copy, pair.source, pair.variant)
    assert not fault_trials.shows(copy, pair.variant, pair.variant)
    assert fault_trials.shows(replace(copy, fault="duplicated"), pair.variant, pair.variant)


def test_the_lights_of_a_street_are_told_by_what_its_untouched_picture_emits(pair, monkeypatch):
    box = (40.0, 40.0, 60.0, 60.0)
    lit = pair.variant.copy()
    lit[44:56, 44:56] = 255
    pictures = [
        Picture(CONTROL, "night", False, (), pair.variant),
        Picture("pasted_light", "night", False, (), pair.variant, box, "lamp"),
        Picture("pasted_light", "night", False, (), lit, box, "lamp"),
    ]
    place = SimpleNamespace(name="drawn", emission=Painted(pair.source, pair.objects))
    monkeypatch.setattr(faults, "place_of", lambda *_: place)
    monkeypatch.setattr(faults, "_model", lambda _: None)
    monkeypatch.setattr(faults, "pictures_of", lambda *_, **__: pictures)
    monkeypatch.setattr(faults, "_detector", lambda: None)
    found = [t.hidden for t in faults._street(6, 0, with_model=False)]
    assert found == [False, True, False]
