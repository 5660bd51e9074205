"""Small datasets as users' reports describe them, exported and read back by their consumers' rules."""

from __future__ import annotations

import io
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from cases import case_files
from PIL import Image

from s2st_aug.errors import DatasetError, UsageError
from s2st_aug.export import ExportSummary, export_run
from s2st_aug.feed.forms import mmdetection_dataset
from s2st_aug.formats import load_card, read_scenes
from s2st_aug.formats.base import ConsumerView
from s2st_aug.formats.registry import FORMATS, find_format
from s2st_aug.testing.runs import write_run

Exported = Callable[..., tuple[Path, ExportSummary, ConsumerView]]


@pytest.fixture
def case(tmp_path: Path) -> Callable[[str], tuple[Path, str, str]]:
    """A copy of a case by its number: its root, format and split."""

    return lambda number: case_files(int(number), tmp_path / "data")


@pytest.fixture
def exported(tmp_path: Path, case) -> Exported:
    """A case out in a format, and what that format's consumers find."""

    def make(number: str, target: str | None = None, verdicts=None, **options):
        root, format, split = case(number) if not (tmp_path / "data").exists() else (tmp_path / "data", *told[number])
        told[number] = (format, split)
        if not (tmp_path / "run").exists():
            more = {"verdicts": verdicts} if verdicts else {}
            write_run(tmp_path / "run", load_card(format), root, split, **more)
        target = target or format
        out = tmp_path / f"out-{target}"
        summary = export_run(tmp_path / "run", target, out, **options)
        view = find_format(target).open_export(load_card(target), out, split)
        return out, summary, view

    told: dict[str, tuple[str, str]] = {}
    return make


def losses(out: Path) -> dict[str, int]:
    found = Counter()
    for loss in json.loads((out / "loss_report.json").read_bytes())["losses"]:
        found[loss["what"]] += loss["count"]
    return dict(found)


def lock(out: Path) -> dict:
    return json.loads((out / "s2st_aug.lock.json").read_bytes())


@pytest.mark.parametrize("target", ["yolo", "coco"])
def test_an_export_lists_the_datasets_own_classes_by_their_ids(exported, target):
    out, _, view = exported("03", target)
    if target == "yolo":
        assert view.classes == ("pothole", "car", "traffic cone")
        assert yaml.safe_load((out / "data.yaml").read_bytes())["names"] == dict(enumerate(view.classes))
    assert set(view.classes) == {"pothole", "car", "traffic cone"}
    assert lock(out)["classes"] == list(view.classes)


def test_kitti_gets_no_class_that_the_data_has_not(exported):
    _, _, view = exported("03", "kitti")
    assert set(view.classes) <= {"pothole", "Car", "car", "traffic cone"}


def test_roboflows_valid_is_the_val_split_and_its_unused_list_of_names_is_not_cocos(exported, tmp_path):
    out, summary, view = exported("08", "yolo", with_val=True)
    assert view.classes == ("road-things", "car", "walker")
    assert (summary.real, summary.synthetic, summary.held_out) == (1, 1, 1)
    held_out = find_format("yolo").open_export(load_card("yolo"), out, "val")
    assert list(held_out.images) == ["images/val/pic_jpg.rf.valid0001.jpg"]
    assert not summary.notes
    assert [s.image for s in read_scenes(load_card("coco"), tmp_path / "data", "val")] == [
        "valid/pic_jpg.rf.valid0001.jpg"
    ]


def test_with_val_copies_roboflows_valid_as_it_is(exported, tmp_path):
    out, _, _ = exported("08", with_val=True)
    for name in ("valid/_annotations.coco.json", "valid/pic_jpg.rf.valid0001.jpg"):
        assert (out / name).read_bytes() == (tmp_path / "data" / name).read_bytes()


@pytest.mark.parametrize("target", FORMATS)
def test_equal_names_in_folders_are_three_images_in_every_format(exported, target):
    if target == "cityscapes":
        pytest.skip("boxes have no outline there; the names are tested below")
    out, summary, view = exported("09", target)
    assert (summary.real, summary.synthetic, len(view.images)) == (3, 3, 6)
    assert all(sum(view.images[name].values()) == 1 for name in view.images)
    place = {name: tuple(where) for name, where in lock(out)["names"].items()}
    assert len(set(place.values())) == 6
    assert {scene for scene, source in place.values() if source == "real"} == {
        "train/left/0001",
        "train/right/0001",
        "train/left_0001",
    }


