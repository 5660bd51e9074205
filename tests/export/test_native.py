from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from trees import image, put

from s2st_aug.errors import CheckFailed, RunFolderError, UsageError
from s2st_aug.export import LOCK, export_run
from s2st_aug.export.options import ExportOptions, UnjudgedPolicy
from s2st_aug.export.selection import DOUBTS, select
from s2st_aug.formats import load_card, read_objects, read_scenes
from s2st_aug.records.verdicts import Cause
from s2st_aug.storage import RunFolder
from s2st_aug.testing.runs import write_run


def ignoring(*names: str, verdict: str = "lost"):
    return lambda scene, item: verdict if item.object_id in names else "keep"


def run_over(tmp_path: Path, card: str, split: str = "train", **more) -> Path:
    write_run(tmp_path / "run", load_card(card), tmp_path / "data", split, **more)
    return tmp_path / "run"


RECORD = (
    '{"name":"a b.jpg" , "attributes":{"weather":"clear","timeofday":"daytime"},"timestamp":10000,\n '
    '"odd":[-0.0,1e-17,NaN,'
    + "9"
    * 40
    + ',{"deep":[[[]]]}],"labels":[{"id":"1","category":"car","box2d":{"x1":1.50,"y1":-0.0,"x2":3E1,"y2":12}},'
    '{"category":"bus","attributes":{"occluded":false},"id":"2","box2d":{"x1":1,"y1":1,"x2":9,"y2":9}}]}'
)


def bdd(tmp_path: Path, text: str = f"[{RECORD}]") -> Path:
    put(tmp_path, "data/labels/det_20/det_train.json", text)
    image(tmp_path, "data/images/100k/train/a b.jpg", quality=83)
    return tmp_path / "data"


def exported_records(out: Path) -> tuple[str, str]:
    text = (out / "labels/det_20/det_train.json").read_text()
    real, variant = text.removeprefix("[\n").removesuffix("\n]\n").split(",\n{", 1)
    return real, "{" + variant


def test_bdd_record_keeps_every_byte_but_for_what_the_contract_names(tmp_path):
    bdd(tmp_path)
    export_run(run_over(tmp_path, "bdd100k"), "bdd100k", tmp_path / "out")
    real, variant = exported_records(tmp_path / "out")
    assert real == RECORD
    expected = RECORD.replace('"a b.jpg"', '"a b__night.jpg"').replace('"timeofday":"daytime"', '"timeofday":"night"')
    assert variant == expected.replace(
        '"attributes":{"weather"', '"attributes":{"timeofday_source": "daytime", "weather"'
    )


def test_bdd_lost_and_ignored_labels_are_marked_and_only_they(tmp_path):
    bdd(tmp_path)
    export_run(run_over(tmp_path, "bdd100k", verdicts=ignoring("1", "2")), "bdd100k", tmp_path / "out")
    real, variant = exported_records(tmp_path / "out")
    assert real == RECORD
    assert '{"attributes": {"ignored": true}, "id":"1","category":"car"' in variant
    assert '"attributes":{"ignored": true, "occluded":false}' in variant


def test_labels_that_the_measure_could_not_judge_stay_where_that_is_asked_and_the_lock_says_so(tmp_path):
    bdd(tmp_path)
    run = run_over(tmp_path, "bdd100k", verdicts=lambda scene, item: "ignore" if item.object_id == "1" else "lost")
    for policy in ("ignore", "train"):
        export_run(run, "bdd100k", tmp_path / policy, unjudged=policy)
    marked = {name: exported_records(tmp_path / name)[1].count('"ignored": true') for name in ("ignore", "train")}
    assert marked["train"] == marked["ignore"] - 1 > 0
    assert '{"attributes": {"ignored": true}, "id":"1"' not in exported_records(tmp_path / "train")[1]
    locks = [json.loads((tmp_path / name / LOCK).read_text()) for name in ("ignore", "train")]
    assert [lock["settings"]["unjudged"] for lock in locks] == ["ignore", "train"]
    assert [lock["settings"]["unread"] for lock in locks] == ["void", "train"]  # the older word, which scripts read


