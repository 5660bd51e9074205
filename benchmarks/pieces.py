"""Suites in pieces, for machines that are seldom free for hours: each piece's result is kept as JSON, a suite that is
run again takes it.

`S2ST_PIECES=DIR` says where. With `S2ST_ONLY_KEPT=1` a suite makes no piece that is not there.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


def kept(folder: Path, name: str, make: Callable[[], Any]) -> Any:
    """The piece's result that is kept in the folder, or one made now and kept."""
    path = folder / f"{name}.json"
    if path.is_file():
        log.info("%s was measured before: %s", name, path)
        return json.loads(path.read_text())
    result = make()
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    return result


def wanted(folder: Path, name: str) -> bool:
    """Whether a suite asks for the piece: always, unless it is to make none."""
    return not os.environ.get("S2ST_ONLY_KEPT") or (folder / f"{name}.json").is_file()


def folder_or(other: Path) -> Path:
    """Where pieces are kept, or the other folder."""
    return Path(os.environ.get("S2ST_PIECES", other))


def circumstances() -> str:
    """What else the machine did, for a timed figure's `why`."""
    niceness = os.getpriority(os.PRIO_PROCESS, 0)
    return f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, niceness {niceness}"
