"""Profiles as files: arrays and JSON metadata in one safetensors file, refused when damaged or built for another model.

A file holds a hash of its own content. The shipped ones were built before that; `SHA256SUMS` beside them stands in for
it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from s2st_aug.diffusion.model import LatentModel
from s2st_aug.diffusion.model_files import profiles_beside
from s2st_aug.errors import ConfigError, ProfileError, did_you_mean
from s2st_aug.images import sha256_bytes
from s2st_aug.profiles.colours import LEVELS, stored_colours
from s2st_aug.records.domains import CONDITIONS
from s2st_aug.records.profile import SUFFIX, Discriminant, DomainProfile, is_name

FORMAT = "s2st_aug.profile/1"
SUMS = "SHA256SUMS"


def find_profile(domain: str, model: LatentModel) -> DomainProfile:
    """A shipped profile of the model by name, or one from a path; raises ProfileError, naming what there is."""
    return _find(domain, shipped_profiles(model), model.name, model)


def find_profiles(domains: Iterable[str], model: LatentModel) -> dict[str, DomainProfile]:
    """Profiles by the domains as given, in order.

    Raises ProfileError, and ConfigError for two of one name: they would share files.
    """
    found: dict[str, DomainProfile] = {}
    for domain in domains:
        profile = find_profile(domain, model)
        _refuse_second(domain, profile.name, (p.name for p in found.values()))
        found[domain] = profile
    return found


def find_image_profiles(
    domains: Iterable[str], model: str, *, required: bool = True
) -> dict[str, DomainProfile | None]:
    """Profiles by their own names for what images alone say, in order: colours and discriminant; no model is touched.

    Shipped ones are those beside the `model` where that is an embedded name or a folder, else street-mini's. A domain
    without one is None where none is `required`. Raises ProfileError and ConfigError.
    """
    shipped = profile_files(profiles_beside(model))
    found: dict[str, DomainProfile | None] = {}
    for domain in domains:
        if not required and domain not in shipped and not _is_path(domain):
            profile = None
        else:
            profile = _find(domain, shipped, model, None)
        name = domain if profile is None else profile.name
        if not is_name(name):
            raise ConfigError(f"domains: {name!r} cannot be part of a file's name")
        _refuse_second(domain, name, found)
        found[name] = profile
    return found


def _refuse_second(domain: str, name: str, known: Iterable[str]) -> None:
    if name in set(known):
        raise ConfigError(f"domains: {domain} is a second profile named {name!r}; build it under another name")


def _is_path(domain: str) -> bool:
    return domain.endswith(SUFFIX) or "/" in domain


def _find(domain: str, shipped: Mapping[str, Path], name: str, model: LatentModel | None) -> DomainProfile:
    if domain in shipped:
        return load_profile(shipped[domain], model)
    if _is_path(domain):
        return load_profile(Path(domain), model)
    if domain in CONDITIONS:
        raise ProfileError(
            f"model {name} ships no profile for {domain!r} (it has: {', '.join(sorted(shipped)) or 'none'}); {_REMEDY}"
        )
    raise ProfileError(f"unknown domain {domain!r}{did_you_mean(domain, shipped or CONDITIONS)}")


_REMEDY = "build one: s2st-aug domain build NAME --references DIR --source day=DIR --prompt TEXT --model M --out FILE"


def shipped_profiles(model: LatentModel) -> dict[str, Path]:
    """The profiles that lie beside the model's weights, by name."""
    return profile_files(model.profiles)


def profile_files(folder: Path | None) -> dict[str, Path]:
    """A folder's profiles by name; none where there is no such folder."""
    return {path.stem: path for path in sorted(folder.glob(f"*{SUFFIX}"))} if folder and folder.is_dir() else {}


def load_profile(path: Path, model: LatentModel | None = None) -> DomainProfile:
    """A profile from its file.

    Raises ProfileError if it is missing, damaged, or (given a model) built for another one.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ProfileError(f"{path}: profile cannot be read ({error.strerror or type(error).__name__})") from None
    profile = _parse(data, path)
    if profile.colours is None:
        profile = dataclasses.replace(profile, colours=stored_colours(path, profile.sha256))
    if model is not None and not profile.model_sha256:
        raise ProfileError(f"{path}: profile was built without a model, for images alone; {_REMEDY}")
    if model is not None and profile.model_sha256 != model.sha256:
        came, wanted = profile.model_sha256[:12], model.sha256[:12]
        raise ProfileError(f"{path}: profile was built for model {came}, not for {model.name} ({wanted}); {_REMEDY}")
    seen = profile.latents.shape[1] if profile.views is None else profile.views.shape[1]
    if model is not None and model.latent_channels not in (0, seen):  # 0: a model by its files alone
        raise ProfileError(
            f"{path}: damaged, its views see {seen} latent channels, {model.name} has {model.latent_channels}"
        )
    return profile


def save_profile(profile: DomainProfile, path: Path) -> DomainProfile:
    """Write the profile in one rename; gives it back with the hash of the file's bytes."""
    arrays = _arrays(profile)
    data = safetensors.numpy.save(arrays, metadata=_metadata(profile, arrays))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(data)
    temporary.replace(path)
    return dataclasses.replace(profile, sha256=sha256_bytes(data))


