"""The real kit: S2ST on a latent diffusion model, judged by the validity checks. The driver hashes weights and never loads them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch

from s2st_aug.config import AugmentConfig
from s2st_aug.diffusion.model import LatentModel
from s2st_aug.diffusion.model_files import combined_hash, commit_of, find_model, hash_files
from s2st_aug.diffusion.schedule import NoiseSchedule
from s2st_aug.diffusion.stable_diffusion import load_model
from s2st_aug.engine.kit import Identity, Judge, Kit
from s2st_aug.profiles.store import find_profiles
from s2st_aug.records.profile import DomainProfile
from s2st_aug.translation.targets import eta_of
from s2st_aug.translation.cost import estimate
from s2st_aug.translation.translator import Translator
from s2st_aug.validation.detectors import load_detector
from s2st_aug.validation.judge import judge


def identify(config: AugmentConfig) -> Identity:
    """Hashes of the weights and of each domain's profile; raises ModelError, ProfileError, MissingDependency or ConfigError."""
    if config.validation.detector:
        load_detector(config.validation.detector)  # a wrong path must end the start, not fail every sample
    folder = find_model(config.model)
    files = hash_files(folder)
    shell = _shell(config.model, folder, combined_hash(files))
    profiles = _profiles(config, shell)
    cost = estimate(config.method, len(profiles))
    evals = (cost.forward * len(profiles), cost.backward * len(profiles))
    hashes = {name: p.sha256 for name, p in profiles.items()}
    return Identity(shell.sha256, hashes, evals, model_files=files, model_commit=commit_of(folder))


def make_translator(config: AugmentConfig, device: str) -> Translator:
    """The loaded model with its profiles, computing the same way on any actor."""
    torch.set_num_threads(config.cluster.threads_per_actor)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    gpus = int(config.cluster.gpus_per_actor) if config.cluster.spread_model and device.startswith("cuda") else 1
    model = load_model(config.model, device=device, gpus=gpus)
    return Translator(model, _profiles(config, model), config.method)


def make_judge(config: AugmentConfig) -> Judge:
    """The checks under the config's thresholds, each domain against its own profile."""
    folder = find_model(config.model)
    profiles = _profiles(config, _shell(config.model, folder, combined_hash(hash_files(folder))))
    return lambda source, variant, raw, objects, domain: judge(
        source, variant, raw, objects, profiles[domain], config.validation
    )


def _profiles(config: AugmentConfig, model: LatentModel) -> dict[str, DomainProfile]:
    """Profiles by their own names, in the config's order; two of one name are refused."""
    found = {p.name: p for p in find_profiles(config.domains, model).values()}
    for profile in found.values():
        eta_of(profile, config.method, profile.eta)  # a source it lacks must end the start, not fail every sample
    return found


def _shell(name: str, folder: Path, sha256: str) -> LatentModel:
    """A model by its files alone: name, hash and profiles; nothing in it can compute."""
    profiles = folder / "profiles"
    nothing: Any = partial(_cannot, name)
    return LatentModel(
        name=name,
        sha256=sha256,
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


def _cannot(name: str, *args: object) -> None:
    raise AssertionError(f"{name} was not loaded here")


KIT = Kit(identify, make_translator, make_judge)
