"""Small inputs that users reported, in `tests/cases`: what is right stands in each one's README."""

from __future__ import annotations

import shutil

import cv2
import numpy as np
import pytest
from cases import case_files
from PIL import Image, ImageOps

from s2st_aug.engine.sources import read_source
from s2st_aug.errors import LabelError
from s2st_aug.export import export_run
from s2st_aug.formats import load_card, orientation_of, read_objects, read_scenes
from s2st_aug.formats.checks import check_card
from s2st_aug.records.scene import UNKNOWN
from s2st_aug.storage.plan import PlannedScene
from s2st_aug.testing.runs import write_run
from s2st_aug.validation.judge import judge
from s2st_aug.validation.settings import ValidationSettings

CAR, PERSON = (40, 90, 100, 130), (120, 80, 132, 125)


class Case:
    """One folder of `tests/cases`."""

    def __init__(self, number: int, **card) -> None:
        self.root, name, self.split = case_files(number)
        self.card = load_card(name).model_copy(update=card)

    def scenes(self):
        return list(read_scenes(self.card, self.root, self.split))

    def labels(self, index: int = 0):
        return read_objects(self.card, self.root, self.scenes()[index])

    def doctor(self) -> list[str]:
        found = check_card(self.card, self.root)
        return [f.text for f in found if f.level == "untrusted"]


def seen(objects):
    return [(o.category, tuple(round(v) for v in o.bbox), o.unsound is None) for o in objects]


@pytest.mark.parametrize(("number", "declared"), [(1, "512x320"), (40, "128x80")])
def test_labels_of_another_size_are_one_line_with_both(number, declared):
    case = Case(number)
    with pytest.raises(LabelError) as error:
        case.labels()
    for clue in ("annotations/instances_train2017.json", "train2017/000001.jpg", "256x160", declared, "rescale_labels"):
        assert clue in str(error.value)
    assert len(case.doctor()) == 1


@pytest.mark.parametrize("number", [1, 40])
def test_a_plain_rescale_puts_labels_where_they_are_in_the_file(number):
    labels = Case(number, rescale_labels=True).labels()
    assert CAR in [tuple(round(v) for v in o.bbox) for o in labels]


def test_what_is_judged_of_a_photo_with_an_orientation_is_what_its_labels_show():
    """A variant that keeps the labelled boxes of the upright photo alone keeps every label; another one keeps none."""
    case = Case(2)
    (scene,) = case.scenes()
    source = read_source(case.root, case.card, PlannedScene(scene, None, None, None))
    assert source.rgb.shape == (160, 256, 3)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(case.root / scene.image)).convert("RGB"))
    np.testing.assert_array_equal(source.rgb, upright)
    assert seen(source.objects) == [("car", CAR, True), ("car", (150, 95, 190, 125), True)]
    kept = np.full_like(upright, 128)
    for x1, y1, x2, y2 in (tuple(round(v) for v in o.bbox) for o in source.objects):
        kept[y1 - 8 : y2 + 8, x1 - 8 : x2 + 8] = upright[y1 - 8 : y2 + 8, x1 - 8 : x2 + 8]
    settings = ValidationSettings()
    same = judge(source.rgb, kept, kept, source.objects, None, settings).objects
    gone = judge(source.rgb, 255 - kept[:, ::-1], kept, source.objects, None, settings).objects
    assert [o.structure > 0.9 for o in same] == [True, True]
    assert all(o.structure < 0.5 for o in gone)


@pytest.mark.parametrize("declared", [(256, 160), (160, 256)])
@pytest.mark.parametrize("image_format", [None, "png"])
def test_a_variant_and_its_source_open_at_one_size(tmp_path, declared, image_format):
    case = Case(2)
    root = shutil.copytree(case.root, tmp_path / "data")
    path = root / "annotations/instances_train2017.json"
    text = path.read_text().replace('"width": 256', f'"width": {declared[0]}')
    path.write_text(text.replace('"height": 160', f'"height": {declared[1]}'))
    (scene,) = read_scenes(case.card, root, "train")
    assert orientation_of(case.card, root, scene) == ("apply" if declared == (256, 160) else "ignore")
    write_run(tmp_path / "run", case.card, root)
    export_run(tmp_path / "run", "coco", tmp_path / "out", image_format=image_format)
    files = sorted(p for p in (tmp_path / "out").rglob("*") if p.suffix in (".jpg", ".png"))
    assert len(files) == 2
    assert {cv2.imread(str(p)).shape for p in files} == {(160, 256, 3)}
    assert {ImageOps.exif_transpose(Image.open(p)).size for p in files} == {(256, 160)}


def test_ids_as_floats_are_whole_numbers():
    assert seen(Case(5).labels()) == [("car", CAR, True), ("person", PERSON, True)]


def test_a_broken_outline_costs_itself_and_is_told_once():
    case = Case(6)
    found = {s.scene_id: read_objects(case.card, case.root, s) for s in case.scenes()}
    assert seen(found["train/a"]) == [("car", CAR, False)] * 5
    assert [o.unsound is None for o in found["train/b"]] == [True]
    (told,) = case.doctor()
    assert "label 1" in told
    assert "5 such" in told


