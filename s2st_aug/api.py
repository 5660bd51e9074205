"""The commands as functions: translate, augment, adopt, validate, open_run, export.

`from s2st_aug import augment`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from s2st_aug import export
from s2st_aug.arrays import AnyImage, Image
from s2st_aug.config import AugmentConfig, load_config
from s2st_aug.config.load import choose_method, refuse_unknown_domains
from s2st_aug.diffusion.device import resolve_device
from s2st_aug.diffusion.stable_diffusion import load_model
from s2st_aug.engine.adopt import adopt
from s2st_aug.engine.augment import augment as run_augment
from s2st_aug.engine.options import Options, RunSummary
from s2st_aug.engine.sources import SourceScene
from s2st_aug.engine.translate import translate_scenes
from s2st_aug.errors import ConfigError, Diverged, LabelError, SampleError, UnreadableImage, UsageError
from s2st_aug.export import ExportOptions, ExportSummary, export_run
from s2st_aug.formats.pixels import sound
from s2st_aug.formats.values import number
from s2st_aug.formats.yaml_text import refuse_flags
from s2st_aug.images import Photo, read_photo
from s2st_aug.methods import Judge, MethodConfig, TranslatorLike, find_method
from s2st_aug.methods.checks import find_image_profiles, validity_checks
from s2st_aug.profiles import find_profiles
from s2st_aug.randomness import sample_key
from s2st_aug.records.scene import SceneObject
from s2st_aug.records.translated import Translated
from s2st_aug.records.verdicts import Judgement
from s2st_aug.storage.progress import Snapshot
from s2st_aug.storage.view import Run, open_run
from s2st_aug.translation.presets import presets_of
from s2st_aug.translation.settings import MethodSettings, method_settings
from s2st_aug.translation.translator import Translator
from s2st_aug.validation.settings import ValidationSettings

__all__ = [
    "ExportOptions",
    "ExportSummary",
    "FileResult",
    "Judgement",
    "LoadedMethod",
    "MethodSettings",
    "Options",
    "Run",
    "RunSummary",
    "SceneObject",
    "Snapshot",
    "Translated",
    "Translator",
    "adopt",
    "augment",
    "export",
    "export_run",
    "load_method",
    "load_translator",
    "method_settings",
    "open_run",
    "translate",
    "translate_files",
    "validate",
]


@dataclass(frozen=True, slots=True, eq=False)
class LoadedMethod:
    """A method that is ready to use: its translator, the checks of its results, and the names of its domains."""

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
    """Load a method by name, with settings of its own, for some domains (shipped names or profile files).

    Two domains may not have the same name. `device` is auto (CUDA if available), cpu, cuda, cuda:N or mps.

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
    """Load S2ST for some domains (shipped names or profile files), no two with the same name.

    Raises ModelError, ProfileError, ConfigError.
    """
    settings = method_settings(preset, overrides, presets_of(model))
    refuse_flags(overrides, settings, "method")
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
    """Translate one photo (RGB uint8, or a path) to one domain, at the same size.

    For many photos, call `load_translator` once and use what it returns.
    """
    rgb = read_photo(photo).rgb if isinstance(photo, str | Path) else photo
    translator = load_translator([to], model=model, preset=preset, device=device)
    done = translator.translate([rgb], [to], keys=[sample_key(rng_key, to)])[0][to]
    if isinstance(done, Diverged):
        raise done
    return done.image


