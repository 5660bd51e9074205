"""Small native trees, one for every form that labels come in: what tests, fuzzing and benchmarks read."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from s2st_aug.formats.run_lengths import encode

SIZE = (48, 32)


def _put(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())


def _image(root: Path, name: str, size: tuple[int, int] = SIZE) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[:, :, 0], pixels[:, :, 2] = np.arange(size[0])[None] * 4, 130
    Image.fromarray(pixels).save(path)


def _bdd100k(root: Path) -> None:
    box = {"x1": 4, "y1": 5, "x2": 20.5, "y2": 25}
    labels = [
        {"id": "1", "category": "car", "attributes": {"occluded": True}, "box2d": box},
        {
            "id": "2",
            "category": "traffic light",
            "attributes": {"trafficLightColor": "G"},
            "box2d": {"x1": 30, "y1": 1, "x2": 34, "y2": 9},
        },
        {
            "id": "3",
            "category": "single white",
            "poly2d": [{"vertices": [[0, 30], [9, 9]], "types": "LL", "closed": False}],
        },
        {
            "id": "4",
            "category": "person",
            "poly2d": [{"vertices": [[1, 1], [9, 1], [9, 9]], "types": "LLL", "closed": True}],
        },
    ]
    _put(
        root,
        "labels/det_20/det_train.json",
        json.dumps([{"name": "a.jpg", "attributes": {"timeofday": "daytime"}, "labels": labels}]),
    )
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
    car["segmentation"], crowd["segmentation"] = (
        [[4, 5, 14, 5, 14, 15, 4, 15]],
        {"counts": [645, *[9, 23] * 7, 9, 658], "size": [32, 48]},
    )
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


def _mask(root: Path, name: str, pixels: np.ndarray) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def _canvas(
    fill: int | tuple[int, ...], *patches: tuple[int | tuple[int, ...], slice], dtype: type = np.uint8
) -> np.ndarray:
    """An image of `fill` with full-height columns of other values."""
    shape = (SIZE[1], SIZE[0]) if isinstance(fill, int) else (SIZE[1], SIZE[0], len(fill))
    pixels: np.ndarray = np.full(shape, fill, dtype)
    for value, columns in patches:
        pixels[4:20, columns] = value
    return pixels


def _rle(columns: slice) -> dict[str, Any]:
    """COCO's compressed run lengths of full-height columns."""
    pixels = np.zeros((SIZE[1], SIZE[0]), bool)
    pixels[:, columns] = True
    return dict(reversed(encode(pixels).items()))  # counts first, as scalabel writes them


_LANE = {"vertices": [[0, 30], [5, 20], [9, 20], [14, 30], [20, 5]], "types": "LCCCL", "closed": False}
_AREA = {"vertices": [[0, 31], [20, 12], [40, 31]], "types": "LLL", "closed": True}
_BOX = {"x1": 4, "y1": 5, "x2": 20.5, "y2": 25}


def _frames(root: Path, name: str, *labels: dict[str, Any], **more: Any) -> None:
    _put(root, name, json.dumps([{"name": "a.jpg", **more, "labels": list(labels)}]))


def _bdd100k_layers(root: Path) -> None:
    """Boxes, with lanes, drivable areas, instances and semantics of the same image in lists and masks of their own."""
    _bdd100k(root)
    lane = {"id": "7", "category": "single white", "attributes": {"laneStyle": "dashed"}, "poly2d": [_LANE]}
    _frames(root, "labels/lane/polygons/lane_train.json", lane)
    _frames(root, "labels/drivable/polygons/drivable_train.json", {"id": "8", "category": "direct", "poly2d": [_AREA]})
    crowd = {"id": "9", "category": "pedestrian", "attributes": {"crowd": True}, "rle": _rle(slice(20, 30))}
    _frames(root, "labels/ins_seg/rles/ins_seg_train.json", crowd)
    _bdd100k_masks(root)


def _bdd100k_masks(root: Path) -> None:
    instances = _canvas((0, 0, 0, 0), ((3, 4, 1, 2), slice(4, 14)), ((1, 8, 0, 5), slice(20, 26)))
    _mask(root, "labels/ins_seg/bitmasks/train/a.png", instances)
    _mask(root, "labels/pan_seg/bitmasks/train/a.png", _canvas((7, 0, 0, 0), ((35, 0, 0, 1), slice(4, 14))))
    _mask(root, "labels/sem_seg/masks/train/a.png", _canvas(255, (0, slice(0, 30)), (13, slice(30, 40))))
    _mask(root, "labels/lane/masks/train/a.png", _canvas(255, (6, slice(10, 12)), (32, slice(30, 33))))
    _mask(root, "labels/drivable/masks/train/a.png", _canvas(2, (0, slice(5, 20)), (1, slice(22, 40))))
    _mask(root, "labels/sem_seg/colormaps/train/a.png", _canvas((0, 0, 0), ((128, 64, 128), slice(0, 30))))