def _arrays(profile: DomainProfile) -> dict[str, np.ndarray]:
    arrays = {"latents": profile.latents, "seeds": profile.seeds}
    arrays |= {f"eta.{source}": eta for source, eta in profile.eta.items()}
    if profile.features is not None:
        arrays["features"] = profile.features
    if profile.views is not None:
        arrays["views"] = profile.views
    if profile.colours is not None:
        arrays["colours"] = profile.colours
    arrays |= {f"eta_seeds.{source}": eta for source, eta in profile.eta_seeds.items()}
    if profile.discriminant:
        arrays |= {f"discriminant.{name}": getattr(profile.discriminant, name) for name in ("weights", "mean", "scale")}
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def _metadata(profile: DomainProfile, arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    plain: dict[str, Any] = {
        name: getattr(profile, name) for name in ("name", "prompt", "source_prompt", "model_sha256", "seed_abar")
    }
    plain |= {"references": profile.references, "references_sha256": profile.references_sha256}
    if profile.discriminant:
        fields = dataclasses.fields(Discriminant)
        plain["discriminant"] = {
            f.name: getattr(profile.discriminant, f.name) for f in fields if f.name not in ("weights", "mean", "scale")
        }
    plain |= {"content_sha256": _content_hash(arrays, plain)}
    return {
        "profile": json.dumps({"format": FORMAT, **plain}, sort_keys=True)
    }  # one key: safetensors keeps no order among several


def _content_hash(arrays: Mapping[str, np.ndarray], plain: Mapping[str, Any]) -> str:
    """SHA-256 over the metadata and over every array's name, type, shape and bytes, by name."""
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _parse(data: bytes, path: Path) -> DomainProfile:
    try:
        arrays = safetensors.numpy.load(data)
        plain, sha256 = _header(data), sha256_bytes(data)
        written = plain.pop("content_sha256", None)
        sums = path.with_name(SUMS)  # the hashes of profiles that hold none of their own
        lines = sums.read_text(encoding="utf-8").splitlines() if written is None and sums.is_file() else []
        listed = next((line.split()[0] for line in lines if line.endswith(f" {path.name}")), None)
        if listed not in (None, sha256):
            raise ValueError(f"its bytes are not those that {SUMS} lists")
        if written not in (None, _content_hash(arrays, plain)):
            raise ValueError("its content is not what its own hash was taken over")
        return _profile(arrays, plain, sha256)
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError, IndexError) as error:
        raise ProfileError(
            f"{path}: not a domain profile, or damaged ({type(error).__name__}: {str(error).splitlines()[0]})"
        ) from None


def _header(data: bytes) -> dict[str, Any]:
    length = int.from_bytes(data[:8], "little")
    plain: dict[str, Any] = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["profile"])
    found = plain.pop("format", None)
    if found != FORMAT:
        raise ValueError(f"format {found!r}, expected {FORMAT!r}")
    return plain


def _profile(arrays: dict[str, np.ndarray], plain: dict[str, Any], sha256: str) -> DomainProfile:
    _check(arrays, for_model=bool(plain["model_sha256"]))
    parts = {
        kind: {k.split(".", 1)[1]: a for k, a in arrays.items() if k.startswith(kind + ".")}
        for kind in ("eta", "eta_seeds")
    }
    found = plain.pop("discriminant", None)
    if not is_name(plain["name"]):
        raise ValueError(f"its name {plain['name']!r} cannot be part of a file's name")
    three: dict[str, Any] = (
        {name: arrays[f"discriminant.{name}"] for name in ("weights", "mean", "scale")} if found else {}
    )
    plain |= {"references": tuple(plain["references"]), "references_sha256": tuple(plain["references_sha256"])}
    return DomainProfile(
        **plain,
        latents=arrays["latents"],
        seeds=arrays["seeds"],
        eta=parts["eta"],
        eta_seeds=parts["eta_seeds"],
        discriminant=Discriminant(**three, **found) if found else None,
        sha256=sha256,
        views=arrays.get("views"),
        features=arrays.get("features"),
        colours=arrays.get("colours"),
    )


def _check(arrays: dict[str, np.ndarray], *, for_model: bool) -> None:
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise ValueError("values that are not finite")
    if for_model:
        _check_latents(arrays)
    if "colours" in arrays and arrays["colours"].shape[1:] != (3, len(LEVELS)):
        raise ValueError(f"colours {arrays['colours'].shape} should be bands x 3 x {len(LEVELS)}")
    # one weight, mean and scale for each feature of the photos held out
    found = {k: a.shape for k, a in arrays.items() if k.startswith("discriminant.")}
    found |= {"features": arrays["features"].shape[1:]} if "features" in arrays else {}
    if len(set(found.values())) > 1 or any(len(shape) != 1 for shape in found.values()):
        raise ValueError(f"{', '.join(f'{k} {shape}' for k, shape in found.items())} should be of one length")


def _check_latents(arrays: dict[str, np.ndarray]) -> None:
    shape = arrays["latents"].shape
    if len(shape) != 3 or arrays["seeds"].shape != shape:
        raise ValueError(f"latents {shape} and seeds {arrays['seeds'].shape} should both be bands x views x quantiles")
    if any((np.diff(arrays[name]) < -1e-3).any() for name in ("latents", "seeds")):
        raise ValueError("quantiles that fall")
    if any(a.shape != shape[:2] for k, a in arrays.items() if k.startswith("eta")) or not any(
        k.startswith("eta.") for k in arrays
    ):
        raise ValueError("eta should be bands x views, for at least one source domain")
    latents, seeds = (
        sorted(k.partition(".")[2] for k in arrays if k.startswith(kind)) for kind in ("eta.", "eta_seeds.")
    )
    if latents != seeds:
        raise ValueError(f"eta is against {', '.join(latents)}, eta_seeds against {', '.join(seeds) or 'nothing'}")
    views, rows = arrays.get("views"), shape[1]  # the channels themselves, or those and as many principal directions
    if views is not None and (
        views.ndim != 2 or len(views) != rows or rows not in (views.shape[1], 2 * views.shape[1])
    ):
        raise ValueError(f"views {views.shape} should be {rows} rows over {rows} latent channels or half as many")
