"""From YAML and `--set key=value` to a frozen record; what is wrong is said all at once, with "did you mean"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from s2st_aug.config.augment import AugmentConfig, MethodChoice
from s2st_aug.config.shipped import kind_of, shipped_configs
from s2st_aug.errors import ConfigError, ModelError, did_you_mean, wrong_values
from s2st_aug.formats.yaml_text import flags_as_numbers, keys_of, parse_yaml
from s2st_aug.methods.registry import find_method
from s2st_aug.records.domains import CONDITIONS


def load_config(path: str | Path, changes: Sequence[str] = (), *, method: str | None = None) -> AugmentConfig:
    """The config of a YAML file with `key=value` changes applied; raises ConfigError, one line, with every problem.

    Another `method` than the file's takes none of the file's method settings: they are the other one's own.
    """
    raw = read_yaml(path)
    named = raw["method"].get("name", "s2st") if isinstance(raw.get("method"), dict) else "s2st"
    if method is not None and method != named:
        raw["method"] = {"name": method}
    if isinstance(raw.get("run"), dict) and any(change.startswith(("run.seed=", "run.rng_key=")) for change in changes):
        raw["run"] = {
            k: v for k, v in raw["run"].items() if k not in ("seed", "rng_key")
        }  # either name replaces either
    for change in changes:
        apply_change(raw, change)
    return parse_config(raw, str(path))


def refuse_other_kind(raw: Mapping[str, Any], wanted: str, where: str) -> None:
    """Raises ConfigError, one line, for a config of another command than the `wanted` one."""
    if (kind := kind_of(raw)) not in (None, wanted):
        raise ConfigError(f"{where} is a config for {kind}, not for {wanted}")


def read_yaml(path: str | Path) -> dict[str, Any]:
    """A YAML mapping, safely loaded; raises ConfigError."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        raw = parse_yaml(text)
        twice = key_given_twice(text)
    except FileNotFoundError:
        shipped = [c.name for c in shipped_configs() if c.path.name in (Path(path).name, f"{Path(path).name}.yaml")]
        hint = f"; a config of that name is shipped: s2st-aug config cp {shipped[0]}" if shipped else ""
        raise ConfigError(f"Config file not found: {path}{hint}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"config {path} cannot be read: {' '.join(str(error).split())}") from None
    if raw is None:
        raise ConfigError(f"config {path}: holds nothing, expected keys and values")
    if not isinstance(raw, dict):
        raise ConfigError(f"config {path}: expected a mapping at the top, got {type(raw).__name__}")
    if twice is not None:
        raise ConfigError(f"config {path}: {twice}; YAML takes the last and forgets the first, leave one out")
    return raw


def key_given_twice(text: str) -> str | None:
    """The first key that a mapping holds twice, with its line, in words; None where there is none."""
    waiting = [yaml.compose(text, Loader=yaml.SafeLoader)]
    seen: set[int] = set()
    while waiting:
        node = waiting.pop()
        if node is None or id(node) in seen:  # an anchor is met again at each of its aliases
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += reversed(node.value)
        if isinstance(node, yaml.MappingNode):
            names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode) and names.count(key.value) > 1:
                    last = max(k.start_mark.line for k, _ in node.value if k.value == key.value)
                    return f"line {last + 1}: {key.value} is there twice"
            waiting += reversed([value for _, value in node.value])
    return None


def apply_change(raw: dict[str, Any], change: str) -> None:
    """One `--set a.b=value`; the value is read as YAML, so that numbers, lists and null come as such."""
    key, equals, text = change.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {change}: expected key=value, for example run.seed=1")
    *parents, last = key.strip().split(".")
    for parent in parents:
        if raw.get(parent) is None:
            raw[parent] = {}
        raw = raw[parent]
        if not isinstance(raw, dict):
            raise ConfigError(f"--set {change}: {parent} holds a value, not a group of keys")
    try:
        raw[last] = parse_yaml(text)
    except yaml.YAMLError:
        raise ConfigError(f"--set {change}: the value is not readable as YAML") from None


