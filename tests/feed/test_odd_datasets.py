"""Feeds over data sets that are not the plain one: KITTI's split, labels told twice, files that changed or broke."""

from __future__ import annotations

import json
from contextlib import nullcontext

import pytest
import torch
from torch.utils.data import DataLoader

from s2st_aug.errors import CheckFailed, SourceChanged, UsageError
from s2st_aug.feed import FeedReceipt, Mix, open_feed
from s2st_aug.feed.dataset import RunDataset, collate
from s2st_aug.feed.forms import mmdetection_dataset, torchvision_detection
from s2st_aug.feed.shards import write_shards
from s2st_aug.formats import load_card
from s2st_aug.testing.runs import write_run
from s2st_aug.testing.trees import write_tree


@pytest.fixture
def made(tmp_path):
    """Writes a small tree of a format, changes it by a function, and makes a run over it; its root and run."""

    def make(format, change=lambda root: None, **more):
        root = tmp_path / "data"
        split = write_tree(format, root)
        change(root)
        write_run(tmp_path / "run", load_card(format), root, split, **more)
        return root, tmp_path / "run"

    return make


def trained_once(index) -> None:
    """One honest epoch, held to the locked mix."""
    loader = DataLoader(RunDataset(index), batch_size=2, shuffle=True, collate_fn=collate)
    with FeedReceipt(loader, Mix.of(index)) as receipt:
        assert sum(len(batch["sample_id"]) for batch in receipt) == len(index.entries)


@pytest.mark.parametrize("format", ["bdd100k", "cityscapes", "coco", "yolo", "kitti"])
def test_the_mix_of_a_feed_is_of_the_run_s_own_split_in_every_format(made, format):
    _, run = made(format)
    trained_once(open_feed(run))


def add_keypoints(root) -> None:
    """The persons of an instances file once more, as COCO 2017 has them, and one that stands there alone."""
    content = json.loads((root / "annotations/instances_train2017.json").read_text())
    first = content["annotations"][0]
    more = {"id": 7, "image_id": first["image_id"], "category_id": 90, "bbox": [1, 2, 6, 7], "iscrowd": 0}
    content["annotations"] = [a | {"keypoints": [3, 4, 2]} for a in (first, more)]
    content["categories"] = [*content["categories"], {"id": 90, "name": "bicycle", "keypoints": ["hub"]}]
    (root / "annotations/person_keypoints_train2017.json").write_text(json.dumps(content))


def test_a_thing_that_two_files_tell_of_is_trained_on_once(made):
    _, run = made("coco", add_keypoints)
    index = open_feed(run)
    for entry in index.entries:
        ids = [o.object_id for o in index.read(entry).trained]
        twins = [i for i in ids if i.startswith("keypoints/")]
        assert twins == ["keypoints/7"]  # its class is in no other file
        assert len(ids) > 1


def lost_first(scene, item):
    return "lost" if item.object_id == "0" else "keep"


def test_labels_that_were_changed_since_the_run_are_refused(made):
    root, run = made("yolo", verdicts=lost_first)
    file = next((root / "labels/train").glob("*.txt"))
    file.write_text("0 0.8 0.8 0.1 0.1\n" + file.read_text())
    with pytest.raises(SourceChanged, match="label record in labels/train"):
        open_feed(run)


def test_annotations_that_were_changed_beside_their_image_s_record_are_refused_where_they_are_read(made):
    root, run = made("coco")
    file = root / "annotations/instances_train2017.json"
    content = json.loads(file.read_text())
    content["annotations"][0]["bbox"] = [0, 0, 3, 3]
    content["annotations"][0].pop("segmentation", None)
    file.write_text(json.dumps(content))
    index = open_feed(run)
    with pytest.raises(SourceChanged, match="lies elsewhere"):
        [index.read(entry) for entry in index.entries]


def break_an_image(root) -> None:
    data = (root / "images/train").glob("*")
    first = next(p for p in data if p.is_file())
    (first.parent / "broken.png").write_bytes(first.read_bytes()[:99])
    (root / "labels/train/broken.txt").write_text("0 0.5 0.5 0.2 0.2\n")


