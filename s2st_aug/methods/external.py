"""Pictures that something else made: any generator, a game engine, a person. Nothing is translated here, all is judged.

`s2st-aug adopt` is the command; in a config it is `method: {name: external, pictures: DIR}`.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from s2st_aug.arrays import AnyImage, Image
from s2st_aug.errors import AbsentImage, ConfigError, SampleError, UnreadableImage, UsageError
from s2st_aug.images import read_photo, resize, sha256_bytes, sha256_file
from s2st_aug.methods.pictures import PATTERN, Pictures, checked_pattern
from s2st_aug.methods.protocol import Method, MethodConfig, MethodIdentity
from s2st_aug.records.scene import Scene, SceneObject
from s2st_aug.records.translated import RESAMPLED, Translated

UNSAID = "unspecified"


class ExternalSettings(BaseModel):
    """What `method: {name: external, ...}` can say."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    pictures: str = ""
    """the folder of the pictures; where it lies is not in the plan hash, what the pictures hold is"""
    pattern: str = PATTERN
    """their names below that folder; {scene} is the scene's id, the id without its split, or the image's own name, and
    `.*` at the end stands for any image type"""
    made_by: str = Field(UNSAID, min_length=1, max_length=200)
    """what made them, with its version: it goes into each row as the method's version"""
    note: str = Field("", max_length=2000)
    """anything else worth keeping: prompts, settings, where the weights are from"""

    @field_validator("pattern")
    @classmethod
    def _has_scene(cls, pattern: str) -> str:
        return checked_pattern(pattern)


class External(Method[ExternalSettings]):
    """Pictures made elsewhere, taken as they are. A domain needs no profile; its strength is then null."""

    settings = ExternalSettings
    version = "1"
    needs_model = False
    any_domain = True
    files = ("pictures",)

    def identify(self, config: MethodConfig[ExternalSettings]) -> MethodIdentity:
        """Hashes of every picture that the pattern can mean.

        Raises ConfigError, and ProfileError for a damaged profile.
        """
        told = config.settings
        pictures, profiles = pictures_of(told), self.profile_hashes(config)
        if "{domain}" not in told.pattern and len(profiles) > 1:
            raise ConfigError(
                f"method.pattern: {told.pattern!r} lacks {{domain}}, and there are {len(profiles)} domains"
            )
        names = pictures.matching(list(profiles))
        with ThreadPoolExecutor(8) as pool:
            hashes = pool.map(sha256_file, (pictures.folder / name for name in names))
            lines = [f"{name} {digest}\n" for name, digest in zip(names, hashes, strict=True)]
        settings = told.model_dump(mode="json", exclude={"pictures", "made_by"})
        settings |= {"count": len(names), "pictures_sha256": sha256_bytes("".join(sorted(lines)).encode())}
        return MethodIdentity(
            name=config.name,
            version=told.made_by,
            settings=settings,
            model_sha256="",
            profiles=profiles,
            by_scene=True,
        )

    def load(self, config: MethodConfig[ExternalSettings], device: str) -> ExternalTranslator:
        """Nothing to load."""
        return ExternalTranslator(pictures_of(config.settings))


def pictures_of(settings: ExternalSettings) -> Pictures:
    """The settings' folder and pattern; raises ConfigError without a folder."""
    if not settings.pictures:
        raise ConfigError("method.pictures: missing; s2st-aug adopt CONFIG --variants DIR names the folder")
    return Pictures(Path(settings.pictures).expanduser(), settings.pattern)


class ExternalTranslator:
    """Reads pictures in the place of making them."""

    def __init__(self, pictures: Pictures) -> None:
        self.pictures = pictures

    def translate(
        self,
        photos: Sequence[AnyImage],
        domains: Sequence[str],
        objects: Sequence[Sequence[SceneObject]] | None = None,
        keys: Sequence[int] | None = None,
        *,
        scenes: Sequence[Scene] = (),
        orientations: Sequence[Literal["apply", "ignore"]] = (),
    ) -> list[dict[str, Translated | SampleError]]:
        """Each scene's picture of each domain, or why there is none; one of another size is resampled."""
        if len(scenes) != len(photos):
            raise UsageError("external: pictures belong to the scenes of a dataset; use `s2st-aug adopt`")
        return [
            {domain: self._read(photo, scene, domain, turn) for domain in domains}
            for photo, scene, turn in zip(photos, scenes, orientations, strict=True)
        ]

    def _read(
        self, photo: Image, scene: Scene, domain: str, turn: Literal["apply", "ignore"]
    ) -> Translated | SampleError:
        name = self.pictures.find(scene, domain)
        if name is None:
            wanted = next(self.pictures.names(scene, domain))
            return AbsentImage(f"no picture of {scene.scene_id} for {domain} (looked for {wanted} and shorter names)")
        try:
            image = read_photo(self.pictures.folder / name, name=name, orientation=turn).rgb
        except UnreadableImage as error:
            return error
        (height, width), (own_height, own_width) = photo.shape[:2], image.shape[:2]
        if (own_height, own_width) == (height, width):
            return Translated(image, image)
        came, wanted = f"{own_width}x{own_height}", f"{width}x{height}"
        if (own_height, own_width) == (width, height):
            return UnreadableImage(f"{name}: it is {came}, its source {wanted}: turned by a quarter?")
        resampled = resize(image, (width, height))
        stretch = own_width * height / (own_height * width)
        said = f"{RESAMPLED}{came} to {wanted}" + (
            f", stretched by {1 / stretch:.2f}" if abs(stretch - 1) > 0.01 else ""
        )
        return Translated(resampled, resampled, notes=(said,))
