from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from trees import image, put

from s2st_aug.errors import DatasetError, LabelError
from s2st_aug.formats import card_names, load_card, read_objects, read_scenes


def only(card: str, root: Path, split: str = "train"):
    found = load_card(card)
    (scene,) = read_scenes(found, root, split)
    return scene, read_objects(found, root, scene)


@pytest.mark.parametrize("name", card_names())
def test_every_card_loads_and_says_its_terms(name):
    card = load_card(name)
    assert card.name == name
    assert len(card.terms) > 20
    assert card.exif


def test_unknown_card_and_wrong_card(tmp_path):
    with pytest.raises(DatasetError, match="did you mean 'cityscapes'"):
        load_card("cityscape")
    wrong = put(tmp_path, "card.yaml", "name: x\nadapter: pascal\n")
    with pytest.raises(
        DatasetError, match=r"title: missing.*adapter: no dataset format named 'pascal'; known: bdd100k"
    ):
        load_card(wrong)


def polygon(label: str, *points: tuple[float, float], **more) -> dict:
    return {"label": label, "polygon": [list(p) for p in points], **more}


def test_cityscapes_polygons_are_things_and_one_stuff_a_class(tmp_path):
    image(tmp_path, "leftImg8bit/train/bonn/bonn_0_1_leftImg8bit.png")
    square = ((0, 0), (4, 0), (4, 4))
    objects = [polygon(n, *square) for n in ("road", "road", "car", "cargroup", "traffic light", "ego vehicle")]
    record = {"imgHeight": 20, "imgWidth": 40, "objects": [*objects, polygon("car", *square, deleted=1)]}
    put(tmp_path, "gtFine/train/bonn/bonn_0_1_gtFine_polygons.json", json.dumps(record))
    put(tmp_path, "gtFine/train/bonn/bonn_0_1_gtFine_color.png", b"kept as it is")
    put(tmp_path, "camera/train/bonn/bonn_0_1_camera.json", "{}")
    scene, found = only("cityscapes", tmp_path)
    assert scene.scene_id == "train/bonn/bonn_0_1"
    assert scene.extra_files == (
        "gtFine/train/bonn/bonn_0_1_gtFine_color.png",
        "camera/train/bonn/bonn_0_1_camera.json",
    )
    kinds = {(o.object_id, o.kind, o.category, o.crowd) for o in found}
    assert kinds == {
        ("2", "polygon", "car", False),
        ("3", "polygon", "car", True),
        ("4", "polygon", "traffic light", False),
        ("road", "stuff", "road", False),
    }
    assert len(next(o for o in found if o.kind == "stuff").outlines) == 2


def test_cityscapes_instance_ids_without_polygons(tmp_path):
    image(tmp_path, "leftImg8bit/train/bonn/bonn_0_1_leftImg8bit.png")
    ids = np.full((20, 40), 7, np.uint16)
    ids[2:5, 3:9], ids[10:12, 0:4] = 26001, 24
    path = tmp_path / "gtFine/train/bonn/bonn_0_1_gtFine_instanceIds.png"
    path.parent.mkdir(parents=True)
    Image.fromarray(ids).save(path)
    _, found = only("cityscapes", tmp_path)
    assert {(o.object_id, o.category, o.kind, o.crowd) for o in found} == {
        ("7", "road", "stuff", False),
        ("24", "person", "mask", True),
        ("26001", "car", "mask", False),
    }
    assert next(o.bbox for o in found if o.category == "car") == (3, 2, 9, 5)


def test_real_cityscapes_frames_read(shared_data):
    card = load_card("cityscapes")
    found = list(read_scenes(card, shared_data / "cityscapes", "train"))
    assert len(found) == 5
    assert {"car", "person", "road"} <= {o.category for o in read_objects(card, shared_data / "cityscapes", found[0])}


