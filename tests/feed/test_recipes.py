"""The recipes of docs/training.md: run where the library is installed, held against its documented form where not."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from torch.utils.data import DataLoader

from s2st_aug.feed import FeedReceipt, Mix, open_feed
from s2st_aug.feed.dataset import RunDataset
from s2st_aug.feed.forms import detectron2_dicts, huggingface_rows, torchvision_detection
from s2st_aug.review.fakes import FakeRun, make_run

CLASSES = {"car": 1, "pedestrian": 2, "traffic light": 3}


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return open_feed(make_run(tmp_path_factory.mktemp("recipes") / "run", FakeRun(scenes=3, statuses=("ok",))))


def test_plain_pytorch_trains_and_the_receipt_holds(index):
    def transform(sample):
        counts = torch.tensor([sum(o.category == c for o in sample.trained) for c in CLASSES], dtype=torch.float32)
        return {"image": torch.from_numpy(sample.image.copy()).permute(2, 0, 1).float() / 255, "counts": counts}

    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, stride=4), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 3)
    )
    before = network[3].weight.detach().clone()
    optimiser = torch.optim.SGD(network.parameters(), 0.1)
    with FeedReceipt(DataLoader(RunDataset(index, transform), batch_size=3, shuffle=True), Mix.of(index)) as receipt:
        for batch in receipt:
            optimiser.zero_grad()
            torch.nn.functional.mse_loss(network(batch["image"]), batch["counts"]).backward()
            optimiser.step()
    assert not torch.equal(before, network[3].weight)
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
    assert int(target["iscrowd"].sum()) == len(ignored) > 0


def test_detectron2_dicts_hold_every_image_with_known_keys(index):
    rows = detectron2_dicts(index, {name: i for i, name in enumerate(CLASSES)})
    assert len(rows) == len(index.entries) and len({r["image_id"] for r in rows}) == len(rows)
    assert all({"file_name", "image_id", "height", "width", "annotations"} == set(r) for r in rows)
    assert {a["bbox_mode"] for r in rows for a in r["annotations"]} == {0}
    assert {a["category_id"] for r in rows for a in r["annotations"]} <= {0, 1, 2}


def test_huggingface_rows_have_columns_of_one_length(index):
    rows = list(huggingface_rows(index))
    assert {r["domain"] for r in rows} == {"source", "night", "rain"}
    for row in rows:
        assert len({len(column) for column in row["objects"].values()}) == 1
    if importlib.util.find_spec("datasets") and importlib.util.find_spec("datasets").origin:
        import datasets

        made = datasets.Dataset.from_list(rows)
        assert made.features["objects"]["bbox"] is not None


@pytest.mark.parametrize("name", ["yolo", "coco"])
def test_exports_for_ultralytics_and_mmdetection_have_the_files_their_configs_name(index, tmp_path, name):
    """Ultralytics reads `data.yaml`; MMDetection's CocoDataset reads `ann_file` and `data_prefix.img`."""
    from s2st_aug.cli import main

    run = make_run(tmp_path / "run", FakeRun(scenes=3, statuses=("ok",)))
    with pytest.raises(SystemExit) as stop:
        main(["export", str(run.path), "--format", name, "--out", str(tmp_path / "out")])
    assert stop.value.code == 0
    if name == "yolo":
        import yaml

        data = yaml.safe_load((tmp_path / "out" / "data.yaml").read_text())
        assert {"train", "names"} <= set(data)
    else:
        import json

        files = list((tmp_path / "out").rglob("*.json"))
        coco = next(d for d in (json.loads(f.read_text()) for f in files) if isinstance(d, dict) and "annotations" in d)
        assert {"images", "annotations", "categories"} <= set(coco) and len(coco["images"]) == 9