@pytest.mark.parametrize("cause", [*get_args(Cause), None])
def test_labels_that_the_measure_doubts_stay_out_unless_all_are_asked_for(tmp_path, cause):
    """Most objects that a model erases are ignored as dissolved: no training on unjudged labels may take them."""
    bdd(tmp_path)
    run = run_over(tmp_path, "bdd100k", verdicts=ignoring("1", verdict="ignore"))
    rows = RunFolder(run).read_manifest().to_pylist()
    for row in rows:
        row["objects"] = [o | {"cause": cause} if o["object_id"] == "1" else o for o in row["objects"]]
    table = pa.Table.from_pylist(rows, RunFolder(run).read_manifest().schema)
    found = {
        policy: next(iter(select(table, {}, ExportOptions(unjudged=policy)).variants.values()))[0].ignored
        for policy in get_args(UnjudgedPolicy)
    }
    judged_none = cause not in (*DOUBTS, None)
    unsound = cause == "unsound"  # the source's own fault, which no policy touches
    assert ("1" in found["ignore"], "1" in found["train"], "1" in found["train-all"]) == (
        (False, False, False) if unsound else (True, not judged_none, False)
    )


def test_the_older_word_for_unjudged_labels_gives_the_same_export(tmp_path):
    bdd(tmp_path)
    run = run_over(tmp_path, "bdd100k", verdicts=ignoring("1", verdict="ignore"))
    for old, new in (("void", "ignore"), ("train", "train")):
        export_run(run, "bdd100k", tmp_path / "old", unread=old)
        export_run(run, "bdd100k", tmp_path / "new", unjudged=new)
        assert (tmp_path / "old" / LOCK).read_bytes() == (tmp_path / "new" / LOCK).read_bytes()


def test_export_reads_back_as_a_dataset_with_the_same_labels(tmp_path):
    root = bdd(tmp_path)
    export_run(run_over(tmp_path, "bdd100k", domains=("night", "rain")), "bdd100k", tmp_path / "out")
    card = load_card("bdd100k")
    (source,) = read_scenes(card, root, "train")
    found = list(read_scenes(card, tmp_path / "out", "train"))
    assert [s.scene_id for s in found] == ["train/a b", "train/a b__night", "train/a b__rain"]
    assert found[2].attributes["weather"] == "rainy"
    assert found[2].attributes["weather_source"] == "clear"
    for scene in found:
        assert (tmp_path / "out" / scene.image).is_file()
        assert [o.bbox for o in read_objects(card, tmp_path / "out", scene)] == [
            o.bbox for o in read_objects(card, root, source)
        ]


def test_variants_take_the_sources_file_type_and_tables(tmp_path):
    bdd(tmp_path)
    export_run(run_over(tmp_path, "bdd100k"), "bdd100k", tmp_path / "out")
    folder = tmp_path / "out/images/100k/train"
    with Image.open(folder / "a b.jpg") as real, Image.open(folder / "a b__night.jpg") as variant:
        assert variant.format == real.format == "JPEG"
        assert variant.quantization == real.quantization
        assert variant.size == real.size


def test_two_exports_are_the_same_bytes_and_an_export_can_be_replaced(tmp_path):
    bdd(tmp_path)
    run = run_over(tmp_path, "bdd100k", domains=("night", "rain"))
    export_run(run, "bdd100k", tmp_path / "a")
    export_run(run, "bdd100k", tmp_path / "b", link="hard")
    export_run(run, "bdd100k", tmp_path / "a")
    trees = [
        {p.relative_to(t): p.read_bytes() for p in t.rglob("*") if p.is_file()}
        for t in (tmp_path / "a", tmp_path / "b")
    ]
    assert trees[0] == trees[1]
    lock = json.loads((tmp_path / "a/s2st_aug.lock.json").read_bytes())
    assert lock["counts"]["train"]["bdd100k"]["night"] == {"images": 1, "classes": {"bus": 1, "car": 1}, "ignored": 0}
    assert set(lock["files"]) == {p.as_posix() for p in trees[0]} - {"s2st_aug.lock.json"}


