"""Run by the venv of supervision: its own loaders of COCO and YOLO."""

import json
import sys

import supervision as sv

kind, root = sys.argv[1:]
if kind == "coco":
    data = sv.DetectionDataset.from_coco(f"{root}/train2017", f"{root}/annotations/instances_train2017.json")
else:
    data = sv.DetectionDataset.from_yolo(f"{root}/images/train", f"{root}/labels/train", f"{root}/data.yaml")
found = [
    (path.rpartition("/")[2], detections.xyxy.tolist(), [data.classes[i] for i in detections.class_id])
    for path, _, detections in data
]
print(json.dumps({"found": sorted(found)}))
