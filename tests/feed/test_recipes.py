"""The recipes of docs/training.md: run where the library is installed, held against its documented form where not."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch.utils.data import DataLoader

from s2st_aug.feed import FeedReceipt, Mix, open_feed
from s2st_aug.feed.dataset import RunDataset
from s2st_aug.feed.forms import detectron2_dicts, huggingface_rows, mmdetection_dataset, torchvision_detection
from s2st_aug.feed.shards import write_shards
from s2st_aug.testing.reviewed_runs import FakeRun, make_run

CLASSES = {"car": 1, "pedestrian": 2, "traffic light": 3}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("recipes") / "run", FakeRun(scenes=3, statuses=("ok",)))


@pytest.fixture(scope="module")
def index(run):
    return open_feed(run)


class Tiny(torch.nn.Module):
    """Counts of three classes from a photo."""

    def __init__(self):
        super().__init__()
        self.conv, self.line = torch.nn.Conv2d(3, 4, 3, stride=4), torch.nn.Linear(4, 3)

    def forward(self, image):
        return self.line(self.conv(image).mean((2, 3)))


def learn(batches):
    """One update per batch of `image` (float, b 3 h w) and `counts` (b 3); True where the weights moved."""
    network = Tiny()
    before = network.line.weight.detach().clone()
    optimiser = torch.optim.SGD(network.parameters(), 0.1)
    for image, counts in batches:
        optimiser.zero_grad()
        torch.nn.functional.mse_loss(network(image), counts).backward()
        optimiser.step()
    return not torch.equal(before, network.line.weight)


def counted(categories):
    return torch.tensor([sum(c == name for c in categories) for name in CLASSES], dtype=torch.float32)


def test_plain_pytorch_trains_and_the_receipt_holds(index):
    def transform(sample):
        image = torch.from_numpy(sample.image.copy()).permute(2, 0, 1).float() / 255
        return {"image": image, "counts": counted(o.category for o in sample.trained)}

    with FeedReceipt(DataLoader(RunDataset(index, transform), batch_size=3, shuffle=True), Mix.of(index)) as receipt:
        assert learn((b["image"], b["counts"]) for b in receipt)
    assert receipt.epochs[0].domains == index.images_by_domain()


def test_torchvision_targets_are_what_its_detection_models_document(index):
    sample = index.read(next(e for e in index.entries if e.synthetic))
    made = torchvision_detection(sample, CLASSES)
    target, (_, _, width) = made["target"], made["image"].shape
    assert made["image"].dtype == torch.float32 and float(made["image"].max()) <= 1
    assert target["boxes"].dtype == torch.float32 and target["labels"].dtype == torch.int64
    assert len(target["boxes"]) == len(target["labels"]) == len(target["area"]) == len(target["iscrowd"])
    assert (target["boxes"][:, 2:] > target["boxes"][:, :2]).all() and float(target["boxes"][:, 2].max()) <= width
    assert int(target["labels"].min()) >= 1, "0 is the background in torchvision"
    ignored = {o.object_id for o in sample.ignored if o.category in CLASSES and o.kind == "box"}
    assert len(made["ignored"]) == len(ignored) > 0
    assert len(target["boxes"]) == len([o for o in sample.trained if o.category in CLASSES and o.kind == "box"])
    assert not target["iscrowd"].any()
    assert learn([(made["image"][None], counted(["car"] * int((target["labels"] == 1).sum()))[None])])


def test_detectron2_dicts_hold_every_image_with_known_keys(index):
    rows = detectron2_dicts(index, {name: i for i, name in enumerate(CLASSES)})
    assert len(rows) == len(index.entries) and len({r["image_id"] for r in rows}) == len(rows)
    assert all({"file_name", "image_id", "height", "width", "annotations"} == set(r) for r in rows)
    assert all(os.path.isfile(r["file_name"]) for r in rows)  # noqa: PTH113  as its mapper opens it
    assert {a["bbox_mode"] for r in rows for a in r["annotations"]} == {0}
    assert {a["category_id"] for r in rows for a in r["annotations"]} <= {0, 1, 2}
    json.dumps(rows)  # its workers serialise them


def test_huggingface_datasets_decode_and_train(index, tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = list(huggingface_rows(index))
    assert {r["domain"] for r in rows} == {"source", "night", "rain"}
    made = (
        datasets.Dataset.from_list(rows)
        .cast_column("image", datasets.Image())
        .with_format("torch", columns=["image"], output_all_columns=True)
    )
    assert len(made) == len(index.entries)
    assert torch.equal(made[0]["image"], torch.from_numpy(index.read(index.entries[0]).image.copy()).permute(2, 0, 1))
    kept = [
        [c for c, ignored in zip(r["objects"]["category"], r["objects"]["ignored"], strict=True) if not ignored]
        for r in made
    ]
    assert learn(
        (row["image"][None].float() / 255, counted(names)[None]) for row, names in zip(made, kept, strict=True)
    )


def test_webdataset_reads_the_shards_and_trains(index, tmp_path):
    webdataset = pytest.importorskip("webdataset")
    paths = write_shards(index, tmp_path / "shards", per_shard=4)
    data = (
        webdataset.WebDataset([str(p) for p in paths], shardshuffle=False)
        .decode("torchrgb8")
        .to_tuple("png;jpg;jpeg", "json")
    )
    rows = list(data)
    assert sorted(label["sample_id"] for _, label in rows) == sorted(e.sample_id for e in index.entries)
    assert np.array_equal(rows[0][0].numpy(), index.read(index.entries[0]).image.transpose(2, 0, 1))
    with FeedReceipt(data, Mix.of(index), identify=lambda batch: [batch[1]["sample_id"]]) as receipt:
        assert learn((i[None].float() / 255, counted(o["category"] for o in x["objects"])[None]) for i, x in receipt)


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    from s2st_aug.cli import main

    out = tmp_path_factory.mktemp("exported")
    for name in ("yolo", "coco"):
        with pytest.raises(SystemExit) as stop:
            main(["export", str(run.path), "--format", name, "--out", str(out / name)])
        assert stop.value.code == 0
    return out


def test_ultralytics_finds_images_and_labels_from_any_working_directory(exported, index, tmp_path, monkeypatch):
    """As `ultralytics.data.utils.check_det_dataset` documents.

    The folder is `path`, or the file's own where there is none.
    """
    monkeypatch.chdir(tmp_path)
    data = yaml.safe_load((exported / "yolo/data.yaml").read_text())
    assert {"train", "val", "names"} <= set(data) and not data.get("path"), (
        "a relative path would be sought in the working directory"
    )
    images = sorted((exported / "yolo" / data["train"]).iterdir())
    assert len(images) == len(index.entries)
    for image in images:
        lines = (
            (exported / "yolo/labels" / image.relative_to(exported / "yolo/images"))
            .with_suffix(".txt")
            .read_text()
            .splitlines()
        )
        numbers = np.array([[float(v) for v in line.split()] for line in lines])
        assert (
            len(lines)
            and (numbers[:, 1:] >= 0).all()
            and (numbers[:, 1:] <= 1).all()
            and numbers[:, 0].max() < len(data["names"])
        )


def test_mmdetection_s_coco_dataset_finds_annotations_classes_and_images(exported, index):
    """CocoDataset opens `data_root / ann_file` with pycocotools and each image below `data_prefix.img`.

    Classes by `metainfo`.
    """
    from pycocotools.coco import COCO

    made = mmdetection_dataset(exported / "coco")
    assert made["type"] == "CocoDataset" and made["filter_cfg"] == {"filter_empty_gt": True, "min_size": 1}
    coco = COCO(os.path.join(made["data_root"], made["ann_file"]))  # noqa: PTH118  as mmengine joins them
    assert [c["name"] for c in coco.loadCats(coco.getCatIds(catNms=list(made["metainfo"]["classes"])))] == list(
        made["metainfo"]["classes"]
    )
    folder = os.path.join(made["data_root"], made["data_prefix"]["img"])  # noqa: PTH118
    files = [Path(folder, i["file_name"]) for i in coco.dataset["images"]]
    assert len(files) == len(index.entries) and all(f.is_file() for f in files)
