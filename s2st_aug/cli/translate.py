"""`s2st-aug translate`: image files in, variants of the same size out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from s2st_aug.cli.terminal import err, out, print_json
from s2st_aug.errors import EXIT_SOME_FAILED, UsageError

if TYPE_CHECKING:
    from s2st_aug.api import FileResult
    from s2st_aug.arrays import Image
    from s2st_aug.records.profile import DomainProfile
    from s2st_aug.translation.translator import Translator

Made = dict[str, Any]  # source, domain, error; and image, measures and evaluations where it was made


def translate(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Photos to translate.")],
    to: Annotated[
        list[str],
        typer.Option("--to", help="A domain (night, rain, dusk, fog, night_rain) or a profile file; may be repeated."),
    ],
    folder: Annotated[Path, typer.Option("--out", help="Folder for <stem>__<domain>.png.")],
    model: Annotated[
        str, typer.Option(help="street-mini, street-photo, a Stable Diffusion folder, or a hub id.")
    ] = "street-mini",
    preset: Annotated[str, typer.Option(help="draft, standard, paper or reference.")] = "standard",
    rng_key: Annotated[int, typer.Option(help="The run's random integer.")] = 0,
    batch: Annotated[int, typer.Option(min=1, help="Photos translated at once.")] = 4,
    json: Annotated[bool, typer.Option("--json", help="What was made and measured as JSON on stdout.")] = False,
) -> None:
    """Translate photos to other conditions and print what was measured."""
    domains = list(dict.fromkeys(to))
    _check_inputs(images, folder)
    from s2st_aug import api
    from s2st_aug.translation.cost import cost_line

    translator = api.load_translator(domains, model=model, preset=preset)
    folder.mkdir(parents=True, exist_ok=True)
    if not json:
        out.print(cost_line(translator, images=len(images), domains=len(domains)))
    made: list[Made] = []
    for result in api.translate_files(translator, images, domains, rng_key=rng_key, batch=batch):
        for one in _written(result, translator, folder):
            made.append(one)
            _tell(one, quiet=json)
    if json:
        print_json(made)
    if any(one["error"] for one in made):
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


def _written(result: FileResult, translator: Translator, folder: Path) -> Iterator[Made]:
    """Write one photo's variants; what became of each, or of the photo where it cannot be read."""
    from s2st_aug.errors import Diverged
    from s2st_aug.images import encode_png

    if result.photo is None:
        yield {"source": str(result.path), "domain": None, "error": str(result.error)}
        return
    for domain, done in result.variants.items():
        profile = translator.profiles[domain]
        name = profile.name
        if isinstance(done, Diverged):
            yield {"source": str(result.path), "domain": name, "error": f"{result.path}: {done}"}
            continue
        target = folder / f"{result.path.stem}__{name}.png"
        _write(target, encode_png(done.image, result.photo.form))
        measured = _measures(result.photo.rgb, done.image, done.raw, profile) | {"evaluations": done.forward_evals}
        yield {"source": str(result.path), "domain": name, "error": None, "image": str(target), **measured}


def _tell(one: Made, *, quiet: bool) -> None:
    if one["error"]:
        err.print(f"error: {one['error']}", markup=False)
    elif not quiet:
        found = ((name, one[name]) for name in ("structure", "structure_raw", "strength"))
        told = "  ".join(f"{name} {'null' if value is None else f'{value:.2f}'}" for name, value in found)
        out.print(f"{one['image']}  {told}  {one['evaluations']:g} evaluations", markup=False)


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(data)
    temporary.replace(path)


def _measures(source: Image, variant: Image, raw: Image, profile: DomainProfile) -> dict[str, float | None]:
    from s2st_aug.validation.strength import strength
    from s2st_aug.validation.structure import structure

    found = strength(source, variant, profile.discriminant) if profile.discriminant else None
    return {"structure": structure(source, variant), "structure_raw": structure(source, raw), "strength": found}
