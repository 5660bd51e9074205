"""Suite `scenes`: what a perfect and an idle translator score, and which control F1 is measured against."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from benchmarks import scenes
from benchmarks.lights import LightCounts


def figures_of(monkeypatch: pytest.MonkeyPatch, made: str) -> dict:
    """The translated figures of two streets, by a stand-in that hands back each street's `made` view."""
    views = {2000 + i: scenes.rendered(scenes.HELD_OUT, 2000 + i, ("day", "night", "rain")) for i in range(2)}

    def translate(photos, domains, keys):
        view = views[2000 + keys[0]]
        return [{d: SimpleNamespace(image=view[d] if made == "truth" else view["day"]) for d in domains}]

    translator = SimpleNamespace(translate=translate, profiles=dict.fromkeys(scenes.TARGETS))
    monkeypatch.setattr(scenes, "_translator", lambda *_: translator)
    monkeypatch.setattr(scenes, "_discriminant", lambda profile: None)
    monkeypatch.setattr(scenes, "strength", lambda *_: 1.0)
    return {f.name: f for f in scenes.translated_scenes(2)}


def test_a_perfect_translation_is_perfect_in_every_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    found = figures_of(monkeypatch, "truth")
    assert tuple(found) == scenes.TRANSLATED
    assert [found[f"render_distance_{d}_vs_best_control"].value for d in scenes.TARGETS] == [0, 0]
    assert found["light_recall_night"].value == found["light_precision_night"].value == 1
    assert found["wet_road_rain"].value == pytest.approx(1)
    assert found["light_f1_night_vs_best_control"].holds
    assert found["light_recall_night"].n > 10


def test_doing_nothing_translates_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = figures_of(monkeypatch, "day")
    assert [found[f"render_distance_{d}_vs_best_control"].value > 1 for d in scenes.TARGETS] == [True, True]
    assert found["light_recall_night"].value > 0.8
    assert found["light_precision_night"].value < 0.8
    assert found["wet_road_rain"].value == 0


def test_f1_is_measured_against_the_best_control_that_translates() -> None:
    street = {name: LightCounts(10, 1, 10, 1) for name in scenes.CONTROLS}
    street |= {
        "S2ST": LightCounts(10, 6, 10, 6),
        "identity": LightCounts(10, 9, 10, 9),
        "gamma": LightCounts(10, 2, 10, 2),
    }
    figure = {f.name: f for f in scenes._light_figures([street, street], "")}["light_f1_night_vs_best_control"]
    assert figure.value == pytest.approx(3)
    assert "over gamma" in figure.why
    assert figure.interval == pytest.approx((3, 3))


def test_night_and_rain_are_told_apart() -> None:
    def row(domain: str, ours: float) -> scenes._Translation:
        return scenes._Translation(domain, None, None, dict.fromkeys(scenes.CONTROLS, 0.5) | {"S2ST": ours}, {}, {})

    rows = [row("night", 0.2), row("rain", 0.6)]
    figures = list(scenes._distance_figures(rows, "", ""))
    assert [(f.name, pytest.approx(f.value)) for f in figures] == [
        ("render_distance_vs_best_control", 0.8),
        ("render_distance_night_vs_best_control", 0.4),
        ("render_distance_rain_vs_best_control", 1.2),
    ]


@pytest.mark.parametrize(
    ("judge", "share", "holds"), [("own", 1 / 6, False), pytest.param("blind", 1 / 6, None, marks=pytest.mark.slow)]
)
def test_prompts_are_judged_by_one_who_is_right_elsewhere(
    monkeypatch: pytest.MonkeyPatch, judge: str, share: float, holds: bool | None
) -> None:
    """A model that draws a day for every prompt falls short; a judge that says day of everything decides nothing."""
    day = scenes.rendered(5, 0, ("day",))["day"]
    monkeypatch.setattr(scenes, "generate", lambda *_arguments, **_more: [day, day.copy()])
    if judge == "blind":
        monkeypatch.setattr(scenes, "fit_classifier", lambda _known: lambda _image: "day")
    figure = scenes.prompt_agreement(streets=4, steps=1)
    assert (figure.value, figure.holds) == (pytest.approx(share), holds)
    assert figure.why.startswith("holds nothing") == (holds is None)
