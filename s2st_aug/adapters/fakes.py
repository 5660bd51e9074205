"""A small native tree of each format with every kind of label that the format has: what tests, fuzzing and benchmarks read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

SIZE = (48, 32)


def _put(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())


def _image(root: Path, name: str, size: tuple[int, int] = SIZE) -> None:
    from PIL import Image

    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[:, :, 0], pixels[:, :, 2] = np.arange(size[0])[None] * 4, 130
    Image.fromarray(pixels).save(path)


def _bdd100k(root: Path) -> None:
    box = {"x1": 4, "y1": 5, "x2": 20.5, "y2": 25}
    labels = [
        {"id": "1", "category": "car", "attributes": {"occluded": True}, "box2d": box},
        {"id": "2", "category": "traffic light", "attributes": {"trafficLightColor": "G"}, "box2d": {"x1": 30, "y1": 1, "x2": 34, "y2": 9}},
        {"id": "3", "category": "single white", "poly2d": [{"vertices": [[0, 30], [9, 9]], "types": "LL", "closed": False}]},
        {"id": "4", "category": "person", "poly2d": [{"vertices": [[1, 1], [9, 1], [9, 9]], "types": "LLL", "closed": True}]},
    ]
    _put(root, "labels/det_20/det_train.json", json.dumps([{"name": "a.jpg", "attributes": {"timeofday": "daytime"}, "labels": labels}]))
    _image(root, "images/100k/train/a.jpg")


def _cityscapes(root: Path) -> None:
    _image(root, "leftImg8bit/train/bonn/bonn_000000_000001_leftImg8bit.png")
    square = ((0, 0), (47, 0), (47, 31), (0, 31))
    objects = [{"label": "road", "polygon": square}, {"label": "car", "polygon": [[5, 5], [15, 5], [15, 15], [5, 15]]}]
    objects += [{"label": "persongroup", "polygon": [[20, 5], [30, 5], [30, 15]]}]
    base = "gtFine/train/bonn/bonn_000000_000001_gtFine"
    _put(root, f"{base}_polygons.json", json.dumps({"imgHeight": 32, "imgWidth": 48, "objects": objects}))


def _coco(root: Path) -> None:
    car = {"id": 1, "image_id": 4, "category_id": 3, "bbox": [4, 5, 10, 10], "area": 100, "iscrowd": 0}
    crowd = {"id": 2, "image_id": 4, "category_id": 1, "bbox": [20, 5, 8, 9], "area": 72, "iscrowd": 1}
    car["segmentation"], crowd["segmentation"] = [[4, 5, 14, 5, 14, 15, 4, 15]], {"counts": [0, 9, 1527], "size": [32, 48]}
    annotations = [car, crowd]
    record = {"images": [{"id": 4, "file_name": "a.jpg", "width": 48, "height": 32}], "annotations": annotations}
    _put(
        root,
        "annotations/instances_train2017.json",
        json.dumps(record | {"categories": [{"id": 1, "name": "person"}, {"id": 3, "name": "car"}]}),
    )
    _image(root, "train2017/a.jpg")


def _yolo(root: Path) -> None:
    _put(root, "data.yaml", "train: images/train\nval: images/val\nnames: {0: car, 1: person}\n")
    _put(root, "labels/train/a.txt", "0 0.5 0.5 0.25 0.5\n1 0.1 0.1 0.2 0.2\n")
    _image(root, "images/train/a.jpg")
    _image(root, "images/train/empty.jpg")


def _kitti(root: Path) -> None:
    car = "Car 0.50 1 -1.5 4.00 5.00 20.00 25.00 1.5 1.6 3.9 1 2 3 0.1"
    region = "DontCare -1 -1 -10 0 0 5 5 -1 -1 -1 -1000 -1000 -1000 -10"
    _put(root, "training/label_2/000000.txt", f"{car}\n{region}\n")
    _put(root, "training/calib/000000.txt", "P0: 1")
    _image(root, "training/image_2/000000.png")


_TREES: dict[str, Callable[[Path], None]] = {
    "bdd100k": _bdd100k,
    "cityscapes": _cityscapes,
    "coco": _coco,
    "yolo": _yolo,
    "kitti": _kitti,
}


def write_tree(format: str, root: Path) -> str:
    """Write the tree of a format below `root`; gives the name of its training split."""
    _TREES[format](root)
    return "training" if format == "kitti" else "train"
