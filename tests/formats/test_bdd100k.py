from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from s2st_aug.errors import DatasetError, LabelError
from s2st_aug.formats import load_card, read_objects, read_scenes
from s2st_aug.formats.bdd100k.edit import label_id

CARD = load_card("bdd100k")


def tree(root: Path, text: str | bytes, split: str = "train", file: str | None = None) -> Path:
    path = root / (file or f"labels/det_20/det_{split}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


def frame(name: str = "a.jpg", **more) -> dict:
    label = {
        "id": "7",
        "category": "car",
        "attributes": {"occluded": True},
        "box2d": {"x1": 1, "y1": 2, "x2": 30, "y2": 40},
    }
    return {"name": name, "attributes": {"timeofday": "daytime"}, "labels": [label], **more}


def scenes(root: Path, split: str = "train") -> list:
    return list(read_scenes(CARD, root, split))


def test_real_sample_reads_with_states_and_spans(shared_data):
    root = shared_data / "bdd100k"
    found = scenes(root)
    assert [s.attributes["timeofday"] for s in found] == ["daytime", "dawn/dusk"]
    data = (root / found[1].label_file).read_bytes()
    record = data[found[1].label_key.start :][: found[1].label_key.length]
    assert json.loads(record)["name"] == "0000f77c-62c2a288.jpg"
    assert hashlib.sha256(record).hexdigest() == found[1].label_key.sha256
    first = read_objects(CARD, root, found[0])
    assert len(first) == len(json.loads(data)[0]["labels"])
    assert first[0].signal == "green"
    assert first[2].signal is None


@pytest.mark.parametrize("spelling", ["G", "green"])
def test_signal_colour_in_both_spellings(tmp_path, spelling):
    record = frame()
    record["labels"][0]["attributes"] = {"trafficLightColor": spelling}
    (scene,) = scenes(tree(tmp_path, json.dumps([record])))
    assert read_objects(CARD, tmp_path, scene)[0].signal == "green"


@pytest.mark.parametrize("labels", [None, []])
def test_empty_frames_are_scenes_without_objects(tmp_path, labels):
    (scene,) = scenes(tree(tmp_path, json.dumps([frame(labels=labels)])))
    assert read_objects(CARD, tmp_path, scene) == ()


def test_a_label_whose_id_is_null_is_called_by_its_number(tmp_path):
    label = frame()["labels"][0] | {"id": None}
    (scene,) = scenes(tree(tmp_path, json.dumps([frame(labels=[label, label])])))
    assert [found.object_id for found in read_objects(CARD, tmp_path, scene)] == ["0", "1"]
    assert label_id(label, json.dumps(label), "", 1) == "1"


def test_byte_order_mark_windows_lines_and_unicode_names(tmp_path):
    text = json.dumps([frame("Straße 1.jpg"), frame("b c.jpg")], indent=2, ensure_ascii=False).replace("\n", "\r\n")
    found = scenes(tree(tmp_path, b"\xef\xbb\xbf" + text.encode()))
    assert [s.image for s in found] == ["images/100k/train/Straße 1.jpg", "images/100k/train/b c.jpg"]
    assert read_objects(CARD, tmp_path, found[1])[0].bbox == (1, 2, 30, 40)


def test_lanes_drivable_and_instance_masks_come_with_the_frame(tmp_path):
    tree(tmp_path, json.dumps([frame("other.jpg"), frame()]))
    lane = {
        "id": "7",
        "category": "single white",
        "poly2d": [{"vertices": [[0, 0], [5, 9]], "types": "LL", "closed": False}],
    }
    area = {
        "id": "8",
        "category": "direct",
        "poly2d": [{"vertices": [[0, 0], [5, 9], [0, 9]], "types": "LLL", "closed": True}],
    }
    tree(tmp_path, json.dumps([{"name": "a.jpg", "labels": [lane]}]), file="labels/lane/polygons/lane_train.json")
    tree(
        tmp_path, json.dumps([{"name": "a.jpg", "labels": [area]}]), file="labels/drivable/polygons/drivable_train.json"
    )
    pixels = np.zeros((4, 6, 4), np.uint8)
    pixels[1:3, 2:5] = (3, 4 + 8, 1, 2)  # car, occluded and truncated, instance 1 * 256 + 2
    mask = tmp_path / "labels/ins_seg/bitmasks/train/a.png"
    mask.parent.mkdir(parents=True)
    Image.fromarray(pixels).save(mask)
    without, scene = scenes(tmp_path)
    assert without.extra_files == ()
    car, line, polygon, instance = read_objects(CARD, tmp_path, scene)
    assert (car.kind, line.kind, polygon.kind, instance.kind) == ("box", "polyline", "polygon", "mask")
    assert len({o.object_id for o in (car, line, polygon, instance)}) == 4
    assert instance.object_id == "ins_seg/258"
    assert instance.bbox == (2, 1, 5, 3)
    assert (instance.occluded, instance.truncated, instance.crowd) == (True, True, False)


def test_bezier_passes_through_its_ends_and_bulges():
    from s2st_aug.formats.bdd100k.labels import curve

    line = curve([(0, 0), (0, 8), (8, 8), (8, 0)], "LCCC")
    assert tuple(line[-1]) == (8, 0)
    assert line[:, 1].max() == pytest.approx(6)


def test_legacy_file_per_image_and_its_poly2d_spelling(tmp_path):
    objects = [{"id": 3, "category": "lane/single white", "poly2d": [[1, 2, "L"], [3, 4, "L"]]}]
    record = {"name": "a", "attributes": {"timeofday": "night"}, "frames": [{"timestamp": 10000, "objects": objects}]}
    tree(tmp_path, json.dumps(record), file="labels/100k/train/a.json")
    (scene,) = scenes(tmp_path)
    assert (scene.image, scene.attributes) == ("images/100k/train/a.jpg", {"timeofday": "night"})
    (line,) = read_objects(CARD, tmp_path, scene)
    assert line.outlines[0].tolist() == [[1, 2], [3, 4]]


def test_images_with_masks_alone_are_scenes_and_their_key_is_the_mask(shared_data):
    card = load_card("bdd100k_10k")
    found = list(read_scenes(card, shared_data / "bdd100k", "train"))
    assert [s.scene_id for s in found] == ["train/00a7ef03-00000000", "train/00a9cd6b-b39be004"]
    assert found[0].label_key.length == (shared_data / "bdd100k" / found[0].label_file).stat().st_size


@pytest.mark.parametrize(
    ("text", "clue"),
    [
        ("[{", "not valid JSON at byte"),
        ("nothing", "expected [ or {"),
        ('[{"name": "a.jpg"}] tail', "after the end"),
        ('[{"labels": []}]', "expected a file name"),
        ('[{"name": "../a.jpg"}]', "below the dataset's folder"),
        ('[{"name": "/etc/passwd"}]', "below the dataset's folder"),
        ('[{"name": "a\\u0000.jpg"}]', "below the dataset's folder"),
        ('[{"name": "CON.jpg"}]', "not a usable file name"),
        ("[7]", "expected a frame"),
        (json.dumps([frame(), frame()]), "listed twice"),
        (b'[{"name": "\xff.jpg"}]', "not UTF-8"),
    ],
)
def test_structural_damage_is_one_clear_line(tmp_path, text, clue):
    with pytest.raises(DatasetError, match=r".*") as error:
        scenes(tree(tmp_path, text))
    assert clue in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "box", [{"x1": 1}, [1, 2], {"x1": "1", "y1": 0, "x2": 1, "y2": 1}, {"x1": 1e999, "y1": 0, "x2": 1, "y2": 1}]
)
def test_a_bad_label_costs_itself_only(tmp_path, box):
    bad = frame()
    bad["labels"][0]["box2d"] = box
    first, second = scenes(tree(tmp_path, json.dumps([bad, frame("b.jpg")])))
    (found,) = read_objects(CARD, tmp_path, first)
    assert found.unsound.startswith("label 0: ")
    assert found.bbox == (0, 0, 0, 0)
    assert len(read_objects(CARD, tmp_path, second)) == 1


