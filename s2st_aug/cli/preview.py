"""`s2st-aug preview CONFIG -n 8 --sweep key=a,b,c`: a contact sheet of a few scenes before a long run is paid for."""

from __future__ import annotations

import itertools
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from s2st_aug.cli.terminal import err, out, print_json
from s2st_aug.errors import EXIT_OK, EXIT_SOME_FAILED, ConfigError, UsageError

if TYPE_CHECKING:
    from s2st_aug.config import AugmentConfig
    from s2st_aug.engine.sources import SourceScene
    from s2st_aug.records.verdicts import Judgement
    from s2st_aug.report.sheet import Cell

MOST_COLUMNS, LOOKED_AT = 24, 5000


@dataclass(frozen=True, slots=True, eq=False)
class Tried:
    """One scene in one domain under one setting; `variant` is None where it failed, and then `error` says why."""

    scene_id: str
    domain: str
    setting: str
    variant: Any
    judgement: Judgement | None
    seconds: float
    error: str = ""


def preview(
    config: Annotated[Path, typer.Argument(help="YAML file, as for augment.")],
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="Scenes, evenly over the dataset.")] = 8,
    sweep: Annotated[
        list[str] | None,
        typer.Option("--sweep", help="key=a,b,c: one column per value, e.g. method.guidance=2,3; repeatable."),
    ] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="key=value over the config.")] = None,
    out_file: Annotated[
        Path | None, typer.Option("--out", help="Where the sheet goes [default: runs/<config stem>-preview.png].")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="The table as JSON on stdout.")] = False,
    kit: Annotated[str, typer.Option(hidden=True)] = "s2st",
) -> int:
    """A contact sheet and a table of a few scenes under one or more settings; no run folder is made."""
    settings = expand_sweep(config, set_ or [], sweep or [])
    place = out_file or Path("runs") / f"{config.stem}-preview.png"
    if out_file is not None and not out_file.absolute().parent.is_dir():
        raise UsageError(f"{out_file.parent} is not a folder, so {out_file.name} cannot be written there")
    sources, scenes = read_sources(next(iter(settings.values())), count)
    tried: list[Tried] = []
    for name, loaded in settings.items():
        if err.is_terminal:
            err.print(f"{name or 'as configured'}: {len(sources)} scenes to {', '.join(loaded.domains)}", markup=False)
        tried += try_setting(name, loaded, sources, kit)
    _write(place, config.stem, sources, tried)
    lines = [
        summarise([t for t in tried if (t.domain, t.setting) == column])
        for column in dict.fromkeys((t.domain, t.setting) for t in tried)
    ]
    if json:
        print_json({"sheet": str(place), "scenes": scenes, "columns": [asdict(line) for line in lines]})
    else:
        _tell(place, lines, scenes)
    return EXIT_SOME_FAILED if any(t.error for t in tried) else EXIT_OK


def expand_sweep(config: Path, changes: list[str], sweep: list[str]) -> dict[str, AugmentConfig]:
    """Setting's name to config, one for each combination of swept values; raises ConfigError or UsageError."""
    from s2st_aug.config import load_config

    axes = [_axis(text) for text in sweep]
    found = {
        " ".join(_short(c) for c in combination): load_config(config, [*changes, *combination])
        for combination in itertools.product(*axes)
    }
    columns = sum(len(c.domains) for c in found.values())
    if columns > MOST_COLUMNS:
        raise UsageError(
            f"this sweep has {columns} columns, at most {MOST_COLUMNS} are legible; sweep fewer values or domains"
        )
    return found


def _axis(text: str) -> list[str]:
    key, equals, values = text.partition("=")
    if not equals or not key or not all(values.split(",")):
        raise ConfigError(f"--sweep {text}: expected key=a,b,c, for example method.guidance=1.5,2,3")
    return [f"{key}={value}" for value in values.split(",")]


def _short(change: str) -> str:
    return change.rpartition(".")[2] if "." in change.partition("=")[0] else change


def read_sources(config: AugmentConfig, count: int) -> tuple[dict[str, SourceScene], int]:
    """Scene id to its pixels and labels, evenly over (the first 5000 scenes of) the dataset, and how many scenes that are."""
    from s2st_aug.engine.planning import selected_scenes
    from s2st_aug.engine.sources import read_source
    from s2st_aug.formats import load_card
    from s2st_aug.report.contact_sheet import spread
    from s2st_aug.storage.plan import PlannedScene

    card, root = load_card(config.dataset.format), Path(config.dataset.root)
    every = list(itertools.islice(selected_scenes(config.dataset), LOOKED_AT))
    return {s.scene_id: read_source(root, card, PlannedScene(s, None, None, None)) for s in spread(every, count)}, len(
        every
    )


def try_setting(name: str, config: AugmentConfig, sources: dict[str, SourceScene], kit: str) -> Iterator[Tried]:
    """Every scene in every domain under one config, translated and judged in this process."""
    import torch

    from s2st_aug.engine.kit import find_kit

    chosen = find_kit(kit)
    chosen.identify(config)
    translator = chosen.translator(config, "cuda" if torch.cuda.is_available() else "cpu")
    judge = chosen.judge(config)
    for scene_id, source in sources.items():
        yield from _try_scene(scene_id, source, name, config, translator, judge)


