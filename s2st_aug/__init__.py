"""Night and rain variants of labelled driving scenes, with every label checked to still be true."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from s2st_aug.api import (
        Run,
        Translator,
        adopt,
        augment,
        export_run,
        load_translator,
        open_run,
        translate,
        validate,
    )
    from s2st_aug.export import export_run as export

__version__ = "0.2.0"
__all__ = [
    "Run",
    "Translator",
    "__version__",
    "adopt",
    "augment",
    "export",
    "export_run",
    "load_translator",
    "open_run",
    "translate",
    "validate",
]


def __getattr__(name: str) -> Any:
    """The public API, imported when it is first used, so that importing the package stays quick."""
    if name in __all__:
        return getattr(importlib.import_module("s2st_aug.api"), name)
    raise AttributeError(f"module 's2st_aug' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names."""
    return list(__all__)
