"""Draws docs/images/image_path.svg, the path of one image, from the code's own names.

A rename breaks the drawing and its test.

`python docs/image_path.py` writes it; docs/hooks.py draws the same into the architecture page.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import s2st_aug

OUT = Path(__file__).parent / "images/image_path.svg"
PACKAGE = Path(s2st_aug.__file__).parent
WIDTH, MARGIN, GAP = 1000, 16, 24
BOX, ROW, HEAD, BETWEEN = 52, 66, 34, 40
MONO, PLAIN = 7.6, 6.6  # width of a letter of each, about


@dataclass(frozen=True, slots=True)
class Box:
    """A function, class or method by its dotted path, and what happens there."""

    path: str
    words: str

    @property
    def name(self) -> str:
        """Its own name, as a reader would search for it."""
        return self.path.partition(":")[2]

    @property
    def file(self) -> str:
        """The file it is in; raises ImportError or AttributeError where the code has no such thing."""
        module, _, name = self.path.partition(":")
        found = getattr(importlib.import_module(f"s2st_aug.{module}"), name)
        return Path(inspect.getfile(inspect.unwrap(found))).relative_to(PACKAGE).as_posix()

    @property
    def width(self) -> float:
        """Pixels that the longer of its lines takes."""
        return max(len(self.name) * MONO, len(self.words) * PLAIN, len(self.file) * PLAIN * 0.9) + 18


@dataclass(frozen=True, slots=True)
class Lane:
    """What happens in one place; `passes` is the record that goes on to the next lane."""

    title: str
    where: str
    boxes: tuple[Box, ...]
    passes: str = ""
    tint: str = "plain"
    chain: bool = True  # one after the other; else side by side


LANES = (
    Lane(
        "Plan",
        "in the driver, once a run: nothing is decoded",
        (
            Box("formats.base:DatasetFormat", "reads scenes: where, not what"),
            Box("engine.planning:plan_batches", "scenes x domains into batches"),
            Box("engine.pending:completed_rows", "what the manifest has already"),
        ),
        "storage.plan:PlannedBatch",
    ),
    Lane(
        "Translate",
        "in an actor that holds the model",
        (
            Box("engine.translate:TranslateStage", "one batch; each failure has its answer"),
            Box("engine.sources:SourceReader", "pixels and labels, checked by hash"),
            Box("methods.protocol:Method", "the translator that the config names"),
        ),
    ),
    Lane(
        "S2ST, in the paper's order",
        "one photo, all its domains",
        (
            Box("diffusion.model:working_size", "whole field of view"),
            Box("translation.label_maps:label_maps", "labels become weights"),
            Box("translation.s2st:s2st", "the whole method"),
            Box("diffusion.ddim:invert", "photo to seed"),
            Box("translation.s2st:translate_seed", "seed to the target's seeds"),
            Box("translation.s2st:sample", "guided, held to the source"),
            Box("translation.s2st:optimise_clean_latent", "at each step: structure, look"),
            Box("translation.detail:restore_detail", "at the photo's own size"),
            Box("translation.signals:hold_signals", "lamps and signs keep colour"),
        ),
        "engine.batches:TranslatedBatch",
        "method",
    ),
    Lane(
        "Validate",
        "in a second pool, with other measures than were optimised",
        (
            Box("engine.validate:ValidateStage", "one batch"),
            Box("validation.judge:judge", "structure, strength, lights"),
            Box("validation.objects:measure", "of each label"),
            Box("validation.gates:decide", "keep, ignore, lost"),
        ),
        "engine.validate:ValidatedBatch",
        "judge",
    ),
    Lane(
        "Commit",
        "in the same worker: images first, then the row file, which is the commit mark",
        (
            Box("engine.commit:CommitStage", "whole or absent"),
            Box("storage.shards:commit_shard", "the batch is done"),
            Box("storage.run_folder:RunFolder", "images, manifest, run.json"),
        ),
        "engine.commit:CommitResult",
    ),
    Lane(
        "Use",
        "reads the run folder alone",
        (
            Box("report.html:write_report", "HTML, contact sheet"),
            Box("review.push:push", "FiftyOne, decisions back"),
            Box("export:export_run", "five formats, lock file"),
            Box("feed:open_feed", "training, with a receipt"),
        ),
        chain=False,
    ),
)

CSS = """
.ip{--ip-text:#1d2733;--ip-soft:#5c6b7a;--ip-line:#8a99a8;--ip-edge:#c3ccd6;--ip-name:#1b4f9c;
--ip-box:#fff;--ip-lane:#f4f6f8;--ip-method:#e8effc;--ip-judge:#e9f6ec}
@media (prefers-color-scheme:dark){
.ip{--ip-text:#e3e8ee;--ip-soft:#a3b1bf;--ip-line:#71808f;--ip-edge:#46525f;--ip-name:#93bcff;
--ip-box:#2d3641;--ip-lane:#20272f;--ip-method:#1f2d47;--ip-judge:#1c3526}}
.ip text{font-family:Roboto,"Helvetica Neue",Arial,sans-serif;fill:var(--ip-text);font-size:12px}
.ip .t{font-size:15px;font-weight:600}
.ip .w,.ip .f{fill:var(--ip-soft)}
.ip .f{font-size:10.5px}
.ip .n,.ip .p{font-family:"Roboto Mono",Menlo,Consolas,monospace;font-weight:600;fill:var(--ip-name);font-size:12.5px}
.ip .plain{fill:var(--ip-lane)}
.ip .method{fill:var(--ip-method)}
.ip .judge{fill:var(--ip-judge)}
.ip .b{fill:var(--ip-box);stroke:var(--ip-edge)}
.ip .a{fill:none;stroke:var(--ip-line);stroke-width:1.6}
.ip .h{fill:var(--ip-line)}
""".strip()


def image_path() -> str:
    """The drawing as SVG text; raises AttributeError or ImportError where a name that it shows is not in the code."""
    parts, top = [], MARGIN
    for lane in LANES:
        drawn, bottom = draw_lane(lane, top)
        parts += drawn
        if lane is not LANES[-1]:
            parts += arrow_down(lane, bottom)
        top = bottom + BETWEEN
    height = top - BETWEEN + MARGIN
    said = "; ".join(f"{lane.title}: {', '.join(box.name for box in lane.boxes)}" for lane in LANES)
    frame = f'viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="ip-t ip-d"'
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" class="ip" {frame}>',
        f'<title id="ip-t">The path of one image</title><desc id="ip-d">{escape(said)}</desc>',
        f"<style>{CSS}</style>",
        *parts,
        "</svg>\n",
    ])  # fmt: skip


def draw_lane(lane: Lane, top: int) -> tuple[list[str], int]:
    """A lane from `top` on, its boxes in as many rows as they need; also where it ends."""
    rows = list(in_rows(lane.boxes))
    bottom = top + HEAD + len(rows) * ROW
    size = f'width="{WIDTH - 2 * MARGIN}" height="{bottom - top}"'
    parts = [
        f'<rect class="{lane.tint}" x="{MARGIN}" y="{top}" {size} rx="10"/>',
        f'<text class="t" x="{MARGIN + 14}" y="{top + 23}">{escape(lane.title)}'
        f'<tspan class="w" font-weight="400" font-size="12" dx="10">{escape(lane.where)}</tspan></text>',
    ]
    for number, row in enumerate(rows):
        y, x = top + HEAD + number * ROW, MARGIN + 14.0
        for index, box in enumerate(row):
            if index and lane.chain:
                parts.append(arrow(x - GAP + 2, y + BOX / 2, x - 3))
            elif number:
                parts.append(f'<text class="w" x="{x - 11:g}" y="{y + BOX / 2 + 4:g}">↳</text>')
            parts += draw_box(box, x, y)
            x += box.width + GAP
    return parts, bottom


def in_rows(boxes: tuple[Box, ...]) -> Iterator[list[Box]]:
    """The boxes in rows that fit the width."""
    row: list[Box] = []
    for box in boxes:
        if row and sum(b.width + GAP for b in row) + box.width > WIDTH - 2 * (MARGIN + 14):
            yield row
            row = []
        row.append(box)
    yield row


def draw_box(box: Box, x: float, y: float) -> list[str]:
    """A name, what happens there, and the file."""
    return [
        f'<rect class="b" x="{x:g}" y="{y}" width="{box.width:g}" height="{BOX}" rx="6"/>',
        f'<text class="n" x="{x + 9:g}" y="{y + 17}">{escape(box.name)}</text>',
        f'<text x="{x + 9:g}" y="{y + 31}">{escape(box.words)}</text>',
        f'<text class="f" x="{x + 9:g}" y="{y + 45}">{escape(box.file)}</text>',
    ]


def arrow(x1: float, y: float, x2: float) -> str:
    """To the right."""
    head = f'<path class="h" d="M{x2:g} {y:g}l-6 -4v8z"/>'
    return f'<path class="a" d="M{x1:g} {y:g}H{x2 - 5:g}"/>{head}'


def arrow_down(lane: Lane, top: int) -> list[str]:
    """To the next lane, with the record that goes there."""
    x, end = MARGIN + 44, top + BETWEEN - 3
    parts = [f'<path class="a" d="M{x} {top + 2}V{end - 5}"/><path class="h" d="M{x} {end}l-4 -6h8z"/>']
    if lane.passes:
        record = Box(lane.passes, "")
        parts.append(
            f'<text class="p" x="{x + 14}" y="{top + BETWEEN / 2 + 4:g}">{record.name}'
            f'<tspan class="f" font-weight="400" dx="8">{escape(record.file)}</tspan></text>'
        )
    return parts


if __name__ == "__main__":
    OUT.write_text(image_path(), encoding="utf-8")
