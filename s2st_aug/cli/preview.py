"""`s2st-aug preview CONFIG -n 8 --sweep key=a,b,c`: a contact sheet of a few scenes before a long run is paid for."""

from __future__ import annotations

import itertools
import re
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from s2st_aug.cli.method_options import ClusterDevice, KitName, MethodName, with_device
from s2st_aug.cli.terminal import err, out, print_json
from s2st_aug.errors import EXIT_OK, EXIT_SOME_FAILED, ConfigError, UsageError, counted

if TYPE_CHECKING:
    from s2st_aug.config import AugmentConfig
    from s2st_aug.engine.in_process import PreviewVariant
    from s2st_aug.engine.sources import SourceScene
    from s2st_aug.report.sheet import SheetCell

MOST_COLUMNS = 24


def preview(
    config: Annotated[Path, typer.Argument(help="YAML file, as for augment.")],
    count: Annotated[
        int, typer.Option("-n", "--count", min=1, help="Number of scenes, spread evenly over the dataset.")
    ] = 8,
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            "--sweep", help="key=a,b,c makes one column per value, for example method.guidance=2,3. Repeatable."
        ),
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Override a config value: key=value. Repeatable.")
    ] = None,
    out_file: Annotated[
        Path | None, typer.Option("--out", help="File for the contact sheet; default: runs/<config name>-preview.png.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
    method: MethodName = None,
    kit: KitName = None,
    device: ClusterDevice = None,
) -> int:
    """Translate a few scenes with one or more settings, and show them on a contact sheet and in a table."""
    from s2st_aug.config.load import refuse_unknown_domains
    from s2st_aug.containment import refuse_unwritable

    settings = expand_sweep(config, with_device(set_, device), sweep or [], method or kit)
    place = out_file or Path("runs") / f"{config.stem}-preview.png"
    if out_file is not None and not out_file.absolute().parent.is_dir():
        raise UsageError(f"{out_file.parent} is not a folder, so {out_file.name} cannot be written there")
    refuse_unwritable(place.parent, "--out")
    for loaded in settings.values():
        refuse_unknown_domains(loaded.domains, loaded.method.name)
    from s2st_aug.diffusion.device import resolve_device  # slow to start: after everything that can be wrong
    from s2st_aug.engine.in_process import preview_variants, read_sources, spread_scenes

    first = next(iter(settings.values()))
    place_of_models = resolve_device(first.cluster.device)
    scenes, total = spread_scenes(first, count)
    sources = read_sources(first, scenes)
    tried: dict[str, list[PreviewVariant]] = {}
    for name, loaded in settings.items():
        if err.is_terminal:
            err.print(f"{name or 'as configured'}: {len(sources)} scenes to {', '.join(loaded.domains)}", markup=False)
        tried[name] = list(preview_variants(loaded, scenes, device=place_of_models))
    _write_sheet(place, config.stem, sources, tried)
    columns = [
        summarise(domain, name, [v for v in variants if v.row.domain == domain])
        for name, variants in tried.items()
        for domain in dict.fromkeys(v.row.domain for v in variants)
    ]
    if json:
        print_json({"sheet": str(place), "scenes": total, "columns": [asdict(c) for c in columns]})
    else:
        _tell(place, columns, total, notes_of([v for variants in tried.values() for v in variants]))
    failed = any(v.row.status == "failed" for variants in tried.values() for v in variants)
    return EXIT_SOME_FAILED if failed else EXIT_OK


def expand_sweep(
    config: Path, changes: list[str], sweep: list[str], method: str | None = None
) -> dict[str, AugmentConfig]:
    """Setting's name to config, one for each combination of swept values; raises ConfigError or UsageError."""
    from s2st_aug.config import load_config

    axes = [[(key, value) for value in values] for key, values in map(read_sweep, sweep)]
    keys = [axis[0][0] for axis in axes]
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise UsageError(f"--sweep: {', '.join(twice)} is swept twice; give all its values in one --sweep")
    lasts = [key.rpartition(".")[2] for key in keys]
    shown = {key: last if lasts.count(last) == 1 else key for key, last in zip(keys, lasts, strict=True)}
    found = {}
    for combination in itertools.product(*axes):
        name = " ".join(f"{shown[key]}={value}" for key, value in combination)
        setting = [f"{key}={value}" for key, value in combination]
        found[name] = load_config(config, [*changes, *setting], method=method)
    columns = sum(len(c.domains) for c in found.values())
    if columns > MOST_COLUMNS:
        raise UsageError(
            f"this sweep has {columns} columns, but at most {MOST_COLUMNS} can be read; use fewer values or domains"
        )
    return found


def read_sweep(text: str) -> tuple[str, list[str]]:
    """`key=a,b,c` as the key and its values, each once; commas inside of brackets separate nothing.

    Raises ConfigError.
    """
    key, _, rest = text.partition("=")
    values = [value.strip() for value in re.split(r",(?![^\[{]*[\]}])", rest)]
    if not key.strip() or not all(values):
        raise ConfigError(f"--sweep {text}: expected key=a,b,c, for example method.guidance=1.5,2,3")
    return key.strip(), list(dict.fromkeys(values))


def _write_sheet(
    place: Path, title: str, sources: dict[str, SourceScene], tried: dict[str, list[PreviewVariant]]
) -> None:
    """A row of the sheet for each scene: the source, then every domain under every setting."""
    from s2st_aug.images import encode_png
    from s2st_aug.report.sheet import VERDICT_LEGEND, SheetCell, draw_sheet

    rows = []
    for scene_id, source in sources.items():
        told = source.failure.reason if source.failure else f"{len(source.objects)} labels"
        row = [SheetCell(source.rgb if source.photo is not None else None, (), (scene_id, told))]
        of_scene = [v for variants in tried.values() for v in variants if v.row.scene_id == scene_id]
        rows.append(row + [_cell(v, source) for v in of_scene])
    columns = [
        f"{domain} {name}".strip() for name, vs in tried.items() for domain in dict.fromkeys(v.row.domain for v in vs)
    ]
    sheet = draw_sheet(f"{title}, preview · synthetic images", ["source", *columns], rows, legend=VERDICT_LEGEND)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(encode_png(sheet, compression=6))


def _cell(variant: PreviewVariant, source: SourceScene) -> SheetCell:
    from s2st_aug.report.contact_sheet import count_verdicts, outlines_of
    from s2st_aug.report.palette import STATUSES
    from s2st_aug.report.sheet import SheetCell
    from s2st_aug.report.summary import against

    row = variant.row
    if variant.image is None:
        return SheetCell(None, (), ("failed", row.reasons[0]), STATUSES["failed"])
    lines = {o.object_id: o.outlines for o in source.objects}
    objects = [asdict(o) for o in row.objects]
    outlines = tuple(outlines_of(objects, lines, keep_all=False))
    measures = f"strength {_number(row.strength)} · structure {_number(row.structure)} · {row.status}"
    why = count_verdicts(objects) if row.status == "ok" else "; ".join(against(row.reasons))
    return SheetCell(variant.image, outlines, (measures, why), STATUSES[row.status])


def notes_of(variants: Sequence[PreviewVariant]) -> list[str]:
    """What the checks say of the measures of each domain, each once, with how many images it is about."""
    from s2st_aug.report.summary import against

    tried = Counter(v.row.domain for v in variants)
    found = Counter((v.row.domain, r) for v in variants for r in v.row.reasons if r not in against([r]))
    return [
        f"{domain}: {note.removeprefix('note: ')} ({n} of {counted(tried[domain], 'image')})"
        for (domain, note), n in found.items()
    ]


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.2f}"


