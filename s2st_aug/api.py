"""The library in one line: `from s2st_aug import translate, Translator, load_translator, open_run`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from s2st_aug.arrays import Image
from s2st_aug.config.load import choose_method
from s2st_aug.diffusion.device import resolve_device
from s2st_aug.diffusion.stable_diffusion import load_model
from s2st_aug.engine.adopt import adopt
from s2st_aug.engine.sources import SourceScene
from s2st_aug.engine.translate import translate_scenes
from s2st_aug.errors import ConfigError, Diverged, SampleError, UnreadableImage
from s2st_aug.images import Photo, read_photo
from s2st_aug.methods import Judge, MethodConfig, TranslatorLike, find_method
from s2st_aug.profiles import find_profiles
from s2st_aug.randomness import sample_key
from s2st_aug.records.translated import Translated
from s2st_aug.records.verdicts import Judgement
from s2st_aug.storage.view import Run, open_run
from s2st_aug.translation.presets import presets_of
from s2st_aug.translation.settings import MethodSettings, method_settings
from s2st_aug.translation.translator import Translator

__all__ = [
    "FileResult",
    "LoadedMethod",
    "MethodSettings",
    "Run",
    "Translated",
    "Translator",
    "adopt",
    "load_method",
    "load_translator",
    "method_settings",
    "open_run",
    "translate",
    "translate_files",
]


@dataclass(frozen=True, slots=True, eq=False)
class LoadedMethod:
    """Any method of the registry, ready.

    Its translator, the checks of what it makes, and its domains by the names they go by.
    """

    translator: TranslatorLike
    judge: Judge
    domains: tuple[str, ...]


def load_method(
    domains: Sequence[str],
    *,
    method: str = "s2st",
    model: str = "street-mini",
    settings: Mapping[str, Any] | None = None,
    device: str = "auto",
) -> LoadedMethod:
    """A method by name with its own settings, for domains (shipped names or profile files) of different names.

    `device` is auto (CUDA where there is any), cpu, cuda, cuda:N or mps.

    Raises UsageError, ConfigError, ModelError or ProfileError.
    """
    problems: list[str] = []
    choice = choose_method({"name": method, **(settings or {})}, model, problems)
    if problems:
        raise ConfigError("; ".join(problems))
    found = find_method(choice.name)
    config = MethodConfig(choice.name, choice.settings, model, tuple(dict.fromkeys(domains)))
    identity = found.identify(config)
    return LoadedMethod(found.load(config, resolve_device(device)), found.judge(config), tuple(identity.profiles))


def load_translator(
    domains: Sequence[str],
    *,
    model: str = "street-mini",
    preset: str = "standard",
    overrides: Mapping[str, Any] | None = None,
    device: str = "auto",
) -> Translator:
    """S2ST for these domains (shipped names or profile files) of different names.

    Raises ModelError, ProfileError, ConfigError.
    """
    settings = method_settings(preset, overrides, presets_of(model))
    loaded = load_model(model, device=resolve_device(device))
    return Translator(loaded, find_profiles(dict.fromkeys(domains), loaded), settings)


def translate(
    photo: Image | str | Path,
    to: str,
    *,
    model: str = "street-mini",
    preset: str = "standard",
    rng_key: int = 0,
    device: str = "auto",
) -> Image:
    """One photo (RGB uint8, or a path) in one domain, at its own size; for many use `load_translator` once."""
    rgb = read_photo(photo).rgb if isinstance(photo, str | Path) else photo
    translator = load_translator([to], model=model, preset=preset, device=device)
    done = translator.translate([rgb], [to], keys=[sample_key(rng_key, to)])[0][to]
    if isinstance(done, Diverged):
        raise done
    return done.image


@dataclass(frozen=True, slots=True, eq=False)
class FileResult:
    """What became of one image file: its variants by domain and what the checks say of them, or why there are none."""

    path: Path
    photo: Photo | None
    variants: Mapping[str, Translated | SampleError]
    error: UnreadableImage | None = None
    judgements: Mapping[str, Judgement] = field(default_factory=dict)


def translate_files(
    translator: TranslatorLike,
    paths: Sequence[Path],
    domains: Sequence[str],
    *,
    rng_key: int = 0,
    batch: int = 4,
    judge: Judge | None = None,
) -> Iterator[FileResult]:
    """Every file in every domain, `batch` photos at a time; an unreadable file comes back with its error."""
    for i in range(0, len(paths), batch):
        read = [_read(path) for path in paths[i : i + batch]]
        good = [r for r in read if r.photo]
        keys = [sample_key(rng_key, r.path.name) for r in good]
        sources = [SourceScene(r.photo, None) for r in good]
        done = iter(translate_scenes(translator, sources, domains, keys, labels=False)() if good else [])
        for r in read:
            if r.photo is None:
                yield r
                continue
            variants = next(done).variants
            made = {d: v for d, v in variants.items() if isinstance(v, Translated)} if judge else {}
            judgements = {d: judge(r.photo.rgb, v.image, v.raw, (), d) for d, v in made.items()} if judge else {}
            yield FileResult(r.path, r.photo, variants, judgements=judgements)


def _read(path: Path) -> FileResult:
    try:
        return FileResult(path, read_photo(path), {})
    except UnreadableImage as error:
        return FileResult(path, None, {}, error)
