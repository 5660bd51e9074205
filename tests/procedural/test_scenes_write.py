"""The trees on disk: native formats, exact against their own masks, the same bytes again, refusals in one line."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw

from s2st_aug.cli import main
from s2st_aug.errors import UsageError
from s2st_aug.procedural.categories import CATEGORIES, NUMBER
from s2st_aug.procedural.cityscapes import polygons
from s2st_aug.procedural.files import PART, encode_png
from s2st_aug.procedural.labels import StreetLabels
from s2st_aug.procedural.write import MARK, write_scenes

SIZE = (256, 144)
CONDITIONS = ("day", "night_rain")


@pytest.fixture(scope="module")
def bdd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(
        tmp_path_factory.mktemp("s") / "bdd", 3, "bdd100k", CONDITIONS, SIZE, 7, val_share=0.34, sequences=1, frames=4
    )


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("s") / "city", 2, "cityscapes", ("day",), SIZE, 7, val_share=0.5)


def tree(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def rgba(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def records(root: Path, name: str) -> list[dict]:
    return [r for split in ("train", "val") for r in json.loads((root / "labels" / f"{name}_{split}.json").read_text())]


def test_every_condition_has_the_same_names_and_the_same_labels(bdd: Path) -> None:
    day, wet = (tree(bdd / c) for c in CONDITIONS)
    assert list(day) == list(wet)
    masks = [n for n in day if n.endswith(".png") and n.startswith("labels")]
    assert len(masks) == 3 * 4 + 4
    assert all(day[n] == wet[n] for n in masks)
    assert not any(day[n] == wet[n] for n in day if n.startswith("images"))
    assert not [n for n in day if n.endswith(PART)]


def test_det_boxes_equal_the_tight_boxes_of_the_panoptic_mask(bdd: Path) -> None:
    checked = 0
    for split in ("train", "val"):
        for record in json.loads((bdd / f"day/labels/det_20/det_{split}.json").read_text()):
            mask = rgba(bdd / f"day/labels/pan_seg/bitmasks/{split}/{record['name']}")
            ids = mask[..., 2].astype(int) * 256 + mask[..., 3]
            for label in record["labels"]:
                rows, columns = np.nonzero(ids == int(label["id"]))
                box = label["box2d"]
                assert (box["x1"], box["y1"], box["x2"], box["y2"]) == (
                    columns.min(),
                    rows.min(),
                    columns.max() + 1,
                    rows.max() + 1,
                )
                category, flags = mask[rows[0], columns[0], :2]
                assert CATEGORIES[[c.det for c in CATEGORIES].index(label["category"])].pan_id == category
                assert bool(flags & 4) == label["attributes"]["occluded"]
                assert bool(flags & 8) == label["attributes"]["truncated"]
                checked += 1
    assert checked > 10


def test_instance_bitmask_is_the_panoptic_one_for_its_eight_classes(bdd: Path) -> None:
    for path in (bdd / "day/labels/ins_seg/bitmasks").rglob("*.png"):
        instances, panoptic = (
            rgba(path),
            rgba(bdd / "day/labels/pan_seg/bitmasks" / path.relative_to(bdd / "day/labels/ins_seg/bitmasks")),
        )
        shown = instances[..., 0] > 0
        assert (instances[shown][:, 1:] == panoptic[shown][:, 1:]).all()
        assert (instances[~shown] == 0).all()


def test_signal_colours_and_image_attributes_are_bdd100ks(bdd: Path) -> None:
    lights = [lab["attributes"]["trafficLightColor"] for r in records(bdd / "day", "det_20/det") for lab in r["labels"]]
    assert set(lights) <= {"R", "G", "Y", "NA"}
    assert {r["attributes"]["timeofday"] for r in records(bdd / "day", "det_20/det")} == {"daytime"}
    wet = [r["attributes"] for r in records(bdd / "night_rain", "det_20/det")]
    assert {(a["timeofday"], a["weather"]) for a in wet} == {("night", "rainy")}


def test_lanes_and_drivable_areas_are_native_and_inside_the_image(bdd: Path) -> None:
    lanes = [lab for r in records(bdd / "day", "lane/polygons/lane") for lab in r["labels"]]
    assert lanes
    for label in lanes:
        assert label["attributes"].keys() == {"laneDirection", "laneStyle"}
        for poly in label["poly2d"]:
            assert len(poly["types"]) == len(poly["vertices"])
            assert not poly["closed"]
            assert all(-0.5 <= x <= SIZE[0] and -0.5 <= y <= SIZE[1] for x, y in poly["vertices"])


def test_drivable_polygons_fill_the_drivable_mask(bdd: Path) -> None:
    checked = 0
    for split in ("train", "val"):
        for record in json.loads((bdd / f"day/labels/drivable/polygons/drivable_{split}.json").read_text()):
            truth = rgba(bdd / f"day/labels/drivable/masks/{split}/{record['name']}") == 0
            filled = np.zeros(truth.shape, np.uint8)
            for label in record["labels"]:
                if label["category"] == "direct":
                    cv2.fillPoly(filled, [np.array(label["poly2d"][0]["vertices"], np.int32)], 1)
            if truth.sum() > 200:
                assert (truth & (filled > 0)).sum() / (truth | (filled > 0)).sum() > 0.9
                checked += 1
    assert checked


def overlap(a: dict[str, float], b: dict[str, float]) -> float:
    """Intersection over union of two boxes."""
    w = max(0.0, min(a["x2"], b["x2"]) - max(a["x1"], b["x1"]))
    h = max(0.0, min(a["y2"], b["y2"]) - max(a["y1"], b["y1"]))
    area = sum((c["x2"] - c["x1"]) * (c["y2"] - c["y1"]) for c in (a, b))
    return w * h / (area - w * h)


def test_tracks_keep_their_ids_and_their_boxes_move(bdd: Path) -> None:
    (path,) = (bdd / "day/labels/box_track_20").rglob("*.json")
    frames = json.loads(path.read_text())
    assert [f["frameIndex"] for f in frames] == [0, 1, 2, 3]
    per_frame = [{lab["id"]: lab for lab in f["labels"]} for f in frames]
    common = set(per_frame[0]) & set(per_frame[-1])
    assert common
    for number in common:
        assert len({f[number]["category"] for f in per_frame if number in f}) == 1
    assert any(per_frame[0][n]["box2d"] != per_frame[-1][n]["box2d"] for n in common)
    for before, after in pairwise(per_frame):
        kept = [n for n in before if n in after and after[n]["category"] == before[n]["category"]]
        assert len(kept) >= 0.6 * len(before)
        assert np.mean([overlap(before[n]["box2d"], after[n]["box2d"]) > 0.1 for n in kept]) >= 0.6
    for frame, labels in zip(frames, per_frame, strict=True):
        mask = rgba(bdd / "day/labels/seg_track_20/bitmasks" / path.parent.name / path.stem / frame["name"])
        ids = mask[..., 2].astype(int) * 256 + mask[..., 3]
        assert {str(i) for i in np.unique(ids)} - {"0"} == set(labels)
        assert (bdd / "day/images/track" / path.parent.name / path.stem / frame["name"]).is_file()


def test_the_pairs_table_lists_every_image_once(bdd: Path) -> None:
    table = pq.read_table(bdd / "pairs.parquet")
    assert table.num_rows == 3 + 4
    for condition in CONDITIONS:
        paths = table.column(condition).to_pylist()
        assert len(set(paths)) == 7
        assert all((bdd / p).is_file() for p in paths)
    assert set(table.column("split").to_pylist()) == {"train", "val"}


def test_cityscapes_polygons_painted_in_order_give_the_label_ids_back(city: Path) -> None:
    numbers = {c.cityscapes: c.city_id for c in CATEGORIES} | {f"{c.cityscapes}group": c.city_id for c in CATEGORIES}
    for path in (city / "day/gtFine").rglob("*_polygons.json"):
        record = json.loads(path.read_text())
        canvas = Image.new("L", (record["imgWidth"], record["imgHeight"]), 0)
        for item in record["objects"]:
            ImageDraw.Draw(canvas).polygon([tuple(p) for p in item["polygon"]], fill=numbers[item["label"]])
        truth = rgba(Path(str(path).replace("polygons.json", "labelIds.png")))
        assert (np.asarray(canvas) == truth).mean() > 0.99


def test_a_patch_inside_of_another_is_painted_after_it() -> None:
    """Sky around a building around sky: exact, whatever the order of the classes."""
    category = np.full((20, 20), NUMBER["sky"], np.uint8)
    category[3:17, 3:17] = NUMBER["building"]
    category[6:14, 6:14] = NUMBER["sky"]
    category[8:12, 8:12] = NUMBER["vegetation"]
    labels = StreetLabels(category, np.zeros((20, 20), np.int32), (), (), category, ())
    canvas = Image.new("L", (20, 20), 0)
    for item in polygons(labels)["objects"]:
        ImageDraw.Draw(canvas).polygon([tuple(p) for p in item["polygon"]], fill=NUMBER[item["label"]])
    assert (np.asarray(canvas) == category).all()


def test_cityscapes_masks_agree_with_one_another(city: Path) -> None:
    train = {c.city_id: c.train_id for c in CATEGORIES}
    colour = {c.city_id: c.colour for c in CATEGORIES}
    for path in (city / "day/gtFine").rglob("*_labelIds.png"):
        ids, instances = rgba(path), rgba(Path(str(path).replace("labelIds", "instanceIds")))
        assert instances.dtype == np.uint16 or instances.dtype == np.int32
        assert (np.where(instances >= 1000, instances // 1000, instances) == ids).all()
        assert (rgba(Path(str(path).replace("labelIds", "labelTrainIds"))) == np.vectorize(train.get)(ids)).all()
        shown = rgba(Path(str(path).replace("labelIds", "color")))
        assert all((shown[ids == k][:, :3] == colour[k]).all() for k in np.unique(ids))


def test_the_same_command_gives_the_same_bytes_and_leaves_a_finished_folder_alone(tmp_path: Path) -> None:
    first, second = (write_scenes(tmp_path / n, 2, "bdd100k", ("dusk",), (96, 54), 4) for n in "ab")
    assert tree(first) == tree(second)
    stamp = (first / "pairs.parquet").stat().st_mtime_ns
    write_scenes(first, 2, "bdd100k", ("dusk",), (96, 54), 4)
    assert (first / "pairs.parquet").stat().st_mtime_ns == stamp


def test_a_folder_that_a_kill_left_is_completed(tmp_path: Path) -> None:
    whole = write_scenes(tmp_path / "whole", 2, "bdd100k", ("day",), (96, 54), 4)

    def stop(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_scenes(tmp_path / "cut", 2, "bdd100k", ("day",), (96, 54), 4, tell=stop)
    assert tree(write_scenes(tmp_path / "cut", 2, "bdd100k", ("day",), (96, 54), 4)) == tree(whole)


@pytest.mark.parametrize("format", ["bdd100k", "cityscapes"])
def test_no_scenes_at_all_is_a_complete_empty_tree(tmp_path: Path, format: str) -> None:
    out = write_scenes(tmp_path / "none", 0, format, ("day",), (64, 36), 0)
    assert pq.read_table(out / "pairs.parquet").num_rows == 0
    if format == "bdd100k":
        assert json.loads((out / "day/labels/det_20/det_train.json").read_text()) == []


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"conditions": ("nigth",)}, "did you mean 'night'"),
        ({"conditions": ("day", "day")}, "different conditions"),
        ({"format": "coco"}, "unknown format 'coco'"),
        ({"count": -1}, "0 or more"),
        ({"size": (8, 8)}, "16x16"),
        ({"val_share": 1.5}, "between 0 and 1"),
    ],
)
def test_a_request_that_makes_no_sense_is_one_line(tmp_path: Path, change: dict, text: str) -> None:
    asked = {"count": 1, "format": "bdd100k", "conditions": ("day",), "size": (64, 36), "rng_key": 0} | change
    with pytest.raises(UsageError, match=text):
        write_scenes(tmp_path / "x", **asked)
    assert not (tmp_path / "x").exists()


def test_a_foreign_folder_and_other_scenes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="to be empty"):
        write_scenes(tmp_path, 1, "bdd100k", ("day",), (64, 36), 0)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]
    out = write_scenes(tmp_path / "ours", 0, "bdd100k", ("day",), (64, 36), 0)
    with pytest.raises(UsageError, match=MARK):
        write_scenes(out, 0, "bdd100k", ("day",), (64, 36), 1)


@pytest.mark.parametrize("shape", [(5, 7, 3), (5, 7, 4), (5, 7), (1, 1)])
@pytest.mark.parametrize("photo", [False, True])
def test_png_files_are_lossless(shape: tuple[int, ...], photo: bool, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    (tmp_path / "x.png").write_bytes(encode_png(image, photo=photo))
    assert (rgba(tmp_path / "x.png") == image).all()


def test_sixteen_bit_png_files_are_lossless(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 65536, (6, 9)).astype(np.uint16)
    (tmp_path / "x.png").write_bytes(encode_png(image))
    assert (cv2.imread(str(tmp_path / "x.png"), cv2.IMREAD_UNCHANGED) == image).all()


def test_the_command_line_writes_scenes_and_explains_a_bad_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as done:
        main(
            [
                "scenes",
                str(tmp_path / "o"),
                "--count",
                "1",
                "--format",
                "cityscapes",
                "--conditions",
                "day",
                "--size",
                "64x36",
            ]
        )
    assert done.value.code == 0
    assert (tmp_path / "o/day/leftImg8bit").is_dir()
    with pytest.raises(SystemExit) as refused:
        main(["scenes", str(tmp_path / "p"), "--count", "1", "--format", "bdd100k", "--size", "big"])
    assert refused.value.code == 2
    assert "WIDTHxHEIGHT" in capsys.readouterr().err