def test_boxes_from_the_lower_right_without_width_and_outside():
    car, thin, edge, outside = Case(11).labels()
    assert seen([car, edge]) == [("car", CAR, True), ("car", (-20, 60, 40, 110), True)]
    assert "no width" in thin.unsound
    assert "outside the image of 256x160" in outside.unsound


def test_orphans_unknown_categories_and_labels_without_geometry_are_told_in_one_line_each():
    case = Case(12)
    assert seen(case.labels()) == [
        ("car", CAR, True),
        (UNKNOWN, PERSON, False),
        (UNKNOWN, (200, 20, 210, 44), False),
        ("car", (150, 95, 190, 125), True),
        ("person", (0, 0, 0, 0), False),
    ]
    told = case.doctor()
    for clue in ("annotation 2 of image 77", "category 99 is not listed", "category_id is None", "no geometry"):
        assert sum(clue in line for line in told) == 1
    assert len(told) == 4


@pytest.mark.parametrize("values", [4 * (0.5, 0.6, 2), 4 * (0.5, 0.6)])
def test_a_pose_is_its_box_and_never_an_outline(tmp_path, values):
    case = Case(13)
    assert [(o.kind, *seen([o])[0]) for o in case.labels()] == [("box", "car", CAR, True)]
    root = shutil.copytree(case.root, tmp_path / "data")
    path = root / "labels/train/a.txt"
    box = path.read_text().split()[:5]
    path.write_text(" ".join([*box, *map(str, values)]) + "\n")
    (scene,) = read_scenes(case.card, root, "train")
    (found,) = read_objects(case.card, root, scene)
    assert (found.kind, seen([found])) == ("box", [("car", CAR, True)])


def test_class_numbers_as_decimals():
    assert seen(Case(14).labels()) == [("car", CAR, True), ("person", PERSON, True)]


def test_boxes_and_outlines_in_one_file_are_both_read_and_told():
    case = Case(15)
    assert [(o.kind, o.unsound) for o in case.labels()] == [("polygon", None), ("box", None)]
    (told,) = case.doctor()
    assert "Ultralytics" in told


def test_names_out_of_classes_txt_or_from_their_count_and_never_another_datasets():
    assert [o.category for o in Case(19).labels()] == ["pothole", "car"]
    assert [o.category for o in Case(21).labels()] == ["class_0"]
    assert any("class_0" in line for line in Case(21).doctor())


def test_a_class_out_of_range_is_unknown_and_named_by_file_and_line():
    case = Case(22)
    assert seen(case.labels()) == [(UNKNOWN, CAR, False)]
    (told,) = case.doctor()
    assert "labels/train/a.txt" in told
    assert "line 1: class 7" in told


def test_oriented_boxes_are_four_corners():
    (found,) = Case(25).labels()
    assert (found.kind, found.outlines[0].shape, found.unsound) == ("polygon", (4, 2), None)


def test_odd_labels_of_bdd100k_cost_themselves():
    case = Case(27)
    found = [o for s in case.scenes() for o in read_objects(case.card, case.root, s)]
    sound = {o.object_id for o in found if o.unsound is None}
    assert sound == {"3.0", "1", "7", "8"}
    assert {o.object_id for o in found} - sound == {"4", "5", "6", "9"}
    assert next(o.bbox for o in found if o.object_id == "7") == CAR


def test_a_resized_dataset_is_one_line_for_the_split_and_no_label_of_it_is_believed():
    case = Case(29)
    for index in range(len(case.scenes())):
        with pytest.raises(LabelError, match="outside the image of 256x160"):
            case.labels(index)
    (told,) = case.doctor()
    assert "60 such" in told


def test_odd_objects_of_cityscapes():
    found = {o.object_id: o for o in Case(31).labels()}
    assert "2 points" in found["5"].unsound
    assert found["3"].crowd
    assert found["6"].category == "tram stop"
    assert [n for n, o in found.items() if o.unsound] == ["5"]


@pytest.mark.parametrize("lost", range(4))
def test_a_lost_label_takes_its_own_line_and_no_other(tmp_path, lost):
    case = Case(32)
    write_run(
        tmp_path / "run", case.card, case.root, "training",
        verdicts=lambda scene, item: "lost" if item.object_id == str(lost) else "keep",
    )  # fmt: skip
    export_run(tmp_path / "run", "kitti", tmp_path / "out")
    lines = (case.root / "training/label_2/000000.txt").read_bytes().split(b"\n")
    written = (tmp_path / "out/training/label_2/000000__night.txt").read_bytes().split(b"\n")
    assert [i for i, pair in enumerate(zip(lines, written, strict=True)) if pair[0] != pair[1]] == [lost]
    assert written[lost].split()[:1] == [b"DontCare"]
    assert written[lost].split()[4:8] == lines[lost].split()[4:8]
