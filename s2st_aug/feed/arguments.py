"""What the feed says of an argument that it cannot use: what was expected, and what came, in one line."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from numbers import Real

from s2st_aug.errors import UsageError


def wrong(name: str, expected: str, came: object) -> UsageError:
    """The error to raise; what came is shortened to a line."""
    return UsageError(f"{name}: expected {expected}, got {' '.join(reprlib.repr(came).split())}")


def refuse_other(name: str, came: object, kind: type) -> None:
    """Raises UsageError where `came` is not of the kind."""
    if not isinstance(came, kind):
        raise wrong(name, f"a {kind.__name__}", came)


def refuse_uncallable(name: str, came: object) -> None:
    """Raises UsageError where `came` cannot be called."""
    if not callable(came):
        raise wrong(name, "a function", came)


def refuse_below_one(name: str, came: object) -> None:
    """Raises UsageError where `came` is no whole number of at least 1."""
    if isinstance(came, bool) or not isinstance(came, int) or came < 1:
        raise wrong(name, "a whole number of at least 1", came)


def refuse_no_shares(came: object) -> None:
    """Raises UsageError where `came` is neither None nor domains with numbers."""
    if came is not None and not (
        isinstance(came, Mapping) and came and all(isinstance(v, Real) for v in came.values())
    ):
        raise wrong("shares", "a fraction for each domain, or None", came)
