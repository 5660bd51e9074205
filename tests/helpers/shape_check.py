"""The type checker behind the shape hook: beartype, for functions that name an array's shape; mypy checks the others.

An annotation imported under TYPE_CHECKING, or a protocol that is not for run time, cannot be checked when the tests
run: such a function is left as it is.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any

from beartype import BeartypeConf, beartype

CONF = BeartypeConf(is_pep484_tower=True)  # an int is a float, as PEP 484 has it


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` under beartype where it names a shape and all its annotations resolve, else as it is."""
    if not inspect.isfunction(function):
        return function
    try:
        hints = typing.get_type_hints(function, include_extras=True)
        return beartype(conf=CONF)(_resolved(function, hints)) if "jaxtyping." in repr(hints) else function
    except Exception:
        return function


def _resolved(function: Callable[..., Any], hints: dict[str, Any]) -> Callable[..., Any]:
    function.__annotations__ = hints
    return function