def test_the_names_are_the_same_in_all_conversions(exported):
    stems = {}
    for target in ("bdd100k", "cityscapes", "yolo", "kitti"):
        out, _, _ = exported("09", target)
        for name, (scene, source) in lock(out)["names"].items():
            if source == "real":
                stem = Path(name).stem.removesuffix("_000000_leftImg8bit").removeprefix("coco_")
                stems.setdefault(scene, set()).add(stem.replace("_", "-"))
    assert all(len(found) == 1 for found in stems.values()), stems


def test_boxes_that_detectron_stops_at_are_told(exported):
    out, _, _ = exported("11", "coco")
    assert losses(out)["consumer"] >= 1


@pytest.mark.parametrize("target", ["yolo", "coco", "kitti"])
def test_a_file_of_boxes_and_outlines_goes_out_in_one_form(exported, target):
    out, _, view = exported("15", target)
    assert all(counts.total() == 2 for counts in view.images.values())
    assert ("consumer" in losses(out)) == (target == "yolo")  # carried natively: told


@pytest.mark.parametrize("with_val", [False, True])
def test_an_absolute_train_leads_to_the_export(exported, tmp_path, with_val):
    out, summary, view = exported("16", with_val=with_val)
    assert set(view.images) == {"images/train/a.jpg", "images/train/a__night.jpg"}
    text = (out / "data.yaml").read_text()
    assert str(tmp_path / "data") not in text
    assert "names: [car, person]" in text
    assert bool(summary.notes) != with_val
    if with_val:
        held_out = find_format("yolo").open_export(load_card("yolo"), out, "val")
        assert set(held_out.images) == {"images/val/v.jpg"}


@pytest.mark.parametrize("target", ["yolo", "coco", "kitti", "bdd100k"])
def test_two_folders_with_equal_names_are_two_scenes(exported, target):
    out, summary, view = exported("17", target)
    assert (summary.real, summary.synthetic) == (2, 2)
    real = [view.images[n] for n, place in lock(out)["names"].items() if place[1] == "real"]
    assert len({tuple(counts) for counts in real}) == 2


def test_a_val_folder_that_is_trained_on_gets_no_variant(exported):
    out, summary, _ = exported("17", with_val=True)
    assert "val" not in yaml.safe_load((out / "data.yaml").read_bytes())
    assert losses(out)["held-out split"] == 1
    assert summary.notes


def test_of_a_val_that_is_trained_on_in_part_the_rest_goes_along(case, tmp_path):
    root, _, _ = case("17")
    for kind, suffix in (("images", "jpg"), ("labels", "txt")):
        (root / "cam2" / kind).mkdir(parents=True)
        shutil.copy(root / f"cam1/{kind}/0001.{suffix}", root / f"cam2/{kind}/0002.{suffix}")
    text = (root / "data.yaml").read_text().replace("val: cam0/images", "val: [cam0/images, cam2/images]")
    (root / "data.yaml").write_text(text)
    write_run(tmp_path / "run", load_card("yolo"), root, "train")
    summary = export_run(tmp_path / "run", "yolo", tmp_path / "out", with_val=True)
    assert summary.held_out == 1
    assert yaml.safe_load((tmp_path / "out/data.yaml").read_bytes())["val"] == "cam2/images"
    held_out = find_format("yolo").open_export(load_card("yolo"), tmp_path / "out", "val")
    assert set(held_out.images) == {"cam2/images/0002.jpg"}


def test_a_list_leads_to_what_lies_beside_it(exported):
    out, _, view = exported("18")
    assert set(view.images) == {"splits/images/a.jpg", "splits/images/a__night.jpg"}
    assert (out / "splits/train.txt").read_text() == "./images/a.jpg\n./images/a__night.jpg\n"
    assert all(counts.total() for counts in view.images.values())


@pytest.mark.parametrize("text", [None, "val: images/val\n", "nc: 3"])
def test_a_tree_without_train_or_names_gets_both(case, tmp_path, text):
    root, _, split = case("19")
    if text:
        (root / "data.yaml").write_text(text)
    write_run(tmp_path / "run", load_card("yolo"), root, split)
    export_run(tmp_path / "run", "yolo", tmp_path / "out")
    view = find_format("yolo").open_export(load_card("yolo"), tmp_path / "out", split)
    assert len(view.images) == 2
    assert view.classes == ("pothole", "cone", "car")


def test_two_files_with_one_label_are_named(case):
    root, format, split = case("24")
    with pytest.raises(DatasetError, match=r"images/train/a.jpg and images/train/a.png"):
        list(read_scenes(load_card(format), root, split))


