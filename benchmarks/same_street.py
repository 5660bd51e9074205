"""Same Street: translators judged against the true render of the same street, pixel by pixel (docs/same_street.md).

The streets are rendered by day and under each target condition, with exact native labels. A translator sees the day
view and its labels. What it makes is compared with the true view, and its labels are checked as a run's are. Methods of
ours that are S2ST's peers are finished as S2ST is (benchmarks/finishing.py); pictures and foreign methods are taken as
they come. Key, count and size belong to the version: change one, and count VERSION up.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from benchmarks.comparison import AIMS, KNOBS
from benchmarks.finishing import Finish
from benchmarks.lights import LightCounts, count_lights, sum_counts
from benchmarks.render_distance import render_distance
from s2st_aug.arrays import Image
from s2st_aug.config.load import choose_method
from s2st_aug.errors import ConfigError, SampleError, UsageError
from s2st_aug.formats import dataset_card, read_objects, read_scenes
from s2st_aug.images import read_image
from s2st_aug.methods import MethodConfig, Translated, find_method
from s2st_aug.methods.pictures import PATTERN, Pictures
from s2st_aug.procedural.write import write_scenes
from s2st_aug.profiles import find_image_profiles
from s2st_aug.randomness import sample_key
from s2st_aug.records.domains import ConditionName
from s2st_aug.records.scene import Scene, SceneObject
from s2st_aug.translation.translator import Translator
from s2st_aug.validation.judge import judge
from s2st_aug.validation.settings import ValidationSettings
from s2st_aug.validation.structure import structure

NAME, VERSION = "Same Street", 1
KEY, COUNT, SIZE = 313_372, 24, (1280, 720)
DOMAINS: tuple[ConditionName, ...] = ("dusk", "night", "rain", "fog")
JUDGE = "street-mini"
"""whose profiles strength is measured by: of true renders of other streets"""
TRUTH, NOTHING = "the true render", "the day image itself"
"""the two ends of every scale, which are always in the table"""


@dataclass(frozen=True, slots=True, eq=False)
class Street:
    """One street: its scene in the day tree, its views, all its labels and those that an unchanged image keeps."""

    scene: Scene
    views: Mapping[str, Image]
    told: Sequence[SceneObject]
    labels: Sequence[SceneObject]


@dataclass(frozen=True, slots=True)
class Row:
    """One picture: measures of docs/method.md#measures, `structure` over the true render's own."""

    street: str
    domain: str
    distance: float
    structure: float
    strength: float | None
    kept: float | None
    passed: bool
    lights: LightCounts
    seconds: float


@dataclass(frozen=True, slots=True)
class Entry:
    """A translator's mean measures in one domain over `n` streets."""

    translator: str
    about: str
    domain: str
    n: int
    distance: float
    structure: float
    strength: float | None
    kept: float | None
    passed: float
    lights_f1: float | None
    seconds: float | None
    date: str = ""
    within: float | None = None  # share of pictures whose structure and strength lie within their two-sided aims


Make = Callable[[Street, str], Image]


def render_streets(folder: Path, count: int = COUNT, size: tuple[int, int] = SIZE) -> None:
    """`folder/<condition>/`, a BDD100K tree each; what is there already stays.

    The command line does the same: docs/same_street.md.
    """
    write_scenes(folder, count, "bdd100k", ("day", *DOMAINS), size, KEY, val_share=0.0)


def streets(folder: Path, count: int) -> Iterator[Street]:
    """The first streets of a rendered folder, in the order of their names."""
    card, day = dataset_card({"format": "bdd100k"}), folder / "day"
    for scene in sorted(read_scenes(card, day, "train"), key=lambda s: s.scene_id)[:count]:
        views: dict[str, Image] = {c: read_image(folder / c / scene.image) for c in ("day", *DOMAINS)}
        labels = read_objects(card, day, scene)
        unchanged = judge(views["day"], views["day"], views["day"], labels, None, ValidationSettings()).objects
        yield Street(scene, views, labels, [o for o, v in zip(labels, unchanged, strict=True) if v.verdict == "keep"])


def maker(spec: str, device: str = "cpu") -> tuple[str, str, Make]:
    """Name, description and function of `METHOD[,key=value]...` or of a folder of pictures `{scene}__{domain}.png`.

    Raises UsageError for what is neither.
    """
    if spec in (TRUTH, NOTHING):
        return spec, "", lambda street, domain: street.views[domain if spec == TRUTH else "day"]
    if Path(spec).is_dir():
        return Path(spec).name, "pictures", _from_pictures(Pictures(Path(spec), PATTERN))
    name, *changes = spec.split(",")
    settings = dict(change.partition("=")[::2] for change in changes)
    problems: list[str] = []
    choice = choose_method({"name": name, **{k: _value(v) for k, v in settings.items()}}, JUDGE, problems)
    if problems:
        raise ConfigError(f"{spec}: neither a folder of pictures nor a method: {'; '.join(problems)}")
    method = find_method(name)
    translator = method.load(MethodConfig(name, choice.settings, JUDGE, DOMAINS), device)

    finish = Finish.of(_ours(device)) if name in KNOBS else None

    def make(street: Street, domain: str) -> Image:
        day, keys = street.views["day"], [sample_key(0, street.scene.scene_id)]
        image = _image(translator.translate([day], [domain], [street.told], keys)[0][domain])
        if finish is None:
            return image
        if method.needs_model:
            return finish.generated(day, image, domain, street.told)[0]
        return finish.photometric(day, image, domain, street.told)

    return spec, f"version {method.version}{', finished as S2ST' if finish else ''}", make


