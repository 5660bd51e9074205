"""`s2st-aug domain build`: a domain profile from unpaired photos."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from s2st_aug.cli.method_options import Device
from s2st_aug.cli.terminal import out
from s2st_aug.config.augment import NO_DOMAINS
from s2st_aug.containment import refuse_unwritable
from s2st_aug.errors import UsageError
from s2st_aug.records.profile import DomainProfile, is_name

NO_MODEL = "none"


def build(
    name: Annotated[str, typer.Argument(help="The domain's name.")],
    references: Annotated[Path, typer.Option(help="Folder of photos of the target domain.")],
    file: Annotated[Path, typer.Option("--out", help="The profile to write (.safetensors).")],
    source: Annotated[
        list[str] | None,
        typer.Option(help="Photos of a source domain: NAME=DIR. Repeatable. Default: the shipped day."),
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(help="Prompt for the target domain; required unless --model none.")
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            help="street-mini, street-photo, a Stable Diffusion folder or a hub id; none: a profile from the images "
            "alone, which is enough for adopt and for the photometric methods."
        ),
    ] = "street-mini",
    device: Device = "auto",
    source_prompt: Annotated[str | None, typer.Option(help="Prompt for the source domain.")] = None,
) -> None:
    """Build a profile of a domain from photos, and report which photos were left out."""
    sources = _sources(source or [])
    _refuse_unusable(name, file, [references, *sources.values()])
    if prompt is None and model != NO_MODEL:
        raise UsageError("--prompt is missing; it describes the target domain, for example 'a street at night'")
    from s2st_aug.diffusion.device import resolve_device
    from s2st_aug.diffusion.stable_diffusion import load_model
    from s2st_aug.profiles import build_profile, find_image_profiles, find_profile, save_profile
    from s2st_aug.profiles.accuracy import strength_line
    from s2st_aug.profiles.build import DAY_PROMPT, Measured, measure
    from s2st_aug.profiles.cleaning import ReferencePhotos

    logging.getLogger("s2st_aug.profiles").setLevel(logging.INFO)
    loaded = None if model == NO_MODEL else load_model(model, device=resolve_device(device))
    day = source_prompt or DAY_PROMPT
    given: dict[str, Measured | DomainProfile] = {
        key: measure(loaded, [ReferencePhotos(place)], key, day) for key, place in sources.items()
    }
    if not given:
        shipped = find_profile("day", loaded) if loaded else find_image_profiles(["day"], model)["day"]
        assert shipped is not None  # it is required
        given = {"day": shipped}
    profile = build_profile(loaded, name, prompt or "", [ReferencePhotos(references)], given, source_prompt=day)
    saved = save_profile(profile, file)
    said = f"{len(profile.references)} references, sources {', '.join(given)}, sha256 {saved.sha256[:12]}"
    out.print(f"{file}: {said}")
    out.print(strength_line(profile))


def _sources(given: list[str]) -> dict[str, Path]:
    """Folders of photos by name, from NAME=DIR."""
    sources: dict[str, Path] = {}
    for text in given:
        key, _, folder = text.partition("=")
        if not (key and folder):
            raise UsageError(f"--source: expected NAME=DIR, got {text!r}")
        sources[key] = Path(folder)
    return sources


def _refuse_unusable(name: str, file: Path, folders: list[Path]) -> None:
    """Raises UsageError for a name or a file that no profile can have, and for folders of photos that are absent."""
    if not is_name(name):
        raise UsageError(f"NAME: {name!r} cannot be part of a file's name: no separators, no leading dot")
    if name in NO_DOMAINS:
        raise UsageError(f"NAME: {name!r} stands for your own images in exports and reviews; choose another name")
    if file.suffix != ".safetensors":
        raise UsageError(f"--out: expected a file ending in .safetensors, got {file}")
    for place in folders:
        if not place.is_dir():
            raise UsageError(f"no such folder of photos: {place}")
    refuse_unwritable(file.parent, "--out")