def test_a_class_that_is_not_listed_is_told(exported):
    out, _, _ = exported("22")
    assert losses(out)["consumer"] == 2


@pytest.mark.parametrize("number", ["13", "25"])
def test_pose_and_oriented_boxes_are_carried_byte_for_byte(exported, tmp_path, number):
    out, _, _ = exported(number)
    label = (tmp_path / "data/labels/train/a.txt").read_bytes()
    assert (out / "labels/train/a__night.txt").read_bytes() == label


@pytest.mark.parametrize("target", ["yolo", "coco", "kitti"])
def test_files_that_are_no_images_are_neither_shipped_nor_counted(exported, target):
    out, summary, view = exported("37", target)
    refused = {"gz", "gifnamed", "zero", "cut"}
    assert not {Path(name).stem for name in view.images} & refused
    assert summary.real == lock(out)["counts"]["train"]["yolo"]["source"]["images"] == len(view.images) / 2
    assert losses(out)["image"] == len(refused)
    for name in view.images:
        with Image.open(out / name) as image:
            image.load()
        assert not {p.name for p in out.rglob("*")} & {f"{stem}.jpg" for stem in refused}


def test_the_source_keeps_its_bytes_whatever_a_trainer_does_to_the_export(exported, tmp_path):
    out, _, view = exported("38")
    before = (tmp_path / "data/images/train/a.jpg").read_bytes()
    for name in view.images:
        (out / name).write_bytes(b"restored")
    assert (tmp_path / "data/images/train/a.jpg").read_bytes() == before


def test_val_leads_to_held_out_images_or_a_line_says_what_to_do(exported):
    _, summary, _ = exported("39")
    assert "--with-val" in summary.notes[0]
    out, summary, _ = exported("39", with_val=True)
    assert not summary.notes
    assert set(find_format("yolo").open_export(load_card("yolo"), out, "val").images) == {"images/val/aval.jpg"}


@pytest.mark.parametrize("source", ["39", "03"])
@pytest.mark.parametrize("lost", ["paint", "drop-label"])
def test_ignore_means_the_same_from_yolo_and_from_coco(exported, lost, source):
    out, _, view = exported(source, "yolo", verdicts=lambda s, o: "ignore", lost=lost)
    for name, (_, shown) in lock(out)["names"].items():
        assert bool(view.images[name]) == (shown == "real")
        if shown != "real":
            pixels = np.asarray(Image.open(io.BytesIO((out / name).read_bytes())).convert("RGB"))
            grey = (np.abs(pixels.astype(int) - 114) < 8).all(axis=-1).mean()
            assert (grey > 0.01) == (lost == "paint")
    assert losses(out)["label to ignore"]
    assert lock(out)["settings"]["lost"] == lost


def test_an_image_with_a_label_to_ignore_is_left_out_where_that_is_asked(exported):
    verdicts = lambda scene, item: "ignore" if scene.scene_id == "train/1" else "keep"  # noqa: E731
    out, summary, _ = exported("03", "yolo", verdicts=verdicts, lost="drop-image")
    assert (summary.real, summary.synthetic) == (2, 1)
    assert losses(out)["variant"] == 1


def test_lists_by_source_and_metadata_name_every_image(exported):
    out, _, view = exported("39")
    lists = {p.stem: p.read_text().split() for p in out.glob("train_*.txt")}
    assert lists == {"train_real": ["./images/train/atrain.jpg"], "train_night": ["./images/train/atrain__night.jpg"]}
    rows = [json.loads(line) for line in (out / "metadata.jsonl").read_text().splitlines()]
    assert {row["file_name"]: row["source"] for row in rows} == {
        name: "night" if "night" in name else "real" for name in view.images
    }


def test_bdd100k_frames_say_their_size(exported):
    out, _, _ = exported("39", "bdd100k")
    frames = json.loads((out / "labels/det_20/det_train.json").read_bytes())
    for frame in frames:
        with Image.open(out / "images/100k/train" / frame["name"]) as image:
            assert frame["size"] == {"width": image.width, "height": image.height}


@pytest.mark.parametrize("split", ["train", "val"])
def test_mmdetections_helper_finds_roboflows_annotations_and_images(exported, split):
    out, _, _ = exported("08", with_val=True)
    made = mmdetection_dataset(out, split)
    assert made["metainfo"] == {"classes": ("road-things", "car", "walker")}
    found = json.loads((out / made["ann_file"]).read_bytes())
    assert len(found["images"]) == (2 if split == "train" else 1)
    assert all((out / made["data_prefix"]["img"] / entry["file_name"]).is_file() for entry in found["images"])


