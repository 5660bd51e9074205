"""Train the light map: `python pipelines/train_light_map.py configs/light_map.yaml [--out FILE]`.

Renders the streets that are missing, resumes what its folder holds, and ends on TERM with a checkpoint. `--out` writes
the weights in half precision, as `s2st_aug/lights/light_map.safetensors` holds them.
"""

from __future__ import annotations

import argparse
import logging
import signal
from pathlib import Path

import cv2
import torch
import yaml

from s2st_aug.images import read_image
from s2st_aug.lights.weights import write_light_map
from s2st_aug.training.data import list_samples
from s2st_aug.training.light_map import LightMapSettings, LightTraining
from s2st_aug.training.light_streets import LightStreets, render_light_streets

log = logging.getLogger(__name__)


def main() -> None:
    """Render, train, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--folder", type=Path, default=Path("checkpoints/light_map"), help="streets and checkpoint")
    parser.add_argument("--out", type=Path, help="write the weights there at the end")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="over the config, values in YAML")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    cv2.setNumThreads(1)
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.append(1))
    given = yaml.safe_load(arguments.config.read_text(encoding="utf-8"))
    given |= {key: yaml.safe_load(value) for key, value in (item.split("=", 1) for item in arguments.set)}
    settings = LightMapSettings.model_validate(given)
    folder = arguments.folder / "streets"
    render_light_streets(folder, settings.streets.rng_key, range(settings.streets.count))
    samples = list_samples([settings.photos], ["day"]) if settings.photos else []
    photos = [read_image(sample.path) for sample in samples]
    training = LightTraining(settings, arguments.folder)
    streets = LightStreets(folder, settings.streets, photos, rng_key=training.step)
    training.run(streets.batches(settings.batch), lambda: bool(asked))
    about = f"{training.step} steps of {settings.batch} crops of {settings.streets.count} streets of rng_key "
    about += f"{settings.streets.rng_key}, in the colours of and beside {len(photos)} photos"
    if arguments.out:
        write_light_map(training.average.state_dict(), arguments.out, about)
        log.info("%s: %s", arguments.out, about)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