@dataclass(frozen=True, slots=True)
class PreviewColumn:
    """One domain under one setting: medians of the measures, counts, and seconds of this machine per variant."""

    domain: str
    setting: str
    strength: float | None
    structure: float | None
    accepted: int
    tried: int
    labels_kept: int
    labels: int
    seconds: float


def summarise(domain: str, setting: str, variants: Sequence[PreviewVariant]) -> PreviewColumn:
    """What a column of the sheet says in numbers."""
    rows = [v.row for v in variants]
    strengths, structures = (
        [value for row in rows if (value := getattr(row, name)) is not None] for name in ("strength", "structure")
    )
    labels = [o.verdict for row in rows for o in row.objects]
    return PreviewColumn(
        domain,
        setting,
        strength=statistics.median(strengths) if strengths else None,
        structure=statistics.median(structures) if structures else None,
        accepted=sum(row.status == "ok" for row in rows),
        tried=len(rows),
        labels_kept=labels.count("keep"),
        labels=len(labels),
        seconds=statistics.fmean(row.seconds or 0.0 for row in rows),
    )


def _tell(place: Path, columns: Sequence[PreviewColumn], scenes: int, notes: Sequence[str]) -> None:
    from s2st_aug.engine.in_process import LOOKED_AT

    heads = ("domain", "setting", "strength", "structure", "accepted", "labels kept", "s/variant")
    table = Table(*heads, box=None, header_style="bold")
    for c in columns:
        counts = (f"{c.accepted}/{c.tried}", f"{c.labels_kept}/{c.labels}", f"{c.seconds:.1f}")
        table.add_row(c.domain, c.setting or "as configured", _number(c.strength), _number(c.structure), *counts)
    out.print(table)
    for note in notes:
        out.print(note, markup=False)
    whole = f"the {scenes} scenes of the dataset" if scenes < LOOKED_AT else f"every {LOOKED_AT} scenes"
    for setting in dict.fromkeys(c.setting for c in columns):
        seconds = sum(c.seconds for c in columns if c.setting == setting) * scenes
        spelled = f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"
        out.print(
            f"{whole}, {setting or 'as configured'}: about {spelled} on one actor like this machine", markup=False
        )
    out.print(f"sheet: {place}", markup=False)
