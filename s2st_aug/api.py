"""The library in one line: `from s2st_aug import translate, Translator, load_translator, open_run`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s2st_aug.arrays import Image
from s2st_aug.diffusion.stable_diffusion import load_model
from s2st_aug.errors import Diverged, UnreadableImage
from s2st_aug.images import Photo, read_photo
from s2st_aug.profiles import find_profiles
from s2st_aug.randomness import sample_key
from s2st_aug.records.translated import Translated
from s2st_aug.storage.view import Run, open_run
from s2st_aug.translation.settings import MethodSettings, method_settings
from s2st_aug.translation.translator import Translator

__all__ = [
    "MethodSettings",
    "Run",
    "Translated",
    "Translator",
    "load_translator",
    "method_settings",
    "open_run",
    "translate",
    "translate_files",
]


def load_translator(
    domains: Sequence[str],
    *,
    model: str = "street-mini",
    preset: str = "standard",
    overrides: Mapping[str, Any] | None = None,
    device: str = "cpu",
) -> Translator:
    """A translator for these domains (shipped names or profile files) of different names; raises ModelError, ProfileError, ConfigError."""
    settings = method_settings(preset, overrides)
    loaded = load_model(model, device=device)
    return Translator(loaded, find_profiles(dict.fromkeys(domains), loaded), settings)


def translate(
    photo: Image | str | Path, to: str, *, model: str = "street-mini", preset: str = "standard", rng_key: int = 0
) -> Image:
    """One photo (RGB uint8, or a path) in one domain, at its own size; for many use `load_translator` once."""
    rgb = read_photo(photo).rgb if isinstance(photo, str | Path) else photo
    done = load_translator([to], model=model, preset=preset).translate([rgb], [to], keys=[sample_key(rng_key, to)])[0][
        to
    ]
    if isinstance(done, Diverged):
        raise done
    return done.image


@dataclass(frozen=True, slots=True, eq=False)
class FileResult:
    """What became of one image file: its variants by domain, or the reason why there are none."""

    path: Path
    photo: Photo | None
    variants: dict[str, Translated | Diverged]
    error: UnreadableImage | None = None


def translate_files(
    translator: Translator, paths: Sequence[Path], domains: Sequence[str], *, rng_key: int = 0, batch: int = 4
) -> Iterator[FileResult]:
    """Every file in every domain, `batch` photos at a time; an unreadable file comes back with its error."""
    for i in range(0, len(paths), batch):
        read = [_read(path) for path in paths[i : i + batch]]
        good = [r for r in read if r.photo]
        keys = [sample_key(rng_key, r.path.name) for r in good]
        done = iter(translator.translate([r.photo.rgb for r in good if r.photo], domains, keys=keys) if good else [])
        for r in read:
            yield FileResult(r.path, r.photo, next(done)) if r.photo else r


def _read(path: Path) -> FileResult:
    try:
        return FileResult(path, read_photo(path), {})
    except UnreadableImage as error:
        return FileResult(path, None, {}, error)
