"""The datasets in `tests/cases`, by number."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

CASES = Path(__file__).parents[1] / "cases"


class CaseFiles(NamedTuple):
    """A case's folder of data, the name of its card, its split."""

    root: Path
    card: str
    split: str


def case_files(number: int, copy_to: Path | None = None) -> CaseFiles:
    """A case as it lies in the repository, or a copy that may be changed and knows its own path."""
    (folder,) = CASES.glob(f"{number:02d}-*")
    card, split = (folder / "CARD").read_text().split()
    if copy_to is None:
        return CaseFiles(folder / "data", card, split)
    shutil.copytree(folder / "data", copy_to)
    for path in copy_to.glob("data.yaml"):
        path.write_text(path.read_text().replace("{ROOT}", str(copy_to)))
    return CaseFiles(copy_to, card, split)
