"""A model by its files alone, its domain profiles, and the validity checks against them.

What the driver and the judging workers need.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch

from s2st_aug.arrays import Image
from s2st_aug.diffusion.model import LatentModel
from s2st_aug.diffusion.model_choice import read_choice, single_file
from s2st_aug.diffusion.model_files import combined_hash, commit_of, find_model, find_vae, hash_choice
from s2st_aug.diffusion.schedule import NoiseSchedule
from s2st_aug.profiles.store import find_image_profiles, find_profiles
from s2st_aug.records.profile import DomainProfile
from s2st_aug.records.scene import SceneObject
from s2st_aug.records.verdicts import Judge, Judgement
from s2st_aug.validation.judge import judge
from s2st_aug.validation.settings import ValidationSettings

__all__ = ["ModelFiles", "find_image_profiles", "hash_model", "profiles_by_name", "validity_checks"]


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model that was hashed and not loaded. `shell` has its name, hash and profiles; nothing in it can compute."""

    shell: LatentModel
    files: dict[str, str]  # weight file -> sha256
    commit: str  # of a model from the hub


def hash_model(name: str) -> ModelFiles:
    """Hashes the model's weights, once a process while no file changes; raises ModelError where there are none."""
    folder = find_model(name)
    choice = read_choice(name)
    others = [find_vae(choice.vae)] if choice.vae is not None else []
    there = [p for place in (folder, *others) for p in sorted(place.rglob("*"))]
    there += [file] if (file := single_file(choice)) else []
    there += [Path(lora.path).expanduser() for lora in choice.loras]
    stamps = ((path, path.stat()) for path in there if path.is_file())
    files = _hashed(name, folder, tuple((str(path), stat.st_size, stat.st_mtime_ns) for path, stat in stamps))
    profiles = folder / "profiles"
    nothing: Any = partial(_cannot, name)
    shell = LatentModel(
        name=name,
        sha256=combined_hash(files),
        denoiser=nothing,
        schedule=NoiseSchedule.stable_diffusion(),
        encode=nothing,
        decode=nothing,
        embed=nothing,
        native_size=(0, 0),
        stride=0,
        latent_channels=0,
        latent_factor=0,
        device=torch.device("cpu"),
        dtype=torch.float32,
        profiles=profiles if profiles.is_dir() else None,
    )
    return ModelFiles(shell, files, commit_of(folder))


@lru_cache(4)
def _hashed(name: str, folder: Path, stamps: tuple[tuple[str, int, int], ...]) -> dict[str, str]:
    return hash_choice(name, folder)


def _cannot(name: str, *args: object) -> None:
    raise AssertionError(f"{name} was not loaded here")


def profiles_by_name(domains: Sequence[str], model: LatentModel) -> dict[str, DomainProfile]:
    """Profiles by their own names, in the config's order; raises ProfileError, and ConfigError for two of one name."""
    return {profile.name: profile for profile in find_profiles(domains, model).values()}


def validity_checks(profiles: Mapping[str, DomainProfile | None], settings: ValidationSettings) -> Judge:
    """The checks under these thresholds, each domain against its own profile; without one strength is null."""

    def judged(source: Image, variant: Image, raw: Image, objects: Sequence[SceneObject], domain: str) -> Judgement:
        return judge(source, variant, raw, objects, profiles[domain], settings)

    return judged
