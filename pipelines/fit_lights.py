"""Fit the classifier of made-up lights on the choosing half: streets of rng_key 4 (true renders; with --translated,
street-mini's own variants where their lights are true), CamVid's video 0016E5, and towns by day.

python pipelines/fit_lights.py [--streets 70] [--translated 0] [--photos 20] [--keep FILE] writes
s2st_aug/validation/lights.safetensors.
With --keep, the gathered blobs stay in FILE and are taken from there the next time. The same arguments give the same
bytes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/ is not part of the installed package

import cv2
import numpy as np
import torch

from benchmarks.faults import CHOSEN_KEY, SIZE
from benchmarks.lights import GLOW
from benchmarks.planted_faults import Pair
from benchmarks.scenes import boxes
from s2st_aug.api import load_translator
from s2st_aug.arrays import Mask
from s2st_aug.errors import DatasetError, Diverged
from s2st_aug.images import luma, read_image
from s2st_aug.procedural.drawing import draw_street
from s2st_aug.procedural.render import render_drawn
from s2st_aug.procedural.sampling import sample_street
from s2st_aug.procedural.surfaces import surfaces
from s2st_aug.real_data import real_data
from s2st_aug.records.domains import ConditionName
from s2st_aug.training.lights import Blobs, fit_lights, gathered, street_pairs, write_lights
from s2st_aug.validation.calibration import retouched

ROOT = Path(__file__).parents[1]
NEAR = 9  # px: a variant's light this near to a true one is that one
OUT = ROOT / "s2st_aug" / "validation" / "lights.safetensors"


def pairs(streets: int, photos: int) -> Iterator[tuple[str, Pair]]:
    """True variants: other conditions of streets, photometric changes of photos (none where the photos are absent)."""
    for index in range(streets):
        yield from street_pairs(CHOSEN_KEY, index, SIZE)
    for folder, pattern in (("camvid/day/images", "0016E5*"), ("permissive/day", "*")):
        try:
            paths = sorted(real_data(folder).glob(pattern))
        except DatasetError:
            continue
        for path in paths[:: max(1, len(paths) // photos)][:photos]:
            photo = read_image(path)
            yield path.stem, Pair(photo, retouched(photo, path.stem), ())


def translated(streets: int) -> Iterator[tuple[str, Pair, Mask]]:
    """street-mini's variants of other streets of the same key, as they are shipped, and where lights truly are."""
    domains: tuple[ConditionName, ...] = ("night", "night_rain", "dusk")
    translator = load_translator(domains)
    for index in range(1000, 1000 + streets):
        drawn = draw_street(sample_street(CHOSEN_KEY, index, SIZE))
        surface, objects = surfaces(drawn), tuple(boxes(drawn))
        day = render_drawn(drawn, surface, "day")
        made = translator.translate([day], domains, objects=[objects], keys=[index])[0]
        for domain in domains:
            truth, variant = luma(render_drawn(drawn, surface, domain)), made[domain]
            if not isinstance(variant, Diverged):
                true = cv2.dilate((truth > GLOW).astype(np.uint8), np.ones((NEAR, NEAR), np.uint8)) > 0
                yield f"{CHOSEN_KEY}-{index}-{domain}-translated", Pair(day, variant.image, objects), true


def main() -> None:
    """Gather, fit, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streets", type=int, default=70)
    parser.add_argument("--translated", type=int, default=0)
    parser.add_argument("--photos", type=int, default=20)
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
    about = f"{arguments.streets} streets of rng_key {CHOSEN_KEY}{made}, {photos}"
    write_lights(fit_lights(blobs), arguments.out, about)
    print(f"{arguments.out}: {len(blobs.made_up)} blobs, {int(blobs.made_up.sum())} of them made up")


if __name__ == "__main__":
    main()
