"""Is a source that is tagged as day bright? BDD100K holds night images tagged daytime; they are listed and skipped, not silently used."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from s2st_aug.errors import UnreadableImage
from s2st_aug.records.scene import Scene

log = logging.getLogger(__name__)
DARK = 64.0
"""Mean luma (0..255) under which an image is no day: chosen on the real photos of ../shared/data, see docs/formats.md."""
_SIDE = 128


@dataclass(frozen=True, slots=True)
class Suspect:
    """A scene whose image is darker than a day, and its mean luma."""

    scene: Scene
    luma: float  # 0..255


def mean_luma(path: Path) -> float:
    """Mean of Y over the image, 0..255; a JPEG is decoded at a fraction of its size. Raises UnreadableImage."""
    from PIL import Image

    from s2st_aug.images import MAX_PIXELS

    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UnreadableImage(f"{path}: {image.width}x{image.height} is more than {MAX_PIXELS} pixels")
            image.draft("L", (_SIDE, _SIDE))
            image.thumbnail((_SIDE, _SIDE))
            return float(np.asarray(image.convert("L")).mean())
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UnreadableImage(f"{path}: not a readable image ({str(error).splitlines()[0] if str(error) else 'damaged'})") from None


def suspects(root: Path, scenes: Iterable[Scene], *, dark: float = DARK) -> Iterator[Suspect]:
    """The scenes whose image is too dark for a day; images that cannot be read are no suspects, they fail in the run."""
    for scene in scenes:
        try:
            luma = mean_luma(root / scene.image)
        except UnreadableImage:
            continue
        if luma < dark:
            yield Suspect(scene, luma)


def without_suspects(root: Path, scenes: Iterable[Scene]) -> Iterator[Scene]:
    """The scenes that are bright or cannot be read; each suspect is named in the log and skipped."""
    for scene in scenes:
        found = next(suspects(root, [scene]), None)
        if found is None:
            yield scene
        else:
            log.warning("%s: tagged as day, mean luma %.0f is under %.0f: skipped", scene.scene_id, found.luma, DARK)