def _bdd100k_10k(root: Path) -> None:
    _bdd100k_masks(root)
    _image(root, "images/10k/train/a.jpg")


def _bdd100k_legacy(root: Path) -> None:
    """The 2018 list: upper-case light colours in words, lanes as `poly2d` with types, areas among the labels."""
    light = {
        "category": "traffic light",
        "attributes": {"trafficLightColor": "red"},
        "manualShape": True,
        "box2d": _BOX,
        "id": 4,
    }
    lane = {"category": "lane", "attributes": {"laneType": "crosswalk"}, "poly2d": [_LANE], "id": 5}
    area = {"category": "drivable area", "attributes": {"areaType": "direct"}, "poly2d": [_AREA], "id": 6}
    _frames(
        root,
        "labels/bdd100k_labels_images_train.json",
        light,
        lane,
        area,
        timestamp=10000,
        attributes={"timeofday": "daytime"},
    )
    _image(root, "images/100k/train/a.jpg")


def _bdd100k_legacy_files(root: Path) -> None:
    """One file per image, its `poly2d` as points with a letter."""
    lane = {
        "id": 3,
        "category": "lane/single white",
        "attributes": {},
        "poly2d": [[1, 2, "L"], [3, 4, "C"], [5, 4, "C"], [8, 9, "C"]],
    }
    car = {"id": 4, "category": "car", "attributes": {"truncated": True}, "box2d": _BOX}
    record = {
        "name": "a",
        "attributes": {"timeofday": "daytime"},
        "frames": [{"timestamp": 10000, "objects": [car, lane]}],
    }
    _put(root, "labels/100k/train/a.json", json.dumps(record))
    _image(root, "images/100k/train/a.jpg")


def _bdd100k_track(root: Path) -> None:
    car = {"id": "00122063", "category": "car", "attributes": {"occluded": False, "crowd": False}, "box2d": _BOX}
    frames = [{"name": f"v1-000000{i}.jpg", "videoName": "v1", "frameIndex": i - 1, "labels": [car]} for i in (1, 2)]
    _put(root, "labels/box_track_20/train/v1.json", json.dumps(frames))
    for frame in frames:
        _image(root, f"images/track/train/v1/{frame['name']}")


def _bdd100k_seg_track(root: Path) -> None:
    """Polygons and run lengths of one video, and its bitmasks."""
    shapes: dict[str, dict[str, Any]] = {"polygons": {"poly2d": [_AREA]}, "rles": {"rle": _rle(slice(4, 14))}}
    for kind, shape in shapes.items():
        label = {"id": "00122063", "category": "car", "attributes": {"ignored": False}, **shape}
        frame = {"name": "v1-0000001.jpg", "videoName": "v1", "frameIndex": 0, "labels": [label]}
        _put(root, f"labels/seg_track_20/{kind}/train/v1.json", json.dumps([frame]))
    _mask(
        root,
        "labels/seg_track_20/bitmasks/train/v1/v1-0000001.png",
        _canvas((0, 0, 0, 0), ((3, 0, 0, 1), slice(4, 14))),
    )
    _image(root, "images/seg_track_20/train/v1/v1-0000001.jpg")


def _cityscapes_images(root: Path) -> None:
    """Polygons, fine and coarse, their label images, and everything that is only carried."""
    _cityscapes(root)
    stem = "train/bonn/bonn_000000_000001"
    polygons = (root / f"gtFine/{stem}_gtFine_polygons.json").read_text(encoding="utf-8")
    _put(root, f"gtCoarse/{stem}_gtCoarse_polygons.json", polygons.replace("road", "ground"))
    ids = _canvas(7, (26, slice(5, 15)), (24, slice(20, 30)))
    instances = _canvas(7, (26000, slice(5, 15)), (24, slice(20, 30)), dtype=np.uint16)
    images = {"labelIds": ids, "instanceIds": instances, "labelTrainIds": np.where(ids == 7, 0, 255).astype(np.uint8)}
    for kind, pixels in (images | {"color": _canvas((128, 64, 128, 255), ((0, 0, 142, 255), slice(5, 15)))}).items():
        _mask(root, f"gtFine/{stem}_gtFine_{kind}.png", pixels)
    _mask(root, f"disparity/{stem}_disparity.png", _canvas(0, (40000, slice(5, 15)), dtype=np.uint16))
    _put(root, f"camera/{stem}_camera.json", '{"extrinsic": {"baseline": 0.209313, "x": -0.0}}')
    _put(root, f"vehicle/{stem}_vehicle.json", '{"speed": 10.820000}')
    _put(root, f"timestamp/{stem}_timestamp.txt", "2013.11.01 07:25:41.123456")


