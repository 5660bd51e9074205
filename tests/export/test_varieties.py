"""Every form that labels come in: without loss out in its own format, accounted for in the other four."""

from __future__ import annotations

import json

import numpy as np
import pytest

from s2st_aug.export import export_run
from s2st_aug.formats import load_card, read_objects, read_scenes
from s2st_aug.formats.references import split_reference
from s2st_aug.formats.registry import FORMATS
from s2st_aug.testing.runs import write_run
from s2st_aug.testing.trees import VARIETIES

SAME = [
    {"person", "pedestrian", "Pedestrian"},
    {"car", "Car", "Vehicle_Car", "vehicle.car"},
    {"movable", "dynamic"},
    {"traffic light"},
    {"DontCare"},
    {"road", "flat.driveable_surface"},
]
"""Names of one class in the formats, by hand: not the cards' own table."""


@pytest.fixture
def prepared(tmp_path):
    """Writes the tree of a variety and a run over it; its card, root and run."""

    def make(name: str):
        variety = VARIETIES[name]
        root, card = tmp_path / "data", load_card(variety.card)
        variety.write(root)
        write_run(tmp_path / "run", card, root, variety.split)
        return card, root, tmp_path / "run"

    return make


def shown(item) -> tuple:
    """An object without what its place in a file decides."""
    mask = None if item.mask is None else item.mask.tobytes()
    outlines = tuple(tuple(map(tuple, o.tolist())) for o in item.outlines)
    flags = (item.signal, item.crowd, item.occluded, item.truncated)
    return (item.kind, item.category, item.bbox, outlines, mask, *flags)


@pytest.mark.parametrize("name", VARIETIES)
def test_its_own_format_keeps_every_label_file_and_record(tmp_path, prepared, name):
    card, root, run = prepared(name)
    out, split = tmp_path / "out", VARIETIES[name].split
    export_run(run, card.adapter, out)
    sources = {s.scene_id: s for s in read_scenes(card, root, split)}
    found = {s.scene_id: s for s in read_scenes(card, out, split)}
    assert len(found) == 2 * len(sources)
    for scene_id, source in sources.items():
        assert scene_id in found
        for file, key in map(split_reference, (source.label_file or "", *source.extra_files)):
            if file:
                check_bytes(root, out, file, key or (source.label_key if file == source.label_file else None))
    originals = sorted(str([shown(o) for o in read_objects(card, root, s)]) for s in sources.values())
    exported = sorted(str([shown(o) for o in read_objects(card, out, s)]) for s in found.values())
    assert exported == sorted(originals * 2)


def check_bytes(root, out, file, key) -> None:
    """A file of one scene is the same file; a record of a list is in the exported list, in front of its variant's."""
    data, new = (root / file).read_bytes(), (out / file).read_bytes()
    if key is None or key.length == len(data):
        assert new == data
    else:
        assert data[key.start :][: key.length] in new


@pytest.mark.parametrize("name", VARIETIES)
def test_no_label_is_dropped_in_silence_on_the_way_to_another_format(tmp_path, prepared, name):
    card, root, run = prepared(name)
    sources = [o for s in read_scenes(card, root, VARIETIES[name].split) for o in read_objects(card, root, s)]
    for target in FORMATS:
        if target == card.adapter:
            continue
        out = tmp_path / target
        summary = export_run(run, target, out)
        losses = json.loads((out / "loss_report.json").read_text())["losses"]
        new_card = load_card(target)
        found = list(read_scenes(new_card, out, "training" if target == "kitti" else "train"))
        assert len(found) == summary.real + summary.synthetic
        halves = {
            half: [o for s in found if ("night" in s.image) == half for o in read_objects(new_card, out, s)]
            for half in (False, True)
        }
        assert [shown(o) for o in halves[False]] == [shown(o) for o in halves[True]]
        for item in sources:
            assert any(is_same(item, other) for other in halves[False]) or is_told(item, losses), (
                target,
                item.object_id,
                item.category,
            )
        assert len(halves[False]) <= len(sources), "a thing goes out once, in whatever forms the source has it"


def is_same(item, other) -> bool:
    names = next((s for s in SAME if item.category in s), {item.category})
    crowd_region = item.crowd and other.category in ("DontCare", *names)
    return (other.category in names or crowd_region) and np.allclose(item.bbox, other.bbox, atol=1.01)


def is_told(item, losses: list[dict]) -> bool:
    """The report names the label's kind, its category, or the form that was taken in place of this one."""
    whys = {(loss["what"], loss["why"]) for loss in losses}
    kinds = {what for what, _ in whys}
    by_category = any(what == "category" and repr(item.category) in why for what, why in whys)
    prefix = item.object_id.partition("/")[0]
    ends = (f"{prefix} again", f"in {prefix}", *(() if "/" in item.object_id else (".json again",)))
    by_form = any(what == "other form" and why.endswith(ends) for what, why in whys)
    return item.kind in kinds or by_category or by_form or (item.crowd and "ignored label" in kinds)