def break_a_record(root) -> None:
    file = root / "labels/det_20/det_train.json"
    frames = json.loads(file.read_text())
    (root / "images/100k/train/broken.jpg").write_bytes((root / "images/100k/train" / frames[0]["name"]).read_bytes())
    file.write_text(json.dumps([*frames, {"name": "broken.jpg", "labels": 5}]))


@pytest.mark.parametrize(("format", "change"), [("yolo", break_an_image), ("bdd100k", break_a_record)])
def test_a_scene_that_nobody_could_read_is_left_out_and_told(made, caplog, format, change):
    _, run = made(format, change)
    index = open_feed(run)
    assert not [e for e in index.entries if "broken" in e.scene.scene_id]
    assert "train/broken" in caplog.text
    trained_once(index)


def test_scenes_whose_names_differ_in_their_dots_alone_have_shards_keys_of_their_own(made, tmp_path):
    webdataset = pytest.importorskip("webdataset")

    def name_alike(root):
        first = next(p for p in (root / "images/train").iterdir() if p.is_file())
        for stem in ("x.y", "x_y"):
            (first.parent / f"{stem}.png").write_bytes(first.read_bytes())
            (root / f"labels/train/{stem}.txt").write_text("0 0.5 0.5 0.2 0.2\n")

    _, run = made("yolo", name_alike)
    index = open_feed(run)
    paths = write_shards(index, str(tmp_path / "shards"))
    rows = list(webdataset.WebDataset([str(p) for p in paths], shardshuffle=False).decode().to_tuple("json"))
    assert sorted(label["sample_id"] for (label,) in rows) == sorted(e.sample_id for e in index.entries)


def test_shards_of_an_earlier_call_do_not_stay_beside_new_ones(made, tmp_path):
    _, run = made("yolo")
    index = open_feed(run)
    write_shards(index, tmp_path / "shards", per_shard=1)
    paths = write_shards(index, tmp_path / "shards")
    assert sorted((tmp_path / "shards").iterdir()) == paths


def test_torchvision_models_are_never_shown_a_label_to_ignore(made):
    _, run = made("yolo", verdicts=lost_first)
    index = open_feed(run)
    classes = {name: i for i, name in enumerate(sorted({c for t in Mix.of(index).tags.values() for c in t.classes}), 1)}
    for entry in index.entries:
        sample = index.read(entry)
        item = torchvision_detection(sample, classes)
        expected = torch.tensor([o.bbox for o in sample.trained], dtype=torch.float32).reshape(-1, 4)
        assert torch.equal(item["target"]["boxes"], expected)
        lost = entry.synthetic and bool(sample.ignored)
        assert len(item["ignored"]) == len(sample.ignored) == len(entry.ignored)
        assert item["target"]["iscrowd"].sum() == 0
        left = torchvision_detection(sample, classes, lost="drop-label")["image"]
        assert torch.equal(left, torch.from_numpy(sample.image.copy()).permute(2, 0, 1) / 255)
        assert torch.equal(item["image"], left) is not lost


def test_the_file_of_a_receipt_says_whether_it_held(made, tmp_path):
    _, run = made("yolo")
    index = open_feed(run)
    ids = [e.sample_id for e in index.entries]

    def written(batches) -> tuple:
        receipt = FeedReceipt([{"sample_id": batch} for batch in batches], Mix.of(index))
        with pytest.raises(CheckFailed) if batches != [ids] else nullcontext(), receipt:
            for _ in receipt:
                receipt.write(tmp_path / "open.json")
                assert json.loads((tmp_path / "open.json").read_text())["holds"] is None
        receipt.write(tmp_path / "receipt.json")
        told = json.loads((tmp_path / "receipt.json").read_text())
        return told["holds"], told["failure"]

    assert written([ids]) == (True, None)
    for batches, why in (([ids[1:]], "left out 1"), ([[*ids, "stranger"]], "stranger"), ([], "epoch of 0 images")):
        holds, failure = written(batches)
        assert holds is False
        assert why in failure


def test_a_folder_may_be_text_and_domains_a_list_of_one_at_least(made, tmp_path):
    _, run = made("yolo")
    with pytest.raises(UsageError, match="is it a COCO export"):
        mmdetection_dataset(str(tmp_path))
    with pytest.raises(UsageError, match="domains: expected a list of names"):
        open_feed(run, domains=[])