def _try_scene(
    scene_id: str, source: SourceScene, name: str, config: AugmentConfig, translator: Any, judge: Any
) -> Iterator[Tried]:
    from s2st_aug.randomness import sample_key

    domains = list(config.domains)
    if source.failure:
        yield from (Tried(scene_id, d, name, None, None, 0.0, source.failure.reason) for d in domains)
        return
    start = time.monotonic()
    objects = [source.objects] if config.method.label_aware else None
    done = translator.translate([source.rgb], domains, objects, [sample_key(config.run.rng_key, scene_id)])[0]
    each = (time.monotonic() - start) / len(done)
    for domain, result in done.items():
        if isinstance(result, Exception):
            yield Tried(scene_id, domain, name, None, None, each, str(result))
        else:
            yield Tried(
                scene_id,
                domain,
                name,
                result,
                judge(source.rgb, result.image, result.raw, source.objects, domain),
                each,
            )


def _write(place: Path, title: str, sources: dict[str, SourceScene], tried: Sequence[Tried]) -> None:
    from s2st_aug.images import encode_png
    from s2st_aug.report.sheet import VERDICT_LEGEND, draw_sheet

    columns = list(dict.fromkeys((t.domain, t.setting) for t in tried))
    cells = {(t.scene_id, t.domain, t.setting): _cell(t, sources[t.scene_id]) for t in tried}
    rows = [[_source_cell(scene_id, s), *(cells[(scene_id, *c)] for c in columns)] for scene_id, s in sources.items()]
    heads = ["source", *(f"{d} {s}".strip() for d, s in columns)]
    sheet = draw_sheet(f"{title}, preview · synthetic images", heads, rows, legend=VERDICT_LEGEND)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(encode_png(sheet, compression=6))


def _source_cell(scene_id: str, source: SourceScene) -> Cell:
    from s2st_aug.report.sheet import Cell

    return Cell(
        source.rgb if source.photo is not None else None,
        (),
        (scene_id, source.failure.reason if source.failure else f"{len(source.objects)} labels"),
    )


def _cell(t: Tried, source: SourceScene) -> Cell:
    from s2st_aug.report.contact_sheet import outlines_of
    from s2st_aug.report.palette import STATUSES
    from s2st_aug.report.sheet import Cell

    if t.judgement is None:
        return Cell(None, (), ("failed", t.error), STATUSES["failed"])
    lines = {o.object_id: o.outlines for o in source.objects}
    outlines = tuple(outlines_of([asdict(o) for o in t.judgement.objects], lines, keep_all=False))
    measures = (
        f"strength {_number(t.judgement.strength)} · structure {_number(t.judgement.structure)} · {t.judgement.status}"
    )
    counts = Counter(o.verdict for o in t.judgement.objects)
    why = "; ".join(t.judgement.reasons) or ", ".join(f"{v} {n}" for v, n in counts.items())
    return Cell(t.variant.image, outlines, (measures, why), STATUSES[t.judgement.status])


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.2f}"


@dataclass(frozen=True, slots=True)
class Column:
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


def summarise(some: Sequence[Tried]) -> Column:
    """What a column of the sheet says in numbers."""
    judged = [t.judgement for t in some if t.judgement is not None]
    measures = [[m for j in judged if (m := getattr(j, name)) is not None] for name in ("strength", "structure")]
    strength, structure = (statistics.median(m) if m else None for m in measures)
    labels = [o.verdict for j in judged for o in j.objects]
    accepted, seconds = sum(j.status == "ok" for j in judged), statistics.fmean(t.seconds for t in some)
    return Column(
        some[0].domain,
        some[0].setting,
        strength,
        structure,
        accepted,
        len(some),
        labels.count("keep"),
        len(labels),
        seconds,
    )


def _tell(place: Path, lines: Sequence[Column], scenes: int) -> None:
    from rich.table import Table

    heads = ("domain", "setting", "strength", "structure", "accepted", "labels kept", "s/variant")
    table = Table(*heads, box=None, header_style="bold")
    for c in lines:
        counts = (f"{c.accepted}/{c.tried}", f"{c.labels_kept}/{c.labels}", f"{c.seconds:.1f}")
        table.add_row(c.domain, c.setting or "as configured", _number(c.strength), _number(c.structure), *counts)
    out.print(table)
    whole = f"the {scenes} scenes of the dataset" if scenes < LOOKED_AT else f"every {LOOKED_AT} scenes"
    for setting in dict.fromkeys(c.setting for c in lines):
        seconds = sum(c.seconds for c in lines if c.setting == setting) * scenes
        out.print(
            f"{whole}, {setting or 'as configured'}: about {_spell(seconds)} on one actor like this machine",
            markup=False,
        )
    out.print(f"sheet: {place}", markup=False)


def _spell(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"
