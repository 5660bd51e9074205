"""Suite `scenes`: how fast scenes are rendered, what the embedded models
can do, and how near S2ST comes to the true render.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.controls import CONTROLS
from benchmarks.figure import Figure, Goal, measured, undecided, wilson
from benchmarks.lights import LightCounts, count_lights, sum_counts, wet_road
from benchmarks.processes import environment
from benchmarks.render_distance import render_distance
from s2st_aug.arrays import AnyImage, Image
from s2st_aug.diffusion.model import LatentModel
from s2st_aug.diffusion.stable_diffusion import load_model
from s2st_aug.errors import Diverged, S2STError
from s2st_aug.images import read_image, resize
from s2st_aug.procedural.categories import CATEGORIES
from s2st_aug.procedural.drawing import Drawn, draw_street
from s2st_aug.procedural.labels import read_labels
from s2st_aug.procedural.render import render_drawn
from s2st_aug.procedural.sampling import sample_street
from s2st_aug.procedural.surfaces import surfaces
from s2st_aug.procedural.write import write_scenes
from s2st_aug.profiles import find_profile
from s2st_aug.profiles.colours import Colours, colours_of
from s2st_aug.real_data import real_data
from s2st_aug.records.domains import CONDITIONS, ConditionName
from s2st_aug.records.profile import Discriminant, DomainProfile
from s2st_aug.records.scene import SceneObject
from s2st_aug.training.measure import autoencoder_psnr, generate, round_trip_psnr, to_batch, to_images
from s2st_aug.training.prompts import canonical_prompt
from s2st_aug.translation.presets import presets_of
from s2st_aug.translation.settings import method_settings
from s2st_aug.translation.translator import Translator
from s2st_aug.validation.strength import features, strength
from s2st_aug.validation.structure import structure

HELD_OUT = 313_370  # rng_key of streets that neither training nor any profile has seen
TARGET_COLOURS = 313_371  # ... and of those that tell the controls what a domain looks like
SIZE = (640, 360)
TARGETS: tuple[ConditionName, ...] = ("night", "rain")
TRUSTED = 0.8  # accuracy on other streets below which the judge of prompts is worth nothing
UNCHANGED = "identity"  # the control that translates nothing: most of night's lights are bright in a bright day
TRANSLATED = (  # what translated_scenes measures
    "strength_scenes",
    "structure_vs_true_render",
    "render_distance_vs_best_control",
    "render_distance_night_vs_best_control",
    "render_distance_rain_vs_best_control",
    "light_recall_night",
    "light_precision_night",
    "light_f1_night_vs_best_control",
    "wet_road_rain",
)
Interval = tuple[float, float]

# name -> unit, goal, at_least / at_most / below / within
GOALS: dict[str, tuple[str, Goal, str]] = {
    "scenes_per_second": ("scenes/s", 8, "at_least"),
    "ae_psnr_scenes_db": ("dB", 32, "at_least"),
    "ae_psnr_photos_db": ("dB", 28, "at_least"),
    "round_trip_loss_db": ("dB", 1, "at_most"),
    "prompt_agreement": ("share", 0.8, "at_least"),
    "strength_scenes": ("strength", 0.6, "at_least"),
    "structure_vs_true_render": ("ratio", (0.9, 1.25), "within"),
    "render_distance_vs_best_control": ("ratio", 0.85, "at_most"),
    "render_distance_night_vs_best_control": ("ratio", 0.85, "at_most"),
    "render_distance_rain_vs_best_control": ("ratio", 0.85, "at_most"),
    "light_recall_night": ("share", 0.5, "at_least"),
    "light_precision_night": ("share", 0.6, "at_least"),
    "light_f1_night_vs_best_control": ("ratio", 3, "at_least"),
    "wet_road_rain": ("correlation", 0.5, "at_least"),
    "strength_dusk_photos": ("strength", 0.6, "at_least"),
    "translate_seconds_draft": ("s", 6, "at_most"),
    "translate_seconds_standard": ("s", 20, "at_most"),
    "translate_peak_gib": ("GiB", 2, "at_most"),
}


def run(*, quick: bool) -> Iterator[Figure]:
    """Every figure of the suite; quick takes fewer scenes and photos."""
    yield _guard(("scenes_per_second",), lambda: [scenes_per_second(16 if quick else 100)])[0]
    yield from _guard(("ae_psnr_scenes_db",), lambda: [ae_psnr_scenes(2 if quick else 10)])
    yield from _guard(("ae_psnr_photos_db",), lambda: [ae_psnr_photos(8 if quick else 40)])
    yield from _guard(("round_trip_loss_db",), lambda: [round_trip_loss(2 if quick else 6)])
    yield from _guard(
        ("prompt_agreement",), lambda: [prompt_agreement(streets=12 if quick else 24, steps=10 if quick else 20)]
    )
    yield from _guard(TRANSLATED, lambda: translated_scenes(4 if quick else 12))
    yield from _guard(("strength_dusk_photos",), lambda: [strength_dusk_photos(3 if quick else 12)])
    yield from _guard(("translate_seconds_draft",), lambda: [translate_seconds("draft", 1 if quick else 3)])
    yield from _guard(("translate_seconds_standard",), lambda: [translate_seconds("standard", 1 if quick else 3)])
    yield from _guard(("translate_peak_gib",), lambda: [translate_peak()])


def _guard(names: Sequence[str], measure: Callable[[], list[Figure]]) -> list[Figure]:
    """What a missing model, profile or photo folder leaves undecided says so, and the suite goes on."""
    try:
        return measure()
    except (S2STError, FileNotFoundError) as error:
        return [undecided(n, GOALS[n][0], GOALS[n][1], " ".join(str(error).split())) for n in names]


def _figure(name: str, values: Sequence[float], why: str, *, value: float | None = None) -> Figure:
    """The mean (or `value`) against the goal, with a bootstrap interval of the mean."""
    unit, goal, direction = GOALS[name]
    low, high = bootstrap(values)
    mean = float(np.mean(values)) if value is None else value
    return measured(name, mean, unit, goal, direction, n=len(values), interval=(low, high), why=why)  # type: ignore[arg-type]


def bootstrap(values: Sequence[float], repeats: int = 2000) -> Interval:
    """95 % interval of the mean."""
    sample = np.asarray(values, float)
    drawn = np.random.default_rng(0).choice(sample, (repeats, len(sample))).mean(axis=1)
    return float(np.quantile(drawn, 0.025)), float(np.quantile(drawn, 0.975))


# --- rendering


def scenes_per_second(count: int) -> Figure:
    """Image and every BDD100K label of one condition written, 640x360, in seconds of one core's time."""
    rates = []
    with tempfile.TemporaryDirectory(prefix="s2st_aug-scenes-") as folder:
        write_scenes(Path(folder) / "warm", 2, "bdd100k", ("day",), SIZE, HELD_OUT)
        begin = time.perf_counter()
        for k in range(4):
            start = time.process_time()
            write_scenes(Path(folder) / str(k), count // 4, "bdd100k", ("day",), SIZE, HELD_OUT + 10 + k)
            rates.append((count // 4) / (time.process_time() - start))
        wall = (count // 4 * 4) / (time.perf_counter() - begin)
    by_clock = f"by the wall clock on this machine: {wall:.1f}"
    why = f"{count // 4 * 4} day scenes in 4 lots, by CPU time of the one core used ({by_clock})"
    return _figure("scenes_per_second", rates, why)


def rendered(key: int, index: int, conditions: Sequence[ConditionName]) -> dict[ConditionName, Image]:
    """One street under several conditions."""
    drawn = draw_street(sample_street(key, index, SIZE))
    surface = surfaces(drawn)
    return {condition: render_drawn(drawn, surface, condition) for condition in conditions}


def boxes(drawn: Drawn) -> list[SceneObject]:
    """A street's labels as BDD100K has them: boxes of the detection classes, signals with their state."""
    named = [(CATEGORIES[o.instance.category].det, o) for o in read_labels(drawn).objects]
    return [
        SceneObject(str(o.instance.number), "box", name, tuple(map(float, o.box)), signal=o.instance.signal)  # type: ignore[arg-type]
        for name, o in named
        if name
    ]


# --- the models


@lru_cache(maxsize=2)
def _model(name: str) -> LatentModel:

    return load_model(name)


def ae_psnr_scenes(count: int) -> Figure:
    """street-mini's autoencoder on held-out scenes of all six conditions, at the working size."""

    model = _model("street-mini")
    by_condition: dict[str, list[float]] = {c: [] for c in CONDITIONS}
    for index in range(count):
        for condition, image in rendered(HELD_OUT, index, CONDITIONS).items():
            by_condition[condition].append(autoencoder_psnr(model, image, model.working_size(*image.shape[1::-1])))
    why = ", ".join(f"{c} {np.mean(v):.1f}" for c, v in by_condition.items())
    return _figure(
        "ae_psnr_scenes_db",
        [x for v in by_condition.values() for x in v],
        f"street-mini, {count} streets x 6 conditions: {why}",
    )


def camvid(domain: str, count: int) -> list[AnyImage]:
    """Held-out CamVid frames, evenly spread: day from sequence 0006R0, dusk from 0001TP_007620 on."""
    folder = real_data(f"camvid/{domain}/images")
    names = sorted(p for p in folder.glob("*") if p.is_file())
    held = [p for p in names if (p.stem.startswith("0006R0") if domain == "day" else p.stem >= "0001TP_007620")]
    if not held:
        raise FileNotFoundError(f"no held-out CamVid {domain} photos in {folder}")
    return [read_image(held[i]) for i in np.linspace(0, len(held) - 1, min(count, len(held))).astype(int)]


def ae_psnr_photos(count: int) -> Figure:
    """street-photo's autoencoder on held-out CamVid day and dusk."""

    model = _model("street-photo")
    by_domain = {
        d: [autoencoder_psnr(model, i, model.working_size(*i.shape[1::-1])) for i in camvid(d, count // 2)]
        for d in ("day", "dusk")
    }
    why = "street-photo on held-out CamVid: " + ", ".join(
        f"{d} {np.mean(v):.1f} (n {len(v)})" for d, v in by_domain.items()
    )
    return _figure("ae_psnr_photos_db", [x for v in by_domain.values() for x in v], why)


def round_trip_loss(count: int) -> Figure:
    """What 50 steps of DDIM there and back at guidance 1 cost against the autoencoder alone."""

    model, lost = _model("street-mini"), []
    for index in range(count):
        for condition, image in rendered(HELD_OUT, 1000 + index, ("day", "night")).items():
            size = model.working_size(*image.shape[1::-1])
            through = round_trip_psnr(model, image, size, steps=50, prompt=canonical_prompt(condition))
            lost.append(autoencoder_psnr(model, image, size) - through)
    return _figure(
        "round_trip_loss_db", lost, f"street-mini, {count} held-out streets by day and by night, 50 steps, guidance 1"
    )


# --- prompts


@dataclass(frozen=True, slots=True, eq=False)
class Classifier:
    """Shrinkage LDA over the features of `validation.strength`: what condition a picture shows."""

    names: tuple[str, ...]
    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    bias: np.ndarray

    def __call__(self, image: AnyImage) -> str:
        """The name of the likeliest condition."""
        x = (features(image) - self.mean) / self.scale
        return self.names[int(np.argmax(x @ self.weights + self.bias))]


def fit_classifier(photos: Mapping[str, Sequence[AnyImage]], shrinkage: float = 0.3) -> Classifier:
    """Equal priors, one covariance for all, shrunk towards the identity."""
    rows = {name: np.stack([features(p) for p in some]) for name, some in photos.items()}
    every = np.concatenate(list(rows.values()))
    mean, scale = every.mean(0), every.std(0) + 1e-6
    scaled = {name: (r - mean) / scale for name, r in rows.items()}
    within = np.mean([np.cov(r.T) for r in scaled.values()], axis=0)
    within = (1 - shrinkage) * within + shrinkage * np.eye(len(within)) * np.trace(within) / len(within)
    centres = np.stack([r.mean(0) for r in scaled.values()])
    weights = np.linalg.solve(within, centres.T)
    return Classifier(tuple(rows), mean, scale, weights, -0.5 * (centres * weights.T).sum(1))


def _photos(folder: str, pattern: str, count: int) -> list[AnyImage]:
    names = sorted(p for p in real_data(folder).glob(pattern) if p.is_file())
    if not names:
        raise FileNotFoundError(f"no photos {pattern} in {real_data(folder)}")
    return [read_image(names[i]) for i in np.linspace(0, len(names) - 1, min(count, len(names))).astype(int)]


def prompt_agreement(*, streets: int, steps: int) -> Figure:
    """Does a judge see in pictures from noise what the prompt asked for? rng_keys 0 to 5 for each of the six prompts.

    The model draws as the renderer does, so the judge is fitted on true renders, sharp and blurred. Its word counts
    if it is right on other streets that went through the autoencoder, as they are and blurred beyond what it was
    fitted on, for pictures from noise have no sharp outline. How it does on photos is said, and decides nothing.
    """
    model = _model("street-mini")
    known = [rendered(TARGET_COLOURS, index, CONDITIONS) for index in range(streets)]
    judge = fit_classifier({
        c: [_blurred(resize(street[c], model.native_size), sigma) for street in known for sigma in (0, 1.5, 4)]
        for c in CONDITIONS
    })  # fmt: skip
    other = [rendered(HELD_OUT, 1200 + index, CONDITIONS) for index in range(streets // 2)]
    right = [
        judge(_blurred(_through_autoencoder(model, street[c]), sigma)) == c
        for street in other for c in CONDITIONS for sigma in (0, 6)
    ]  # fmt: skip
    made = {c: list(generate(model, canonical_prompt(c), range(6), steps=steps)) for c in CONDITIONS}
    agreed = [judge(image) == c for c, images in made.items() for image in images]
    spread = np.mean([
        np.mean([np.abs(a.astype(float) - b).mean() for a in some for b in some if a is not b])
        for some in made.values()
    ])  # fmt: skip
    each = ", ".join(f"{c} {sum(judge(i) == c for i in some)}/6" for c, some in made.items())
    share, accuracy = float(np.mean(agreed)), float(np.mean(right))
    why = f"street-mini, {steps} steps: {each}; spread {spread:.0f} grey levels; judge fitted on {streets} streets, "
    why += f"right on {accuracy:.2f} of {len(right)} pictures of others through the autoencoder{_on_photos(judge)}"
    unit, goal, direction = GOALS["prompt_agreement"]
    between = wilson(int(sum(agreed)), len(agreed))
    if accuracy < TRUSTED:
        return Figure("prompt_agreement", share, unit, goal, None, len(agreed), between, f"holds nothing: {why}")
    return measured("prompt_agreement", share, unit, goal, direction, n=len(agreed), interval=between, why=why)  # type: ignore[arg-type]


def _blurred(image: AnyImage, sigma: float) -> AnyImage:
    return cv2.GaussianBlur(image, (0, 0), sigma) if sigma else image


def _through_autoencoder(model: LatentModel, image: AnyImage) -> AnyImage:
    with torch.no_grad():
        pixels = to_batch(image, model.working_size(*image.shape[1::-1])).to(model.device)
        return to_images(model.decode(model.encode(pixels)))[0]


def _on_photos(judge: Classifier) -> str:
    """How often the judge is right on photos of day and of night; empty where there are none."""
    try:
        photos = {name: _photos(f"photos/{name}", "*", 40) for name in ("day", "night")}
    except (FileNotFoundError, S2STError):
        return ""
    return "; on photos " + ", ".join(
        f"{name} {np.mean([judge(p) == name for p in some]):.2f}" for name, some in photos.items()
    )


# --- translation


@lru_cache(maxsize=4)
def _translator(model: str, preset: str, domains: tuple[str, ...]) -> Translator:

    loaded = _model(model)
    return Translator(
        loaded, {d: find_profile(d, loaded) for d in domains}, method_settings(preset, presets=presets_of(model))
    )


def _discriminant(profile: DomainProfile) -> Discriminant:
    if profile.discriminant is None:
        raise S2STError(f"profile {profile.name} carries no discriminant, so strength cannot be measured")
    return profile.discriminant


@dataclass(frozen=True, slots=True)
class _Translation:
    """What one (street, domain) measured; the dicts are by method, S2ST and the controls."""

    domain: str
    strength: float | None
    ratio: float | None  # structure against the true render's own
    distances: dict[str, float]
    lights: dict[str, LightCounts]  # night alone
    wet: dict[str, float]  # rain alone


def translated_scenes(count: int) -> list[Figure]:
    """S2ST at `standard` on held-out day scenes, beside the true render and the controls."""
    translator = _translator("street-mini", "standard", TARGETS)
    targets = {d: colours_of([rendered(TARGET_COLOURS, i, (d,))[d] for i in range(12)]) for d in TARGETS}
    rows = [row for index in range(count) for row in _one_street(translator, index, targets)]
    strengths = [r.strength for r in rows if r.strength is not None]
    ratios = [r.ratio for r in rows if r.ratio is not None]
    if not strengths or not ratios:
        raise S2STError("no scene could be measured: strength or structure was null in every one")
    about = f"street-mini, standard, {count} held-out streets to {' and '.join(TARGETS)}; "
    by_domain = ", ".join(
        f"{d} {np.mean([r.strength for r in rows if r.domain == d and r.strength is not None]):.2f}" for d in TARGETS
    )
    about_one = f"street-mini, standard, {count} held-out streets; "
    return [
        _figure("strength_scenes", strengths, about + by_domain),
        _figure("structure_vs_true_render", ratios, about + "structure of the variant over that of the true render"),
        *_distance_figures(rows, about, about_one),
        *_light_figures([r.lights for r in rows if r.domain == "night"], about_one),
        _wet_road_figure([r.wet for r in rows if r.domain == "rain"], about_one),
    ]


def _one_street(translator: Translator, index: int, targets: Mapping[ConditionName, Colours]) -> Iterator[_Translation]:
    views = rendered(HELD_OUT, 2000 + index, ("day", *TARGETS))
    day = views["day"]
    done = translator.translate([day], list(TARGETS), keys=[index])[0]
    for domain in TARGETS:
        variant, truth = done[domain], views[domain]
        if isinstance(variant, Diverged):
            raise variant
        own, true = structure(day, variant.image), structure(day, truth)
        made = {"S2ST": variant.image} | {name: change(day, targets[domain]) for name, change in CONTROLS.items()}
        yield _Translation(
            domain,
            strength(day, variant.image, _discriminant(translator.profiles[domain])),
            own / true if own is not None and true else None,
            {name: render_distance(day, image, truth) or 0.0 for name, image in made.items()},
            {name: count_lights(image, truth) for name, image in made.items()} if domain == "night" else {},
            {name: wet_road(day, image, truth) for name, image in made.items()} if domain == "rain" else {},
        )


def _distance_figures(rows: Sequence[_Translation], about: str, about_one: str) -> Iterator[Figure]:
    """Of all domains together, and of each."""
    yield _distance_figure("render_distance_vs_best_control", rows, about)
    for d in TARGETS:
        yield _distance_figure(f"render_distance_{d}_vs_best_control", [r for r in rows if r.domain == d], about_one)


def _distance_figure(name: str, rows: Sequence[_Translation], about: str) -> Figure:
    """S2ST's mean distance over the best control's mean distance: below 1 it is nearer than every control."""
    means = {method: float(np.mean([r.distances[method] for r in rows])) for method in ("S2ST", *CONTROLS)}
    best = min(CONTROLS, key=lambda method: means[method])
    ratios = [r.distances["S2ST"] / max(r.distances[best], 1e-6) for r in rows]
    table = ", ".join(f"{m} {means[m]:.3f}" for m in ("S2ST", *sorted(CONTROLS, key=lambda m: means[m])))
    return _figure(name, ratios, f"{about}distance: {table}", value=means["S2ST"] / means[best])


def _light_figures(streets: Sequence[Mapping[str, LightCounts]], about: str) -> Iterator[Figure]:
    """Recall and precision over all lights, F1 over that of the best control that translates; streets are resampled."""
    total = {method: sum_counts(counts[method] for counts in streets) for method in ("S2ST", *CONTROLS)}
    best = max((m for m in CONTROLS if m != UNCHANGED), key=lambda m: total[m].f1 or 0.0)
    drawn = np.random.default_rng(0).integers(len(streets), size=(1000, len(streets)))
    samples = [{m: sum_counts(streets[i][m] for i in some) for m in ("S2ST", best)} for some in drawn]

    def table(measure: Callable[[LightCounts], float | None]) -> str:
        values = {m: measure(counts) for m, counts in total.items()}
        return about + ", ".join(f"{m} {'none' if v is None else f'{v:.3f}'}" for m, v in values.items())

    def figure(name: str, measure: Callable[[Mapping[str, LightCounts]], float], n: int, why: str) -> Figure:
        unit, goal, direction = GOALS[name]
        low, high = np.quantile([measure(s) for s in samples], [0.025, 0.975])
        interval = float(low), float(high)
        return measured(name, measure(total), unit, goal, direction, n=n, interval=interval, why=why)  # type: ignore[arg-type]

    ours = total["S2ST"]
    yield figure("light_recall_night", lambda c: c["S2ST"].recall or 0.0, ours.true, table(lambda c: c.recall))
    yield figure("light_precision_night", lambda c: c["S2ST"].precision or 0.0, ours.made, table(lambda c: c.precision))
    yield figure(
        "light_f1_night_vs_best_control",
        lambda c: (c["S2ST"].f1 or 0.0) / max(c[best].f1 or 0.0, 1e-3),
        ours.true,
        f"{table(lambda c: c.f1)}; over {best}, the best control that translates",
    )


def _wet_road_figure(streets: Sequence[Mapping[str, float]], about: str) -> Figure:
    means = {method: np.mean([street[method] for street in streets]) for method in ("S2ST", *CONTROLS)}
    table = ", ".join(f"{method} {value:.3f}" for method, value in means.items())
    return _figure("wet_road_rain", [street["S2ST"] for street in streets], about + table)


def strength_dusk_photos(count: int) -> Figure:
    """street-photo, `standard`, held-out CamVid day photos to dusk."""
    translator = _translator("street-photo", "standard", ("dusk",))
    found = []
    for photo in camvid("day", count):
        done = translator.translate([photo], ["dusk"], keys=[0])[0]["dusk"]
        if isinstance(done, Diverged):
            raise done
        found.append(strength(photo, done.image, _discriminant(translator.profiles["dusk"])))
    known = [s for s in found if s is not None]
    if not known:
        raise S2STError("strength was null for every photo")
    return _figure(
        "strength_dusk_photos",
        known,
        f"street-photo, standard, {len(found)} held-out CamVid day photos, {len(known)} measurable",
    )


def translate_seconds(preset: str, repeats: int) -> Figure:
    """A 1280x720 photo to night, after start-up (one translation to warm up)."""
    translator = _translator("street-mini", preset, ("night",))
    photo = resize(rendered(HELD_OUT, 1, ("day",))["day"], (1280, 720))
    translator.translate([photo], ["night"], keys=[0])
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        translator.translate([photo], ["night"], keys=[0])
        seconds.append(time.perf_counter() - start)
    return _figure(
        f"translate_seconds_{preset}", seconds, f"street-mini, {preset}, 1280x720 to night, by the wall clock"
    )


PEAK = """
import resource, sys
import numpy as np
from s2st_aug.api import load_translator
photo = np.random.default_rng(0).integers(0, 256, (720, 1280, 3)).astype(np.uint8)
load_translator(["night"], preset="standard").translate([photo], ["night"], keys=[0])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def translate_peak() -> Figure:
    """Largest resident size of a process that translates one 1280x720 photo at `standard`."""
    command = [sys.executable, "-c", PEAK]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise S2STError(f"the measuring process failed: {done.stderr.strip().splitlines()[-1]}")
    page = 1 if sys.platform == "darwin" else 1024
    gib = int(done.stdout.split()[-1]) * page / 2**30
    return _figure("translate_peak_gib", [gib], "street-mini, standard, 1280x720, a process of its own")
