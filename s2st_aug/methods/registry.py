"""Methods by name: the built-in ones, those that installed packages offer, and any class as `package.module:Class`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import sysconfig
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from s2st_aug.errors import ConfigError, did_you_mean
from s2st_aug.methods.protocol import Method

METHODS: dict[str, str] = {
    "s2st": "s2st_aug.methods.s2st:S2ST",
    "histogram": "s2st_aug.methods.histogram:Histogram",
    "reinhard": "s2st_aug.methods.reinhard:Reinhard",
    "gamma": "s2st_aug.methods.gamma:Gamma",
    "ddib": "s2st_aug.methods.ddib:Ddib",
    "sdedit": "s2st_aug.methods.sdedit:SDEdit",
    "external": "s2st_aug.methods.external:External",
    "ledits": "s2st_aug.methods.ledits:Ledits",
}
ENTRY_POINTS = "s2st_aug.methods"


def find_method(name: str) -> Method[Any]:
    """The method of that name; only its own module is imported.

    Raises ConfigError, one line, for an unknown or unusable one.
    """
    place = METHODS.get(name) or (name if ":" in name else _offered().get(name))
    if place is None:
        raise ConfigError(f"unknown method {name!r}{did_you_mean(name, method_names())}")
    module, _, attribute = place.partition(":")
    try:
        found = getattr(_imported(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"method {name!r} cannot be imported: {' '.join(str(error).split())}") from None
    if not (isinstance(found, type) and issubclass(found, Method)):
        raise ConfigError(f"method {name!r}: expected a subclass of s2st_aug.methods.Method, found {found!r}")
    if missing := [part for part in ("settings", "version") if not hasattr(found, part)]:
        raise ConfigError(f"method {name!r} has no {' and no '.join(missing)}")
    try:
        return found()
    except TypeError as error:  # abstract
        raise ConfigError(f"method {name!r}: {error}") from None


def method_source(name: str) -> Path | None:
    """The package folder or file that a Ray cluster's workers must be sent for a method; None where it is installed.

    Installed is what lies in a folder of packages, here and so on every node; a module of one's own lies elsewhere.
    """
    place = METHODS.get(name) or (name if ":" in name else _offered().get(name, ""))
    top = place.partition(":")[0].partition(".")[0]
    if not top or top == __name__.partition(".")[0]:
        return None
    found = importlib.util.find_spec(top)
    if found is None or found.origin is None:
        folders = list(found.submodule_search_locations or ()) if found else []  # a namespace: no __init__.py
        return Path(folders[0]) if folders else None
    path = Path(found.origin).resolve()
    installed = [Path(sysconfig.get_path(kind)).resolve() for kind in ("purelib", "platlib", "stdlib")]
    if any(path.is_relative_to(folder) for folder in installed):
        return None
    return path.parent if path.name == "__init__.py" else path


def _imported(module: str) -> ModuleType:
    """The module, of this folder too: a console script does not have it on its path."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        here = str(Path.cwd())
        if error.name != module.partition(".")[0] or here in sys.path:
            raise
        sys.path.append(here)  # last: what is installed goes before it
        return importlib.import_module(module)


def method_names() -> list[str]:
    """What `method.name` can be, beside a class of one's own."""
    return sorted({*METHODS, *_offered()})


def _offered() -> dict[str, str]:
    """Name to place of the methods that installed packages offer; nothing of theirs is imported."""
    return {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}
