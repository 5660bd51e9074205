"""Fit the classifier of made-up lights, and set what its score means; one command does all of it:

nice python pipelines/fit_lights.py [--streets 180] [--softened 24] [--translated 12] [--photos 16] [--keep FILE]

writes s2st_aug/validation/lights.safetensors. It learns from streets of rng_key 4 in several sizes: true renders, the
same after street-mini's autoencoder, street-mini's own variants as far as their lights are known to be true; CamVid's
video 0016E5, and towns by day. Then true pictures of streets of rng_key 501, sharp and as they are emitted, say from
where on a score rejects. With --keep, the gathered candidates stay in FILE and are taken from there the next time. The
same arguments give the same bytes on the same machine. benchmarks/invented.py examines it with lights of its own:
nothing here may import that. Run it again after street-mini's weights have changed.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
import torch

from s2st_aug.api import load_translator
from s2st_aug.arrays import Image
from s2st_aug.diffusion.model import LatentModel
from s2st_aug.diffusion.stable_diffusion import load_model
from s2st_aug.errors import DatasetError, Diverged
from s2st_aug.images import read_image
from s2st_aug.lights.layer import light_layer
from s2st_aug.procedural.drawing import draw_street
from s2st_aug.procedural.render import render_drawn
from s2st_aug.procedural.sampling import sample_street
from s2st_aug.procedural.surfaces import surfaces
from s2st_aug.real_data import real_data
from s2st_aug.training.light_streets import lights_of
from s2st_aug.training.lights import (
    CONDITIONS,
    NEAR,
    STEPS,
    Blobs,
    Translated,
    at_most,
    drawn_boxes,
    fit_lights,
    gathered,
    street_pairs,
    surest,
    write_lights,
)
from s2st_aug.training.pasted_lights import Pair
from s2st_aug.translation.detail import restore_detail
from s2st_aug.translation.presets import presets_of
from s2st_aug.translation.signals import hold_signals
from s2st_aug.validation.calibration import retouched

ROOT = Path(__file__).parents[1]
MODEL = "street-mini"
KEY = 4  # of the streets; nothing is chosen or reported on it
SIZE, LOOKED_AT = (1280, 720), (640, 360)  # w, h: of translated streets, and that their true lights are looked for at
OUT = ROOT / "s2st_aug" / "validation" / "lights.safetensors"
CHOOSING_KEY, CHOOSING, CHOOSING_EMITTED = 501, 20, 8  # streets that say from where on a score rejects
REJECTED = 0.01  # of the true pictures of these streets, sharp or emitted


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


def softened(
    key: int, indices: range, size: tuple[int, int] | None = None, *, lit: bool = False
) -> Iterator[tuple[str, Pair]]:
    """True variants of streets after street-mini's autoencoder and the detail step: as soft as its own; where `lit`,
    with the light layer and the held signals, as a run would emit them.
    """
    model, settings = load_model(MODEL), presets_of(MODEL)["standard"]
    layer = light_layer(settings.lights, settings.light_map) if lit else None
    for index in indices:
        named = list(street_pairs(key, index, size))
        source, objects = named[0][1].source, named[0][1].objects
        working = model.working_size(*source.shape[1::-1])
        day = _returned(model, source, working)
        shining = layer.over(source, CONDITIONS, objects) if layer else None
        for condition, (name, pair) in zip(CONDITIONS, named, strict=True):
            after = _returned(model, pair.variant, working)
            done = restore_detail(source, day, after, amount=settings.detail, floor=settings.detail_floor).image
            if shining:
                done = hold_signals(source, shining.on(condition, done), objects)
            yield f"{name}-softened", replace(pair, variant=done)


@torch.no_grad()
def _returned(model: LatentModel, photo: Image, size: tuple[int, int]) -> np.ndarray:
    """A photo after the autoencoder, at working size, `y x 3` in 0..255."""
    pixels = model.decode(model.encode_photos([photo], size)).float()
    return ((pixels + 1) * 127.5).clamp(0, 255).permute(0, 2, 3, 1).numpy()[0]


def translated(streets: int) -> Iterator[tuple[str, Translated]]:
    """street-mini's variants of other streets of the same key, as they are shipped, and where lights truly are."""
    translator = load_translator(CONDITIONS)
    for index in range(1000, 1000 + streets):
        drawn = draw_street(sample_street(KEY, index, SIZE))
        surface, objects = surfaces(drawn), drawn_boxes(drawn)
        day = render_drawn(drawn, surface, "day")
        made = translator.translate([day], CONDITIONS, objects=[objects], keys=[index])[0]
        for domain in CONDITIONS:
            variant = made[domain]
            if isinstance(variant, Diverged):
                continue
            truth = render_drawn(drawn, surface, domain)
            lights = lights_of(cv2.resize(truth, LOOKED_AT, interpolation=cv2.INTER_AREA)).astype(np.uint8)
            near = cv2.dilate(lights, np.ones((NEAR, NEAR), np.uint8))
            true = cv2.resize(near, SIZE, interpolation=cv2.INTER_NEAREST) > 0
            yield f"{KEY}-{index}-{domain}-translated", Translated(Pair(day, variant.image, objects), true)


def choosing(weights: dict[str, np.ndarray]) -> tuple[list[float], list[float]]:
    """The network's highest outputs on true variants that are known to no fit and to no report: sharp, and emitted."""
    sharp = (pair for index in range(CHOOSING) for pair in street_pairs(CHOOSING_KEY, index))
    emitted = (softened(CHOOSING_KEY, range(CHOOSING_EMITTED), size, lit=True) for size in (SIZE, LOOKED_AT))
    first, second = ([surest(weights, pair) for _, pair in some] for some in (sharp, chain.from_iterable(emitted)))
    return first, second


def main() -> None:
    """Gather, fit, set what rejects, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streets", type=int, default=180)
    parser.add_argument("--softened", type=int, default=24)
    parser.add_argument("--translated", type=int, default=12)
    parser.add_argument("--photos", type=int, default=16)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    kept = arguments.keep
    if kept and kept.is_file():
        with np.load(kept) as file:
            blobs = Blobs(file["patches"], file["made_up"])
    else:
        known = chain(pairs(arguments.streets, arguments.photos), softened(KEY, range(2000, 2000 + arguments.softened)))
        blobs = gathered(known, translated(arguments.translated))
        if kept:
            np.savez(kept, patches=blobs.patches, made_up=blobs.made_up)
    weights = fit_lights(blobs, steps=arguments.steps)
    weights = at_most(REJECTED, weights, *choosing(weights))
    photos = f"up to {arguments.photos} photos each of CamVid 0016E5 and permissive/day"
    made = f"{arguments.softened} more after street-mini's autoencoder, its variants of {arguments.translated} more"
    chosen = f"0.95 rejects {REJECTED:.0%} of true pictures of {CHOOSING} of rng_key {CHOOSING_KEY}, sharp or emitted"
    about = f"{arguments.streets} streets of rng_key {KEY}, {made}, {photos}; {chosen}"
    write_lights(weights, arguments.out, about)
    print(f"{arguments.out}: {len(blobs.made_up)} candidates, {int(blobs.made_up.sum())} of them made up")


if __name__ == "__main__":
    main()
