"""`s2st-aug translate`: image files in, variants of the same size out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from s2st_aug.cli.terminal import err, out
from s2st_aug.errors import EXIT_SOME_FAILED, UsageError

if TYPE_CHECKING:
    from s2st_aug.api import FileResult
    from s2st_aug.translation.translator import Translator


def translate(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Photos to translate.")],
    to: Annotated[
        list[str], typer.Option("--to", help="A domain (night, rain, dusk, fog, night_rain) or a profile file; may be repeated.")
    ],
    folder: Annotated[Path, typer.Option("--out", help="Folder for <stem>__<domain>.png.")],
    model: Annotated[str, typer.Option(help="street-mini, street-photo, a Stable Diffusion folder, or a hub id.")] = "street-mini",
    preset: Annotated[str, typer.Option(help="draft, standard, paper or reference.")] = "standard",
    rng_key: Annotated[int, typer.Option(help="The run's random integer.")] = 0,
    batch: Annotated[int, typer.Option(min=1, help="Photos translated at once.")] = 4,
) -> None:
    """Translate photos to other conditions and print what was measured."""
    domains = list(dict.fromkeys(to))
    _check_inputs(images, folder)
    from s2st_aug import api
    from s2st_aug.translation.cost import cost_line

    translator = api.load_translator(domains, model=model, preset=preset)
    folder.mkdir(parents=True, exist_ok=True)
    out.print(cost_line(translator, images=len(images), domains=len(domains)))
    failed = 0
    for result in api.translate_files(translator, images, domains, rng_key=rng_key, batch=batch):
        failed += _report(result, translator, folder)
    if failed:
        raise typer.Exit(EXIT_SOME_FAILED)


def _check_inputs(images: list[Path], folder: Path) -> None:
    missing = [str(p) for p in images if not p.exists()]
    if missing:
        raise UsageError(f"no such image: {', '.join(missing)}")
    if folders := [str(p) for p in images if p.is_dir()]:
        raise UsageError(f"expected image files, got a folder: {', '.join(folders)}")
    doubled = [stem for stem, count in Counter(p.stem for p in images).items() if count > 1]
    if doubled:
        raise UsageError(f"two inputs of one stem would write the same file: {', '.join(doubled)}")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out: {folder} is a file, not a folder")


def _report(result: FileResult, translator: Translator, folder: Path) -> int:
    """Write and describe one photo's variants; gives the number of failures back."""
    from s2st_aug.errors import Diverged
    from s2st_aug.images import encode_png

    if result.photo is None:
        err.print(f"error: {result.error}")
        return 1
    failed = 0
    for domain, done in result.variants.items():
        if isinstance(done, Diverged):
            err.print(f"error: {result.path}: {done}")
            failed += 1
            continue
        name = translator.profiles[domain].name if domain.endswith(".safetensors") else domain
        target = folder / f"{result.path.stem}__{name}.png"
        _write(target, encode_png(done.image, result.photo.form))
        profile = translator.profiles[domain]
        out.print(f"{target}  {_measures(result.photo.rgb, done.image, done.raw, profile)}  {done.forward_evals:g} evaluations")
    return failed


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(data)
    temporary.replace(path)


def _measures(source, variant, raw, profile) -> str:
    from s2st_aug.validation.strength import strength
    from s2st_aug.validation.structure import structure

    found = {"structure": structure(source, variant), "structure_raw": structure(source, raw)}
    found["strength"] = strength(source, variant, profile.discriminant) if profile.discriminant else None
    return "  ".join(f"{name} {'null' if value is None else f'{value:.2f}'}" for name, value in found.items())
