"""YAML from files that we did not write: no objects, no depth or aliases that take minutes and gigabytes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, get_args

import yaml
from pydantic import AliasChoices, BaseModel

from s2st_aug.errors import ConfigError

DEPTH_LIMIT = 64
VALUES_LIMIT = 1_000_000
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BRACKET = re.compile(r"[\[\]{}]")


def parse_yaml(text: str) -> Any:
    """The value; raises yaml.YAMLError, also for nesting deeper than `DEPTH_LIMIT`, whose square PyYAML's time is.

    And for aliases that come to more than `VALUES_LIMIT` values: nine lines of nine aliases each are 43 million to
    whoever prints or copies them.
    """
    depth = 0
    for bracket in _BRACKET.finditer(text):
        depth = depth + 1 if bracket[0] in "[{" else max(depth - 1, 0)
        if depth > DEPTH_LIMIT:
            raise yaml.YAMLError(f"nested deeper than {DEPTH_LIMIT} levels")
    if re.search(r"(?:[-?:][ \t]+){64}", text):
        raise yaml.YAMLError(f"nested deeper than {DEPTH_LIMIT} levels in one line")
    value = yaml.load(text, Loader=_LOADER)
    if "*" in text and _is_bomb(value):
        raise yaml.YAMLError(f"its aliases come to more than {VALUES_LIMIT:,} values")
    return value


def _is_bomb(value: object) -> bool:
    try:
        return _written_out(value, {}) > VALUES_LIMIT
    except RecursionError:  # aliases of aliases, a thousand deep
        return True


def _written_out(value: object, known: dict[int, float]) -> float:
    """How many values there are with every alias written out; infinitely many where one holds itself."""
    if not isinstance(value, list | tuple | set | dict):
        return 1
    if id(value) not in known:
        known[id(value)] = math.inf
        parts = [*value.keys(), *value.values()] if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_written_out(part, known) for part in parts)
    return known[id(value)]


def flags_as_numbers(given: object, made: object, place: str = "") -> Iterator[str]:
    """A problem, in words, for each true or false in `given` (YAML's `yes`, `on`) that became a number in `made`.

    `made` is what pydantic made of `given`: to pydantic, true is 1.
    """
    if isinstance(given, bool):
        if isinstance(made, int | float) and not isinstance(made, bool):
            yield f"{place}: expected a number (got {given})"
    elif isinstance(given, Mapping):
        values = _by_every_name(made) if isinstance(made, BaseModel) else made
        if isinstance(values, Mapping):
            for key in given.keys() & values.keys():
                yield from flags_as_numbers(given[key], values[key], f"{place}.{key}" if place else str(key))
    elif isinstance(given, list | tuple) and isinstance(made, list | tuple) and len(given) == len(made):
        for i, (one, other) in enumerate(zip(given, made, strict=True)):
            yield from flags_as_numbers(one, other, f"{place}.{i}")


def refuse_flags(given: object, made: object, where: str) -> None:
    """Raises ConfigError, one line, for what `flags_as_numbers` finds."""
    if flags := [*flags_as_numbers(given, made)]:
        raise ConfigError(f"{where}: {'; '.join(flags)}")


def keys_of(record: type[BaseModel]) -> Callable[[Iterable[int | str]], list[str]]:
    """What gives the keys that a record takes at a place below it, in every spelling; none where no record stands."""
    return lambda place: _keys_at(record, place)


def _keys_at(record: type[BaseModel], place: Iterable[int | str]) -> list[str]:
    for part in place:
        kind = record.model_fields[str(part)].annotation if str(part) in record.model_fields else None
        found = [k for k in (kind, *get_args(kind)) if isinstance(k, type) and issubclass(k, BaseModel)]
        if not found:
            return []
        record = found[0]
    aliases = {name: info.validation_alias for name, info in record.model_fields.items()}
    return [str(c) for name, a in aliases.items() for c in (a.choices if isinstance(a, AliasChoices) else [name])]


def _by_every_name(record: BaseModel) -> dict[str, Any]:
    values = {}  # type: dict[str, Any]
    for name, info in type(record).model_fields.items():
        alias = info.validation_alias
        names = alias.choices if isinstance(alias, AliasChoices) else ()
        values |= {str(spelled): getattr(record, name) for spelled in (name, *names)}
    return values
