"""What the photometric methods share: a target's colours from references or a profile, and no model at all."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
from pydantic import BaseModel, ConfigDict, Field

from s2st_aug.arrays import AnyImage, Image
from s2st_aug.errors import ConfigError
from s2st_aug.formats.names import IMAGE_SUFFIXES
from s2st_aug.images import read_image, sha256_bytes, sha256_file
from s2st_aug.methods.protocol import Method, MethodConfig, MethodIdentity
from s2st_aug.records.scene import SceneObject
from s2st_aug.records.translated import Translated

if TYPE_CHECKING:
    from s2st_aug.lights.layer import LightLayer
    from s2st_aug.profiles.colours import Colours


class PhotometricSettings(BaseModel):
    """What `method: {name: histogram | reinhard | gamma, ...}` can say."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    references: str | None = None
    """a folder with a folder of target photos for each domain (`references/night/*.jpg`); null: the colours that the
    domain's profile keeps of its references"""
    share: float = Field(1.0, gt=0, le=1)
    """how much of the change is made; 1: all of it [share]"""
    lights: float = Field(0.0, ge=0, le=1)
    """how strongly lamps, headlights and windows shine at night; 0: none are added [factor]"""
    light_map: str | None = None
    """weights of the light map; null: the shipped ones"""


def faded(image: Image, changed: Image, share: float) -> Image:
    """`share` of the change, 0..1."""
    return changed if share == 1 else cv2.addWeighted(changed, share, image, 1 - share, 0)


class Photometric(Method[PhotometricSettings]):
    """A change of colours towards those of a domain. No model is loaded, hashed or needed.

    With `references` a domain needs no profile either; its strength is then null.
    """

    settings = PhotometricSettings
    files = ("references", "light_map")
    needs_model = False
    any_domain = True

    @abstractmethod
    def change(self, image: Image, target: Colours) -> Image:
        """The image with the target's colours."""

    def identify(self, config: MethodConfig[PhotometricSettings]) -> MethodIdentity:
        """Hashes of the references, or of the colours that profiles keep. Raises ConfigError or ProfileError."""
        from s2st_aug.lights.weights import hash_lights
        from s2st_aug.profiles import find_image_profiles  # torch: a config is read without

        folder = config.settings.references
        profiles = find_image_profiles(config.domains, config.model, required=folder is None)
        settings = hash_lights(config.settings.model_dump(mode="json", exclude={"references"}))
        if folder is None:
            targets = _targets(config)
            settings["colours"] = {name: sha256_bytes(c.quantiles.tobytes()) for name, c in targets.items()}
        else:
            files = {name: _references(folder, name) for name in profiles}
            settings["references"] = {name: [sha256_file(path) for path in paths] for name, paths in files.items()}
        hashes = {name: profile.sha256 if profile else "" for name, profile in profiles.items()}
        labels = config.settings.lights > 0  # nothing else asks for them
        return MethodIdentity(config.name, self.version, settings, "", hashes, label_aware=labels)

    def load(self, config: MethodConfig[PhotometricSettings], device: str) -> PhotometricTranslator:
        """The colours of each domain, and the network of lights where they are asked for."""
        from s2st_aug.lights.layer import light_layer

        s = config.settings
        return PhotometricTranslator(self, _targets(config), s.share, light_layer(s.lights, s.light_map, device))


class PhotometricTranslator:
    """Colours by domain, ready to be given to photos."""

    def __init__(
        self, method: Photometric, targets: Mapping[str, Colours], share: float = 1.0, lights: LightLayer | None = None
    ) -> None:
        self.method, self.targets, self.share, self.lights = method, dict(targets), share, lights

    def translate(
        self,
        photos: Sequence[AnyImage],
        domains: Sequence[str],
        objects: Sequence[Sequence[SceneObject]] | None = None,
        keys: Sequence[int] | None = None,
    ) -> list[dict[str, Translated]]:
        """Every photo in every domain; keys have no part in it, labels only in what shines."""
        results: list[dict[str, Translated]] = [{} for _ in photos]
        for i, (photo, result) in enumerate(zip(photos, results, strict=True)):
            lit = self.lights.over(photo, domains, objects[i] if objects else ()) if self.lights else None
            for domain in domains:
                image = faded(photo, self.method.change(photo, self.targets[domain]), self.share)
                result[domain] = Translated(lit.on(domain, image) if lit else image, image)
        return results


def _targets(config: MethodConfig[PhotometricSettings]) -> dict[str, Colours]:
    from s2st_aug.profiles import find_image_profiles
    from s2st_aug.profiles.colours import colours_of, profile_colours

    folder = config.settings.references
    profiles = find_image_profiles(config.domains, config.model, required=folder is None)
    if folder is not None:
        return {name: colours_of(map(read_image, _references(folder, name))) for name in profiles}
    return {name: profile_colours(profile) for name, profile in profiles.items() if profile is not None}


def _references(folder: str, domain: str) -> list[Path]:
    """A domain's photos in the order of their names; raises ConfigError where there is none."""
    place = Path(folder).expanduser() / domain
    found = sorted(p for p in place.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES) if place.is_dir() else []
    if not found:
        raise ConfigError(f"method.references: no photos of {domain} in {place}")
    return found
