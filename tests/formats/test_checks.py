from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from s2st_aug.formats import load_card, read_scenes
from s2st_aug.formats.checks import check_card
from s2st_aug.formats.daylight import DARK, dark_scenes, mean_luma, without_dark_scenes


def bdd(root, names, box=(1, 2, 30, 40)):
    labels = [{"id": "1", "category": "car", "box2d": dict(zip(("x1", "y1", "x2", "y2"), box, strict=True))}]
    path = root / "labels/det_20/det_train.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps([{"name": n, "attributes": {"timeofday": "daytime"}, "labels": labels} for n in names]))
    (root / "images/100k/train").mkdir(parents=True)
    return root / "images/100k/train"


def test_a_sound_folder_has_only_well_words(tmp_path):
    folder = bdd(tmp_path, ["a.jpg"])
    Image.new("RGB", (64, 48)).save(folder / "a.jpg")
    assert [f.level for f in check_card(load_card("bdd100k"), tmp_path) if f.split == "train"] == ["ok"]


def test_absent_and_unlisted_images_and_boxes_outside_are_told(tmp_path):
    folder = bdd(tmp_path, ["a.jpg", "gone.jpg"], box=(100, 0, 120, 10))
    for name in ("a.jpg", "extra.jpg"):
        Image.new("RGB", (64, 48)).save(folder / name)
    texts = " | ".join(f.text for f in check_card(load_card("bdd100k"), tmp_path))
    for clue in ("gone.jpg", "extra.jpg", "it lies outside the image of 64x48"):
        assert clue in texts


def test_missing_and_wrong_folders_say_where_to_get_it(tmp_path):
    card = load_card("kitti")
    assert "cvlibs.net" in check_card(card, tmp_path / "none")[0].text
    assert check_card(card, tmp_path)[-1].level == "error"


def test_files_that_lie_as_they_were_downloaded_are_told_beside_what_is_looked_for(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        Image.new("RGB", (64, 48)).save(tmp_path / name)
    (tmp_path / "bdd100k_labels_images_train.json").write_text("[]")
    (only,) = check_card(load_card("bdd100k"), tmp_path)
    assert only.level == "error"
    for clue in (
        "images in images/100k/train and labels at labels/det_20/det_train.json",
        "found images in the folder",
    ):
        assert clue in only.text
    assert only.text.endswith("itself, bdd100k_labels_images_train.json")


def test_a_split_that_is_absent_beside_another_needs_nothing(tmp_path):
    Image.new("RGB", (64, 48)).save(bdd(tmp_path, ["a.jpg"]) / "a.jpg")
    assert [(f.level, f.split) for f in check_card(load_card("bdd100k"), tmp_path)] == [
        ("ok", "train"),
        ("note", "val, test"),
    ]


def test_dark_images_tagged_day_are_suspects_and_damaged_ones_are_not(tmp_path):
    folder = bdd(tmp_path, ["day.jpg", "night.jpg", "torn.jpg"])
    Image.fromarray(np.full((48, 64, 3), 120, np.uint8)).save(folder / "day.jpg")
    Image.fromarray(np.full((48, 64, 3), 25, np.uint8)).save(folder / "night.jpg")
    (folder / "torn.jpg").write_bytes(b"\xff\xd8 torn")
    found = list(dark_scenes(tmp_path, read_scenes(load_card("bdd100k"), tmp_path, "train")))
    assert [(s.scene.scene_id, round(s.luma)) for s in found] == [("train/night", 25)]
    listed = []
    kept = without_dark_scenes(tmp_path, read_scenes(load_card("bdd100k"), tmp_path, "train"), listed.append)
    assert [s.scene_id for s in kept] == ["train/day", "train/torn"]
    assert [s.scene.scene_id for s in listed] == ["train/night"]


def test_only_what_is_tagged_day_and_not_trusted_is_looked_at_and_the_order_stays(tmp_path):
    names = [f"{i:03d}.jpg" for i in range(150)]
    folder = bdd(tmp_path, names)
    Image.fromarray(np.full((48, 64, 3), 25, np.uint8)).save(folder / "000.jpg")
    for name in names[1:]:
        (folder / name).hardlink_to(folder / "000.jpg")
    scenes = list(read_scenes(load_card("bdd100k"), tmp_path, "train"))
    scenes = [replace(s, attributes={"timeofday": "night"}) if i % 2 else s for i, s in enumerate(scenes)]
    listed = []
    kept = [s.scene_id for s in without_dark_scenes(tmp_path, scenes, listed.append, trusted={"train/000"})]
    assert kept == ["train/000", *(s.scene_id for s in scenes[1::2])]
    assert len(listed) == 74


@pytest.mark.parametrize(
    ("folder", "dark_share"),
    [("camvid/day", (0.0, 0.02)), ("camvid/dusk", (0.6, 1.0)), ("permissive/night", (0.4, 1.0))],
)
def test_the_threshold_on_real_photos(shared_data, folder, dark_share):
    paths = sorted(
        p
        for p in (shared_data / folder).rglob("*")
        if p.suffix in {".jpg", ".png"} and "label" not in str(p) and "mask" not in str(p)
    )
    dark = np.mean([mean_luma(p) < DARK for p in paths[::4]])
    assert dark_share[0] <= dark <= dark_share[1]