def augment(
    config: AugmentConfig | Path | str,
    run: Path | str | None = None,
    *,
    changes: Sequence[str] = (),
    on_progress: Callable[[Snapshot], None] | None = None,
    options: Options | None = None,
) -> RunSummary:
    """Translate a labelled dataset into a run folder of checked variants. The same call resumes a stopped run.

    `config` is a YAML file or a record. For a file, `changes` are `key=value` as for `--set`, and `run` is
    runs/<config name> by default. `on_progress` is called with the counts after every commit, and regularly in between.

    Raises UsageError before anything is started. A bad sample raises nothing: it becomes a failed row, and
    `RunSummary.exit_code` says so.
    """
    if isinstance(config, AugmentConfig):
        if changes or run is None:
            raise UsageError("augment: a config record needs `run`, and takes no `changes`")
        loaded, place = config, run
    else:
        loaded, place = load_config(config, changes), run or Path("runs") / Path(config).stem
    refuse_unknown_domains(loaded.domains, loaded.method.name)
    options = options or Options()
    if on_progress is not None:
        options = replace(options, watch=on_progress, waiting=on_progress)
    return run_augment(loaded, place, options)


def validate(
    source: np.ndarray | str | Path,
    variant: np.ndarray | str | Path,
    labels: Sequence[SceneObject | Mapping[str, Any]] = (),
    *,
    domain: str,
    model: str = "street-mini",
    thresholds: ValidationSettings | None = None,
) -> Judgement:
    """Check whether the variant is in its domain, still shows the same street, and which labels are still true.

    Images are RGB uint8 of one size, or paths. A label is a SceneObject, or a mapping with `category` and `bbox`
    (x1, y1, x2, y2 in pixels). `domain` is a shipped name or a profile's file; strength is None for any other name.
    It does not matter what made the variant; no model is loaded.

    A label that lies outside the image, or whose box has no width or height, is ignored as `unsound`, as in a run.

    Raises UsageError for pixels that are not RGB uint8, for images of different sizes, for a label without a category
    or four finite numbers, and for two labels with one `object_id`.
    """
    before, after = _rgb(source, "source"), _rgb(variant, "variant")
    if before.shape != after.shape:
        told = " and ".join("x".join(map(str, image.shape[1::-1])) for image in (before, after))
        raise UsageError(f"source and variant must be of one size, got {told}")
    profiles = find_image_profiles([domain], model, required=False)
    checks = validity_checks(profiles, thresholds or ValidationSettings())
    (name,) = profiles
    height, width = before.shape[:2]
    return checks(before, after, after, [sound(item, (width, height)) for item in _labels(labels)], name)


def _rgb(given: np.ndarray | str | Path, name: str) -> AnyImage:
    if isinstance(given, str | Path):
        return read_photo(given).rgb
    if given.dtype != np.uint8 or given.ndim != 3 or given.shape[2] != 3:
        told = "x".join(map(str, given.shape))
        raise UsageError(f"{name}: expected RGB pixels as uint8, height x width x 3, got {given.dtype}, {told}")
    return given


def _labels(given: Sequence[SceneObject | Mapping[str, Any]]) -> Iterator[SceneObject]:
    """Each label as a record; raises UsageError for the first that is none, or has another's id."""
    seen: dict[str, int] = {}
    for n, label in enumerate(given):
        item = _label(label, n)
        if (first := seen.setdefault(item.object_id, n)) != n:
            raise UsageError(f"labels {first} and {n} have one object_id, {item.object_id!r}: expected one for each")
        yield item


def _label(given: SceneObject | Mapping[str, Any], n: int) -> SceneObject:
    if isinstance(given, SceneObject):
        return given
    try:
        x1, y1, x2, y2 = (number(float(value), "bbox") for value in given["bbox"])
        return SceneObject(str(given.get("object_id", n)), "box", str(given["category"]), (x1, y1, x2, y2))
    except (KeyError, TypeError, ValueError, LabelError):
        told = "expected `category` and `bbox` (four finite numbers, in pixels)"
        raise UsageError(f"label {n}: {told}, got {given!r}") from None


@dataclass(frozen=True, slots=True, eq=False)
class FileResult:
    """The result for one image file: its variants by domain with the checks' judgements, or the error."""

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
    """Translate every file to every domain, `batch` photos at a time. An unreadable file is returned with its error."""
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
