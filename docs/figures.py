"""Draws the procedural pictures of docs/images (FIGURES names them): `python docs/figures.py [NAME]`.

They show procedural scenes, so every pixel is our own. docs/image_path.py draws the path of one image;
`make pictures` draws both and brings the tables up to date.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.render_distance import render_distance
from benchmarks.scenes import HELD_OUT, boxes
from s2st_aug import load_translator
from s2st_aug.api import load_method
from s2st_aug.formats import load_card, read_objects, read_scenes
from s2st_aug.methods.histogram import match_histograms
from s2st_aug.procedural.drawing import draw_street
from s2st_aug.procedural.render import render_drawn
from s2st_aug.procedural.sampling import sample_street
from s2st_aug.procedural.surfaces import surfaces
from s2st_aug.procedural.write import write_scenes
from s2st_aug.profiles.colours import profile_colours
from s2st_aug.randomness import sample_key
from s2st_aug.records.domains import CONDITIONS
from s2st_aug.records.translated import Translated
from s2st_aug.records.verdicts import Judgement

OUT = Path(__file__).parent / "images"
DOMAINS = ("night", "rain")
CELL, HEAD, GAP = (320, 180), 18, 5
BESIDE = (2000, 2003, 2005, 2008)  # streets of suite `scenes`
GALLERY = ("night", "rain", "dusk", "fog", "night_rain")
SHOWN = (2001, 2004, 2007, 2010, 2013, 2016)  # streets of the gallery: every third, none left out
GALLERY_FIGURES = Path(__file__).parent / "measured/gallery.json"
COLUMNS = ("source", "before the detail step", "variant", "true render of the scene")


def method_strip(folder: Path) -> Image.Image:
    """A row per domain: the source, the variant before and after the detail step, the true render (shipped weights)."""
    write_scenes(
        folder, count=3, format="bdd100k", conditions=("day", *DOMAINS), size=(640, 360), rng_key=41, val_share=0
    )
    card, root = load_card("bdd100k"), folder / "day"
    scene = list(read_scenes(card, root, "train"))[1]
    photo = np.asarray(Image.open(root / scene.image).convert("RGB"))
    objects = [read_objects(card, root, scene)]
    done = load_translator(DOMAINS).translate([photo], DOMAINS, objects, [sample_key(0, scene.scene_id)])[0]
    canvas = Image.new("RGB", (4 * (CELL[0] + GAP) - GAP, 2 * (CELL[1] + HEAD)), "white")
    for row, domain in enumerate(DOMAINS):
        true = np.asarray(Image.open(folder / domain / scene.image).convert("RGB"))
        for column, pixels in enumerate((photo, done[domain].raw, done[domain].image, true)):
            _paste(canvas, row, column, f"{'day' if column == 0 else domain}: {COLUMNS[column]}", pixels)
    return canvas


def beside(_folder: Path) -> Image.Image:
    """Held-out streets: by day, then night and rain by histogram matching, by S2ST and as they truly are."""
    words = ["day", *(f"{d}: {how}" for d in DOMAINS for how in ("histogram matching", "S2ST", "truth"))]
    width, height = len(words) * (CELL[0] + GAP) - GAP, len(BESIDE) * (CELL[1] + HEAD)
    canvas = Image.new("RGB", (width, height), "white")
    translator = load_translator(DOMAINS)
    profiles = {d: translator.profiles[d] for d in DOMAINS}
    for row, index in enumerate(BESIDE):
        drawn = draw_street(sample_street(HELD_OUT, index, (640, 360)))
        surface = surfaces(drawn)
        day, *truths = (render_drawn(drawn, surface, c) for c in ("day", *DOMAINS))
        made = translator.translate([day], DOMAINS, [boxes(drawn)], [index])[0]
        pictures = [day]
        for domain, truth in zip(DOMAINS, truths, strict=True):
            pictures += [match_histograms(day, profile_colours(profiles[domain])), made[domain].image, truth]
        for column, pixels in enumerate(pictures):
            _paste(canvas, row, column, words[column], pixels)
    return canvas.resize((width * 2 // 3, height * 2 // 3), Image.Resampling.LANCZOS)


def gallery(domain: str, _folder: Path) -> Image.Image:
    """Held-out streets by day, by histogram matching, by S2ST and as they truly are; their figures go to a file."""
    loaded, rows = load_method([domain]), []
    target = profile_colours(load_translator([domain]).profiles[domain])
    canvas = Image.new("RGB", (4 * (CELL[0] + GAP) - GAP, len(SHOWN) * (CELL[1] + HEAD)), "white")
    for row, index in enumerate(SHOWN):
        drawn = draw_street(sample_street(HELD_OUT, index, (640, 360)))
        surface, objects = surfaces(drawn), boxes(drawn)
        day, truth = (render_drawn(drawn, surface, c) for c in ("day", domain))
        made = loaded.translator.translate([day], [domain], [objects], [index])[0][domain]
        assert isinstance(made, Translated), made
        control = match_histograms(day, target)
        both = {"S2ST": (made.image, made.raw), "histogram": (control, control)}
        judged = {name: loaded.judge(day, image, raw, objects, domain) for name, (image, raw) in both.items()}
        for name, (image, _) in both.items():
            rows.append(_figures(row + 1, name, judged[name], render_distance(day, image, truth)))
        words = ("day", "histogram matching", "S2ST, " + _said(judged["S2ST"]), "truth")
        for column, pixels in enumerate((day, control, made.image, truth)):
            _paste(canvas, row, column, f"{row + 1} {words[column]}", pixels)
    stored = json.loads(GALLERY_FIGURES.read_text(encoding="utf-8")) if GALLERY_FIGURES.is_file() else {}
    GALLERY_FIGURES.write_text(json.dumps({**stored, domain: rows}, indent=1) + "\n", encoding="utf-8")
    return canvas.resize((canvas.width * 4 // 5, canvas.height * 4 // 5), Image.Resampling.LANCZOS)


def _said(found: Judgement) -> str:
    return "accepted" if found.status == "ok" else "rejected: " + ", ".join(found.rejected_by)


def _figures(street: int, method: str, found: Judgement, distance: float | None) -> dict[str, Any]:
    """A row of the gallery's table."""
    verdicts = Counter(o.verdict for o in found.objects)
    return {
        "street": street, "method": method, "status": _said(found), "distance": distance, "strength": found.strength,
        "structure": found.structure, "labels": {v: verdicts[v] for v in ("keep", "ignore", "lost")},
    }  # fmt: skip