COCO = {
    "info": {"year": 2017},
    "images": [{"id": 9, "file_name": "a b.jpg", "width": 40, "height": 20}, {"id": 10, "file_name": "empty.jpg"}],
    "annotations": [
        {
            "id": 1,
            "image_id": 9,
            "category_id": 3,
            "bbox": [1, 2, 3, 4],
            "segmentation": [[1, 2, 4, 2, 4, 6]],
            "iscrowd": 0,
        },
        {
            "id": 2,
            "image_id": 9,
            "category_id": 3,
            "bbox": [0, 0, 2, 2],
            "segmentation": {"counts": [0, 2, 798], "size": [20, 40]},
            "iscrowd": 1,
        },
    ],
    "categories": [{"id": 1, "name": "person"}, {"id": 3, "name": "car"}],
}


@pytest.mark.parametrize("order", [["images", "annotations", "categories"], ["categories", "annotations", "images"]])
def test_coco_in_any_order_of_its_parts(tmp_path, order):
    put(tmp_path, "annotations/instances_train2017.json", json.dumps({k: COCO[k] for k in order}, indent=1))
    card = load_card("coco")
    first, second = read_scenes(card, tmp_path, "train")
    assert first.image == "train2017/a b.jpg"
    a, b = read_objects(card, tmp_path, first)
    assert (a.kind, a.category, a.bbox, a.crowd) == ("polygon", "car", (1, 2, 4, 6), False)
    assert (b.kind, b.crowd, b.mask.sum()) == ("mask", True, 2)
    assert read_objects(card, tmp_path, second) == ()


def test_coco_run_lengths_agree_with_pycocotools(tmp_path):
    from pycocotools import mask as reference

    from s2st_aug.formats.run_lengths import decode

    rng = np.random.default_rng(0)
    for shape in [(1, 1), (7, 5), (64, 48)]:
        for density in (0.02, 0.5, 1.0):
            mask = rng.random(shape) < density
            rle = reference.encode(np.asfortranarray(mask.astype(np.uint8)))
            assert (decode({"counts": rle["counts"].decode(), "size": list(shape)}, "here") == mask).all()


def test_coco_panoptic_and_keypoints(tmp_path):
    put(tmp_path, "annotations/instances_train2017.json", json.dumps(COCO))
    keypoints = COCO["annotations"][0] | {"category_id": 1, "keypoints": [1, 2, 2], "num_keypoints": 1}
    put(tmp_path, "annotations/person_keypoints_train2017.json", json.dumps(COCO | {"annotations": [keypoints]}))
    segments = [{"id": 258, "category_id": 3, "iscrowd": 0}, {"id": 5, "category_id": 7, "iscrowd": 0}]
    panoptic = COCO | {"categories": [{"id": 3, "name": "car", "isthing": 1}, {"id": 7, "name": "road", "isthing": 0}]}
    panoptic["annotations"] = [{"image_id": 9, "file_name": "a b.png", "segments_info": segments}]
    put(tmp_path, "annotations/panoptic_train2017.json", json.dumps(panoptic))
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, :10], pixels[:, 10:] = (2, 1, 0), (5, 0, 0)
    path = tmp_path / "annotations/panoptic_train2017/a b.png"
    path.parent.mkdir(parents=True)
    Image.fromarray(pixels).save(path)
    card = load_card("coco")
    scene = next(iter(read_scenes(card, tmp_path, "train")))
    found = read_objects(card, tmp_path, scene)
    assert [(o.kind, o.category) for o in found] == [
        ("polygon", "car"), ("mask", "car"), ("polygon", "person"), ("mask", "car"), ("stuff", "road"),
    ]  # fmt: skip
    assert found[3].bbox == (0, 0, 10, 20)
    assert "annotations/panoptic_train2017/a b.png" in scene.extra_files


def test_yolo_boxes_polygons_and_background(tmp_path):
    put(tmp_path, "data.yaml", "path: .\ntrain: ../images/train\nnames: [car, person]\n")
    image(tmp_path, "images/train/a.jpg")
    image(tmp_path, "images/train/b.jpg")
    put(tmp_path, "labels/train/a.txt", "0 0.5 0.5 0.25 0.5\r\n1 0 0 1 0 1 1\r\n\r\n")
    card = load_card("yolo")
    first, background = read_scenes(card, tmp_path, "train")
    box, outline = read_objects(card, tmp_path, first)
    assert (box.category, box.bbox) == ("car", (15, 5, 25, 15))
    assert (outline.category, outline.kind, outline.bbox) == ("person", "polygon", (0, 0, 40, 20))
    assert (background.label_file, read_objects(card, tmp_path, background)) == (None, ())


