"""Every export is opened by its consumers' rules, and names hold whatever the images are called."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from s2st_aug.errors import CheckFailed
from s2st_aug.export import export_run
from s2st_aug.formats import load_card, read_objects, read_scenes
from s2st_aug.formats.base import ConsumerView
from s2st_aug.formats.names import flat_names
from s2st_aug.formats.registry import FORMATS, find_format
from s2st_aug.formats.yolo.edit import edit_data_yaml
from s2st_aug.testing.runs import write_run

STEMS = st.lists(
    st.text("aAbé01_-./ ", min_size=1, max_size=8).filter(lambda s: s.strip("/ .") == s and "//" not in s),
    min_size=1,
    max_size=8,
    unique=True,
)


@given(STEMS)
@example(["left/1", "right/1", "left_1"])
@example(["a", "a__night", "A", "a-_night"])
@example(["a b", "a_b", "a-b", "a.b"])
def test_no_two_images_share_a_name_in_any_format(stems):
    names = flat_names(stems, ("night",))
    written = [name + mark for name in names.values() for mark in ("", "__night")]
    alike = [name.casefold().replace("_", "-").replace(".", "-") for name in written]
    assert len(set(alike)) == len(alike)
    assert not any(set(name) & set("/ \n") for name in written)
    assert names == flat_names(list(reversed(stems)), ("night",))


@pytest.mark.parametrize("target", FORMATS)
@pytest.mark.parametrize("source", FORMATS)
def test_what_is_opened_is_what_the_lock_says(tmp_path, native, source, target):
    root, split = native(source)
    write_run(tmp_path / "run", load_card(source), root, split, domains=("night", "rain"))
    summary = export_run(tmp_path / "run", target, tmp_path / "out")
    written = json.loads((tmp_path / "out/s2st_aug.lock.json").read_bytes())
    counts = written["counts"][split][source]
    view = find_format(target).open_export(load_card(target), tmp_path / "out", split)
    assert set(view.images) == set(written["names"])
    assert list(view.classes) == written["classes"]
    assert sum(domain["images"] for domain in counts.values()) == summary.real + summary.synthetic == len(view.images)
    if view.whole_labels:
        assert sum(sum(d["classes"].values()) for d in counts.values()) == sum(c.total() for c in view.images.values())


@pytest.mark.parametrize("fault", ["an image less", "an image more", "a label less"])
@pytest.mark.parametrize("target", FORMATS)
def test_an_export_that_opens_otherwise_fails_and_leaves_nothing(tmp_path, native, monkeypatch, target, fault):
    root, split = native("bdd100k")
    write_run(tmp_path / "run", load_card("bdd100k"), root, split)
    format = find_format(target)

    def opened(card, folder, split) -> ConsumerView:
        view = format.open_export(card, folder, split)
        name = next((name for name, labels in view.images.items() if labels), next(iter(view.images)))
        if fault == "an image more":
            view.add("other.jpg", ())
        elif fault == "an image less":
            del view.images[name]
        else:
            view.images[name].subtract([*view.images[name]][:1] or ["car"])
        return view

    monkeypatch.setattr("s2st_aug.export.find_format", lambda name: replace(format, open_export=opened))
    monkeypatch.setattr("s2st_aug.export.format_of", lambda card: find_format(card.adapter))
    with pytest.raises(CheckFailed, match="opened as"):
        export_run(tmp_path / "run", target, tmp_path / "out")
    assert {p.name for p in tmp_path.iterdir()} == {"run", "bdd100k-data"}


@pytest.mark.parametrize("target", FORMATS)
def test_with_val_is_the_same_for_every_format(tmp_path, native, target):
    import shutil

    root, split = native("yolo")
    for kind in ("images", "labels"):
        shutil.copytree(root / kind / "train", root / kind / "val")
    write_run(tmp_path / "run", load_card("yolo"), root, split)
    summary = export_run(tmp_path / "run", target, tmp_path / "out", with_val=True)
    found = find_format(target).open_export(load_card(target), tmp_path / "out", "val")
    assert len(found.images) == summary.held_out == summary.real
    assert not any("night" in name for name in found.images)


def test_two_spellings_of_a_class_are_one(tmp_path):
    from trees import image, put

    for index, category in enumerate(("person", "pedestrian", "person", "my own")):
        image(tmp_path, f"data/images/100k/train/{index}.jpg")
        box = {"x1": 1, "y1": 1, "x2": 9, "y2": 9}
        frame = {"name": f"{index}.jpg", "labels": [{"id": "1", "category": category, "box2d": box}]}
        put(tmp_path, f"data/labels/100k/train/{index}.json", json.dumps(frame))
    write_run(tmp_path / "run", load_card("bdd100k"), tmp_path / "data")
    for target in ("yolo", "coco"):
        export_run(tmp_path / "run", target, tmp_path / target)
        assert json.loads((tmp_path / target / "s2st_aug.lock.json").read_bytes())["classes"] == ["person", "my own"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train: /a/images/train\nval: /a/images/val # kept out\nnc: 1\n", {"train": "images/train", "nc": 1}),
        ("path: ../x\ntrain:\n  - a\n  - b\nnames: [é]\n", {"train": "images/train", "names": ["é"]}),
        ("{train: /x, val: images/val, names: [a]}", {"train": "images/train", "val": "images/val", "names": ["a"]}),
        ('"train": "/x"\r\nvalid: ../valid/images\r\nnames:\r\n  0: a\r\n', None),
    ],
)
def test_data_yaml_leads_to_the_export_whatever_its_style(text, expected):
    found = yaml.safe_load(edit_data_yaml(text.encode(), {"train": ["images/train"]}))
    expected = expected or {"train": "images/train", "valid": "../valid/images", "names": {0: "a"}}
    assert found == expected


def yolo_export(tmp_path, rows: str, data="train: images/train\nval: images/val\nnames: [car, person]\n"):
    """A YOLO dataset of one image with these lines, exported as it is; what its loaders complain about."""
    from trees import image, put

    image(tmp_path, "data/images/train/a.jpg")
    put(tmp_path, "data/labels/train/a.txt", rows)
    put(tmp_path, "data/data.yaml", data)
    write_run(tmp_path / "run", load_card("yolo"), tmp_path / "data")
    export_run(tmp_path / "run", "yolo", tmp_path / "out")
    losses = json.loads((tmp_path / "out/loss_report.json").read_bytes())["losses"]
    return [loss["why"].partition(": ")[2] for loss in losses if loss["what"] == "consumer"]


BOX = "0 0.5 0.5 0.2 0.2\n"
DROPPED = "the image is dropped"


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (BOX + "1 1.005 0.5 0.1 0.1\n", None),
        (BOX + "inf 0.5 0.5 0.1 0.1\n", f"class inf of 2: {DROPPED}"),
        (BOX + "1e400 0.5 0.5 0.1 0.1\n", f"class 1e400 of 2: {DROPPED}"),
        ("0 0.5 0.5 0.2 0.2 0.93\n", f"a line of 6 columns, 5 are asked for: {DROPPED}"),
        ("0 0.5 0.5 0.2\n", f"a line of 4 columns, 5 are asked for: {DROPPED}"),
        (BOX + "1 nan 0.5 0.1 0.1\n", f"a coordinate that is no fraction of the image: {DROPPED}"),
        (BOX + "1 -0.1 0.5 0.1 0.1\n", f"a coordinate that is no fraction of the image: {DROPPED}"),
        (BOX + "1 120 40 20 20\n", f"a coordinate that is no fraction of the image: {DROPPED}"),
        (BOX + "1 0,5 0,5 0,1 0,1\n", f"a word where a number belongs: {DROPPED}"),
        (BOX + BOX, "a line that stands there twice is taken once"),
        ("0 .1 .1 .5 .1 .5 .5\n0 .1 .1 .5 .1 .5 .5 .9\n", f"an outline with an odd count of numbers: {DROPPED}"),
    ],
)
def test_what_ultralytics_drops_of_the_sources_own_labels_is_told(tmp_path, rows, told):
    assert yolo_export(tmp_path, rows) == ([told] if told else [])


def test_a_box_among_poses_is_told(tmp_path):
    data = "train: images/train\nval: images/val\nkpt_shape: [1, 3]\nnames: [car]\n"
    pose = "0 0.5 0.5 0.2 0.2 0.5 0.5 2\n"
    assert yolo_export(tmp_path, pose + BOX, data) == [f"a line of 5 columns, 8 are asked for: {DROPPED}"]


@pytest.mark.parametrize(
    ("annotation", "told"),
    [
        ({"bbox": [float("nan"), 1, 2, 3]}, "a box with a coordinate that is no number"),
        ({"bbox": [1, 1, 10**400, 3]}, "a box with a coordinate that is no number"),
        ({"bbox": [1, 1, 9, 9], "segmentation": {"size": [20, 40], "counts": [5]}}, "run lengths that do not fill"),
        ({"bbox": [1, 1, 9, 9], "segmentation": {"size": [20, 40], "counts": [5, 795]}}, None),
    ],
)
def test_what_cocos_loaders_stop_at_is_told(tmp_path, annotation, told):
    from trees import image, put

    image(tmp_path, "data/train2017/a.jpg")
    annotation = {"id": 1, "image_id": 1, "category_id": 1} | annotation
    listed = {"images": [{"id": 1, "file_name": "a.jpg"}], "categories": [{"id": 1, "name": "car"}]}
    put(tmp_path, "data/annotations/instances_train2017.json", json.dumps(listed | {"annotations": [annotation]}))
    write_run(tmp_path / "run", load_card("coco"), tmp_path / "data")
    export_run(tmp_path / "run", "coco", tmp_path / "out")
    found = (tmp_path / "out/loss_report.json").read_text(encoding="utf-8")
    assert (told or "COCO's loaders") in found if told else "COCO's loaders" not in found


@pytest.mark.parametrize(
    ("box", "told"),
    [
        ({"x1": 1, "y1": 1}, True),
        ({"x1": "1", "y1": 1, "x2": 9, "y2": 9}, True),
        ({"x1": True, "y1": 1, "x2": 9, "y2": 9}, True),
        ({"x1": 1, "y1": 1, "x2": 10**400, "y2": 9}, True),
        ([1, 1, 9, 9], True),
        ({"x1": 1, "y1": 1.5, "x2": 9, "y2": 9}, False),
        (None, False),
    ],
)
def test_a_box_that_scalabel_stops_at_is_told(tmp_path, box, told):
    from trees import image, put

    image(tmp_path, "data/images/100k/train/a.jpg")
    frame = {"name": "a.jpg", "labels": [{"id": "1", "category": "car", "box2d": box}]}
    put(tmp_path, "data/labels/det_20/det_train.json", json.dumps([frame]))
    write_run(tmp_path / "run", load_card("bdd100k"), tmp_path / "data")
    export_run(tmp_path / "run", "bdd100k", tmp_path / "out")
    found = (tmp_path / "out/loss_report.json").read_text(encoding="utf-8")
    assert ("a box2d without the numbers x1, y1, x2, y2: they stop" in found) == told


def test_a_word_among_kittis_numbers_is_told(tmp_path):
    from trees import image, put

    image(tmp_path, "data/training/image_2/a.png")
    line = "Traffic light 0 0 1 1 9 9 1 1 1 1 1 1 1 1\n"  # a class of two words shifts the columns
    put(tmp_path, "data/training/label_2/a.txt", line)
    write_run(tmp_path / "run", load_card("kitti"), tmp_path / "data", "training")
    export_run(tmp_path / "run", "kitti", tmp_path / "out")
    found = (tmp_path / "out/loss_report.json").read_text(encoding="utf-8")
    assert "a word where a number belongs: they stop" in found


def test_records_of_one_label_file_are_no_extra_files(tmp_path, native):
    root, split = native("coco")
    write_run(tmp_path / "run", load_card("coco"), root, split)
    export_run(tmp_path / "run", "yolo", tmp_path / "out")
    assert "extra label files" not in (tmp_path / "out/loss_report.json").read_text(encoding="utf-8")


def test_a_cityscapes_tree_with_plain_image_names_is_exported_to_its_own_format(tmp_path):
    from trees import image, put

    image(tmp_path, "data/leftImg8bit/train/my city/photo 1.png")
    outline = {"label": "car", "polygon": [[1, 1], [9, 1], [9, 9]]}
    put(tmp_path, "data/gtFine/train/my city/photo 1_gtFine_polygons.json", json.dumps({"objects": [outline]}))
    write_run(tmp_path / "run", load_card("cityscapes"), tmp_path / "data")
    export_run(tmp_path / "run", "cityscapes", tmp_path / "out")
    names = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*photo*")}
    assert names == {
        "leftImg8bit/train/my city/photo 1.png",
        "leftImg8bit/train/my city/photo 1-night.png",
        "gtFine/train/my city/photo 1_gtFine_polygons.json",
        "gtFine/train/my city/photo 1-night_gtFine_polygons.json",
    }


@pytest.mark.parametrize(("source", "target"), itertools.permutations(["yolo", "coco", "kitti", "bdd100k"], 2))
def test_labels_fit_an_image_that_is_turned_whoever_reads_it(tmp_path, source, target):
    """In a conversion: a native export keeps the file and its tag."""
    root, split = turned_tree(tmp_path / "data", source)
    write_run(tmp_path / "run", load_card(source), root, split)
    export_run(tmp_path / "run", target, tmp_path / "out")
    card, sizes = load_card(target), set()
    for scene in read_scenes(card, tmp_path / "out", "training" if target == "kitti" else "train"):
        x1, y1, x2, y2 = (round(v) for v in read_objects(card, tmp_path / "out", scene)[0].bbox)
        stored = Image.open(tmp_path / "out" / scene.image).convert("RGB")
        for pixels in (stored, ImageOps.exif_transpose(Image.open(tmp_path / "out" / scene.image)).convert("RGB")):
            sizes.add(pixels.size)
            if "night" not in scene.image:
                inside = np.asarray(pixels)[y1 + 8 : y2 - 8, x1 + 8 : x2 - 8]
                assert inside.size and inside[..., 0].min() > 150 and inside[..., 1].max() < 100
    assert len(sizes) == 1


def turned_tree(root, format: str):
    """One JPEG of 160x96 that is shown upright, with a red square where its label is by the format's own rule."""
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.full((96, 160, 3), 60, np.uint8)
    pixels[8:40, 96:144] = (220, 20, 20)
    folder = load_card(format).images.format(split="training" if format == "kitti" else "train")
    (root / folder).mkdir(parents=True)
    Image.fromarray(pixels).save(root / folder / "a.jpg", exif=exif, quality=95)
    box = {"x1": 96, "y1": 8, "x2": 144, "y2": 40}
    frame = {"name": "a.jpg", "labels": [{"id": "1", "category": "car", "box2d": box}]}
    mark = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [96, 8, 48, 32]}
    listed = {"images": [{"id": 1, "file_name": "a.jpg"}], "categories": [{"id": 1, "name": "car"}]}
    text = {
        "bdd100k": ("labels/det_20/det_train.json", json.dumps([frame])),
        "coco": ("annotations/instances_train2017.json", json.dumps(listed | {"annotations": [mark]})),
        "kitti": ("training/label_2/a.txt", "Car 0 0 0 96 8 144 40 1 1 1 1 1 1 1\n"),
        "yolo": ("labels/train/a.txt", f"0 {(96 - 24) / 96} {120 / 160} {32 / 96} {48 / 160}\n"),  # upright: 96x160
    }[format]
    (root / text[0]).parent.mkdir(parents=True, exist_ok=True)
    (root / text[0]).write_text(text[1])
    if format == "yolo":
        (root / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [car]\n")
    return root, "training" if format == "kitti" else "train"
