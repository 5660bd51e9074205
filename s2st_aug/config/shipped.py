"""The configs that come with the package: in the wheel below `config/shipped`, in a checkout in `configs/`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from s2st_aug.errors import UsageError, did_you_mean

_PACKAGED = Path(__file__).parent / "shipped"
_CHECKOUT = Path(__file__).parents[2] / "configs"

KINDS = {
    "`s2st-aug augment`": ("dataset",),
    "`s2st-aug gain`": ("task",),
    "`pipelines/build_domain.py`": ("source_prompt", "sources"),
    "training a model": ("denoiser",),
    "training a light map": ("decay_from",),
}
"""What a config is for, by keys of the top level that no other kind has."""


@dataclass(frozen=True, slots=True)
class ShippedConfig:
    """A config by its name (`demo`, `cluster/aws`), its file, what it is for and the first sentence of its comment."""

    name: str
    path: Path
    kind: str
    about: str


def shipped_configs() -> list[ShippedConfig]:
    """All of them, in the order of their names."""
    folder = _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT
    files = (p for p in folder.rglob("*") if p.suffix in {".yaml", ".sbatch"})
    return sorted((_describe(path, folder) for path in files), key=lambda config: config.name)


def find_shipped(name: str) -> ShippedConfig:
    """One by its name, with or without its ending; raises UsageError, naming the nearest."""
    known = {config.name: config for config in shipped_configs()}
    wanted = name.removesuffix(".yaml").removesuffix(".sbatch").removeprefix("configs/")
    if wanted not in known:
        raise UsageError(f"no config named {name!r} is shipped{did_you_mean(wanted, known)}")
    return known[wanted]


def kind_of(raw: object) -> str | None:
    """What a config is for, by its keys; None for none of KINDS."""
    return next((k for k, keys in KINDS.items() if isinstance(raw, dict) and all(key in raw for key in keys)), None)


def _describe(path: Path, folder: Path) -> ShippedConfig:
    text = path.read_text(encoding="utf-8")
    place = path.relative_to(folder)
    kind = "a cluster" if place.parent.name == "cluster" else kind_of(yaml.safe_load(text)) or "training a model"
    return ShippedConfig(place.with_suffix("").as_posix(), path, kind.strip("`"), _first_sentence(text))


def _first_sentence(text: str) -> str:
    """What a file's first comment says, up to its first full stop; lines that go on in lower case are joined."""
    lines = [line.removeprefix("# ") for line in text.splitlines() if line.startswith("#") and line[1:2] != "!"]
    said = lines[0] if lines else ""
    for line in lines[1:]:
        if not line[:1].islower():  # another sentence, or a command of its own
            break
        said += f" {line}"
    return re.split(r"(?<=\.)\s", said)[0]
