"""Every error a user can cause, in one small tree.

S2STError                        one clear line: what was expected, what was found, where
├── UsageError         (exit 2)  wrong usage; nothing was started
│   ├── ConfigError              unknown key, wrong value: all problems at once
│   ├── ModelError               no weights, wrong format, misread schedule, missing hub repository
│   ├── ProfileError             damaged profile, or one built for another model
│   ├── DatasetError             a folder, card, split or label file that cannot be read at all
│   │   └── NoImages             a split without a single image
│   ├── PlanMismatch             resuming under another plan hash
│   └── RunFolderError           not a run folder, locked by another run, of another schema
├── SampleError        (exit 1)  one sample is bad; it becomes a failed row and the run goes on
│   ├── UnreadableImage          truncated, not an image, too large
│   │   └── AbsentImage          no such file
│   ├── LabelError               a record that cannot be parsed
│   ├── SourceChanged            the file is not the one that was planned
│   ├── Diverged                 NaN or latents that explode, in float32 too
│   ├── OutOfMemory              not even one image at a time fits
│   └── LostWorker               the process dies whenever it translates this image
├── CheckFailed        (exit 3)  a promise does not hold
├── MissingDependency  (exit 2)  an optional package or program is absent; names the remedy
├── WorkerFault        (exit 4)  a worker that cannot work, whatever it is given: its batch goes to another worker
└── Stopped            (exit 4)  signal, drain or full disk; the same command resumes
    └── LockLost                 another run took the folder's lock; nothing more is written
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

Place = tuple[int | str, ...]
"""where a value stands in nested settings: keys, and numbers in lists"""
FailureKind = Literal[
    "absent_image",  # there is no such file
    "unreadable_image",  # truncated, not an image, or too large
    "label_error",  # its label record cannot be parsed
    "source_changed",  # the file is not the one that was planned
    "diverged",  # NaN or latents that explode, in float32 too
    "out_of_memory",  # not even this image alone fits
    "lost_worker",  # the process dies whenever it translates this image
    "error",  # any other exception
]
"""Why a sample failed, as the manifest says it: one word per class of SampleError."""

PLAIN = {"missing": "missing", "extra_forbidden": "unknown key"}
EXPECTED = {
    "tuple": "a list",
    "list": "a list",
    "dict": "a group of keys",
    "model": "a group of keys",
    "mapping": "a group of keys",
    "string": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
}
"""The first word of pydantic's kinds of error (`int_parsing`, `tuple_type`) to what a value has to be"""

EXIT_OK, EXIT_SOME_FAILED, EXIT_USAGE, EXIT_CHECK, EXIT_STOPPED = 0, 1, 2, 3, 4


class S2STError(Exception):
    """Base of every error that a user can cause; its text is one line fit for the terminal."""

    exit_code = EXIT_USAGE


class UsageError(S2STError):
    """Wrong usage, config or model: nothing was started."""


class ConfigError(UsageError):
    """A config that cannot be used; the text lists every problem found."""


class ModelError(UsageError):
    """A model that cannot be loaded or must not be used."""


class ProfileError(UsageError):
    """A domain profile that is damaged, unknown, or was built for another model."""


class DatasetError(UsageError):
    """A dataset folder, card, split or label file that cannot be read at all."""


class NoImages(DatasetError):
    """A split without any image in the folder."""


class PlanMismatch(UsageError):
    """A run folder holds another plan than the one asked for."""


class RunFolderError(UsageError):
    """Not a run folder, locked by another run, or of an unknown schema version."""


class MissingDependency(UsageError):
    """An optional package or program is absent; the text names the one command that installs it."""


class SampleError(S2STError):
    """One sample is bad: it becomes a `failed` row, and the run goes on. `failure` is the word in that row's column."""

    exit_code = EXIT_SOME_FAILED
    failure: FailureKind = "error"


class UnreadableImage(SampleError):
    """An image file is truncated, no image, or larger than the limit."""

    failure: FailureKind = "unreadable_image"


class AbsentImage(UnreadableImage):
    """An image file does not exist."""

    failure: FailureKind = "absent_image"


class LabelError(SampleError):
    """One label record cannot be parsed."""

    failure: FailureKind = "label_error"


class SourceChanged(SampleError):
    """A source file is not the one that was planned."""

    failure: FailureKind = "source_changed"


class Diverged(SampleError):
    """NaN or exploding latents, in float32 too."""

    failure: FailureKind = "diverged"


class OutOfMemory(SampleError):
    """Not even one image at a time fits into memory."""

    failure: FailureKind = "out_of_memory"


class LostWorker(SampleError):
    """The process dies whenever it translates this image."""

    failure: FailureKind = "lost_worker"


class CheckFailed(S2STError):
    """A promise does not hold (`verify`, a feed receipt, a goal)."""

    exit_code = EXIT_CHECK


class WorkerFault(S2STError):
    """A worker that cannot work on any sample because of its device, model or mounts.

    `certain` is False for what a sample may bring about too: an error of the device while it is computed.
    """

    exit_code = EXIT_STOPPED

    def __init__(self, text: str, *, certain: bool = True) -> None:
        super().__init__(text)
        self.certain = certain


class Stopped(S2STError):
    """Stopped before the end by a signal, a drain or a full disk; the same command resumes."""

    exit_code = EXIT_STOPPED


class LockLost(Stopped):
    """Another run took the lock of the run folder; this process must stop writing."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'night'?` where a known name is near, else the known names."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"


def wrong_value(error: Mapping[str, Any]) -> str:
    """What was expected in place of a value, from one of pydantic's `errors()`: `expected a list`."""
    if error["type"] in PLAIN:
        return PLAIN[error["type"]]
    if (word := str(error["type"]).partition("_")[0]) in EXPECTED:
        return f"expected {EXPECTED[word]}"
    message = str(error["msg"]).removeprefix("Value error, ")
    message = re.sub("^Input should be", "must be", message)
    shouted = message[1:2].isupper() or message[1:2].isdigit()  # S2ST_AUG_DATA
    return message if shouted else message[:1].lower() + message[1:]


def wrong_values(
    errors: Iterable[Mapping[str, Any]], place: str = "", known: Callable[[Place], Iterable[str]] | None = None
) -> str:
    """All of pydantic's `errors()` in one line, each with its place below `place` and what came.

    `a.b: expected a list (got 3); c: missing`. `known` gives the keys that there are at a place, for one that is none.
    """
    return "; ".join(_wrong_at(error, place, known) for error in errors)


def _wrong_at(error: Mapping[str, Any], place: str, known: Callable[[Place], Iterable[str]] | None) -> str:
    loc: Place = error["loc"]
    where, told = ".".join(filter(None, (place, *map(str, loc)))), wrong_value(error)
    if error["type"] == "extra_forbidden":
        names = list(known(loc[:-1])) if known else []
        told += did_you_mean(str(loc[-1]), names) if names else ""
    elif loc and error["type"] != "missing":
        came = repr(error["input"])
        told += f" (got {came if len(came) <= 60 else came[:57] + '...'})"
    return f"{where}: {told}" if where else told


def counted(number: int, noun: str) -> str:
    """`1 scene`, `2 scenes`; for a noun whose plural ends in -s."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}{'es' if noun.endswith('ch') else 's'}"