def _cityscapes_ids(root: Path) -> None:
    """Instance ids without polygons, as some mirrors hold them."""
    _cityscapes_images(root)
    for path in root.rglob("*_polygons.json"):
        path.unlink()


def _coco_panoptic(root: Path) -> None:
    """Instances, keypoints and panoptic segments of one image."""
    _coco(root)
    base = json.loads((root / "annotations/instances_train2017.json").read_bytes())
    points = {
        "id": 9,
        "image_id": 4,
        "category_id": 1,
        "bbox": [20, 5, 8, 9],
        "keypoints": [22, 6, 2, 0, 0, 0],
        "num_keypoints": 1,
    }
    _put(root, "annotations/person_keypoints_train2017.json", json.dumps(base | {"annotations": [points]}))
    segments = [
        {"id": 258, "category_id": 3, "iscrowd": 0, "area": 160},
        {"id": 5, "category_id": 7, "iscrowd": 0, "area": 1376},
    ]
    whole = {"image_id": 4, "file_name": "a.png", "segments_info": segments}
    categories = [{"id": 3, "name": "car", "isthing": 1}, {"id": 7, "name": "road", "isthing": 0}]
    _put(
        root,
        "annotations/panoptic_train2017.json",
        json.dumps(base | {"annotations": [whole], "categories": categories}),
    )
    _mask(root, "annotations/panoptic_train2017/a.png", _canvas((5, 0, 0), ((2, 1, 0), slice(4, 14))))


def _coco_segments(root: Path) -> None:
    """Panoptic segments alone."""
    _coco_panoptic(root)
    for kind in ("instances", "person_keypoints"):
        (root / f"annotations/{kind}_train2017.json").unlink()


def _yolo_lists(root: Path) -> None:
    """Outlines, and splits as lists of image files that share one folder."""
    _put(root, "data.yaml", "path: .\ntrain: train.txt\nval: val.txt\nnames: [car, person]\n")
    _put(root, "train.txt", "./images/a.jpg\n")
    _put(root, "val.txt", "./images/b.jpg\n")
    _put(root, "labels/a.txt", "0 0.1 0.1 0.4 0.1 0.4 0.5\n1 0.5 0.5 0.9 0.5 0.9 0.9 0.5 0.9\n")
    for name in ("a", "b"):
        _image(root, f"images/{name}.jpg")


def _kitti_halves(root: Path) -> None:
    """`training` in two halves, as lists of names."""
    _kitti(root)
    _put(root, "training/label_2/000001.txt", "Pedestrian 0 0 0 1 2 3.25 4 1 1 1 1 1 1 1\n")
    _image(root, "training/image_2/000001.png")
    _put(root, "ImageSets/train.txt", "000000\n")
    _put(root, "ImageSets/val.txt", "000001\n")


def _zod(root: Path) -> None:
    """Two frames, of which one is held out."""
    for frame in ("000001", "000002"):
        place = f"single_frames/{frame}"
        said = {"annotation_uuid": f"{frame}-1", "class": "Vehicle", "type": "Car", "unclear": False}
        car = {"geometry": {"type": "MultiPoint", "coordinates": [[4, 9], [12, 5], [20, 9], [12, 25]]}}
        sign = {"geometry": {"type": "MultiPoint", "coordinates": [[30, 1], [34, 1], [34, 9], [30, 9]]}}
        cloud = {"annotation_uuid": f"{frame}-2", "class": "Inconclusive"}
        features = [car | {"properties": said | {"occlusion_ratio": "Heavy"}}, sign | {"properties": cloud}]
        _put(root, f"{place}/annotations/object_detection.json", json.dumps(features))
        _put(root, f"{place}/annotations/lane_markings.json", "[]")
        _put(root, f"{place}/metadata.json", '{"frame_id": 1.0}')
        _image(root, f"{place}/camera_front_blur/{frame}_golf.jpg")
    _put(
        root,
        "trainval-frames-mini.json",
        json.dumps({s: [_zod_record(f)] for f, s in (("000001", "train"), ("000002", "val"))}),
    )