def test_yolo_takes_sides_after_the_orientation(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    image(tmp_path, "images/train/a.jpg", exif=exif)
    put(tmp_path, "data.yaml", "names: [car]\n")
    put(tmp_path, "labels/train/a.txt", "0 0.5 0.5 1 1")
    _, (box,) = only("yolo", tmp_path)
    assert box.bbox == (0, 0, 20, 40)


def test_kitti_lines_and_dontcare(tmp_path):
    image(tmp_path, "training/image_2/000000.png")
    car = "Car 0.5 1 -1.5 1.0 2.0 30.0 15.0 1.5 1.6 3.9 1 2 3 0.1"
    lines = f"{car}\nDontCare -1 -1 -10 0 0 5 5 -1 -1 -1 -1000 -1000 -1000 -10\n"
    put(tmp_path, "training/label_2/000000.txt", b"\xef\xbb\xbf" + lines.encode())
    put(tmp_path, "training/calib/000000.txt", "P0: 1")
    scene, (car, region) = only("kitti", tmp_path)
    assert scene.extra_files == ("training/calib/000000.txt",)
    assert (car.category, car.bbox, car.occluded, car.truncated, car.crowd) == (
        "Car",
        (1, 2, 30, 15),
        True,
        True,
        False,
    )
    assert region.crowd


def test_kitti_split_lists(tmp_path):
    for name in ("000000", "000001"):
        image(tmp_path, f"training/image_2/{name}.png")
        put(tmp_path, f"training/label_2/{name}.txt", "")
    put(tmp_path, "ImageSets/val.txt", "000001\n")
    put(tmp_path, "ImageSets/train.txt", "000000\n")
    assert only("kitti", tmp_path, "val")[0].scene_id == "val/000001"
    assert only("kitti", tmp_path, "train")[0].scene_id == "train/000000"


@pytest.mark.parametrize(
    ("card", "file", "text", "clue"),
    [
        ("yolo", "labels/train/a.txt", "0 0.5 0.5 0.25", "four fractions"),
        ("yolo", "labels/train/a.txt", "car 0.5 0.5 0.25 1", "class number"),
        ("yolo", "labels/train/a.txt", "0 nan 0.5 0.25 1", "outside any image"),
        ("kitti", "training/label_2/a.txt", "Car 0 0 0 1 2 3", "15 or 16 columns"),
        ("kitti", "training/label_2/a.txt", "Car 0 0 0 x 2 3 4 0 0 0 0 0 0 0", "expected a number"),
        ("cityscapes", "gtFine/train/b/a_gtFine_polygons.json", '{"objects": [{"label": "car"}]}', "with a polygon"),
    ],
)
def test_a_bad_label_costs_itself_only(tmp_path, card, file, text, clue):
    for name in ("images/train/a.png", "training/image_2/a.png", "leftImg8bit/train/b/a_leftImg8bit.png"):
        image(tmp_path, name)
    put(tmp_path, "data.yaml", "names: [car]\n")
    put(tmp_path, file, text)
    _, (found,) = only(card, tmp_path)
    assert clue in found.unsound


@pytest.mark.parametrize(
    ("card", "file", "text", "clue"),
    [
        ("cityscapes", "gtFine/train/b/a_gtFine_polygons.json", "{", "cannot be decoded"),
        ("cityscapes", "gtFine/train/b/a_gtFine_instanceIds.png", "no image", "cannot be read as an image"),
    ],
)
def test_a_bad_file_costs_its_scene_only(tmp_path, card, file, text, clue):
    image(tmp_path, "leftImg8bit/train/b/a_leftImg8bit.png")
    put(tmp_path, file, text)
    with pytest.raises(LabelError) as error:
        only(card, tmp_path)
    assert clue in str(error.value)


def test_a_link_that_leads_back_up_is_not_followed(tmp_path):
    image(tmp_path, "images/train/a.jpg")
    (tmp_path / "images/train/again").symlink_to(tmp_path / "images/train", target_is_directory=True)
    assert [s.image for s in read_scenes(load_card("yolo"), tmp_path, "train")] == ["images/train/a.jpg"]
