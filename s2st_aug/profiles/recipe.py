"""A recipe for all profiles that ship with a model: which photos and renders define each domain. YAML only fills it."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Literal

import pydantic
import yaml
from pydantic import BaseModel, ConfigDict

from s2st_aug.arrays import AnyImage
from s2st_aug.diffusion.model import LatentModel
from s2st_aug.errors import ConfigError, did_you_mean, wrong_values
from s2st_aug.formats.yaml_text import keys_of, refuse_flags
from s2st_aug.images import read_image
from s2st_aug.procedural.write import write_scenes
from s2st_aug.profiles.build import build_profile, measure, split_references
from s2st_aug.profiles.cleaning import ReferencePhotos
from s2st_aug.profiles.store import save_profile
from s2st_aug.real_data import DataPath
from s2st_aug.records.domains import CONDITIONS
from s2st_aug.records.profile import SUFFIX, Discriminant, DomainProfile
from s2st_aug.validation.strength import accuracy, fit_discriminant

log = logging.getLogger(__name__)
SCENES = "scenes/"  # a folder named scenes/<condition> holds true renders made for the recipe


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class SceneRecipe(_Part):
    """Renders that serve as references: of streets that neither training nor any test uses (their own rng_key)."""

    count: int = 60
    """how many [scenes]"""
    size: tuple[int, int] = (640, 360)
    """width and height [px]"""
    rng_key: int = 9002
    """which ones; neither training nor tests use them [no unit]"""


class DiscriminantRecipe(_Part):
    """What strength is fitted on and which other photos only test it.

    `photos`: the held-out fifths of all folders, or all their photos, where a fifth is but a few frames of one place;
    the profile's references are then among them, and only the medians are of photos left out.
    """

    source: list[str]
    """folders of the source domain"""
    target: list[str]
    """folders of the domain itself"""
    fitted_on: str
    """what this is, in words, for the profile"""
    photos: Literal["held_out", "all"] = "held_out"
    """which photos it is fitted on: the held-out fifth of each folder, or all of them where a fifth is but a few
    frames of one place"""
    tested_on: tuple[str, str] | None = None
    """folders of the source and the target domain, of other photos that it is only tested on; null: untested"""


class DomainRecipe(_Part):
    """One domain: its prompt, and its folders of references: under the data folder, or scenes/<condition>.

    `folder::pattern` takes the files whose name matches.
    """

    prompt: str
    """what the model is told of it"""
    references: list[str]
    """folders below `data`, or scenes/<condition>; `folder::pattern` takes the files whose name matches"""
    discriminant: DiscriminantRecipe | None = None
    """what its strength is measured by; null: nothing"""


class ProfileRecipe(_Part):
    """All profiles of one model. Paths are relative to the folder where the command runs."""

    model: str
    """model that the profiles are for"""
    data: DataPath
    """folder that holds the references"""
    out: Path
    """folder of the finished profiles"""
    source_prompt: str
    """what the model is told of a source image"""
    sources: dict[str, list[str]]
    """source domain to its folders"""
    most: int = 12
    """most photos of a folder that enter the statistics [photos]"""
    scenes: SceneRecipe = SceneRecipe()
    scenes_folder: Path = Path("runs/domain-scenes")
    """where scenes are rendered to"""
    domains: dict[str, DomainRecipe]
    """domain to its recipe"""


def read_recipe(path: Path) -> ProfileRecipe:
    """A recipe from YAML; raises ConfigError with all problems in one line."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        recipe = ProfileRecipe.model_validate(content)
    except pydantic.ValidationError as error:
        raise ConfigError(f"{path}: {wrong_values(error.errors(), known=keys_of(ProfileRecipe))}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML ({str(error).splitlines()[0]})") from None
    refuse_flags(content, recipe, str(path))
    return recipe


def build_all(recipe: ProfileRecipe, model: LatentModel, *, only: Collection[str] = ()) -> Iterator[DomainProfile]:
    """Build and write every profile of the recipe, or those of `only`, one after the other.

    Raises ConfigError for an unknown name.
    """
    unknown = sorted(set(only) - set(recipe.domains))
    if unknown:
        raise ConfigError(f"no domain {unknown[0]!r} in the recipe{did_you_mean(unknown[0], recipe.domains)}")
    if any(name.startswith(SCENES) for d in recipe.domains.values() for name in d.references):
        s = recipe.scenes
        write_scenes(recipe.scenes_folder, s.count, "bdd100k", CONDITIONS, s.size, s.rng_key)
    sources = {
        name: measure(model, [_folder(recipe, f) for f in folders], name, recipe.source_prompt, most=recipe.most)
        for name, folders in recipe.sources.items()
    }
    for name, domain in recipe.domains.items():
        if only and name not in only:
            continue
        profile = build_profile(
            model,
            name,
            domain.prompt,
            [_folder(recipe, f) for f in domain.references],
            sources,
            source_prompt=recipe.source_prompt,
            most=recipe.most,
            discriminant=_discriminant(recipe, domain.discriminant) if domain.discriminant else None,
        )
        yield save_profile(profile, recipe.out / f"{name}{SUFFIX}")


def _folder(recipe: ProfileRecipe, name: str) -> ReferencePhotos:
    name, _, match = name.partition("::")
    rendered = recipe.scenes_folder / name.removeprefix(SCENES) / "images"
    return ReferencePhotos(rendered if name.startswith(SCENES) else recipe.data / name, match or "*")


def _discriminant(recipe: ProfileRecipe, wanted: DiscriminantRecipe) -> Discriminant:
    def photos_of(name: str, which: Literal["held_out", "all"]) -> list[AnyImage]:
        photos = _folder(recipe, name)
        split = split_references([photos], photos.folder.name)
        return [read_image(r.path) for r in (split.everything if which == "all" else split.held)]

    source = [photo for folder in wanted.source for photo in photos_of(folder, wanted.photos)]
    target = [photo for folder in wanted.target for photo in photos_of(folder, wanted.photos)]
    fitted = fit_discriminant(source, target, wanted.fitted_on)
    if not wanted.tested_on:
        return fitted
    day, other = (photos_of(folder, "all") for folder in wanted.tested_on)
    return fit_discriminant(source, target, wanted.fitted_on, accuracy=accuracy(fitted, day, other))