def parse_config(raw: Mapping[str, Any], where: str = "config") -> AugmentConfig:
    """The record of a mapping as YAML gives it; raises ConfigError with every problem."""
    refuse_other_kind(raw, "`s2st-aug augment`", where)
    filled = {k: v for k, v in raw.items() if v is not None or k not in _OPTIONAL}
    problems: list[str] = []
    if isinstance(filled.get("run"), Mapping):
        filled["run"] = _with_one_seed(filled["run"], problems)
    if isinstance(filled.get("method", {}), Mapping):
        default = AugmentConfig.model_fields["model"].default
        model = filled.get("model", default)
        base = str(model.get("base", default) if isinstance(model, Mapping) else model)
        filled["method"] = choose_method(filled.get("method", {}), base, problems)
    try:
        config = AugmentConfig.model_validate(filled)
    except ValidationError as error:
        problems.append(wrong_values(error.errors(), known=keys_of(AugmentConfig)))
    else:  # names that are neither a known domain nor look like a path to a built profile
        names = [d for d in config.domains if not _is_profile_file(d)]
        if find_method(config.method.name).any_domain:
            names = []  # the method says which it takes
        targets = [c for c in CONDITIONS if c != "day"]
        problems += [f"domains: unknown {n!r}{did_you_mean(n, targets)}" for n in names if n not in targets]
        problems += flags_as_numbers(filled, config)
    if problems:
        raise ConfigError(f"{where}: {'; '.join(problems)}")
    return config


_OPTIONAL = tuple(name for name, info in AugmentConfig.model_fields.items() if not info.is_required())


def _with_one_seed(given: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    """`rng_key` is the former name of `seed`: both, with different values, are one too many."""
    if "seed" not in given or "rng_key" not in given:
        return dict(given)
    if given["seed"] != given["rng_key"]:
        seed, rng_key = given["seed"], given["rng_key"]
        problems.append(f"run.seed is {seed!r} and run.rng_key is {rng_key!r}: they are one value; give seed alone")
    return {key: value for key, value in given.items() if key != "rng_key"}


def refuse_unknown_domains(domains: Iterable[str], method: str = "s2st") -> None:
    """Raises ConfigError for a name that is no condition, or a profile's file that is not there.

    Nothing is loaded. Names that a method takes beside the conditions are left to it.
    """
    known = [c for c in CONDITIONS if c != "day"]
    any_name = find_method(method).any_domain
    problems = []
    for domain in domains:
        if _is_profile_file(domain):
            if not Path(domain).expanduser().is_file():
                problems.append(f"no such profile file: {domain}")
        elif domain not in known and not any_name:
            problems.append(f"unknown domain {domain!r}{did_you_mean(domain, known)}")
    if problems:
        raise ConfigError("; ".join(problems))


def _is_profile_file(domain: str) -> bool:
    return "/" in domain or domain.endswith(".safetensors")


def choose_method(given: Mapping[str, Any], model: str, problems: list[str]) -> MethodChoice:
    """The method of that `name` with its preset's settings under those given, so that one setting can be overridden.

    The preset is that on `model`.

    What is wrong is added to `problems`, one line each; the default method then stands in.
    """
    fallback = AugmentConfig.model_fields["method"].get_default(call_default_factory=True)
    name = given.get("name", fallback.name)
    try:
        method = find_method(str(name))
    except ConfigError as error:
        problems.append(f"method.name: {error}")
        return fallback
    settings = {k: v for k, v in given.items() if k != "name"}
    if method.presets:
        preset = settings.get("preset", method.settings.model_fields["preset"].default)
        if preset not in method.presets:
            problems.append(f"method.preset: unknown preset {preset!r}{did_you_mean(str(preset), method.presets)}")
            return fallback
        try:
            presets = method.presets_on(model)
        except ModelError as error:
            problems.append(f"model: {error}")
            return fallback
        settings = {**presets[preset].model_dump(), **settings, "preset": preset}
    try:
        choice = MethodChoice(name=str(name), settings=method.settings.model_validate(settings))
    except ValidationError as error:
        problems.append(wrong_values(error.errors(), "method", keys_of(method.settings)))
        return fallback
    problems += flags_as_numbers(settings, choice.settings, "method")
    return choice
