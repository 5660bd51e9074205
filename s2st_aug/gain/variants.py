"""The S2ST arms' images: a run's variants by the stem of their source, gated or not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from s2st_aug.arrays import Image
from s2st_aug.errors import RunFolderError


@dataclass(frozen=True, slots=True, eq=False)
class MaskedVariant:
    """A variant at the training size; `ignored` marks where its labels are no longer to be trusted."""

    image: Image
    ignored: np.ndarray | None  # bool "h w"


def read_variants(run: Path, domains: tuple[str, ...], size: tuple[int, int], *, gated: bool) -> dict[str, list[MaskedVariant]]:
    """Variants by source stem; gated: `ok` rows, ignored and lost objects masked; else every image with all labels."""
    raise RunFolderError(f"{run}: no run folder")