def test_a_changed_record_is_noticed(tmp_path):
    (scene,) = scenes(tree(tmp_path, json.dumps([frame()])))
    tree(tmp_path, json.dumps([frame()]).replace("30", "31"))
    with pytest.raises(LabelError, match="not the one that was planned"):
        read_objects(CARD, tmp_path, scene)


def test_unknown_split_and_empty_root(tmp_path):
    with pytest.raises(DatasetError, match="did you mean 'train'"):
        scenes(tmp_path, "trian")
    with pytest.raises(DatasetError, match="holds no image"):
        scenes(tmp_path, "train")


def test_too_deep_nesting_is_refused_and_endless_numbers_are_not(tmp_path):
    deep = '{"name": "a.jpg", "x": ' + "[" * 50_000 + "]" * 50_000 + "}"
    first, second = scenes(
        tree(tmp_path, f"[{deep}, {json.dumps(frame('b.jpg'))}]")
    )  # the lists inside a frame are not looked at
    with pytest.raises(LabelError, match="RecursionError"):
        read_objects(CARD, tmp_path, first)
    assert len(read_objects(CARD, tmp_path, second)) == 1
    with pytest.raises(DatasetError, match="too deeply"):
        scenes(tree(tmp_path, "[" + '{"name":' * 50_000 + "1" + "}" * 50_000 + "]"))
    (scene,) = scenes(tree(tmp_path, json.dumps([frame()]).replace('"id": "7"', '"id": ' + "9" * 5000)))
    assert len(read_objects(CARD, tmp_path, scene)) == 1
