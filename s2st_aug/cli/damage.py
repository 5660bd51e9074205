"""After an error that nobody expected: whether a damaged run folder explains it, in one line.

It is looked for only then, so reading a sound run costs nothing.
"""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any, get_origin, get_type_hints

from s2st_aug.errors import RunFolderError, S2STError
from s2st_aug.storage import RunFolder
from s2st_aug.storage.run_folder import PROGRESS, RUN_JSON, RunInfo

WORDS = {dict: "an object", list: "a list", str: "text", int: "a number", bool: "true or false"}
CONFIG: dict[str, type] = {"dataset": dict, "domains": list, "validation": dict}
"""what commands read of the config in run.json"""


def first_damage(place: str) -> str | None:
    """The first fault in a run folder's files, as one line; None where they are sound or there is no run."""
    run = RunFolder(place)
    try:
        if run.exists():
            _check_run_json(run)
            _check_progress(run)
            run.read_manifest()
            run.read_decisions()
    except (S2STError, OSError) as error:
        return str(error)
    return None


def _check_run_json(run: RunFolder) -> None:
    where, hints = f"{run.place}/{RUN_JSON}: ", get_type_hints(RunInfo)
    run.run_json()
    raw = run.raw_run_json()
    for field in fields(RunInfo):
        kind = get_origin(hints[field.name]) or hints[field.name]
        _expect(raw, field.name, list if kind is tuple else kind, where)
    for name, kind in CONFIG.items():
        _expect(raw["config"], name, kind, f"{where}config.", needed=name == "dataset")
    _expect(raw["config"]["dataset"], "format", str, f"{where}config.dataset.", needed=True)


def _check_progress(run: RunFolder) -> None:
    where = f"{run.place}/{PROGRESS}"
    if run.store.size(PROGRESS) is not None and not isinstance(json.loads(run.store.read(PROGRESS)), dict):
        raise RunFolderError(
            f"{where}: expected an object; delete the file, and the same augment command writes it again"
        )


def _expect(values: dict[str, Any], name: str, kind: type, where: str, *, needed: bool = False) -> None:
    """Raises RunFolderError for a value of another kind, or for none where one is needed."""
    if name not in values and not needed:
        return
    found = f"expected {WORDS[kind]}, got {type(values[name]).__name__}" if name in values else "missing"
    if name not in values or not isinstance(values[name], kind):
        raise RunFolderError(f"{where}{name}: {found}; restore the file, or start a new run")
