"""Is a source that is tagged as day bright? BDD100K holds night images tagged daytime: they are listed and skipped."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from s2st_aug.errors import UnreadableImage
from s2st_aug.images import MAX_PIXELS, file_bytes
from s2st_aug.records.scene import Scene

DAYTIME = "daytime"
DARK = 64.0
"""Mean luma (0..255) under which an image is no day: chosen on real photos, see docs/formats.md."""
_SIDE = 64
_THREADS = 4
_AHEAD = 64


@dataclass(frozen=True, slots=True)
class DarkScene:
    """A scene whose image is darker than a day, and its mean luma."""

    scene: Scene
    luma: float  # 0..255


def mean_luma(path: Path) -> float:
    """Mean of Y over the image, 0..255; a JPEG is decoded at a fraction of its size. Raises UnreadableImage."""
    try:
        with Image.open(io.BytesIO(file_bytes(path))) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UnreadableImage(f"{path}: {image.width}x{image.height} is more than {MAX_PIXELS} pixels")
            image.draft("L", (_SIDE, _SIDE))
            image.thumbnail((_SIDE, _SIDE))
            return float(np.asarray(image.convert("L")).mean())
    except (OSError, SyntaxError, ValueError, MemoryError, Image.DecompressionBombError) as error:
        raise UnreadableImage(
            f"{path}: not a readable image ({str(error).splitlines()[0] if str(error) else 'damaged'})"
        ) from None


def dark_scenes(root: Path, scenes: Iterable[Scene], *, dark: float = DARK) -> Iterator[DarkScene]:
    """The scenes whose image is too dark for a day; one that cannot be read is none, it fails in the run."""
    yield from (DarkScene(scene, luma) for scene, luma in _lumas(root, scenes) if luma is not None and luma < dark)


def without_dark_scenes(
    root: Path,
    scenes: Iterable[Scene],
    on_skip: Callable[[DarkScene], None],
    *,
    dark: float = DARK,
    trusted: Collection[str] = (),
) -> Iterator[Scene]:
    """The scenes in their order without those that are tagged as day and dark; each of these is passed to `on_skip`.

    Scenes that cannot be read, carry another tag, or whose id is `trusted` (checked before) are passed on as they are.
    """
    for scene, luma in _lumas(root, scenes, lambda s: is_tagged_day(s) and s.scene_id not in trusted):
        if luma is None or luma >= dark:
            yield scene
        else:
            on_skip(DarkScene(scene, luma))


def is_tagged_day(scene: Scene) -> bool:
    """Whether the data set says that the image was taken by day."""
    return scene.attributes.get("timeofday") == DAYTIME


def _lumas(
    root: Path, scenes: Iterable[Scene], wanted: Callable[[Scene], bool] = lambda scene: True
) -> Iterator[tuple[Scene, float | None]]:
    """Scenes with their mean luma (None: not looked at, or unreadable); threads decode ahead, the order stays."""
    stream = iter(scenes)
    with ThreadPoolExecutor(_THREADS) as pool:
        while chunk := list(islice(stream, _AHEAD)):
            yield from zip(chunk, pool.map(lambda s: _luma(root / s.image) if wanted(s) else None, chunk), strict=True)


def _luma(path: Path) -> float | None:
    try:
        return mean_luma(path)
    except UnreadableImage:
        return None
