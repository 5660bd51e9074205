"""The door for paths: a name out of a file that leads outside of its folder is refused, links included.

And a place that the user names is asked whether it can be written to.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from s2st_aug.errors import UsageError

CLIMBS = r"(^/|(^|/)\.\.(/|$)|\x00)"
"""what names outside have, as RE2: an absolute path, a part `..`, a NUL"""


def stays_below(name: str) -> bool:
    """Whether a relative POSIX name stays below its folder by its words alone; links are not looked at."""
    return bool(name) and not name.startswith("/") and "\0" not in name and ".." not in name.split("/")


def lies_inside(folder: Path, name: str, *, entry: bool = False) -> bool:
    """Whether what a name leads to lies in the folder, with every link on the way followed.

    The folder itself may be reached by links. `entry`: a link in the last place counts as itself, as where it is moved
    or deleted.
    """
    if not stays_below(name):
        return False
    root, path = os.path.realpath(folder), f"{folder}/{name}"
    real = os.path.realpath(os.path.dirname(path) if entry else path)  # noqa: PTH120 - of a million
    return real == root or real.startswith(root.rstrip("/") + "/")


def first_outside(names: pa.Array | pa.ChunkedArray) -> str | None:
    """The first name of a column that does not stay below its folder; null names are none."""
    hits = names.filter(pc.fill_null(pc.match_substring_regex(names, CLIMBS), fill_value=False))
    return hits[0].as_py() if len(hits) else None


def refuse_unwritable(place: Path, option: str) -> None:
    """Raises UsageError, one line, where files cannot be written to the folder `place`, or it cannot be made.

    A nameless file is made in the nearest folder that is there: permissions alone do not tell of a read-only mount.
    """
    try:
        there = next(p for p in (place.absolute(), *place.absolute().parents) if p.exists())
        if not there.is_dir():
            raise UsageError(f"{option} {place}: expected a folder, found the file {there}")
        with tempfile.TemporaryFile(dir=there):
            pass
    except (OSError, RuntimeError) as error:  # pathlib makes a RuntimeError of a loop of links
        why = getattr(error, "strerror", None) or error
        raise UsageError(f"{option} {place}: cannot be written to ({why})") from None