def _zod_record(frame: str) -> dict[str, Any]:
    place = f"single_frames/{frame}"
    shot = {"filepath": f"{place}/camera_front_blur/{frame}_golf.jpg", "height": 32, "width": 48}
    objects = {"project": "object_detection", "filepath": f"{place}/annotations/object_detection.json"}
    scan = {"filepath": f"{place}/lidar_velodyne/{frame}.npy"}
    return {
        "id": frame,
        "annotations": {"object_detection": objects},
        "cameraFrames": {"front_blur": [shot]},
        "lidarFrames": {"velodyne": [scan]},
        "metadataPath": f"{place}/metadata.json",
    }


def _nuimages(root: Path) -> None:
    """A key frame with an object and a surface, a sweep, and the tables around them."""
    name, sweep = "samples/CAM_FRONT/n1__1.jpg", "sweeps/CAM_FRONT/n1__2.jpg"
    size = {"width": SIZE[0], "height": SIZE[1], "fileformat": "jpg"}
    key = {"token": "d1", "sample_token": "s1", "filename": name, "is_key_frame": True, "prev": "", "next": "d2"}
    other = {"token": "d2", "sample_token": "s1", "filename": sweep, "is_key_frame": False, "prev": "d1", "next": ""}
    masks = [_rle(slice(4, 20)), _rle(slice(0, 48))]
    for mask in masks:
        mask["counts"] = base64.b64encode(mask["counts"].encode()).decode()
    car = {"token": "o1", "sample_data_token": "d1", "category_token": "c1", "attribute_tokens": []}
    tables: dict[str, list[dict[str, Any]]] = {
        "sample_data": [key | size, other | size],
        "sample": [{"token": "s1", "timestamp": 1, "log_token": "l1", "key_camera_token": "d1", "key_lidar_token": ""}],
        "object_ann": [car | {"bbox": [4, 0, 20, 32], "mask": masks[0]}],
        "surface_ann": [{"token": "u1", "sample_data_token": "d1", "category_token": "c2", "mask": masks[1]}],
        "category": [{"token": "c1", "name": "vehicle.car"}, {"token": "c2", "name": "flat.driveable_surface"}],
        **{table: [] for table in ("attribute", "calibrated_sensor", "ego_pose", "log", "sensor")},
    }
    for table, rows in tables.items():
        _put(root, f"v1.0-train/{table}.json", json.dumps(rows))
    _image(root, name)


def _comma10k(root: Path) -> None:
    road, movable, own = (0x40, 0x20, 0x20), (0, 0xFF, 0x66), (0xCC, 0, 0xFF)
    for name in ("0000_a_1", "0001_a_9"):
        _image(root, f"imgs/{name}.png")
        _mask(
            root,
            f"masks/{name}.png",
            _canvas((0x80, 0x80, 0x60), (road, slice(0, 30)), (movable, slice(30, 36)), (own, slice(40, 48))),
        )


@dataclass(frozen=True, slots=True)
class Variety:
    """One form that labels come in."""

    card: str
    split: str
    write: Callable[[Path], None]


VARIETIES: dict[str, Variety] = {
    "bdd100k": Variety("bdd100k", "train", _bdd100k),
    "bdd100k-layers": Variety("bdd100k", "train", _bdd100k_layers),
    "bdd100k-legacy": Variety("bdd100k", "train", _bdd100k_legacy),
    "bdd100k-legacy-files": Variety("bdd100k", "train", _bdd100k_legacy_files),
    "bdd100k-10k": Variety("bdd100k_10k", "train", _bdd100k_10k),
    "bdd100k-track": Variety("bdd100k_track", "train", _bdd100k_track),
    "bdd100k-seg-track": Variety("bdd100k_seg_track", "train", _bdd100k_seg_track),
    "cityscapes": Variety("cityscapes", "train", _cityscapes),
    "cityscapes-images": Variety("cityscapes", "train", _cityscapes_images),
    "cityscapes-ids": Variety("cityscapes", "train", _cityscapes_ids),
    "coco": Variety("coco", "train", _coco),
    "coco-panoptic": Variety("coco", "train", _coco_panoptic),
    "coco-segments": Variety("coco", "train", _coco_segments),
    "yolo": Variety("yolo", "train", _yolo),
    "yolo-lists": Variety("yolo", "train", _yolo_lists),
    "kitti": Variety("kitti", "training", _kitti),
    "kitti-halves": Variety("kitti", "train", _kitti_halves),
    "zod": Variety("zod", "train", _zod),
    "nuimages": Variety("nuimages", "train", _nuimages),
    "comma10k": Variety("comma10k", "train", _comma10k),
}


def write_tree(name: str, root: Path) -> str:
    """Write the tree of a format, or of one of its varieties, below `root`; gives the name of its training split."""
    VARIETIES[name].write(root)
    return VARIETIES[name].split
