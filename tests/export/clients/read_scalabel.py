"""Run by the venv of scalabel and bdd100k: what their own loaders and evaluation say of an export."""

import json
import sys
import warnings

warnings.filterwarnings("ignore")
from bdd100k.common.utils import load_bdd100k_config  # noqa: E402
from bdd100k.label.to_coco import scalabel2coco_detection  # noqa: E402
from scalabel.eval.detect import evaluate_det  # noqa: E402
from scalabel.label.io import load  # noqa: E402

frames = load(sys.argv[1], nprocs=0).frames
config = load_bdd100k_config("det")
for frame in frames:
    for label in frame.labels or []:
        label.score = 1.0
result = evaluate_det(frames, frames, config.scalabel, nproc=1)
coco = scalabel2coco_detection(frames, config.scalabel) if len(sys.argv) > 2 else {"annotations": []}
print(
    json.dumps(
        {
            "names": [f.name for f in frames],
            "timeofday": [(f.attributes or {}).get("timeofday") for f in frames],
            "labels": [len(f.labels or []) for f in frames],
            "types": [p.types for f in frames for lab in f.labels or [] for p in lab.poly2d or []],
            "ap": result.summary()["AP"],
            "coco": len(coco["annotations"]),
        }
    )
)
