"""The arms: what replaces a real training image.

Every control sees the same references and the same updates as S2ST.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from s2st_aug.arrays import Image
from s2st_aug.errors import MissingDependency
from s2st_aug.images import from_lab, to_lab, to_uint8
from s2st_aug.randomness import numpy_generator

Change = Callable[[Image, Sequence[Image], np.random.Generator], Image]


def same(image: Image, references: Sequence[Image], rng: np.random.Generator) -> Image:
    """Size-matched copies: the image itself."""
    return image


def photometric(image: Image, references: Sequence[Image], rng: np.random.Generator) -> Image:
    """Gamma 1.2 to 3.5 and desaturation of 0 to 80 %."""
    gamma, keep = rng.uniform(1.2, 3.5), rng.uniform(0.2, 1.0)
    dark = (image.astype(np.float32) / 255) ** gamma * 255
    grey = dark.mean(axis=2, keepdims=True)
    return to_uint8(grey + (dark - grey) * keep)


def weather(image: Image, references: Sequence[Image], rng: np.random.Generator) -> Image:
    """One of albumentations' rain, fog, shadow, snow and darkening, at its defaults."""
    pipeline = _weather_pipeline()
    pipeline.set_random_seed(int(rng.integers(2**31)))
    return pipeline(image=image)["image"]


def colour_transfer(image: Image, references: Sequence[Image], rng: np.random.Generator) -> Image:
    """Mean and spread per CIELAB channel of a random reference (Reinhard et al. 2001)."""
    source, target = to_lab(image), to_lab(references[int(rng.integers(len(references)))])
    mean, spread = source.mean((0, 1)), source.std((0, 1)) + 1e-3
    return from_lab((source - mean) / spread * target.std((0, 1)) + target.mean((0, 1)))


ONCE = "_once"
CHANGES: dict[str, Change] = {
    "copies": same,
    "photometric": photometric,
    "weather": weather,
    "colour_transfer": colour_transfer,
}


def changes(arm: str) -> bool:
    """Whether the arm is a control that changes images itself."""
    return arm.removesuffix(ONCE) in CHANGES


def changed(arm: str, index: int, image: Image, references: Sequence[Image], rng: np.random.Generator) -> Image:
    """Image `index` as the control shows it: drawn anew each time, or, in an
    arm `..._once`, the one picture of it that there is.
    """
    name = arm.removesuffix(ONCE)
    return CHANGES[name](image, references, rng if name == arm else numpy_generator(0, "once", name, str(index)))


@functools.cache
def _weather_pipeline() -> Any:
    try:
        import albumentations
    except ImportError:
        raise MissingDependency("the arm `weather` needs albumentations: pip install albumentations==2.0.8") from None
    kinds = ["RandomRain", "RandomFog", "RandomShadow", "RandomSnow"]
    choices = [getattr(albumentations, kind)(p=1) for kind in kinds]
    dark = albumentations.RandomBrightnessContrast(brightness_limit=(-0.5, -0.1), p=1)
    return albumentations.Compose([albumentations.OneOf([*choices, dark], p=1)])