def peers() -> list[str]:
    """An entry for every peer at every value of its own knob."""
    return [f"{name},{knob}={value:g}" for name, (knob, values) in KNOBS.items() for value in values]


def _ours(device: str) -> Translator:
    choice = choose_method({"name": "s2st"}, JUDGE, [])
    loaded = find_method("s2st").load(MethodConfig("s2st", choice.settings, JUDGE, DOMAINS), device)
    return cast(Translator, loaded)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _from_pictures(pictures: Pictures) -> Make:
    from s2st_aug.methods.external import ExternalTranslator

    translator = ExternalTranslator(pictures)

    def make(street: Street, domain: str) -> Image:
        made = translator.translate([street.views["day"]], [domain], scenes=[street.scene], orientations=["ignore"])
        return _image(made[0][domain])

    return make


def _image(made: Translated | SampleError) -> Image:
    if isinstance(made, SampleError):
        raise made
    return made.image


def rows_of(make: Make, shown: Iterable[Street], domains: Sequence[str] = DOMAINS) -> Iterator[Row]:
    """Every street in every domain; a picture that is missing is left out, and the entry's `n` tells of it."""
    profiles = find_image_profiles(domains, JUDGE)
    for street in shown:
        day = street.views["day"]
        for domain in domains:
            truth, start = street.views[domain], time.process_time()
            try:
                image = make(street, domain)
            except SampleError:
                continue
            seconds = time.process_time() - start
            found = judge(day, image, image, street.labels, profiles[domain], ValidationSettings())
            whole, true = found.structure, structure(day, truth)
            distance = render_distance(day, image, truth)
            assert whole is not None and true is not None and distance is not None  # no street is flat
            kept = [o.verdict == "keep" for o in found.objects]
            yield Row(
                street.scene.scene_id,
                domain,
                distance,
                whole / true,
                found.strength,
                float(np.mean(kept)) if kept else None,
                found.status == "ok",
                count_lights(image, truth),
                seconds,
            )


def entries(translator: str, about: str, rows: Sequence[Row], *, timed: bool, date: str) -> list[Entry]:
    """Means by domain; raises UsageError where there is no picture at all."""
    if not rows:
        raise UsageError(f"{translator}: no picture of any street (named like {PATTERN})")

    def mean(some: Sequence[Row], name: str) -> float | None:
        values = [value for row in some if (value := getattr(row, name)) is not None]
        return float(np.mean(values)) if values else None

    found = []
    for domain in dict.fromkeys(row.domain for row in rows):
        some = [row for row in rows if row.domain == domain]
        names = ("distance", "structure", "strength", "kept", "passed")
        means = cast(Any, {name: mean(some, name) for name in names})
        lights = sum_counts(row.lights for row in some).f1 if domain == "night" else None
        seconds = mean(some, "seconds") if timed else None
        within = float(np.mean([_within_aims(row) for row in some]))
        own = Entry(translator, about, domain, len(some), **means, lights_f1=lights, seconds=seconds, date=date)
        found.append(replace(own, within=within))
    return found


def _within_aims(row: Row) -> bool:
    values = {name: getattr(row, name) for name in AIMS}
    return all(v is not None and AIMS[name][0] <= v <= AIMS[name][1] for name, v in values.items())


def read_board(path: Path) -> list[Entry]:
    """The stored entries of this version; raises UsageError for another one's."""
    if not path.is_file():
        return []
    raw = json.loads(path.read_text(encoding="utf-8"))
    if (raw["benchmark"], raw["version"]) != (NAME, VERSION):
        raise UsageError(f"{path}: holds {raw['benchmark']} {raw['version']}, this is {NAME} {VERSION}")
    return [Entry(**entry) for entry in raw["entries"]]


def write_board(path: Path, found: Sequence[Entry]) -> None:
    """Replace the stored entries."""
    kept = [asdict(replace(e, **_rounded(e))) for e in found]
    raw = {"benchmark": NAME, "version": VERSION, "key": KEY, "count": COUNT, "size": SIZE, "entries": kept}
    path.write_text(json.dumps(raw, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _rounded(entry: Entry) -> dict[str, Any]:
    return {name: round(value, 4) for name, value in asdict(entry).items() if isinstance(value, float)}


def as_markdown(found: Sequence[Entry]) -> str:
    """A table: translators by their mean distance over the domains, those that lack pictures of a domain below."""
    by_name: dict[str, dict[str, Entry]] = {}
    for entry in found:
        by_name.setdefault(entry.translator, {})[entry.domain] = entry
    heads = (
        "translator",
        *(f"{d} distance" for d in DOMAINS),
        *("mean distance", "structure", "strength", "within aims", "labels kept", "passed", "lights F1"),
        *("s an image", "streets"),
    )
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]

    def average(own: Mapping[str, Entry], name: str) -> float | None:
        values = [value for e in own.values() if (value := getattr(e, name)) is not None]
        return float(np.mean(values)) if values else None

    def place(own: Mapping[str, Entry]) -> tuple[int, float]:
        return -len(own), average(own, "distance") or 0.0

    for name, own in sorted(by_name.items(), key=lambda item: place(item[1])):
        distances = [own[d].distance if d in own else None for d in DOMAINS]
        means = [average(own, key) for key in ("distance", "structure", "strength", "within", "kept", "passed")]
        f1 = own["night"].lights_f1 if "night" in own else None
        cells = [*distances, *means, f1, average(own, "seconds")]
        numbers = " | ".join("" if value is None else f"{value:.2f}" for value in cells)
        lines.append(f"| {name} | {numbers} | {min(e.n for e in own.values())} |")
    return "\n".join(lines)