def test_mmdetections_helper_names_where_it_looked(tmp_path):
    with pytest.raises(UsageError, match=r"_annotations\.coco\.json"):
        mmdetection_dataset(tmp_path)


@pytest.mark.parametrize("target", ["coco", "yolo", "kitti", "bdd100k", "cityscapes"])
def test_what_was_unsound_in_the_source_is_ignored_in_variants_of_every_format(exported, target):
    """Five labels of an image have a good box and a broken outline: only their own format carries them as they are."""
    out, _, view = exported("06", target)
    real, variant = (
        next(n for n, p in lock(out)["names"].items() if tuple(p) == ("train/a", s)) for s in ("real", "night")
    )
    if target == "coco":
        assert (view.images[real].total(), view.images[variant].total(), view.ignored[variant]) == (5, 5, 0)
    elif target == "yolo":
        assert (view.images[real].total(), view.images[variant].total()) == (5, 0)
        pixels = np.asarray(Image.open(out / variant).convert("RGB")).astype(int)[92:128, 42:98]
        assert (np.abs(pixels - 114) < 8).mean() > 0.99
        assert losses(out)["label to ignore"] == 5
    elif target == "cityscapes":
        assert view.images[variant].total() == 0
    else:
        assert (view.images[real].total(), view.ignored[real], view.ignored[variant]) == (5, 0, 5)


@pytest.mark.parametrize("target", ["cityscapes", "bdd100k", "kitti"])
def test_the_lock_counts_what_was_written_not_what_the_run_had(exported, target):
    out, _, view = exported("03", target)
    counts = lock(out)["counts"]["train"]["coco"]
    for domain, place in (("source", "real"), ("night", "night")):
        written = Counter()
        for name, (_, shown) in lock(out)["names"].items():
            written.update(view.images[name] if shown == place else ())
        assert counts[domain]["classes"] == dict(sorted(written.items()))
    assert (sum(counts["source"]["classes"].values()) == 0) == (target == "cityscapes")


def test_an_image_whose_labels_do_not_fit_is_left_out_natively_too_and_told(case, tmp_path):
    root, card, split = case("03")
    path = root / "annotations/instances_train2017.json"
    data = json.loads(path.read_bytes())
    data["images"][1] |= {"width": 512, "height": 320}
    path.write_text(json.dumps(data))
    write_run(tmp_path / "run", load_card(card), root, split)
    for target in ("coco", "yolo"):
        summary = export_run(tmp_path / "run", target, tmp_path / target)
        assert (summary.real, summary.synthetic) == (1, 1)
        assert losses(tmp_path / target)["scene"] == 1


@pytest.mark.parametrize("target", ["coco", "yolo"])
def test_scaled_labels_are_told_where_they_are_carried_as_they_were(case, tmp_path, target):
    root, card, split = case("01")
    write_run(tmp_path / "run", load_card(card).model_copy(update={"rescale_labels": True}), root, split)
    summary = export_run(tmp_path / "run", target, tmp_path / "out")
    said = losses(tmp_path / "out").get("declared size", 0)
    assert (said, len([n for n in summary.notes if "another size" in n])) == ((1, 1) if target == "coco" else (0, 0))
    if target == "yolo":
        values = [float(v) for v in (tmp_path / "out/labels/train/000001.txt").read_text().split("\n")[0].split()[1:]]
        assert np.multiply(values, [256, 160, 256, 160]).round().tolist() == [70, 110, 60, 40]


def test_a_reflink_is_a_file_of_its_own_and_a_disk_that_has_none_is_told(exported, tmp_path):
    out, summary, view = exported("38", link="reflink")
    source = tmp_path / "data/images/train/a.jpg"
    assert (out / "images/train/a.jpg").read_bytes() == source.read_bytes()
    assert not (out / "images/train/a.jpg").samefile(source)
    before = source.read_bytes()
    for name in view.images:
        (out / name).write_bytes(b"restored")
    assert source.read_bytes() == before
    assert all("--link reflink" in note for note in summary.notes if "--link" in note)


def test_a_label_with_no_part_in_the_image_gets_no_line_of_yolo(exported):
    """Ultralytics and supervision read a box without width as one."""
    out, _, _ = exported("11", "yolo")
    rows = [line.split() for path in (out / "labels/train").iterdir() for line in path.read_text().splitlines()]
    assert len(rows) == 4
    assert all(float(v) > 0 for row in rows for v in row[3:5])
    assert losses(out)["box"] == 1
