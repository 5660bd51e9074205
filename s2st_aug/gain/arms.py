"""The arms: what replaces a real training image.

Every control sees the same references and the same updates as S2ST, and every arm draws the domain first.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from s2st_aug.arrays import Image
from s2st_aug.errors import MissingDependency
from s2st_aug.images import from_lab, luma, to_lab, to_uint8
from s2st_aug.methods.histogram import match_histograms
from s2st_aug.profiles.colours import colours_of
from s2st_aug.randomness import numpy_generator

Change = Callable[[Image, Image, np.random.Generator], Image]
"""an image, and one reference photo of the domain that is wanted"""
References = Mapping[str, Sequence[Image]]
"""photos by domain"""
GLOW = 110  # of 255: what is brighter in a true render is taken for a light (docs/method.md#lights)
HALO = 4.0  # px: deviation of the halo around a light


def same(image: Image, reference: Image, rng: np.random.Generator) -> Image:
    """Size-matched copies: the image itself."""
    return image


def photometric(image: Image, reference: Image, rng: np.random.Generator) -> Image:
    """Gamma 1.2 to 3.5 and desaturation of 0 to 80 %."""
    gamma, keep = rng.uniform(1.2, 3.5), rng.uniform(0.2, 1.0)
    dark = (image.astype(np.float32) / 255) ** gamma * 255
    grey = dark.mean(axis=2, keepdims=True)
    return to_uint8(grey + (dark - grey) * keep)


def weather(image: Image, reference: Image, rng: np.random.Generator) -> Image:
    """One of albumentations' rain, fog, shadow, snow and darkening, at its defaults."""
    pipeline = _weather_pipeline()
    pipeline.set_random_seed(int(rng.integers(2**31)))
    return pipeline(image=image)["image"]


def colour_transfer(image: Image, reference: Image, rng: np.random.Generator) -> Image:
    """Mean and spread per CIELAB channel of the reference (Reinhard et al. 2001)."""
    source, target = to_lab(image), to_lab(reference)
    mean, spread = source.mean((0, 1)), source.std((0, 1)) + 1e-3
    return from_lab((source - mean) / spread * target.std((0, 1)) + target.mean((0, 1)))


def histogram(image: Image, reference: Image, rng: np.random.Generator) -> Image:
    """Each horizontal band's CIELAB histograms become the reference's."""
    return match_histograms(image, colours_of([reference]))


def with_true_lights(image: Image, truth: Image) -> Image:
    """`image` with what shines in the true render of the same scene: no method can know it, so this is an oracle."""
    lit = cv2.dilate((luma(truth) > GLOW).astype(np.float32), np.ones((3, 3)))
    share = np.maximum(lit, cv2.GaussianBlur(lit, (0, 0), HALO))[..., None]
    return to_uint8(image * (1 - share) + truth * share)


ONCE = "_once"
CHANGES: dict[str, Change] = {
    "copies": same,
    "photometric": photometric,
    "weather": weather,
    "colour_transfer": colour_transfer,
    "histogram": histogram,
}


def changes(arm: str) -> bool:
    """Whether the arm is a control that changes images itself."""
    return arm.removesuffix(ONCE) in CHANGES


def changed(arm: str, index: int, image: Image, references: References, rng: np.random.Generator) -> Image:
    """Image `index` as the control shows it in a random domain of the references.

    It is drawn anew each time, or, in an arm `..._once`, the one picture of it in this domain that there is.
    """
    name, domains = arm.removesuffix(ONCE), sorted(references)
    domain = domains[int(rng.integers(len(domains)))]
    own = rng if name == arm else numpy_generator(0, "once", name, domain, str(index))
    reference = references[domain][int(own.integers(len(references[domain])))]
    return CHANGES[name](image, reference, own)


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
