from __future__ import annotations

import json
import re

import numpy as np
import pytest
from PIL import Image

from s2st_aug.errors import DatasetError
from s2st_aug.export import export_run
from s2st_aug.formats import load_card, read_objects, read_scenes
from s2st_aug.formats.registry import FORMATS
from s2st_aug.testing.runs import write_run


def exported(tmp_path, native, source: str, target: str, **more):
    root, split = native(source)
    write_run(tmp_path / "run", load_card(source), root, split, **more)
    out = tmp_path / "out"
    summary = export_run(tmp_path / "run", target, out)
    return out, summary, json.loads((out / "loss_report.json").read_text())["losses"]


@pytest.mark.parametrize("target", FORMATS)
@pytest.mark.parametrize("source", FORMATS)
def test_each_format_from_each_reads_back_with_its_cars(tmp_path, native, source, target):
    out, summary, losses = exported(tmp_path, native, source, target)
    card = load_card(target)
    found = list(read_scenes(card, out, "training" if target == "kitti" else "train"))
    assert len(found) == summary.real + summary.synthetic
    for scene in found:
        with Image.open(out / scene.image) as opened:
            assert opened.size == (48, 32)
            marked = "synthetic" in str(opened.info.get("comment", opened.info.get("Comment", "")))
        assert marked == ("night" in scene.image)
    check_splits(card, out, "training" if target == "kitti" else "train")
    cars = [[o for o in read_objects(card, out, s) if o.category.lower() == "car"] for s in found]
    told = {loss["what"] for loss in losses}
    if any(cars):
        assert all(np.allclose(one.bbox, cars[0][0].bbox, atol=0.51) for listed in cars for one in listed)
    else:
        assert "box" in told
        assert target == "cityscapes"


def check_splits(card, out, trained: str) -> None:
    """Variant and source lie side by side in the split that is trained on; every other split is empty."""
    other = set(card.splits) - {trained, "train"}
    for split in other:
        with pytest.raises(DatasetError):
            list(read_scenes(card, out, split))
    images = [s.image for s in read_scenes(card, out, trained)]
    variants = [name for name in images if "night" in name]
    sources = {name.rpartition(".")[0] for name in images} - {name.rpartition(".")[0] for name in variants}
    assert sources == {re.sub("(__|-)night", "", name).rpartition(".")[0] for name in variants}
    assert list(json.loads((out / "s2st_aug.lock.json").read_bytes())["counts"]) in (["train"], ["training"])


def test_what_kitti_cannot_hold_is_reported(tmp_path, native):
    _, _, losses = exported(tmp_path, native, "bdd100k", "kitti")
    told = {(loss["what"], loss["count"]) for loss in losses}
    assert {("polyline", 2), ("polygon", 2), ("category", 2)} <= told


def test_verdicts_become_each_formats_own_ignore(tmp_path, native):
    root, split = native("bdd100k")
    write_run(
        tmp_path / "run",
        load_card("bdd100k"),
        root,
        split,
        verdicts=lambda s, o: "lost" if o.object_id == "1" else "keep",
    )
    export_run(tmp_path / "run", "coco", tmp_path / "coco")
    annotations = json.loads((tmp_path / "coco/annotations/instances_train2017.json").read_text())["annotations"]
    assert [(a["image_id"], a["iscrowd"]) for a in annotations if a["attributes"]["source_id"] == "1"] == [
        (1, 0),
        (2, 1),
    ]
    export_run(tmp_path / "run", "kitti", tmp_path / "kitti")
    assert (tmp_path / "kitti/training/label_2/a__night.txt").read_text().startswith("DontCare")
    export_run(tmp_path / "run", "yolo", tmp_path / "yolo")
    real, night = ((tmp_path / f"yolo/labels/train/a{mark}.txt").read_text().splitlines() for mark in ("", "__night"))
    assert len(real) == len(night) + 1


def test_cityscapes_to_coco_and_back_keeps_outlines(tmp_path, native):
    out, _, _ = exported(tmp_path, native, "cityscapes", "coco")
    card = load_card("coco")
    scene = next(iter(read_scenes(card, out, "train")))
    found = {o.category: o for o in read_objects(card, out, scene)}
    assert found["car"].outlines[0].tolist() == [[5, 5], [15, 5], [15, 15], [5, 15]]
    assert found["person"].crowd


def test_cityscapes_label_images_agree_with_the_polygons(tmp_path, native):
    root, split = native("coco")
    write_run(tmp_path / "run", load_card("coco"), root, split)
    export_run(tmp_path / "run", "cityscapes", tmp_path / "out")
    base = tmp_path / "out/gtFine/train/coco/coco_a_000000_gtFine"
    ids, instances, train = (
        np.array(Image.open(f"{base}_{k}.png")) for k in ("labelIds", "instanceIds", "labelTrainIds")
    )
    assert (ids[5:16, 4:15] == 26).all()
    assert (instances[5:16, 4:15] == 26000).all()
    assert (train[ids == 26] == 13).all()


def test_an_outline_that_leaves_the_image_is_cut_at_its_border(tmp_path):
    root, size = tmp_path / "data", (48, 32)
    (root / "annotations").mkdir(parents=True)
    outlines = {
        "across": [-48.0, 16.0, 24.0, 4.0, 24.0, 28.0],  # its edges cross the border at y = 8 and 24
        "beyond": [50.0, 5.0, 70.0, 5.0, 70.0, 25.0],
        "past the corner": [40.0, -20.0, 60.0, 10.0, 60.0, -20.0],  # its box has a part in the image, it has none
        "within": [1.0, 1.0, 9.0, 1.0, 9.0, 9.0],
    }
    annotations = [
        {"id": i, "image_id": 1, "category_id": i, "segmentation": [points], "bbox": box_of(points), "iscrowd": 0}
        for i, points in enumerate(outlines.values(), 1)
    ]
    image = {"id": 1, "file_name": "a.png", "width": size[0], "height": size[1]}
    categories = [{"id": i, "name": name} for i, name in enumerate(outlines, 1)]
    text = json.dumps({"images": [image], "annotations": annotations, "categories": categories})
    (root / "annotations/instances_train2017.json").write_text(text)
    (root / "train2017").mkdir()
    Image.new("RGB", size).save(root / "train2017/a.png")
    write_run(tmp_path / "run", load_card("coco"), root, "train")
    export_run(tmp_path / "run", "yolo", tmp_path / "out")
    lines = [line.split() for line in (tmp_path / "out/labels/train/a.txt").read_text().splitlines()]
    found = {line[0]: np.asarray(line[1:], float).reshape(-1, 2) * size for line in lines}
    assert found.keys() == {"0", "3"}
    assert sorted(map(tuple, found["0"].round(4).tolist())) == [(0, 8), (0, 24), (24, 4), (24, 28)]
    losses = json.loads((tmp_path / "out/loss_report.json").read_text())["losses"]
    assert sum(one["count"] for one in losses if one["why"] == "no part of it lies in the image") == 3


def box_of(points: list[float]) -> list[float]:
    """COCO's box around a flat list of points."""
    x, y = points[::2], points[1::2]
    return [min(x), min(y), max(x) - min(x), max(y) - min(y)]
