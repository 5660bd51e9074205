"""`s2st-aug translate`: image files in, variants of the same size out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from s2st_aug.cli.method_options import Device, MethodName, Seed, one_seed
from s2st_aug.cli.terminal import err, out, print_json
from s2st_aug.errors import EXIT_SOME_FAILED, SampleError, UsageError

if TYPE_CHECKING:
    from s2st_aug.api import FileResult

VariantReport = dict[str, Any]  # source, domain, error; and image, measures and evaluations where it was made


def translate(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE", help="Photos to translate.")],
    to: Annotated[
        list[str],
        typer.Option("--to", help="A domain (night, rain, dusk, fog, night_rain) or a profile file. Repeatable."),
    ],
    folder: Annotated[Path, typer.Option("--out", help="Folder for <stem>__<domain>.png.")],
    method: MethodName = None,
    model: Annotated[
        str, typer.Option(help="street-mini, street-photo, a Stable Diffusion folder, or a hub id.")
    ] = "street-mini",
    preset: Annotated[
        str | None, typer.Option(help="Preset of s2st: draft, standard, paper or reference.", show_default="standard")
    ] = None,
    seed: Seed = None,
    device: Device = "auto",
    batch: Annotated[int, typer.Option(min=1, help="Photos per batch.")] = 4,
    json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Translate image files to other conditions, and print strength, structure and why the checks rejected one."""
    rng_key = one_seed(seed)
    _check_inputs(images, folder, to, method or "s2st", model)
    from s2st_aug import api
    from s2st_aug.translation.cost import cost_line

    settings = {} if preset is None else {"preset": preset}
    loaded = api.load_method(to, method=method or "s2st", model=model, settings=settings, device=device)
    folder.mkdir(parents=True, exist_ok=True)
    _check_targets(images, folder, list(loaded.domains))
    if not json and isinstance(loaded.translator, api.Translator):
        out.print(cost_line(loaded.translator, images=len(images), domains=len(loaded.domains)))
    made: list[VariantReport] = []
    for result in api.translate_files(
        loaded.translator, images, loaded.domains, rng_key=rng_key, batch=batch, judge=loaded.judge
    ):
        for one in _written(result, folder):
            made.append(one)
            _tell(one, quiet=json)
    if json:
        print_json(made)
    if any(one["error"] for one in made):
        raise typer.Exit(EXIT_SOME_FAILED)


def _check_inputs(images: list[Path], folder: Path, to: list[str], method: str, model: str) -> None:
    from s2st_aug.config.load import refuse_unknown_domains
    from s2st_aug.containment import refuse_unwritable
    from s2st_aug.diffusion.model_choice import EMBEDDED

    missing = [str(p) for p in images if not p.exists()]
    if missing:
        raise UsageError(f"no such image: {', '.join(missing)}")
    if folders := [str(p) for p in images if p.is_dir()]:
        raise UsageError(f"expected image files, got a folder: {', '.join(folders)}")
    doubled = [stem for stem, count in Counter(p.stem for p in images).items() if count > 1]
    if doubled:
        raise UsageError(f"inputs with the same file name would overwrite each other: {', '.join(doubled)}")
    refuse_unwritable(folder, "--out")
    if model in EMBEDDED:  # the folder of any other model may hold profiles of its own
        refuse_unknown_domains(to, method)


def _check_targets(images: list[Path], folder: Path, domains: list[str]) -> None:
    """Raises UsageError where a result would replace an input or another result, or has too long a name."""
    from s2st_aug.export.output import folds_case
    from s2st_aug.formats.names import DISK_LIMIT, disk_key

    inputs, made = {p.resolve() for p in images}, dict[str, Path]()
    folds = folds_case(folder)
    for image, domain in product(images, domains):
        target = _target(image, folder, domain)
        if target.resolve() in inputs:
            raise UsageError(f"the result {target} would replace an input of that name; choose another --out")
        if len(os.fsencode(target.name)) > DISK_LIMIT:
            raise UsageError(f"the name of {image} is too long: {target.name} has more than {DISK_LIMIT} bytes")
        if made.setdefault(disk_key(target.name) if folds else target.name, image) != image:
            raise UsageError(f"the results of {image} and another input would overwrite each other: {target.name}")


def _target(image: Path, folder: Path, domain: str) -> Path:
    return folder / f"{image.stem}__{domain}.png"


def _written(result: FileResult, folder: Path) -> Iterator[VariantReport]:
    """Write one photo's variants; what became of each, or of the photo where it cannot be read."""
    from s2st_aug.images import encode_png, sha256_bytes

    if result.photo is None:
        yield {"source": str(result.path), "domain": None, "error": str(result.error)}
        return
    for domain, done in result.variants.items():
        if isinstance(done, SampleError):
            yield {"source": str(result.path), "domain": domain, "error": f"{result.path}: {done}"}
            continue
        target = _target(result.path, folder, domain)
        temporary = target.with_name(f".{sha256_bytes(target.name.encode())[:16]}.tmp")
        temporary.write_bytes(encode_png(done.image, result.photo.form))
        temporary.replace(target)
        judged = result.judgements[domain]
        yield {
            "source": str(result.path),
            "domain": domain,
            "error": None,
            "image": str(target),
            "structure": judged.structure,
            "structure_raw": judged.structure_raw,
            "strength": judged.strength,
            "status": judged.status,
            "reasons": list(judged.reasons),
            "evaluations": done.forward_evals,
        }


def _tell(one: VariantReport, *, quiet: bool) -> None:
    from s2st_aug.report.summary import against

    if one["error"]:
        err.print(f"error: {one['error']}", markup=False)
    elif not quiet:
        found = ((name, one[name]) for name in ("structure", "structure_raw", "strength"))
        told = "  ".join(f"{name} {'null' if value is None else f'{value:.2f}'}" for name, value in found)
        rejected = "rejected: " + "; ".join(against(one["reasons"]))
        why = [rejected] if one["status"] == "rejected" else []
        why += [r.removeprefix("note: ") for r in one["reasons"] if " is null" in r]
        out.print("  ".join([one["image"], told, f"{one['evaluations']:g} evaluations", *why]), markup=False)
