"""Real driving photos lie where the environment variable S2ST_AUG_DATA says (docs/training.md#real-photos).

Nothing else names them. They are not in the repository: most may not be passed on. Where the variable is unset, tests
that need photos are skipped, figures that need them are undecided, and a config that names them is refused.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator

from s2st_aug.errors import DatasetError

VARIABLE = "S2ST_AUG_DATA"
_UNSET = f"{VARIABLE} is not set; set it to the folder of real driving photos (docs/training.md#real-photos)"


def real_data(folder: str = "") -> Path:
    """A folder of the real photos, such as `camvid/dusk/images`; raises DatasetError where it is unset or missing."""
    root = os.environ.get(VARIABLE)
    if not root:
        raise DatasetError(_UNSET)
    path = Path(root) / folder
    if not path.is_dir():
        raise DatasetError(f"{path}: no such folder of real photos; {VARIABLE} is {root}")
    return path


def name_of(path: Path) -> str:
    """A path as a model card shows it: below the real photos without the user's own folder, any other as it is."""
    root = os.environ.get(VARIABLE)
    return path.relative_to(root).as_posix() if root and path.is_relative_to(root) else path.as_posix()


def _filled(value: object) -> object:
    marker = f"${{{VARIABLE}}}"
    if not isinstance(value, str) or marker not in value:
        return value
    root = os.environ.get(VARIABLE)
    if not root:
        raise ValueError(_UNSET)
    return value.replace(marker, root)


DataPath = Annotated[Path, BeforeValidator(_filled)]
"""A config's path in which `${S2ST_AUG_DATA}` may stand for the folder of real photos."""
