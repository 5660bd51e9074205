"""Scenes as a native BDD100K tree: det_20, lane, drivable, ins_seg, pan_seg, sem_seg."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from s2st_aug.procedural.categories import CATEGORIES
from s2st_aug.procedural.files import JsonList, encode_png, write_bytes
from s2st_aug.procedural.labels import LabelledObject, StreetImage, StreetLabels
from s2st_aug.procedural.street import Street
from s2st_aug.records.domains import BDD_ATTRIBUTES, ConditionName

SIGNAL_LETTER = {"red": "R", "amber": "Y", "green": "G", None: "NA"}
TRUNCATED, OCCLUDED = 1 << 3, 1 << 2
SEM = np.array([c.train_id for c in CATEGORIES], np.uint8)


class Bdd100kTree:
    """Writes one condition's tree, scene by scene; memory does not grow with the number of scenes."""

    def __init__(self, root: Path, splits: tuple[str, ...]) -> None:
        self.root = root
        kinds = ("det_20/det", "lane/polygons/lane", "drivable/polygons/drivable")
        self.lists = {(k, s): JsonList(root / "labels" / f"{k}_{s}.json") for k in kinds for s in splits}
        self.video: JsonList | None = None

    def image_path(self, sample: StreetImage) -> str:
        """Where the sample's image lies, relative to the tree."""
        if sample.frame:
            return f"images/track/{sample.split}/{sample.street.name}/{frame_name(sample)}.png"
        return f"images/100k/{sample.split}/{sample.street.name}.png"

    def add(self, sample: StreetImage, image: bytes, masks: dict[str, bytes], condition: ConditionName) -> None:
        """Write one scene's image, masks and records."""
        write_bytes(self.root / self.image_path(sample), image)
        if sample.frame:
            self._add_frame(sample, image, masks, condition)
            return
        name, split = sample.street.name, sample.split
        for folder, data in masks.items():
            write_bytes(self.root / "labels" / folder / split / f"{name}.png", data)
        head = {"name": f"{name}.png", "attributes": image_attributes(sample.street, condition), "timestamp": 10000}
        self.lists["det_20/det", split].add({**head, "labels": [_box(o) for o in sample.labels.objects]})
        self.lists["lane/polygons/lane", split].add({**head, "labels": _lane_records(sample.labels)})
        self.lists["drivable/polygons/drivable", split].add({**head, "labels": _drivable_records(sample.labels)})

    def _add_frame(self, sample: StreetImage, image: bytes, masks: dict[str, bytes], condition: ConditionName) -> None:
        """One frame of a tracking sequence: box_track_20 and seg_track_20."""
        name, video, split = frame_name(sample), sample.street.name, sample.split
        write_bytes(self.root / "images" / "seg_track_20" / split / video / f"{name}.png", image)
        write_bytes(
            self.root / "labels" / "seg_track_20" / "bitmasks" / split / video / f"{name}.png",
            masks["ins_seg/bitmasks"],
        )
        if sample.frame == 1:
            self._finish_video()
            self.video = JsonList(self.root / "labels" / "box_track_20" / split / f"{video}.json")
        assert self.video is not None
        head = {"name": f"{name}.png", "videoName": video, "frameIndex": sample.frame - 1}
        labels = [_box(o) for o in sample.labels.objects if CATEGORIES[o.instance.category].ins_id]
        for record in labels:  # a track's flags are others than a box's
            own = record["attributes"]
            record["attributes"] = {"occluded": own["occluded"], "truncated": own["truncated"], "crowd": False}
        self.video.add({**head, "attributes": image_attributes(sample.street, condition), "labels": labels})

    def _finish_video(self) -> None:
        if self.video is not None:
            self.video.close()
            self.video = None

    def close(self) -> None:
        """Finish the label files."""
        self._finish_video()
        for item in self.lists.values():
            item.close()


def frame_name(sample: StreetImage) -> str:
    """Video name and seven-digit frame, as BDD100K names its frames."""
    return f"{sample.street.name}-{sample.frame:07d}"


