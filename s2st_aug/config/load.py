"""From YAML and `--set key=value` to a frozen record; what is wrong is said all at once, with "did you mean"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from s2st_aug.config.augment import AugmentConfig
from s2st_aug.errors import ConfigError, did_you_mean
from s2st_aug.records.domains import CONDITIONS
from s2st_aug.translation.settings import PRESETS


def load_config(path: str | Path, changes: Sequence[str] = ()) -> AugmentConfig:
    """The config of a YAML file with `key=value` changes applied; raises ConfigError, one line, with every problem."""
    raw = read_yaml(path)
    for change in changes:
        apply_change(raw, change)
    return parse_config(raw, str(path))


def read_yaml(path: str | Path) -> dict[str, Any]:
    """A YAML mapping, safely loaded; raises ConfigError."""
    try:
        raw = yaml.safe_load(Path(path).read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(f"config {path} is not there") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"config {path} cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"config {path}: expected a mapping at the top, came {type(raw).__name__}")
    return raw


def apply_change(raw: dict[str, Any], change: str) -> None:
    """One `--set a.b=value`; the value is read as YAML, so that numbers, lists and null come as such."""
    key, equals, text = change.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {change}: expected key=value, for example run.rng_key=1")
    *parents, last = key.strip().split(".")
    for parent in parents:
        if raw.get(parent) is None:
            raw[parent] = {}
        raw = raw[parent]
        if not isinstance(raw, dict):
            raise ConfigError(f"--set {change}: {parent} holds a value, not a group of keys")
    try:
        raw[last] = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"--set {change}: the value is not readable as YAML") from None


def parse_config(raw: Mapping[str, Any], where: str = "config") -> AugmentConfig:
    """The record of a mapping as YAML gives it; raises ConfigError with every problem."""
    filled = {k: v for k, v in raw.items() if v is not None or k not in _OPTIONAL}
    problems: list[str] = []
    if isinstance(filled.get("method"), Mapping):
        filled["method"] = _with_preset(filled["method"], problems)
    try:
        config = AugmentConfig.model_validate(filled)
    except ValidationError as error:
        problems += [_problem(e) for e in error.errors()]
    else:
        problems += _unknown_domains(config.domains)
    if problems:
        raise ConfigError(f"{where}: {'; '.join(problems)}")
    return config


_OPTIONAL = tuple(name for name, info in AugmentConfig.model_fields.items() if not info.is_required())


def _with_preset(given: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    """The preset's settings under those given, so that one setting can be overridden."""
    preset = given.get("preset", "standard")
    if preset not in PRESETS:
        problems.append(f"method.preset: unknown {preset!r}{did_you_mean(str(preset), PRESETS)}")
        preset = "standard"
    return {**PRESETS[preset].model_dump(), **given, "preset": preset}


def _problem(error: ErrorDetails) -> str:
    place = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{place}: unknown key{did_you_mean(str(error['loc'][-1]), _known_at(error['loc'][:-1]))}"
    if error["type"] == "missing":
        return f"{place}: missing"
    message = error["msg"].removeprefix("Value error, ")
    return f"{place}: {message[:1].lower()}{message[1:]} (came {_short(error['input'])})"


def _known_at(place: Iterable[int | str]) -> list[str]:
    model: type[BaseModel] = AugmentConfig
    for part in place:
        kinds = [model.model_fields[str(part)].annotation] if str(part) in model.model_fields else []
        found = [
            k for kind in kinds for k in (kind, *get_args(kind)) if isinstance(k, type) and issubclass(k, BaseModel)
        ]
        if not found:
            return []
        model = found[0]
    return list(model.model_fields)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _unknown_domains(domains: Sequence[str]) -> list[str]:
    """Names that are neither a known domain nor look like a path to a built profile."""
    names = [d for d in domains if "/" not in d and not d.endswith(".safetensors")]
    targets = [c for c in CONDITIONS if c != "day"]
    return [f"domains: unknown {name!r}{did_you_mean(name, targets)}" for name in names if name not in targets]
