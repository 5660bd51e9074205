"""Histogram matching by horizontal band: no network at all, and so the least that a generative method has to beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from s2st_aug.arrays import AnyImage, Image
from s2st_aug.errors import ConfigError, Diverged, ProfileError
from s2st_aug.formats.names import IMAGE_SUFFIXES
from s2st_aug.images import from_lab, read_image, resize, sha256_file, to_lab
from s2st_aug.methods.protocol import Method, MethodConfig, MethodIdentity
from s2st_aug.records.profile import DomainProfile
from s2st_aug.records.scene import SceneObject
from s2st_aug.records.translated import Translated
from s2st_aug.validation.strength import BANDS, QUANTILES

LEVELS = np.linspace(0, 1, 256)
THUMB = (160, 96)


class HistogramSettings(BaseModel):
    """What `method: {name: histogram, ...}` can say."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    references: str | None = None
    """a folder with a folder of target photos for each domain (`references/night/*.jpg`); null: the colours that the
    domain's profile keeps of its held-out photos, five quantiles a band and channel"""
    share: float = Field(1.0, gt=0, le=1)
    """how much of the change is made; 1: all of it"""


@dataclass(frozen=True, slots=True, eq=False)
class Colours:
    """What is known of a domain's colours.

    Mean CIELAB quantile functions by horizontal band, `bands 3 levels`, at these levels of [0, 1].
    """

    quantiles: np.ndarray
    levels: np.ndarray


def colours(photos: Sequence[AnyImage]) -> Colours:
    """The target's colours from its references."""
    return Colours(np.mean([_band_quantiles(to_lab(resize(p, THUMB)), LEVELS) for p in photos], axis=0), LEVELS)


def profile_colours(profile: DomainProfile) -> Colours:
    """The target's colours as its profile's features have them; both ends go on as the nearest quarter does.

    Raises ProfileError without any.
    """
    if profile.features is None:
        raise ProfileError(
            f"the profile {profile.name!r} holds no colours of its photos; give histogram some: method.references=DIR"
        )
    inner = profile.features.mean(0)[: BANDS * 3 * len(QUANTILES)].reshape(BANDS, 3, -1).astype(np.float64)
    low = inner[..., :1] - (inner[..., 1:2] - inner[..., :1]) * 0.25  # 0.05 of the levels, where a quarter is 0.2 wide
    high = inner[..., -1:] + (inner[..., -1:] - inner[..., -2:-1]) * 0.25
    return Colours(np.concatenate([low, inner, high], -1), np.array([0.0, *QUANTILES, 1.0]))


def match_histograms(image: Image, target: Colours) -> Image:
    """Each horizontal band's CIELAB histograms are those of the target.

    Bands overlap linearly, so that no seam shows.
    """
    lab = to_lab(image)
    own = _band_quantiles(to_lab(resize(image, THUMB)), target.levels)
    steps = np.arange(own.shape[-1]) * 1e-6  # strictly rising, as interpolation wants
    mapped = [
        np.stack([np.interp(lab[..., c], own[b, c] + steps, target.quantiles[b, c]) for c in range(3)], -1)
        for b in range(BANDS)
    ]
    place = np.clip((np.arange(len(lab)) + 0.5) / len(lab) * BANDS - 0.5, 0, BANDS - 1)
    weight = np.clip(1 - np.abs(place[None] - np.arange(BANDS)[:, None]), 0, 1)
    bands = zip(weight.astype(np.float32), mapped, strict=True)
    return from_lab(sum(w[:, None, None] * m.astype(np.float32) for w, m in bands))


def faded(image: Image, changed: Image, share: float) -> Image:
    """`share` of the change, 0..1."""
    return cv2.addWeighted(changed, share, image, 1 - share, 0)


def _band_quantiles(lab: np.ndarray, levels: np.ndarray) -> np.ndarray:
    return np.stack([np.quantile(band.reshape(-1, 3), levels, axis=0).T for band in np.array_split(lab, BANDS)])


class HistogramTranslator:
    """Colours by domain, ready to be matched."""

    def __init__(self, targets: Mapping[str, Colours], share: float) -> None:
        self.targets, self.share = dict(targets), share

    def translate(
        self,
        photos: Sequence[Image],
        domains: Sequence[str],
        objects: Sequence[Sequence[SceneObject]] | None = None,
        keys: Sequence[int] | None = None,
    ) -> list[dict[str, Translated | Diverged]]:
        """Every photo in every domain; labels and keys have no part in it."""
        results: list[dict[str, Translated | Diverged]] = [{} for _ in photos]
        for photo, result in zip(photos, results, strict=True):
            for domain in domains:
                image = match_histograms(photo, self.targets[domain])
                if self.share < 1:
                    image = faded(photo, image, self.share)
                result[domain] = Translated(image, image)
        return results


class Histogram(Method[HistogramSettings]):
    """Matches each band's CIELAB histograms to the domain's.

    The model is not loaded: it only says where the domain profiles lie.
    """

    settings = HistogramSettings
    version = "1"

    def identify(self, config: MethodConfig[HistogramSettings]) -> MethodIdentity:
        """Hashes of the references, or of the profiles that stand for them.

        Raises ConfigError, ModelError or ProfileError.
        """
        from s2st_aug.methods.checks import hash_model, profiles_by_name  # torch: a config is read without

        model = hash_model(config.model)
        profiles = profiles_by_name(config.domains, model.shell)
        settings = config.settings.model_dump(mode="json", exclude={"references"})
        if config.settings.references is None:
            for profile in profiles.values():
                profile_colours(profile)
        else:
            files = {domain: _references(config.settings.references, domain) for domain in profiles}
            settings["references"] = {domain: [sha256_file(path) for path in paths] for domain, paths in files.items()}
        return MethodIdentity(
            name=config.name,
            version=self.version,
            settings=settings,
            model_sha256=model.shell.sha256,
            profiles={name: profile.sha256 for name, profile in profiles.items()},
            model_files=model.files,
            model_commit=model.commit,
        )

    def load(self, config: MethodConfig[HistogramSettings], device: str) -> HistogramTranslator:
        """The colours of each domain; `device` has no part in it."""
        from s2st_aug.methods.checks import hash_model, profiles_by_name

        profiles, folder = profiles_by_name(config.domains, hash_model(config.model).shell), config.settings.references
        targets = {
            name: profile_colours(profile)
            if folder is None
            else colours([read_image(path) for path in _references(folder, name)])
            for name, profile in profiles.items()
        }
        return HistogramTranslator(targets, config.settings.share)


def _references(folder: str, domain: str) -> list[Path]:
    """A domain's photos in the order of their names; raises ConfigError where there is none."""
    place = Path(folder).expanduser() / domain
    found = sorted(p for p in place.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES) if place.is_dir() else []
    if not found:
        raise ConfigError(f"method.references: no photos of {domain} in {place}")
    return found