def image_attributes(street: Street, condition: ConditionName) -> dict[str, str]:
    """BDD100K's weather, timeofday and scene."""
    weather = "overcast" if street.sun.clouds >= 1 else "partly cloudy" if street.sun.clouds > 0.3 else "clear"
    day = {
        "weather": weather if condition in ("day", "dusk") else "clear",
        "timeofday": "daytime",
        "scene": street.setting,
    }
    return {**day, **BDD_ATTRIBUTES.get(condition, {})}


def _box(item: LabelledObject) -> dict[str, Any]:
    instance = item.instance
    x1, y1, x2, y2 = item.box
    flags = {
        "occluded": item.occluded,
        "truncated": instance.truncated,
        "trafficLightColor": SIGNAL_LETTER[instance.signal],
    }
    box = {"x1": float(x1), "y1": float(y1), "x2": float(x2), "y2": float(y2)}
    return {
        "id": str(instance.number),
        "attributes": flags,
        "category": CATEGORIES[instance.category].det,
        "box2d": box,
    }


def _lane_records(labels: StreetLabels) -> list[dict[str, Any]]:
    out = []
    for k, lane in enumerate(labels.lanes):
        mark = lane.marking
        flags = {
            "laneDirection": "vertical" if mark.vertical else "parallel",
            "laneStyle": "dashed" if mark.dashed else "solid",
        }
        poly = [{"vertices": line.round(3).tolist(), "types": "L" * len(line), "closed": False} for line in lane.lines]
        out.append({"id": str(k), "attributes": flags, "category": mark.kind, "poly2d": poly})
    return out


def _drivable_records(labels: StreetLabels) -> list[dict[str, Any]]:
    flat = [(name, outline) for name, outlines in labels.areas for outline in outlines]
    return [
        {
            "id": str(k),
            "attributes": {},
            "category": name,
            "poly2d": [{"vertices": o.tolist(), "types": "L" * len(o), "closed": True}],
        }
        for k, (name, o) in enumerate(flat)
    ]


def mask_files(sample: StreetImage) -> dict[str, bytes]:
    """PNG files by folder under labels/; a frame of a sequence has instances only."""
    labels = sample.labels
    if sample.frame:
        return {"ins_seg/bitmasks": encode_png(instance_bitmask(labels))}
    return {
        "ins_seg/bitmasks": encode_png(instance_bitmask(labels)),
        "pan_seg/bitmasks": encode_png(panoptic_bitmask(labels)),
        "sem_seg/masks": encode_png(np.take(SEM, labels.category)),
        "drivable/masks": encode_png(labels.drivable),
    }


def _flags(item: LabelledObject) -> int:
    return TRUNCATED * item.instance.truncated + OCCLUDED * item.occluded


def instance_bitmask(labels: StreetLabels) -> np.ndarray:
    """RGBA of the eight instance classes: category, flags, id high byte, id low byte."""
    rows = np.zeros((int(labels.owner.max()) + 1, 4), np.uint8)
    for item in labels.objects:
        number, category = item.instance.number, CATEGORIES[item.instance.category]
        if category.ins_id:
            rows[number] = (category.ins_id, _flags(item), number >> 8, number & 255)
    return _painted(rows, labels.owner)


def panoptic_bitmask(labels: StreetLabels) -> np.ndarray:
    """RGBA over all pixels; stuff (one segment per class) takes ids after the last instance.

    Unlabelled scraps of instances are 0.
    """
    top = max([o.instance.number for o in labels.objects], default=0)
    rows = np.zeros((len(CATEGORIES) + int(labels.owner.max()) + 1, 4), np.uint8)
    for k, category in enumerate(CATEGORIES):
        if not category.has_instances:
            rows[k] = (category.pan_id, 0, (top + 1 + k) >> 8, (top + 1 + k) & 255)
    for item in labels.objects:
        number = item.instance.number
        rows[len(CATEGORIES) + number] = (
            CATEGORIES[item.instance.category].pan_id,
            _flags(item),
            number >> 8,
            number & 255,
        )
    return _painted(rows, np.where(labels.owner > 0, labels.owner + len(CATEGORIES), labels.category))


def _painted(rows: np.ndarray, index: np.ndarray) -> np.ndarray:
    """`rows[index]` for rows of four bytes, looked up as one number each."""
    return np.take(rows.view(np.uint32)[:, 0], index)[..., None].view(np.uint8)
