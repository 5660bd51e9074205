"""ZOD, nuImages and comma10k, on fixtures of our own after their public development kits: read, judged, exported."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from s2st_aug.errors import DatasetError, LabelError
from s2st_aug.export import export_run
from s2st_aug.formats import load_card, read_objects, read_scenes
from s2st_aug.formats.checks import check_card
from s2st_aug.formats.registry import NATIVE, find_format
from s2st_aug.records.classes import canonical_category
from s2st_aug.testing.runs import write_run
from s2st_aug.testing.trees import write_tree


@pytest.fixture
def tree(tmp_path, request):
    """The tree of the dataset that the test is parametrised with."""
    write_tree(request.node.callspec.params["name"], tmp_path / "data")
    return tmp_path / "data"


def objects(name, root, split="train"):
    return [read_objects(load_card(name), root, s) for s in read_scenes(load_card(name), root, split)]


def out_of(tmp_path, name, root, verdicts=None, **options):
    more = {"verdicts": verdicts} if verdicts else {}
    write_run(tmp_path / "run", load_card(name), root, **more)
    export_run(tmp_path / "run", name, tmp_path / "out", **options)
    return tmp_path / "out"


@pytest.mark.parametrize("name", NATIVE)
def test_doctor_finds_them_sound(tree, name):
    found = check_card(load_card(name), tree)
    assert {f.level for f in found} <= {"ok", "note", "warning"}, found


@pytest.mark.parametrize("name", NATIVE)
@pytest.mark.parametrize("with_val", [False, True])
def test_exported_as_what_they_are_they_open_as_their_kit_opens_them(tmp_path, tree, name, with_val):
    out = out_of(tmp_path, name, tree, with_val=with_val)
    view = find_format(name).open_export(load_card(name), out, "train")
    assert len(view.images) == 2
    assert not view.complaints
    lock = json.loads((out / "s2st_aug.lock.json").read_bytes())
    assert lock["terms"]["dataset"]["licence"] == load_card(name).licence
    held_out = list(read_scenes(load_card(name), out, "val")) if with_val and name != "nuimages" else []
    assert len(held_out) == (1 if with_val and name != "nuimages" else 0)
    if held_out:
        assert "night" not in held_out[0].image


@pytest.mark.parametrize(
    ("category", "means"),
    [
        ("Pedestrian", "person"),
        ("TrafficSignal", "traffic light"),
        ("TrafficSign", "traffic sign"),
        ("Vehicle_Car", "car"),
        ("human.pedestrian.adult", "person"),
        ("vehicle.bus.rigid", "bus"),
        ("vehicle.car", "car"),
        ("object--traffic-light--general-upright", "traffic light"),
        ("human--rider--bicyclist", "rider"),
        ("human--person--individual", "person"),
        ("flat.driveable_surface", "flat driveable surface"),
        ("Dr. Pepper can", "dr pepper can"),
    ],
)
def test_gates_know_what_their_categories_mean(category, means):
    assert canonical_category(category) == means


@pytest.mark.parametrize("name", ["zod"])
def test_a_zod_frame_is_read_as_its_kit_reads_it(tree, name):
    ((car, cloud),) = objects(name, tree)
    assert (car.category, car.bbox, car.occluded, car.crowd) == ("Vehicle_Car", (4, 5, 20, 25), True, False)
    assert (cloud.category, cloud.bbox, cloud.crowd) == ("Inconclusive", (30, 1, 34, 9), True)
    assert [s.scene_id for s in read_scenes(load_card(name), tree, "val")] == ["val/000002"]
    (tree / "trainval-frames-mini.json").unlink()
    assert len(objects(name, tree)) == 2


@pytest.mark.parametrize("name", ["zod"])
def test_a_zod_label_to_ignore_is_unclear_and_its_variant_has_a_record_of_its_own(tmp_path, tree, name):
    out = out_of(tmp_path, name, tree, lambda s, o: "lost" if o.category == "Vehicle_Car" else "keep")
    source = (tree / "single_frames/000001/annotations/object_detection.json").read_text()
    night = (out / "single_frames/000001__night/annotations/object_detection.json").read_text()
    assert night == source.replace('"unclear": false', '"unclear": true', 1)
    listed = json.loads((out / "trainval-frames-mini.json").read_bytes())
    real, variant = listed["train"]
    assert listed["val"] == []
    assert variant["id"] == "000001__night"
    assert variant["cameraFrames"]["front_blur"][0]["filepath"] == (
        "single_frames/000001__night/camera_front_blur/000001_golf.jpg"
    )
    assert variant["annotations"]["object_detection"]["filepath"].startswith("single_frames/000001__night/")
    assert variant["metadataPath"] == "single_frames/000001__night/metadata.json"
    assert variant["lidarFrames"] == real["lidarFrames"]
    assert all(
        (out / v).is_file() for v in (variant["metadataPath"], variant["cameraFrames"]["front_blur"][0]["filepath"])
    )


@pytest.mark.parametrize("name", ["zod"])
@pytest.mark.parametrize(
    "fault", ["{}", "[1]", '[{"properties": {}}]', '[{"properties": {"class": "Vehicle"}, "geometry": null}]']
)
def test_a_broken_zod_feature_costs_itself(tree, name, fault):
    (tree / "single_frames/000001/annotations/object_detection.json").write_text(fault)
    if fault == "{}":
        with pytest.raises(LabelError, match="expected a list of features"):
            objects(name, tree)
    else:
        assert [o.unsound is not None for o in objects(name, tree)[0]] == [True]


@pytest.mark.parametrize("name", ["zod"])
def test_a_zod_list_that_names_no_image_is_one_line(tree, name):
    (tree / "trainval-frames-full.json").write_text('{"train": [{"id": "000001"}]}')
    with pytest.raises(DatasetError, match=r"trainval-frames-full\.json at byte 11: expected a frame"):
        list(read_scenes(load_card(name), tree, "train"))


@pytest.mark.parametrize("name", ["nuimages"])
def test_a_nuimages_frame_is_read_by_its_schema(tree, name):
    ((car, surface),) = objects(name, tree)
    assert (car.kind, car.category, car.bbox, car.mask.sum()) == ("mask", "vehicle.car", (4, 0, 20, 32), 16 * 32)
    assert (surface.kind, surface.category, surface.mask.all()) == ("stuff", "flat.driveable_surface", True)


@pytest.mark.parametrize("name", ["nuimages"])
@pytest.mark.parametrize("lost", ["o1", "u1"])
def test_a_nuimages_variant_is_a_sample_of_its_own_without_the_rows_to_ignore(tmp_path, tree, name, lost):
    out = out_of(tmp_path, name, tree, lambda s, o: "lost" if o.object_id == lost else "keep")
    tables = {p.stem: json.loads(p.read_bytes()) for p in (out / "v1.0-train").glob("*.json")}
    source = {p.stem: json.loads(p.read_bytes()) for p in (tree / "v1.0-train").glob("*.json")}
    assert tables.keys() == source.keys()
    real, variant = tables["sample_data"]
    assert real == source["sample_data"][0]
    assert (variant["filename"], variant["prev"], variant["next"]) == ("samples/CAM_FRONT/n1__1__night.jpg", "", "")
    (_, sample) = tables["sample"]
    assert (variant["sample_token"], sample["key_camera_token"]) == (sample["token"], variant["token"])
    rows = [row for kind in ("object_ann", "surface_ann") for row in tables[kind]]
    assert len({row["token"] for row in rows}) == len(rows) == 3
    assert [r["sample_data_token"] for r in rows].count(variant["token"]) == 1
    pixels = np.asarray(Image.open(out / variant["filename"]).convert("RGB")).astype(int)
    grey = (np.abs(pixels - 114) < 8).all(axis=-1).mean()
    assert grey > 0.2  # over what was lost
    losses = {loss["what"] for loss in json.loads((out / "loss_report.json").read_bytes())["losses"]}
    assert {"label to ignore", "sample_data"} <= losses


@pytest.mark.parametrize("name", ["nuimages"])
@pytest.mark.parametrize(
    "change", [{"category_token": "c9"}, {"mask": {"size": [32, 48], "counts": "?"}}, {"bbox": [1, 2]}]
)
def test_a_broken_nuimages_row_costs_itself(tree, name, change):
    path = tree / "v1.0-train/object_ann.json"
    path.write_text(json.dumps([json.loads(path.read_bytes())[0] | change]))
    assert [o.unsound is not None for o in objects(name, tree)[0]] == [True, False]


@pytest.mark.parametrize("name", ["nuimages"])
def test_a_nuimages_mask_of_another_size_is_one_line(tree, name):
    path = tree / "v1.0-train/sample_data.json"
    path.write_text(path.read_text().replace('"width": 48', '"width": 96').replace('"height": 32', '"height": 64'))
    with pytest.raises(LabelError, match=r"48x32.*96x64"):
        objects(name, tree)


@pytest.mark.parametrize("name", ["comma10k"])
def test_comma10ks_colours_are_regions_and_our_own_car_is_none(tree, name):
    (found,) = objects(name, tree)
    assert {o.category: int(o.mask.sum()) for o in found} == {
        "road": 30 * 16,
        "movable": 6 * 16,
        "undrivable": 48 * 32 - 44 * 16,
    }
    assert [s.scene_id for s in read_scenes(load_card(name), tree, "val")] == ["val/0001_a_9"]


@pytest.mark.parametrize("name", ["comma10k"])
def test_a_region_of_comma10k_to_ignore_is_empty_in_the_variants_mask(tmp_path, tree, name):
    out = out_of(tmp_path, name, tree, lambda s, o: "lost" if o.category == "movable" else "keep")
    source, night = (
        np.asarray(Image.open(p)) for p in (tree / "masks/0000_a_1.png", out / "masks/0000_a_1__night.png")
    )
    changed = (source != night).any(axis=-1)
    assert changed.sum() == 6 * 16
    assert (night[changed] == 0).all()


@pytest.mark.parametrize("name", ["comma10k"])
def test_a_colour_of_no_class_is_told_and_never_judged(tree, name):
    path = tree / "masks/0000_a_1.png"
    pixels = np.array(Image.open(path))
    pixels[0, :3] = (1, 2, 3)
    Image.fromarray(pixels).save(path)
    (strange,) = [o for o in objects(name, tree)[0] if o.unsound]
    assert "3 pixels are of no class's colour, the first #010203" in strange.unsound
    Image.fromarray(pixels[..., 0]).save(path)
    with pytest.raises(LabelError, match="expected an RGB mask"):
        objects(name, tree)
    shutil.rmtree(tree / "masks")
    assert objects(name, tree) == [()]
