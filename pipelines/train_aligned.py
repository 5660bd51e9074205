"""Train a small model with aligned seeds: `python pipelines/train_aligned.py configs/aligned_street_mini.yaml`.

Resumes what its folder holds; TERM ends it after the step under way, with a checkpoint. `--set key=value` changes the
config (`aligned.batch=64`, `streets.size=[512,288]`). `--join PARTS --package DIR` writes a model folder from weights
that came in parts.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from pathlib import Path

import cv2
import yaml

from s2st_aug.errors import S2STError
from s2st_aug.training.aligned_recipe import (
    WEIGHTS,
    AlignedRecipe,
    lean_weights,
    package_weights,
    read_aligned_config,
    renderer_command,
)
from s2st_aug.training.parts import join_parts
from s2st_aug.training.streets import end_with_parent


def main() -> int:
    """Train, render a share of the streets, or package, as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="KEY=VALUE", help="over the config; dotted keys, YAML values"
    )
    parser.add_argument("--checkpoints", type=Path, help="default: checkpoints/<name>")
    parser.add_argument("--parts", type=Path, help="lay the weights there in parts of at most 16 MiB at every save")
    parser.add_argument("--render", metavar="K/N", help="only render the K-th of N shares of the streets")
    parser.add_argument("--join", type=Path, metavar="PARTS", help="no training: join the parts of a folder")
    parser.add_argument("--package", type=Path, metavar="DIR", help="write the weights as a model folder")
    parser.add_argument(
        "--lean", type=Path, metavar="FILE", help="write the weights without another model's autoencoder"
    )
    parser.add_argument("--untrained", action="store_true", help="no training: package the weights that are there")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
    cv2.setNumThreads(1)
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.append(1))
    try:
        changes = {key: yaml.safe_load(value) for key, value in (item.split("=", 1) for item in arguments.set)}
        config = read_aligned_config(arguments.config, changes)
        folder = arguments.checkpoints or Path("checkpoints") / config.name
        recipe = AlignedRecipe(config, folder, parts=arguments.parts)
        if arguments.render:
            worker, workers = map(int, arguments.render.split("/"))
            orphaned = end_with_parent()
            recipe.streets.render_share(worker, workers, lambda: bool(asked) or orphaned())
            return 0
        weights = folder / WEIGHTS
        if arguments.join:
            weights = join_parts(arguments.join, folder)
        elif not arguments.untrained:
            words = ["--checkpoints", str(folder), *(["--set", *arguments.set] if arguments.set else [])]
            recipe.run(renderer_command(arguments.config, *words), lambda: bool(asked))
        if arguments.package:
            step = package_weights(weights, arguments.package)
            print(f"{config.name}: step {step} written to {arguments.package}")
        if arguments.lean:
            print(f"{config.name}: step {lean_weights(weights, arguments.lean)} written to {arguments.lean}")
    except S2STError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
