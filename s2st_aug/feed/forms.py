"""Samples in the forms of the well-known training libraries; the recipes in docs/training.md use them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from s2st_aug.errors import UsageError
from s2st_aug.export.images import painted
from s2st_aug.feed.entries import FeedIndex, Sample
from s2st_aug.feed.shards import record
from s2st_aug.formats import load_card
from s2st_aug.formats.tree import files_of, spelled_in
from s2st_aug.records.scene import LINES, SceneObject

XYXY_ABS = 0  # detectron2.structures.BoxMode.XYXY_ABS


def _boxed(objects: tuple[SceneObject, ...], class_ids: Mapping[str, int]) -> list[SceneObject]:
    return [o for o in objects if o.category in class_ids and o.kind in ("box", "mask", "polygon")]


def torchvision_detection(
    sample: Sample, class_ids: Mapping[str, int], *, lost: Literal["paint", "drop-label"] = "paint"
) -> dict[str, Any]:
    """`image` float 0..1 `3 h w` and `target` with boxes, labels, area, iscrowd, as torchvision's detection models take
    it.

    These models train on every box of the target, whatever its iscrowd says, and take all else for background. So
    ignored labels are left out of the target, and in a variant their boxes are grey, as in an export to YOLO; `lost`
    as `drop-label` leaves the pixels as they are. `ignored` holds their boxes.
    """
    shown, ignored = _boxed(sample.trained, class_ids), _boxed(sample.ignored, class_ids)
    boxes = torch.tensor([o.bbox for o in shown], dtype=torch.float32).reshape(-1, 4)
    target = {
        "boxes": boxes,
        "labels": torch.tensor([class_ids[o.category] for o in shown], dtype=torch.int64),
        "area": (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]),
        "iscrowd": torch.zeros(len(shown), dtype=torch.int64),
    }
    pixels = sample.image
    if lost == "paint" and sample.entry.synthetic:
        hidden = tuple(o.bbox for o in ignored if not o.crowd and o.unsound is None)
        pixels = painted(pixels, hidden, tuple(o.bbox for o in sample.trained if o.kind not in LINES))
    return {
        "image": torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255,
        "target": target,
        "ignored": torch.tensor([o.bbox for o in ignored], dtype=torch.float32).reshape(-1, 4),
    }


def detectron2_dicts(index: FeedIndex, class_ids: Mapping[str, int]) -> list[dict[str, Any]]:
    """Detectron2's list of dicts, for `DatasetCatalog.register(name, lambda: detectron2_dicts(index, class_ids))`."""
    return [_detectron2(index.read(entry), class_ids) for entry in index.entries]


def _detectron2(sample: Sample, class_ids: Mapping[str, int]) -> dict[str, Any]:
    height, width = sample.image.shape[:2]
    own = {"file_name": str(sample.entry.image), "image_id": sample.entry.sample_id, "height": height, "width": width}
    trained = [(o, 0) for o in _boxed(sample.trained, class_ids)] + [(o, 1) for o in _boxed(sample.ignored, class_ids)]
    annotations = [
        {"bbox": list(o.bbox), "bbox_mode": XYXY_ABS, "category_id": class_ids[o.category], "iscrowd": crowd}
        for o, crowd in trained
    ]
    return own | {"annotations": annotations}


def mmdetection_dataset(export: Path | str, split: str = "train", card: str = "coco") -> dict[str, Any]:
    """The `dataset` of an MMDetection 3 dataloader config, for a folder of `s2st-aug export --format coco`.

    Annotations and images of the split are where the dataset's card says: a COCO dataset goes out as it came, with
    Roboflow's `train/_annotations.coco.json`. Ignored labels are iscrowd, which CocoDataset hands on as `ignore_flag`.
    Raises UsageError for another folder.
    """
    export, known = Path(export), load_card(card)
    trees = [tree for tree in known.labels if tree.kind == "instances"]
    own = next((tree for tree in trees if files_of(export, tree, split)), None)
    if own is None:
        expected = ", ".join(tree.path.format(split=split) for tree in trees)
        raise UsageError(
            f"{export}: expected annotations of split {split!r} at one of {expected}; is it a COCO export?"
        )
    file = files_of(export, own, split)[0]
    classes = [c["name"] for c in json.loads((export / file).read_bytes().decode("utf-8-sig"))["categories"]]
    images = (own.images or known.images).format(split=spelled_in(export, own, split))
    return {
        "type": "CocoDataset",
        "data_root": str(export),
        "ann_file": file,
        "data_prefix": {"img": f"{images}/"},
        "metainfo": {"classes": tuple(classes)},
        "filter_cfg": {"filter_empty_gt": True, "min_size": 1},
    }


def huggingface_rows(index: FeedIndex) -> Iterator[dict[str, Any]]:
    """Rows for `datasets.Dataset.from_generator`: `image` (path) to be cast
    to `datasets.Image`, ids, and objects as columns.
    """
    for entry in index.entries:
        found = record(index.read(entry))
        objects = found.pop("objects")
        columns = {name: [o[name] for o in objects] for name in ("object_id", "kind", "category", "bbox", "ignored")}
        yield found | {"image": str(entry.image), "objects": columns}
