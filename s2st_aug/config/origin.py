"""Where each value of a resolved config comes from: the file, with its line, `--set`, a preset, or the default."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import AliasChoices, BaseModel

from s2st_aug.config.augment import AugmentConfig, MethodChoice
from s2st_aug.config.load import load_config
from s2st_aug.methods.registry import find_method


@dataclass(frozen=True, slots=True)
class ResolvedValue:
    """A key with dots, its value as JSON has it, and where that comes from."""

    key: str
    value: Any
    origin: str


def resolved_values(path: Path, changes: Sequence[str] = (), *, method: str | None = None) -> list[ResolvedValue]:
    """Every value of the config under `key=value` changes, in the order of its records; raises ConfigError."""
    config = load_config(path, changes, method=method)
    lines = _lines(path.read_text(encoding="utf-8-sig"))
    if method is not None:
        changes = [*changes, f"method.name={method}"]
        lines = {k: v for k, v in lines.items() if k != "method" and not k.startswith("method.")}
    changed = [change.partition("=")[0].strip() for change in changes]
    preset = _preset_keys(config)
    found = []
    for names, value in _leaves(config):
        told = _told(names, changed, lines, path)
        origin = told or (preset if names[0] in _settings_of_preset(config) else "default")
        found.append(ResolvedValue(names[0], value, origin))
    return found


def _leaves(record: BaseModel, above: tuple[str, ...] = ("",)) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(every spelling of a key, the value): records are walked into, the method's settings stand beside its name."""
    plain = record.model_dump(mode="json")
    for name, info in type(record).model_fields.items():
        alias = info.validation_alias
        spellings = [str(c) for c in alias.choices] if isinstance(alias, AliasChoices) else [name]
        keys = tuple(f"{before}{spelling}" for before in above for spelling in spellings)
        value = getattr(record, name)
        if isinstance(record, MethodChoice) and isinstance(value, BaseModel):
            yield from _leaves(value, above)
        elif isinstance(value, BaseModel):
            yield from _leaves(value, tuple(f"{key}." for key in keys))
        else:
            yield keys, plain[name]


def _told(names: Sequence[str], changed: Sequence[str], lines: dict[str, int], path: Path) -> str:
    """What of file and command line says a value; empty where neither does."""
    whole = any(name == key or name.startswith(f"{key}.") for name in names for key in changed)
    part = any(key.startswith(f"{name}.") for name in names for key in changed)
    line = next((lines[name] for name in names if name in lines), None)
    in_file = "" if line is None else f"{path}:{line}"
    return "--set" if whole else " and ".join(filter(None, (in_file, "--set" if part else "")))


def _preset_keys(config: AugmentConfig) -> str:
    preset = getattr(config.method.settings, "preset", "")
    return f"preset {preset}" if preset else "default"


def _settings_of_preset(config: AugmentConfig) -> set[str]:
    """Keys of the settings that the chosen preset says otherwise than the method's defaults."""
    method = find_method(config.method.name)
    preset = getattr(config.method.settings, "preset", None)
    if not method.presets or preset is None:
        return set()
    chosen, plain = method.presets_on(config.model)[preset], method.settings()
    return {f"method.{k}" for k, v in chosen.model_dump().items() if v != getattr(plain, k) and k != "preset"}


def _lines(text: str) -> dict[str, int]:
    """The line of every key of a YAML mapping, by its path with dots."""
    found: dict[str, int] = {}

    def walk(node: yaml.Node | None, above: str) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                name = f"{above}{key.value}"
                found[name] = key.start_mark.line + 1
                walk(value, f"{name}.")

    walk(yaml.compose(text, Loader=yaml.SafeLoader), "")
    return found
