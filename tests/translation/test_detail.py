"""The way back to the source's own size."""

from __future__ import annotations

import numpy as np
import pytest

from s2st_aug.images import luma, resize
from s2st_aug.records.scene import SceneObject
from s2st_aug.translation.detail import detail_gain, restore_detail
from s2st_aug.translation.label_maps import importance, label_maps
from s2st_aug.translation.signals import hold_signals


def street(height: int = 96, width: int = 160) -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = rng.integers(30, 220, (height // 8, width // 8, 3)).astype(np.float32)
    fine = rng.normal(0, 12, (height, width, 1))
    return np.clip(resize(coarse, (width, height)) + fine, 0, 255).astype(np.uint8)


def blurred(photo: np.ndarray, size: tuple[int, int] = (40, 24)) -> np.ndarray:
    return resize(photo.astype(np.float32), size)


def box(category: str, bbox, **more) -> SceneObject:
    return SceneObject("0", "box", category, bbox, **more)


@pytest.mark.parametrize(("height", "width"), [(96, 160), (161, 95), (64, 64), (33, 127)])
def test_the_sources_own_round_trip_gives_the_source_back(height, width):
    photo = street(height - height % 8, width - width % 8)
    photo = np.pad(photo, ((0, height % 8), (0, width % 8), (0, 0)), mode="edge")
    seen = blurred(photo)
    done = restore_detail(photo, seen, seen, amount=1.0, floor=4.0)
    assert done.image.shape == done.raw.shape == photo.shape
    assert np.abs(done.image.astype(int) - photo).max() <= 1
    assert np.abs(done.raw.astype(int) - photo).max() > 5


def test_darkened_half_keeps_fine_structure_at_its_own_contrast():
    photo = street()
    seen = blurred(photo)
    done = restore_detail(photo, seen, 0.5 * seen, amount=1.0, floor=4.0)
    error = luma(done.image) - 0.5 * luma(photo)
    assert np.abs(error).mean() < 2


def test_nothing_is_embossed_into_the_dark():
    photo = street()
    seen = blurred(photo)
    done = restore_detail(photo, seen, np.zeros_like(seen), amount=1.0, floor=4.0)
    assert luma(done.image).std() < 2.5
    assert luma(photo).std() > 20


def test_a_blank_variant_gets_little_of_the_source_back():
    seen = blurred(street())
    gain = detail_gain(seen, np.full_like(seen, 5.0), 4.0, None)
    assert gain.max() < 0.25


def test_labels_hold_detail_where_they_are():
    photo = street()
    seen = blurred(photo)
    keep_mask = np.zeros(seen.shape[:2], np.float32)
    keep_mask[8:16, 10:20] = 1
    flat = np.full_like(seen, 60.0)
    held, free = detail_gain(seen, flat, 4.0, keep_mask), detail_gain(seen, flat, 4.0, None)
    assert held[12, 15] > free[12, 15]
    assert held[2, 35] == free[2, 35]


def test_more_detail_is_put_back_where_labels_hold_it():
    photo = street()
    seen = blurred(photo)
    keep_mask = np.zeros(seen.shape[:2], np.float32)
    keep_mask[8:16, 10:20] = 1
    held = restore_detail(photo, seen, seen, amount=0.0, floor=4.0, keep_mask=keep_mask, keep_amount=1.0).image
    everywhere, nowhere = (restore_detail(photo, seen, seen, amount=amount, floor=4.0).image for amount in (1.0, 0.0))
    scale = photo.shape[0] // seen.shape[0]
    inside, outside = np.s_[10 * scale : 14 * scale, 12 * scale : 18 * scale], np.s_[:, 24 * scale :]
    assert (held[inside] == everywhere[inside]).all() and (held[inside] != nowhere[inside]).any()
    assert (held[outside] == nowhere[outside]).all() and (held[outside] != everywhere[outside]).any()


def test_a_lit_signal_keeps_its_colour_and_nothing_else_moves():
    photo = np.full((60, 60, 3), 90, np.uint8)
    photo[20:28, 30:36] = (30, 230, 90)
    variant = (photo * 0.2 + 5).astype(np.uint8)
    variant[20:28, 30:36] = 40
    held = hold_signals(photo, variant, [box("traffic light", (26, 10, 40, 40), signal="green")])
    assert held[24, 33].astype(int) == pytest.approx([30, 230, 90], abs=25)
    outside = np.ones((60, 60), bool)
    outside[10:40, 26:40] = False
    assert (held[outside] == variant[outside]).all()
    assert (held[12:16, 28:30] == variant[12:16, 28:30]).all()


def test_a_signal_labelled_red_holds_no_green():
    photo = np.full((40, 40, 3), 90, np.uint8)
    photo[10:20, 10:20] = (30, 230, 90)
    variant = np.full_like(photo, 20)
    assert (hold_signals(photo, variant, [box("traffic light", (5, 5, 25, 25), signal="red")]) == variant).all()


def test_brake_lights_stay_lit_but_a_red_car_may_go_dark():
    photo = np.full((60, 60, 3), 90, np.uint8)
    photo[30:34, 12:16] = (255, 30, 30)
    variant = (photo * 0.1).astype(np.uint8)
    lit = hold_signals(photo, variant, [box("car", (5, 20, 50, 50))])
    assert lit[31, 13, 0] > 200
    photo[20:50, 5:50] = (255, 30, 30)
    assert (hold_signals(photo, variant, [box("car", (5, 20, 50, 50))]) == variant).all()


def test_no_objects_no_copy():
    photo = street()
    assert hold_signals(photo, photo, []) is photo


def test_maps_weigh_by_category_and_size_and_share_of_a_cell():
    objects = [box("person", (40, 40, 80, 80)), box("road", (0, 0, 160, 96)), box("traffic light", (101, 9, 103, 11))]
    maps = label_maps(objects, (160, 96), (40, 24), structure=2.0, appearance=0.5)
    assert maps.structure[15, 15] == pytest.approx(3.0)
    assert maps.appearance[15, 15] == pytest.approx(1 / 1.5)
    assert maps.structure[20, 35] == maps.appearance[20, 35] == 1
    assert 1 < maps.structure[2, 25] < 5
    assert (label_maps([], (160, 96), (40, 24), structure=2.0).structure == 1).all()


@pytest.mark.parametrize("category", ["single white", "crosswalk", "lane/double yellow"])
def test_a_polyline_is_a_lane_whatever_its_name(category):
    course = (np.array([[8.0, 90], [80, 20]]),)
    maps = label_maps(
        [SceneObject("0", "polyline", category, (8, 20, 80, 90), outlines=course)], (160, 96), (40, 24), structure=2.0
    )
    assert maps.structure[13, 11] > 2
    assert maps.structure[13, 20] == 1


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_a_thin_mask_weighs_by_its_share_of_a_cell(width):
    mask = np.zeros((96, 160), bool)
    mask[24:72, 80 : 80 + width] = True
    thin = label_maps(
        [SceneObject("0", "mask", "car", (80, 24, 80 + width, 72), mask=mask)], (160, 96), (40, 24), structure=10.0
    )
    assert thin.structure[12, 20] == pytest.approx(1 + 10 * (width / 4) * 0.6 * 2)  # small: twice
    assert thin.structure[12, 21] == 1


WEIGHS = {
    "traffic_light": 1.0, "TrafficLight": 1.0, "traffic light-red": 1.0, "stop sign": 1.0, "Pedestrian": 1.0,
    "Person_sitting": 1.0, "Cyclist": 1.0, "bike": 0.8, "motor": 0.8, "Van": 0.6, "Tram": 0.6, "caravan": 0.6,
    "other vehicle": 0.6, "lane/road curb": 0.6, "single white": 0.6, "polegroup": 0.4, "area/drivable": 0,
    "direct": 0, "sky": 0, "scar": 0, "carrot": 0, "street light": 0, "ego vehicle": 0,
}  # fmt: skip


@pytest.mark.parametrize(("category", "weighs"), WEIGHS.items())
def test_importance_by_any_spelling(category, weighs):
    assert importance(box(category, (0, 0, 9, 9))) == weighs
    assert importance(SceneObject("0", "stuff", category, (0, 0, 9, 9))) == weighs, (
        "a class's mask weighs as its objects do"
    )


@pytest.mark.parametrize("category", ["area/alternative", "area/unknown", "drivable area", "direct"])
def test_a_surface_drawn_as_a_line_is_no_lane(category):
    assert importance(SceneObject("0", "polyline", category, (0, 0, 9, 9))) == 0


def test_a_box_outside_of_the_image_changes_nothing():
    outside = [box("car", (-50, -50, -10, -10)), box("traffic light", (300, 300, 340, 350))]
    assert (label_maps(outside, (160, 96), (40, 24), structure=2.0).structure == 1).all()
    photo = street()
    assert (hold_signals(photo, photo, outside) == photo).all()