def test_the_same_thing_in_four_forms_goes_out_once(tmp_path, prepared):
    _, _, run = prepared("bdd100k-layers")
    export_run(run, "coco", tmp_path / "out")
    data = json.loads((tmp_path / "out/annotations/instances_train2017.json").read_text())
    names = {c["id"]: c for c in data["categories"]}
    first = [(names[a["category_id"]]["name"], a["iscrowd"]) for a in data["annotations"] if a["image_id"] == 1]
    assert first == [("car", 0), ("traffic light", 0), ("person", 0), ("direct", 0), ("road", 0)]
    assert [c["name"] for c in data["categories"] if not c["isthing"]] == ["road"]


def test_cityscapes_gets_the_form_that_has_outlines(tmp_path, prepared):
    _, _, run = prepared("bdd100k-layers")
    export_run(run, "cityscapes", tmp_path / "out")
    labels = json.loads(next((tmp_path / "out/gtFine").rglob("*_polygons.json")).read_text())["objects"]
    assert [o["label"] for o in labels] == ["road", "car", "person"]
    told = [
        loss["why"]
        for loss in json.loads((tmp_path / "out/loss_report.json").read_text())["losses"]
        if loss["what"] == "other form"
    ]
    assert "things are taken from ins_seg, not from labels/det_20/det_train.json again" in told


def test_regions_of_things_without_instances_are_crowds(tmp_path, prepared):
    card, root, _ = prepared("bdd100k-10k")
    for kind in ("ins_seg/bitmasks", "pan_seg/bitmasks"):
        for path in (root / "labels" / kind).rglob("*.png"):
            path.unlink()
    write_run(tmp_path / "again", card, root)
    export_run(tmp_path / "again", "cityscapes", tmp_path / "out")
    labels = json.loads(next((tmp_path / "out/gtFine").rglob("*_polygons.json")).read_text())["objects"]
    assert [o["label"] for o in labels] == ["road", "cargroup"]


def test_a_yolo_split_that_is_a_list_is_listed_with_its_variants(tmp_path, prepared):
    _, _, run = prepared("yolo-lists")
    export_run(run, "yolo", tmp_path / "out")
    assert (tmp_path / "out/train.txt").read_text() == "./images/a.jpg\n./images/a__night.jpg\n"
    assert not (tmp_path / "out/val.txt").exists()
    assert not (tmp_path / "out/images/b.jpg").exists()


def test_kitti_boxes_end_at_the_images_border_and_say_how_much_was_beyond(tmp_path):
    """KITTI's own boxes are cut there; TFDS refuses a box beyond the image."""
    card, root = load_card("bdd100k_track"), tmp_path / "data"
    VARIETIES["bdd100k-track"].write(root)
    labels = root / "labels/box_track_20/train/v1.json"
    frames = json.loads(labels.read_text())
    first = frames[0]["labels"][0]
    beyond = {"x1": -10.0, "y1": 5.0, "x2": 10.0, "y2": 25.0}, {"x1": -9.0, "y1": 5.0, "x2": -1.0, "y2": 25.0}
    frames[0]["labels"] = [first | {"id": str(i), "box2d": box} for i, box in enumerate(beyond)]
    labels.write_text(json.dumps(frames))
    write_run(tmp_path / "run", card, root)
    export_run(tmp_path / "run", "kitti", tmp_path / "out")
    (line,) = next((tmp_path / "out/training/label_2").glob("*0000001.txt")).read_text().splitlines()
    assert line.split()[1] == "0.50"
    assert line.split()[4:8] == ["0.00", "5.00", "10.00", "25.00"]
    told = {(x["what"], x["why"]) for x in json.loads((tmp_path / "out/loss_report.json").read_bytes())["losses"]}
    assert ("geometry", "what lies outside the image is cut off") in told
    assert ("box", "no part of it lies in the image") in told


def test_kitti_numbers_that_two_digits_cannot_hold_keep_all_of_theirs(tmp_path):
    card, root = load_card("bdd100k_track"), tmp_path / "data"
    VARIETIES["bdd100k-track"].write(root)
    labels = root / "labels/box_track_20/train/v1.json"
    labels.write_text(labels.read_text().replace("20.5", "20.123456789"))
    write_run(tmp_path / "run", card, root)
    export_run(tmp_path / "run", "kitti", tmp_path / "out")
    line = next((tmp_path / "out/training/label_2").iterdir()).read_text()
    assert line.split()[4:8] == ["4.00", "5.00", "20.123456789", "25.00"]
