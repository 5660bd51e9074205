"""Fit the classifier of made-up lights on streets of rng_key 4: true renders, street-mini's own variants of others as
far as their lights are known to be true, CamVid's video 0016E5, and towns by day.

python pipelines/fit_lights.py [--streets 50] [--translated 8] [--photos 16] [--keep FILE] writes
s2st_aug/validation/surroundings.safetensors.
With --keep, the gathered candidates stay in FILE and are taken from there the next time. The same arguments give the
same bytes. benchmarks/invented.py examines it with lights of its own: nothing here may import that.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch

from s2st_aug.api import load_translator
from s2st_aug.errors import DatasetError, Diverged
from s2st_aug.images import read_image
from s2st_aug.procedural.drawing import draw_street
from s2st_aug.procedural.render import render_drawn
from s2st_aug.procedural.sampling import sample_street
from s2st_aug.procedural.surfaces import surfaces
from s2st_aug.real_data import real_data
from s2st_aug.training.light_streets import lights_of
from s2st_aug.training.lights import (
    CONDITIONS,
    NEAR,
    RENDERED,
    Blobs,
    Translated,
    drawn_boxes,
    fit_lights,
    gathered,
    half_size,
    street_pairs,
    write_lights,
)
from s2st_aug.training.pasted_lights import Pair
from s2st_aug.validation.calibration import retouched

ROOT = Path(__file__).parents[1]
KEY = 4  # of the streets; nothing is chosen or reported on it
OUT = ROOT / "s2st_aug" / "validation" / "surroundings.safetensors"


def pairs(streets: int, photos: int) -> Iterator[tuple[str, Pair]]:
    """True variants: other conditions of streets, photometric changes of photos (none where the photos are absent)."""
    for index in range(streets):
        yield from street_pairs(KEY, index)
    for folder, pattern in (("camvid/day/images", "0016E5*"), ("permissive/day", "*")):
        try:
            paths = sorted(real_data(folder).glob(pattern))
        except DatasetError:
            continue
        for path in paths[:: max(1, len(paths) // photos)][:photos]:
            photo = read_image(path)
            yield path.stem, Pair(photo, retouched(photo, path.stem), ())


def translated(streets: int) -> Iterator[tuple[str, Translated]]:
    """street-mini's variants of other streets of the same key, as they are shipped, and where lights truly are."""
    translator = load_translator(CONDITIONS)
    for index in range(1000, 1000 + streets):
        drawn = draw_street(sample_street(KEY, index, RENDERED))
        surface, objects = surfaces(drawn), drawn_boxes(drawn)
        day = render_drawn(drawn, surface, "day")
        made = translator.translate([day], CONDITIONS, objects=[objects], keys=[index])[0]
        for domain in CONDITIONS:
            variant = made[domain]
            if isinstance(variant, Diverged):
                continue
            pair, truth = (Pair(day, i, objects) for i in (variant.image, render_drawn(drawn, surface, domain)))
            lights = lights_of(half_size(truth).variant).astype(np.uint8)
            true = cv2.dilate(lights, np.ones((NEAR, NEAR), np.uint8)) > 0
            yield f"{KEY}-{index}-{domain}-translated", Translated(half_size(pair), true)


def main() -> None:
    """Gather, fit, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streets", type=int, default=50)
    parser.add_argument("--translated", type=int, default=8)
    parser.add_argument("--photos", type=int, default=16)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    kept = arguments.keep
    if kept and kept.is_file():
        with np.load(kept) as file:
            blobs = Blobs(file["patches"], file["made_up"])
    else:
        blobs = gathered(pairs(arguments.streets, arguments.photos), translated(arguments.translated))
        if kept:
            np.savez(kept, patches=blobs.patches, made_up=blobs.made_up)
    photos = f"up to {arguments.photos} photos each of CamVid 0016E5 and permissive/day"
    made = f", street-mini's variants of {arguments.translated} more" if arguments.translated else ""
    about = f"{arguments.streets} streets of rng_key {KEY}{made}, {photos}"
    write_lights(fit_lights(blobs), arguments.out, about)
    print(f"{arguments.out}: {len(blobs.made_up)} candidates, {int(blobs.made_up.sum())} of them made up")


if __name__ == "__main__":
    main()
