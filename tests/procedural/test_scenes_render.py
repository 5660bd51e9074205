"""Scenes: exact labels, aligned conditions, any size, the same bytes again."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2st_aug.errors import UsageError
from s2st_aug.procedural.categories import CATEGORIES, NUMBER
from s2st_aug.procedural.drawing import Drawn, draw_street
from s2st_aug.procedural.labels import StreetLabels, read_labels
from s2st_aug.procedural.render import render_drawn, render_scene
from s2st_aug.procedural.sampling import sample_street
from s2st_aug.procedural.surfaces import surfaces
from s2st_aug.records.domains import CONDITIONS

SIZE = (320, 180)


@pytest.fixture(scope="module")
def streets() -> list[tuple[Drawn, StreetLabels]]:
    drawn = [draw_street(sample_street(3, i, SIZE)) for i in range(5)]
    return [(d, read_labels(d)) for d in drawn]


def test_boxes_are_tight_around_the_id_mask(streets: list[tuple[Drawn, StreetLabels]]) -> None:
    checked = 0
    for _, labels in streets:
        assert set(np.unique(labels.owner)) - {0} == {o.instance.number for o in labels.objects}
        for item in labels.objects:
            rows, columns = np.nonzero(labels.owner == item.instance.number)
            assert item.box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            assert item.pixels == len(rows)
            assert (labels.category[rows, columns] == item.instance.category).all()
            checked += 1
    assert checked > 25


def test_a_hidden_thing_is_occluded_and_a_cut_one_truncated(streets: list[tuple[Drawn, StreetLabels]]) -> None:
    every = [(o, lab) for _, lab in streets for o in lab.objects]
    assert all(o.pixels <= o.instance.area for o, _ in every)
    assert {o.occluded for o, _ in every} == {True, False}
    cut = [o for o, _ in every if o.instance.truncated]
    assert cut
    assert all(o.occluded or min(o.box[0], o.box[1]) == 0 or o.box[2] == SIZE[0] or o.box[3] == SIZE[1] for o in cut)


def test_hiding_a_vehicle_is_what_occludes_the_other() -> None:
    """Occlusion is measured against the painter's own footprint: without the one in front, nothing is hidden."""
    for index in range(20):
        street = sample_street(1, index, SIZE)
        labels = read_labels(draw_street(street))
        hidden = [o for o in labels.objects if o.occluded and CATEGORIES[o.instance.category].name == "car"]
        if hidden:
            break
    only = tuple(t for t in street.things if t.uid == hidden[0].instance.uid)
    alone = read_labels(draw_street(replace(street, things=only, bonnet=None)))
    assert [o.occluded for o in alone.objects] == [False]
    assert alone.objects[0].pixels > hidden[0].pixels


def test_conditions_share_one_geometry_and_differ_in_light(streets: list[tuple[Drawn, StreetLabels]]) -> None:
    means = {c: [] for c in CONDITIONS}
    for drawn, _ in streets:
        surface, before = surfaces(drawn), drawn.faces.copy()
        for condition in CONDITIONS:
            means[condition].append(render_drawn(drawn, surface, condition).mean())
        assert (drawn.faces == before).all(), "a condition changed the geometry"
    mean = {c: float(np.mean(v)) for c, v in means.items()}
    assert mean["day"] > mean["dusk"] > mean["night"]
    assert mean["rain"] > mean["dusk"]
    assert mean["fog"] > mean["rain"] > mean["night_rain"]
    assert mean["night"] < 0.45 * mean["day"]


def test_edges_of_day_and_night_lie_in_the_same_place() -> None:
    """Cars against the road: where the labels change, both images change more than elsewhere."""
    for index in range(2):
        drawn = draw_street(sample_street(8, index, SIZE))
        labels, surface = read_labels(drawn), surfaces(drawn)
        border = np.zeros(labels.owner.shape, bool)
        border[:, 1:] = labels.owner[:, 1:] != labels.owner[:, :-1]
        for condition in CONDITIONS:
            grey = render_drawn(drawn, surface, condition).mean(axis=2)
            step = np.abs(np.diff(grey, axis=1, prepend=grey[:, :1]))
            assert step[border].mean() > 1.25 * step[~border].mean(), condition


def test_the_same_key_gives_the_same_pixels_and_another_key_does_not() -> None:
    again = [render_scene(sample_street(5, 2, SIZE), "night_rain") for _ in range(2)]
    assert (again[0] == again[1]).all()
    other = render_scene(sample_street(6, 2, SIZE), "night_rain")
    assert np.abs(other.astype(int) - again[0]).mean() > 2


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (641, 359), (64, 200), (400, 48)])
def test_any_size_is_drawn(size: tuple[int, int]) -> None:
    drawn = draw_street(sample_street(2, 1, size))
    labels, surface = read_labels(drawn), surfaces(drawn)
    for condition in ("dusk", "night_rain"):
        image = render_drawn(drawn, surface, condition)
        assert image.shape == (size[1], size[0], 3)
        assert image.dtype == np.uint8
        assert image.std() > 1
    assert all(o.box[2] <= size[0] and o.box[3] <= size[1] for o in labels.objects)


