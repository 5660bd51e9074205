"""What verdicts depend on beside the images: thresholds, the constants of the checks, their networks' bytes, by value.

Every module of this package is read, so that a constant in upper case takes part as soon as it is written. What no
value shows, code that decides otherwise with the same constants, counts up VERDICT_VERSION; a test of golden verdicts
says when.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from collections.abc import Collection, Iterator, Mapping, Set
from dataclasses import asdict, is_dataclass
from functools import cache, lru_cache
from importlib.resources import files
from types import ModuleType
from typing import Any

import numpy as np

from s2st_aug import validation
from s2st_aug.errors import ModelError
from s2st_aug.images import sha256_bytes, sha256_file
from s2st_aug.records import classes
from s2st_aug.validation.detectors import find_detector
from s2st_aug.validation.settings import ValidationSettings

VERDICT_VERSION = "8"
"""Counts up whenever the same thresholds and constants would give other verdicts."""
CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]+")
NETWORK = ".safetensors"


def validation_identity(settings: ValidationSettings) -> dict[str, Any]:
    """All that can change a verdict on the same images, as a JSON value to be hashed.

    A detector counts by its file's bytes, wherever the file lies. Raises ModelError where it is missing.
    """
    return {
        "thresholds": settings.model_dump(mode="json", exclude={"detector"}),
        "checks": checks_sha256(),
        "detector": _detector_sha256(settings.detector) if settings.detector else None,
    }


@cache
def checks_sha256() -> str:
    """Hex SHA-256 over the constants and the small networks behind verdicts; the same for a whole process."""
    names = [f"{validation.__name__}.{m.name}" for m in pkgutil.iter_modules(validation.__path__)]
    values = dict(constants_of(*map(importlib.import_module, names), classes))
    networks = {f.name: sha256_bytes(f.read_bytes()) for f in files(validation).iterdir() if f.name.endswith(NETWORK)}
    return sha256_bytes(json.dumps([values, networks], sort_keys=True).encode())


def constants_of(*modules: ModuleType, leave_out: Collection[str] = ()) -> Iterator[tuple[str, Any]]:
    """Every constant (a name in upper case) of the modules, `module.NAME` and its value as JSON.

    Raises TypeError for a constant that is no plain value.
    """
    for module in modules:
        for name, value in vars(module).items():
            if CONSTANT.fullmatch(name) and name not in leave_out:
                yield f"{module.__name__}.{name}", _plain(value)


def _plain(value: Any) -> Any:
    """A constant as a JSON value; floats by their shortest exact text, mappings and sets in order."""
    if isinstance(value, bool | int | float | str | None):
        return value
    if isinstance(value, np.ndarray):
        return [str(value.dtype), value.tolist()]
    if isinstance(value, Mapping):
        return [[_plain(k), _plain(v)] for k, v in value.items()]
    if isinstance(value, Set):
        return sorted(map(_plain, value))
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, re.Pattern):
        return value.pattern
    raise TypeError(f"a constant of the checks must be a plain value to be hashed; got {type(value).__name__}")


def _detector_sha256(name: str) -> str:
    path = find_detector(name)
    try:
        stat = path.stat()
        return _file_sha256(str(path), stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise ModelError(f"no detector at {name} ({error.strerror or type(error).__name__})") from None


@lru_cache(maxsize=16)
def _file_sha256(path: str, _size: int, _changed_at: int) -> str:
    return sha256_file(path)