def _paste(canvas: Image.Image, row: int, column: int, words: str, pixels: np.ndarray) -> None:
    x, y = column * (CELL[0] + GAP), row * (CELL[1] + HEAD)
    ImageDraw.Draw(canvas).text((x + 3, y + 3), words, fill=(20, 30, 40))
    canvas.paste(Image.fromarray(pixels).resize(CELL, Image.Resampling.LANCZOS), (x, y + HEAD))


def scenes(folder: Path, count: int = 8) -> Image.Image:
    """A row per street, a column per condition."""
    return Image.fromarray(np.concatenate([_street(index) for index in range(count)]))


def _street(index: int) -> np.ndarray:
    drawn = draw_street(sample_street(0, index, (640, 360)))
    shown = [
        Image.fromarray(render_drawn(drawn, surfaces(drawn), c)).resize(CELL, Image.Resampling.LANCZOS)
        for c in CONDITIONS
    ]
    return np.concatenate([np.asarray(picture) for picture in shown], axis=1)


def home(domain: str, _folder: Path) -> Image.Image:
    """The home page's street, by day or translated."""
    drawn = draw_street(sample_street(HELD_OUT, BESIDE[1], (640, 360)))
    day = render_drawn(drawn, surfaces(drawn), "day")
    if domain == "day":
        return Image.fromarray(day)
    made = load_translator([domain]).translate([day], [domain], [boxes(drawn)], [BESIDE[1]])[0]
    return Image.fromarray(made[domain].image)


FIGURES: dict[str, Callable[[Path], Image.Image]] = {
    "method_strip": method_strip,
    "beside": beside,
    "scenes": scenes,
    **{f"home_{domain}": partial(home, domain) for domain in ("day", "night")},
    **{f"gallery_{domain}": partial(gallery, domain) for domain in GALLERY},
}

if __name__ == "__main__":
    for name in sys.argv[1:] or FIGURES:
        with tempfile.TemporaryDirectory() as folder:
            FIGURES[name](Path(folder)).save(OUT / f"{name}.jpg", quality=85)
