"""A domain beyond driving (docs/measured/ablations.md): one slide of stained tissue under another stain.

Its truth is known, by recomposing the slide.

scikit-image carries one immunohistochemistry picture. Its left half gives the references, its right half the sources.
Colour deconvolution takes its brown DAB apart and puts it back as pink eosin: that is the target domain, and each
source's true answer.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from benchmarks.ablation import Cell, measured_variant, measured_variants
from benchmarks.controls import CONTROLS
from s2st_aug.arrays import AnyImage, Image
from s2st_aug.config.hashes import hash_of
from s2st_aug.diffusion.model import LatentModel
from s2st_aug.diffusion.stable_diffusion import load_model
from s2st_aug.images import resize
from s2st_aug.profiles.build import build_profile, measure
from s2st_aug.profiles.cleaning import ReferencePhotos
from s2st_aug.profiles.colours import colours_of
from s2st_aug.records.profile import DomainProfile
from s2st_aug.translation.presets import presets_of
from s2st_aug.translation.settings import method_settings
from s2st_aug.translation.translator import Translator

QUESTION = "beyond driving"
SOURCE, TARGET = "brown stain", "pink stain"
PROMPT = "tissue"  # the shipped models know no such word: guidance stays at 1
CROP = (192, 108)  # px of the slide, w h; shown to the model enlarged
SIZE = (640, 360)
EOSIN = 0.5  # how deep the pink is for a unit of brown
OPTIMISED = {"st_iterations": 10, "to_method": "latents"}
CELLS: dict[str, dict[str, Any]] = {
    "as shipped": {},
    "ST 10, TO 10": OPTIMISED,
    "ST 10, TO 10, no horizontal bands": {**OPTIMISED, "bands": "whole"},
    "ST 10, TO 10, eta uniform": {**OPTIMISED, "eta": "uniform"},
}


def restained(slide: Image) -> Image:
    """The slide with its DAB as eosin: haematoxylin stays (Ruifrok and Johnston 2001, colour deconvolution)."""
    from skimage.color import hed2rgb, rgb2hed

    stains = rgb2hed(slide)
    nuclei, brown = stains[..., 0], stains[..., 2]
    return np.round(255 * np.clip(hed2rgb(np.stack([nuclei, EOSIN * brown, np.zeros_like(brown)], -1)), 0, 1)).astype(
        np.uint8
    )


def halves() -> tuple[list[AnyImage], list[AnyImage]]:
    """Crops of the slide's left half (references) and of its right half (sources), enlarged to SIZE."""
    from skimage.data import immunohistochemistry

    slide = immunohistochemistry()
    return _crops(slide, range(0, 65, 16), range(0, 404, 31)), _crops(slide, (256, 320), range(0, 404, 134))


def _crops(slide: Image, lefts: Sequence[int], tops: Sequence[int]) -> list[AnyImage]:
    w, h = CROP
    return [resize(np.ascontiguousarray(slide[y : y + h, x : x + w]), SIZE) for x in lefts for y in tops]


def stain_profile(model: LatentModel, references: Sequence[AnyImage], folder: Path) -> DomainProfile:
    """The target's profile from restained crops against the same crops as they are."""
    for name, change in ((SOURCE, np.asarray), (TARGET, restained)):
        (folder / name).mkdir(parents=True)
        for i, crop in enumerate(references):
            Pillow.fromarray(change(crop)).save(folder / name / f"{i:03d}.png")
    source = measure(model, [ReferencePhotos(folder / SOURCE)], SOURCE, PROMPT)
    return build_profile(
        model,
        TARGET,
        PROMPT,
        [ReferencePhotos(folder / TARGET)],
        {SOURCE: source},
        source_prompt=PROMPT,
        fitted_on="slide",
    )


def beyond(preset: str = "standard", model: str = "street-mini", known: Sequence[Cell] = ()) -> Iterator[Cell]:
    """The method's cells and the photometric controls on the slide's right half; what is `known` is taken over."""
    references, sources = halves()
    views = [{"day": crop, TARGET: restained(crop)} for crop in sources]
    loaded = load_model(model)
    with tempfile.TemporaryDirectory() as folder:
        profile = stain_profile(loaded, references, Path(folder))
    stored = {(c.name, c.settings): c for c in known if c.question == QUESTION}
    for name, overrides in CELLS.items():
        settings = method_settings(preset, {"label_aware": False, "guidance": 1.0, **overrides}, presets_of(model))
        identity = hash_of(
            {"method": settings.model_dump(mode="json"), "model": loaded.sha256, "profile": profile.references_sha256}
        )
        own = Translator(loaded, {TARGET: profile}, settings)
        rows = (
            stored[name, identity].rows
            if (name, identity) in stored
            else [r for v in views for r in measured_variants(own, v, [TARGET])]
        )
        yield Cell(QUESTION, name, loaded.name, preset, identity, rows)
    target = colours_of([restained(crop) for crop in references])
    for name in ("histogram", "reinhard"):
        rows = [
            measured_variant(v["day"], CONTROLS[name](v["day"], target), v[TARGET], profile.discriminant, 0)
            for v in views
        ]
        yield Cell(QUESTION, name, loaded.name, preset, "", rows)
