"""Faster R-CNN R50-FPN by Detectron2 on a COCO export, tested on BDD100K's night images of val; writes OUT/measures.json.

python pipelines/train_detectron2.py DATASET OUT [--rng-key N] [--iterations N] [--size N] [--val-json FILE --val-images DIR]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

BENCHMARK = "COCO-Detection/faster_rcnn_R_50_FPN_3x.yaml"


def main() -> None:
    """Register, train, evaluate, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="a folder written by `s2st-aug export --format coco`")
    parser.add_argument("out", type=Path)
    parser.add_argument("--rng-key", type=int, default=0)
    parser.add_argument("--iterations", type=int, default=40_000)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--val-json", type=Path, default=Path("runs/bdd100k-sets/night_val.json"))
    parser.add_argument("--val-images", type=Path, default=Path("runs/bdd100k-sets/night_val"))
    arguments = parser.parse_args()
    trained = sorted(arguments.dataset.glob("annotations/*.json"))
    if len(trained) != 1 or not arguments.val_json.is_file():
        parser.error(f"expected one annotations/*.json in {arguments.dataset}, and {arguments.val_json}")
    measures = train(trained[0], arguments)
    (arguments.out / "measures.json").write_text(json.dumps(measures))


def train(annotations: Path, arguments: argparse.Namespace) -> dict[str, float]:
    """AP in percent, overall and by class."""
    from detectron2.data import build_detection_test_loader, datasets
    from detectron2.engine import DefaultTrainer
    from detectron2.evaluation import COCOEvaluator, inference_on_dataset

    images = json.loads(annotations.read_text())["images"]
    root = arguments.dataset / "images" if not (arguments.dataset / images[0]["file_name"]).is_file() else arguments.dataset
    datasets.register_coco_instances("gain_train", {}, str(annotations), str(root))
    datasets.register_coco_instances("gain_val", {}, str(arguments.val_json), str(arguments.val_images))
    config = configure(len(json.loads(annotations.read_text())["categories"]), arguments)
    trainer = DefaultTrainer(config)
    trainer.resume_or_load(resume=True)
    trainer.train()
    evaluator = COCOEvaluator("gain_val", output_dir=str(arguments.out))
    found = inference_on_dataset(trainer.model, build_detection_test_loader(config, "gain_val"), evaluator)["bbox"]
    return {name.lower().replace("ap-", "ap_"): float(value) for name, value in found.items()}


def configure(classes: int, arguments: argparse.Namespace) -> Any:
    """The benchmark's setting: R50-FPN from ImageNet weights, square inputs, the given number of iterations."""
    from detectron2 import model_zoo

    config = model_zoo.get_config(BENCHMARK)
    config.MODEL.WEIGHTS = "detectron2://ImageNetPretrained/MSRA/R-50.pkl"
    config.MODEL.ROI_HEADS.NUM_CLASSES = classes
    config.DATASETS.TRAIN, config.DATASETS.TEST = ("gain_train",), ("gain_val",)
    config.INPUT.MIN_SIZE_TRAIN = config.INPUT.MAX_SIZE_TRAIN = arguments.size
    config.INPUT.MIN_SIZE_TRAIN = (arguments.size,)
    config.INPUT.MIN_SIZE_TEST = config.INPUT.MAX_SIZE_TEST = arguments.size
    config.SOLVER.MAX_ITER, config.SOLVER.STEPS = arguments.iterations, (arguments.iterations * 3 // 4, arguments.iterations * 9 // 10)
    config.SEED, config.OUTPUT_DIR = arguments.rng_key, str(arguments.out)
    return config


if __name__ == "__main__":
    main()