def test_size_changes_nothing_but_the_resolution() -> None:
    small, large = (draw_street(sample_street(4, 0, s)) for s in ((320, 180), (640, 360)))
    shrunk = read_labels(large).category[::2, ::2]
    assert (shrunk == read_labels(small).category).mean() > 0.93


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 1000))
def test_every_street_is_finite_and_consistent(key: int, index: int) -> None:
    drawn = draw_street(sample_street(key, index, (96, 54)))
    surface = surfaces(drawn)
    assert np.isfinite(surface.depth).all()
    assert (surface.depth > 0).all()
    assert np.isfinite(surface.colour).all()
    labels = read_labels(drawn)
    assert labels.category.max() < len(CATEGORIES)
    assert (labels.category[labels.drivable < 2] == NUMBER["road"]).all()


def test_depth_grows_up_the_road_and_things_stand_at_their_distance() -> None:
    street = replace(sample_street(0, 3, SIZE), bonnet=None)
    drawn = draw_street(replace(street, things=()))
    depth = surfaces(drawn).depth
    column = depth[int(street.camera.horizon) + 4 :, SIZE[0] // 2]
    assert all(a > b for a, b in pairwise(column))
    row = SIZE[1] - 1
    expected = street.camera.z / np.tan(
        np.arctan((row - street.camera.height / 2 + 0.5) / street.camera.focal) + street.camera.pitch
    )
    along = depth[row, SIZE[0] // 2] * np.cos(street.camera.pitch) - (row - 89.5) / street.camera.focal * depth[
        row, SIZE[0] // 2
    ] * np.sin(street.camera.pitch)
    assert along == pytest.approx(expected, rel=0.02)


def test_lanes_lie_on_visible_ground_and_on_their_paint(streets: list[tuple[Drawn, StreetLabels]]) -> None:
    kinds: set[str] = set()
    on_paint, total = 0, 0
    for drawn, labels in streets:
        for lane in labels.lanes:
            kinds.add(lane.marking.kind)
            for line in lane.lines:
                assert len(line) >= 2
                column, row = np.rint(line).astype(int).T
                row, column = np.clip(row, 0, SIZE[1] - 1), np.clip(column, 0, SIZE[0] - 1)
                assert np.isin(labels.category[row, column], (NUMBER["road"], NUMBER["sidewalk"])).all()
                if lane.marking.kind == "single white" and not lane.marking.dashed:
                    layer = np.maximum(drawn.white, drawn.yellow)
                    on_paint += sum(
                        layer[max(r - 1, 0) : r + 2, max(c - 1, 0) : c + 2].any()
                        for r, c in zip(row, column, strict=True)
                    )
                    total += len(row)
    assert {"road curb", "single white"} <= kinds
    assert total > 20
    assert on_paint / total > 0.95


def test_an_unknown_condition_is_refused_with_a_hint() -> None:
    with pytest.raises(UsageError, match="did you mean 'night'"):
        render_scene(sample_street(0, 0, (32, 32)), "nigth")  # type: ignore[arg-type]


def test_wet_ground_mirrors_and_dry_ground_does_not() -> None:
    """A lit signal or lamp over the road shows below the horizon in the rain at night: bright pixels on the ground."""
    brighter = 0
    for index in range(3):
        drawn = draw_street(replace(sample_street(2, index, SIZE), bonnet=None))
        surface = surfaces(drawn)
        wet, dry = (
            render_drawn(drawn, surface, c).astype(int).max(axis=2)[surface.ground] for c in ("night_rain", "night")
        )
        brighter += (wet > 150).mean() > (dry > 150).mean()
    assert brighter >= 2


def test_fog_hides_the_far_and_leaves_the_near() -> None:
    kept = {"near": [], "far": []}
    for index in range(3):
        drawn = draw_street(replace(sample_street(2, index, SIZE), bonnet=None))
        surface = surfaces(drawn)
        day, fog = (render_drawn(drawn, surface, c).astype(float).mean(axis=2) for c in ("day", "fog"))
        near, far = surface.depth < 12, (surface.depth > 90) & ~surface.sky
        kept["near"].append(fog[near].std() / day[near].std())
        kept["far"].append(fog[far].std() / day[far].std())
    assert np.mean(kept["far"]) < 0.6 * np.mean(kept["near"])
