"""Faster R-CNN R50-FPN by Detectron2 on a COCO export, tested on BDD100K's night images of val; writes
OUT/measures.json.

python pipelines/train_detectron2.py DATASET OUT --bdd100k ROOT [--rng-key N] [--iterations N] [--size N]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from s2st_aug.gain.bdd100k import write_night_val

BENCHMARK = "COCO-Detection/faster_rcnn_R_50_FPN_3x.yaml"


def main() -> None:
    """Register, train, evaluate, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="a folder written by `s2st-aug export --format coco`")
    parser.add_argument("out", type=Path)
    parser.add_argument("--bdd100k", type=Path, required=True, help="BDD100K, for its real night images of val")
    parser.add_argument("--rng-key", type=int, default=0)
    parser.add_argument("--iterations", type=int, default=40_000)
    parser.add_argument("--size", type=int, default=512)
    arguments = parser.parse_args()
    trained = sorted(arguments.dataset.glob("annotations/instances_*.json"))
    if len(trained) != 1:
        parser.error(f"expected one annotations/instances_*.json in {arguments.dataset}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    count = write_night_val(arguments.bdd100k, trained[0], arguments.out / "night_val.json")
    print(f"{count} real night images to test on")
    measures = train(trained[0], arguments)
    (arguments.out / "measures.json").write_text(json.dumps(measures), encoding="utf-8")


def train(annotations: Path, arguments: argparse.Namespace) -> dict[str, float]:
    """AP in percent, overall and by class."""
    from detectron2.data import DatasetMapper, build_detection_test_loader, build_detection_train_loader, datasets
    from detectron2.data import transforms as T
    from detectron2.engine import DefaultTrainer
    from detectron2.evaluation import COCOEvaluator, inference_on_dataset

    images = arguments.dataset / annotations.stem.removeprefix("instances_")
    datasets.register_coco_instances("gain_train", {}, str(annotations), str(images))
    datasets.register_coco_instances("gain_val", {}, str(arguments.out / "night_val.json"), str(arguments.bdd100k))
    config = configure(len(json.loads(annotations.read_text(encoding="utf-8"))["categories"]), arguments)
    square = T.Resize((arguments.size, arguments.size))

    class Trainer(DefaultTrainer):
        @classmethod
        def build_train_loader(cls, cfg: Any) -> Any:
            return build_detection_train_loader(
                cfg, mapper=DatasetMapper(cfg, is_train=True, augmentations=[square, T.RandomFlip()])
            )

    trainer = Trainer(config)
    trainer.resume_or_load(resume=True)
    trainer.train()
    loader = build_detection_test_loader(
        config, "gain_val", mapper=DatasetMapper(config, is_train=False, augmentations=[square])
    )
    found = inference_on_dataset(trainer.model, loader, COCOEvaluator("gain_val", output_dir=str(arguments.out)))[
        "bbox"
    ]
    return {name.lower().replace("ap-", "ap_"): float(value) for name, value in found.items() if value == value}


def configure(classes: int, arguments: argparse.Namespace) -> Any:
    """The benchmark's setting: R50-FPN from ImageNet weights, square inputs, the given number of iterations."""
    from detectron2 import model_zoo

    config = model_zoo.get_config(BENCHMARK)
    config.MODEL.WEIGHTS = "detectron2://ImageNetPretrained/MSRA/R-50.pkl"
    config.MODEL.ROI_HEADS.NUM_CLASSES = classes
    config.DATASETS.TRAIN, config.DATASETS.TEST = ("gain_train",), ()
    config.SOLVER.MAX_ITER, config.SOLVER.STEPS = (
        arguments.iterations,
        (arguments.iterations * 3 // 4, arguments.iterations * 9 // 10),
    )
    config.SEED, config.OUTPUT_DIR = arguments.rng_key, str(arguments.out)
    return config


if __name__ == "__main__":
    main()