def test_foreign_and_nested_out_folders_are_refused(tmp_path):
    bdd(tmp_path)
    run = run_over(tmp_path, "bdd100k")
    put(tmp_path, "mine/notes.txt", "keep me")
    with pytest.raises(UsageError, match="not an export of s2st-aug"):
        export_run(run, "bdd100k", tmp_path / "mine")
    export_run(run, "bdd100k", tmp_path / "out")
    put(tmp_path, "out/added.txt", "keep me")
    with pytest.raises(UsageError, match=r"added\.txt"):
        export_run(run, "bdd100k", tmp_path / "out")
    for inside in (run / "export", tmp_path / "data/export", tmp_path):
        with pytest.raises(UsageError, match=r"lies inside|holds the"):
            export_run(run, "bdd100k", inside)


def test_a_held_out_split_is_refused(tmp_path):
    put(tmp_path, "data/labels/det_20/det_val.json", f"[{RECORD}]")
    image(tmp_path, "data/images/100k/val/a b.jpg")
    with pytest.raises(UsageError, match="held-out"):
        export_run(run_over(tmp_path, "bdd100k", "val"), "bdd100k", tmp_path / "out")


def test_changed_labels_or_images_since_the_run_are_noticed(tmp_path):
    bdd(tmp_path)
    run = run_over(tmp_path, "bdd100k")
    bdd(tmp_path, f"[{RECORD.replace('bus', 'car')}]")
    with pytest.raises(CheckFailed, match="not the one that the run was made from"):
        export_run(run, "bdd100k", tmp_path / "out")
    bdd(tmp_path)
    image(tmp_path, "data/images/100k/train/a b.jpg", size=(8, 8))
    with pytest.raises(CheckFailed, match="not the file that the run recorded"):
        export_run(run, "bdd100k", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_image_of_the_run_that_is_a_link_to_another_place_is_refused(tmp_path):
    frames = [{"name": f"{i}.jpg", "labels": []} for i in range(3)]
    bdd(tmp_path, json.dumps(frames))
    for frame in frames:
        image(tmp_path, f"data/images/100k/train/{frame['name']}")
    run = run_over(tmp_path, "bdd100k")
    last = sorted((run / "images").rglob("*.png"))[-1]
    last.replace(tmp_path / "elsewhere.png")
    last.symlink_to(tmp_path / "elsewhere.png")
    with pytest.raises(RunFolderError, match="leads outside"):
        export_run(run, "bdd100k", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_tracking_variants_are_videos_of_their_own(tmp_path):
    frames = [{"name": f"v1-000000{i}.jpg", "videoName": "v1", "frameIndex": i - 1, "labels": None} for i in (1, 2)]
    put(tmp_path, "data/labels/box_track_20/train/v1.json", json.dumps(frames))
    for frame in frames:
        image(tmp_path, f"data/images/track/train/v1/{frame['name']}")
    export_run(run_over(tmp_path, "bdd100k_track"), "bdd100k", tmp_path / "out")
    variant = json.loads((tmp_path / "out/labels/box_track_20/train/v1__night.json").read_text())
    assert [(f["name"], f["videoName"], f["frameIndex"]) for f in variant] == [
        ("v1-0000001.jpg", "v1__night", 0),
        ("v1-0000002.jpg", "v1__night", 1),
    ]
    assert json.loads((tmp_path / "out/labels/box_track_20/train/v1.json").read_text()) == frames
    assert (tmp_path / "out/images/track/train/v1__night/v1-0000002.jpg").is_file()


def test_lists_inside_an_object_keep_what_stands_around_them(tmp_path):
    bdd(tmp_path, '{"config": {"x": 1e-17}, "frames": [' + RECORD + '], "groups": null}')
    export_run(run_over(tmp_path, "bdd100k"), "bdd100k", tmp_path / "out")
    text = (tmp_path / "out/labels/det_20/det_train.json").read_text()
    assert text.startswith('{"config": {"x": 1e-17}, "frames": [' + RECORD)
    assert text.endswith('], "groups": null}')
    assert len(json.loads(text)["frames"]) == 2


def test_instance_masks_carry_the_ignored_bit_of_their_own_objects(tmp_path):
    bdd(tmp_path)
    pixels = np.zeros((20, 40, 4), np.uint8)
    pixels[1:3, 2:5], pixels[5:9, 2:5] = (3, 0, 0, 1), (3, 0, 0, 2)
    path = tmp_path / "data/labels/ins_seg/bitmasks/train/a b.png"
    path.parent.mkdir(parents=True)
    Image.fromarray(pixels).save(path)
    export_run(run_over(tmp_path, "bdd100k", verdicts=ignoring("ins_seg/2")), "bdd100k", tmp_path / "out")
    out = tmp_path / "out/labels/ins_seg/bitmasks/train"
    assert (out / "a b.png").read_bytes() == path.read_bytes()
    changed = np.array(Image.open(out / "a b__night.png"))
    assert (changed[5:9, 2:5] == (3, 1, 0, 2)).all()
    assert (changed[1:3, 2:5] == (3, 0, 0, 1)).all()


def cityscapes(tmp_path: Path) -> None:
    image(tmp_path, "data/leftImg8bit/train/bonn/bonn_000000_000001_leftImg8bit.png")
    objects = [
        {"label": n, "polygon": [[x, 0], [x + 9, 0], [x + 9, 19], [x, 19]]}
        for n, x in (("road", 0), ("car", 5), ("car", 20))
    ]
    record = json.dumps({"imgHeight": 20, "imgWidth": 40, "objects": objects})
    base = "data/gtFine/train/bonn/bonn_000000_000001_gtFine"
    put(tmp_path, f"{base}_polygons.json", record)
    ids = np.zeros((20, 40), np.uint8)
    ids[:, 0:10], ids[:, 5:15], ids[:, 20:30] = 7, 26, 26
    Image.fromarray(ids).save(tmp_path / f"{base}_labelIds.png")
    instances = ids.astype(np.uint16)
    instances[:, 5:15], instances[:, 20:30] = 26000, 26001
    Image.fromarray(instances).save(tmp_path / f"{base}_instanceIds.png")
    put(tmp_path, "data/camera/train/bonn/bonn_000000_000001_camera.json", '{"baseline": -0.0}')


def test_cityscapes_keeps_bytes_where_nothing_is_lost(tmp_path):
    cityscapes(tmp_path)
    export_run(run_over(tmp_path, "cityscapes", domains=("night_rain",)), "cityscapes", tmp_path / "out")
    for folder, kind in (
        ("gtFine", "gtFine_polygons.json"),
        ("gtFine", "gtFine_instanceIds.png"),
        ("camera", "camera.json"),
    ):
        name = f"{folder}/train/bonn/bonn_000000_000001{{}}_{kind}"
        source = (tmp_path / "data" / name.format("")).read_bytes()
        assert (tmp_path / "out" / name.format("")).read_bytes() == source
        assert (tmp_path / "out" / name.format("-night-rain")).read_bytes() == source


def test_cityscapes_lost_objects_become_void_with_the_original_beside(tmp_path):
    cityscapes(tmp_path)
    export_run(run_over(tmp_path, "cityscapes", verdicts=ignoring("1")), "cityscapes", tmp_path / "out")
    base = tmp_path / "out/gtFine/train/bonn/bonn_000000_000001-night_gtFine"
    assert [o["label"] for o in json.loads(Path(f"{base}_polygons.json").read_text(encoding="utf-8"))["objects"]] == [
        "road",
        "unlabeled",
        "car",
    ]
    ids, instances = (np.array(Image.open(f"{base}_{kind}.png")) for kind in ("labelIds", "instanceIds"))
    assert set(np.unique(ids)) == {0, 7, 26}
    assert set(np.unique(instances)) == {0, 7, 26001}
    assert (ids[:, 20:30] == 26).all()
    original = tmp_path / "data/gtFine/train/bonn/bonn_000000_000001_gtFine_labelIds.png"
    assert Path(f"{base}_labelIds.original.png").read_bytes() == original.read_bytes()


def coco(tmp_path: Path) -> None:
    annotations = (
        '[{"id": 5, "image_id": 9, "category_id": 3, "bbox": [1, 2, 3.0, -0.0], "iscrowd": 0, "x": 1e-17},\n'
        '{"id": 6, "image_id": 9, "category_id": 3, "bbox": [5, 5, 9, 9], "area": 81}]'
    )
    images = '[{"id": 9, "file_name": "a.jpg", "width": 40, "height": 20, "big": 123456789012345678901234567890}]'
    categories = '[{"id": 3, "name": "car"}]'
    head = '"info": {"year": 2017}, "licenses": []'
    text = f'{{{head}, "images": {images}, "annotations": {annotations}, "categories": {categories}}}'
    put(tmp_path, "data/annotations/instances_train2017.json", text)
    image(tmp_path, "data/train2017/a.jpg")


def test_coco_gives_new_numbers_and_keeps_the_rest(tmp_path):
    coco(tmp_path)
    export_run(run_over(tmp_path, "coco", verdicts=ignoring("6")), "coco", tmp_path / "out")
    text = (tmp_path / "out/annotations/instances_train2017.json").read_text()
    data = json.loads(text)
    assert list(data) == ["info", "licenses", "images", "annotations", "categories"]
    assert [(i["id"], i["file_name"]) for i in data["images"]] == [(9, "a.jpg"), (10, "a__night.jpg")]
    assert [(a["id"], a["image_id"], a.get("iscrowd")) for a in data["annotations"]] == [
        (5, 9, 0),
        (6, 9, None),
        (7, 10, 0),
        (8, 10, 1),
    ]
    assert text.count('"bbox": [1, 2, 3.0, -0.0], "iscrowd": 0, "x": 1e-17}') == 2
    assert text.count("123456789012345678901234567890") == 2


def test_yolo_drops_lost_lines_and_reports_them(tmp_path):
    put(tmp_path, "data/data.yaml", "path: /somewhere/else\ntrain: images/train\nval: images/val\nnames: [car]\n")
    image(tmp_path, "data/images/train/x.jpg")
    put(tmp_path, "data/labels/train/x.txt", "0 0.5 0.5 0.250 0.5\r\n0 .1 .1 .1 .1\r\n")
    run = run_over(tmp_path, "yolo", verdicts=ignoring("1"))
    summary = export_run(run, "yolo", tmp_path / "out")
    assert (tmp_path / "out/labels/train/x.txt").read_bytes() == b"0 0.5 0.5 0.250 0.5\r\n0 .1 .1 .1 .1\r\n"
    assert (tmp_path / "out/labels/train/x__night.txt").read_bytes() == b"0 0.5 0.5 0.250 0.5\r\n"
    assert (tmp_path / "out/data.yaml").read_text().startswith("train: images/train")
    assert summary.losses == 1
    (loss,) = json.loads((tmp_path / "out/loss_report.json").read_text())["losses"]
    assert (loss["count"], loss["first"]) == (1, "train/x")


def test_kitti_lost_lines_become_dontcare_regions(tmp_path):
    image(tmp_path, "data/training/image_2/000000.png")
    lines = "Car 0.00 0 -1.5 1.00 2.50 30 15 1.5 1.6 3.9 1 2 3 0.1\nPedestrian 0 0 0 1 2 3 4 1 1 1 1 1 1 1\n"
    put(tmp_path, "data/training/label_2/000000.txt", lines)
    put(tmp_path, "data/training/calib/000000.txt", "P0: 1")
    export_run(run_over(tmp_path, "kitti", "training", verdicts=ignoring("0")), "kitti", tmp_path / "out")
    out = tmp_path / "out/training"
    changed = (out / "label_2/000000__night.txt").read_text().splitlines()
    assert changed == ["DontCare -1 -1 -10 1.00 2.50 30 15 -1 -1 -1 -1000 -1000 -1000 -10", lines.splitlines()[1]]
    assert (out / "calib/000000__night.txt").read_text() == "P0: 1"


@pytest.mark.parametrize(
    ("mix", "real", "synthetic"), [(None, 4, 8), (0.5, 4, 4), (0.8, 2, 8), (0.0, 4, 0), (1.0, 0, 8), (0.3, 4, 2)]
)
def test_mix_is_the_share_of_synthetic_images(tmp_path, mix, real, synthetic):
    frames = [json.loads(RECORD) | {"name": f"{i}.jpg"} for i in range(4)]
    put(tmp_path, "data/labels/det_20/det_train.json", json.dumps(frames))
    for i in range(4):
        image(tmp_path, f"data/images/100k/train/{i}.jpg")
    summary = export_run(run_over(tmp_path, "bdd100k", domains=("night", "rain")), "bdd100k", tmp_path / "out", mix=mix)
    assert (summary.real, summary.synthetic) == (real, synthetic)
    assert len(list((tmp_path / "out/images/100k/train").iterdir())) == real + synthetic


def test_a_mix_of_less_than_one_synthetic_image_is_told_apart_from_a_run_without_variants(tmp_path):
    bdd(tmp_path, json.dumps([json.loads(RECORD)]))
    with pytest.raises(UsageError, match=r"--mix 0\.1 of 1 real images is less than one synthetic image"):
        export_run(run_over(tmp_path, "bdd100k"), "bdd100k", tmp_path / "out", mix=0.1)


def test_a_scene_whose_image_is_absent_is_left_out(tmp_path):
    frames = [json.loads(RECORD), json.loads(RECORD) | {"name": "gone.jpg"}]
    bdd(tmp_path, json.dumps(frames))
    summary = export_run(run_over(tmp_path, "bdd100k"), "bdd100k", tmp_path / "out")
    assert (summary.real, summary.synthetic) == (1, 1)


def test_coco_keypoints_and_panoptic_files_go_along(tmp_path):
    coco(tmp_path)
    root = tmp_path / "data/annotations"
    main = json.loads((root / "instances_train2017.json").read_text())
    person = {
        "id": 70,
        "image_id": 9,
        "category_id": 3,
        "bbox": [1, 2, 3, 4],
        "keypoints": [1, 2, 2],
        "num_keypoints": 1,
    }
    (root / "person_keypoints_train2017.json").write_text(json.dumps(main | {"annotations": [person]}))
    segments = [{"id": 258, "category_id": 3, "iscrowd": 0}, {"id": 5, "category_id": 3, "iscrowd": 0}]
    panoptic = main | {"annotations": [{"image_id": 9, "file_name": "a.png", "segments_info": segments}]}
    (root / "panoptic_train2017.json").write_text(json.dumps(panoptic))
    image(root, "panoptic_train2017/a.png")
    Image.new("RGB", (40, 20), (5, 0, 0)).save(root / "panoptic_train2017/a.png")
    run = run_over(tmp_path, "coco", verdicts=ignoring("panoptic/5", "keypoints/70"))
    export_run(run, "coco", tmp_path / "out")
    out = tmp_path / "out/annotations"
    points, whole = (json.loads((out / f"{n}_train2017.json").read_text()) for n in ("person_keypoints", "panoptic"))
    assert [(a["image_id"], a["keypoints"], a.get("iscrowd")) for a in points["annotations"]] == [
        (9, [1, 2, 2], None),
        (10, [1, 2, 2], 1),
    ]
    assert [i["id"] for i in points["images"]] == [i["id"] for i in whole["images"]] == [9, 10]
    real, night = whole["annotations"]
    assert real == panoptic["annotations"][0]
    assert (night["image_id"], night["file_name"], [s["iscrowd"] for s in night["segments_info"]]) == (
        10,
        "a__night.png",
        [0, 1],
    )
    assert (out / "panoptic_train2017/a__night.png").read_bytes() == (root / "panoptic_train2017/a.png").read_bytes()


def test_decisions_reject_accept_and_touch_single_labels(tmp_path):
    from datetime import UTC, datetime

    from s2st_aug.storage.decisions import Decision, to_table
    from s2st_aug.storage.naming import variant_id

    bdd(tmp_path)
    folder = write_run(tmp_path / "run", load_card("bdd100k"), tmp_path / "data", domains=("night", "rain"))
    night, rain = (variant_id("train/a b", d) for d in ("night", "rain"))
    time = datetime(2026, 1, 2, tzinfo=UTC)
    said = [
        Decision(night, None, "accept", "r", time),
        Decision(rain, None, "accept", "r", time),
        Decision(rain, None, "reject", "q", time),
    ]
    folder.append_decisions(to_table([*said, Decision(night, "2", "reject", "r", time)]))
    for only in (False, True):
        summary = export_run(tmp_path / "run", "bdd100k", tmp_path / "out", accepted_only=only)
        assert (summary.real, summary.synthetic) == (1, 1)
    _, variant = exported_records(tmp_path / "out")
    assert variant.count('"ignored": true') == 1
    assert '"name":"a b__night.jpg"' in variant


def test_balance_takes_as_many_of_every_domain(tmp_path):
    from datetime import UTC, datetime

    from s2st_aug.storage.decisions import Decision, to_table
    from s2st_aug.storage.naming import variant_id

    put(
        tmp_path,
        "data/labels/det_20/det_train.json",
        json.dumps([json.loads(RECORD) | {"name": f"{i}.jpg"} for i in range(3)]),
    )
    for i in range(3):
        image(tmp_path, f"data/images/100k/train/{i}.jpg")
    folder = write_run(tmp_path / "run", load_card("bdd100k"), tmp_path / "data", domains=("night", "rain"))
    time = datetime(2026, 1, 2, tzinfo=UTC)
    folder.append_decisions(
        to_table([Decision(variant_id(f"train/{i}", "rain"), None, "reject", "r", time) for i in (0, 1)])
    )
    export_run(tmp_path / "run", "bdd100k", tmp_path / "out", balance=True)
    counts = json.loads((tmp_path / "out/s2st_aug.lock.json").read_bytes())["counts"]["train"]["bdd100k"]
    assert (counts["night"]["images"], counts["rain"]["images"], counts["source"]["images"]) == (1, 1, 3)


def test_balance_by_class_prefers_variants_with_rare_classes(tmp_path):
    from s2st_aug.errors import UsageError

    records = [json.loads(RECORD) | {"name": f"{i}.jpg"} for i in range(60)]
    for record in records:
        record["labels"] = [label | {"category": "car"} for label in record["labels"] if "box2d" in label]
    for record in records[:5]:
        record["labels"][0]["category"] = "train"
    put(tmp_path, "data/labels/det_20/det_train.json", json.dumps(records))
    for i in range(60):
        image(tmp_path, f"data/images/100k/train/{i}.jpg")
    write_run(tmp_path / "run", load_card("bdd100k"), tmp_path / "data", domains=("night",))
    rare = {}
    for by_class in (False, True):
        summary = export_run(tmp_path / "run", "bdd100k", tmp_path / "out", mix=0.2, by_class=by_class)
        assert (summary.real, summary.synthetic) == (60, 15)
        counts = json.loads((tmp_path / "out/s2st_aug.lock.json").read_bytes())["counts"]["train"]["bdd100k"]
        rare[by_class] = counts["night"]["classes"].get("train", 0)
    assert rare[True] > rare[False], rare
    with pytest.raises(UsageError, match="needs --mix"):
        export_run(tmp_path / "run", "bdd100k", tmp_path / "out", by_class=True)


def test_rows_of_another_dataset_are_refused(tmp_path):
    bdd(tmp_path)
    table = write_run(tmp_path / "run", load_card("bdd100k"), tmp_path / "data", domains=("night",)).read_manifest()
    other = table.set_column(
        table.schema.get_field_index("dataset"), table.schema.field("dataset"), pa.array(["kitti"] * len(table))
    )
    with pytest.raises(UsageError, match=r"rows of 2 datasets \(bdd100k, kitti\)"):
        select(pa.concat_tables([table, other]), {}, ExportOptions())


def test_a_full_disk_stops_with_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    from s2st_aug.errors import Stopped
    from s2st_aug.export import output

    bdd(tmp_path)
    run = run_over(tmp_path, "bdd100k")
    monkeypatch.setattr(
        output, "_write", lambda target, make: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(Stopped, match="No space left"):
        export_run(run, "bdd100k", tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data", "run"]
