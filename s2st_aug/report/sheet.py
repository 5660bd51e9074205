"""A sheet of pictures: a title, a header for each column, rows of captioned cells, a legend. Knows nothing of runs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from s2st_aug.arrays import Box, Image
from s2st_aug.report.palette import INK, PAPER, QUIET, STATUSES, VERDICTS, Mark

GAP, CAPTION, HEADER, TITLE, LEGEND = 8, 34, 26, 40, 30


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """A box (`points` None) or an open or closed line over a picture, in the picture's own pixels."""

    mark: Mark
    box: Box
    points: np.ndarray | None = None  # n 2


@dataclass(frozen=True, slots=True, eq=False)
class SheetCell:
    """One picture (or None with a reason in the caption), the labels on it and two lines of text under it."""

    picture: Image | None
    outlines: tuple[Outline, ...] = ()
    caption: tuple[str, str] = ("", "")
    frame: Mark | None = None


def draw_sheet(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[SheetCell]],
    *,
    cell_width: int = 384,
    legend: Sequence[Mark] = (),
) -> Image:
    """The sheet as one picture; every row takes the height of its first picture's aspect."""
    heights = []
    for row in rows:
        first = next((cell.picture for cell in row if cell.picture is not None), None)
        heights.append(cell_width * 9 // 16 if first is None else round(cell_width * first.shape[0] / first.shape[1]))
    width = GAP + len(columns) * (cell_width + GAP)
    lines = _legend_lines(legend, width)
    height = TITLE + HEADER + sum(h + CAPTION + GAP for h in heights) + LEGEND * len(lines)
    canvas = PIL.Image.new("RGB", (width, height), PAPER)
    draw = PIL.ImageDraw.Draw(canvas)
    _text(draw, (GAP, 9), title, 19, INK, width - 2 * GAP)
    for i, name in enumerate(columns):
        _text(draw, (GAP + i * (cell_width + GAP), TITLE + 2), name, 17, INK, cell_width)
    top = TITLE + HEADER
    for row, h in zip(rows, heights, strict=True):
        for i, cell in enumerate(row):
            _draw_cell(canvas, cell, (GAP + i * (cell_width + GAP), top), (cell_width, h))
        top += h + CAPTION + GAP
    for i, line in enumerate(lines):
        _draw_legend(draw, line, top + i * LEGEND)
    return np.asarray(canvas)


def draw_outlines(picture: PIL.Image.Image, outlines: Sequence[Outline], scale: tuple[float, float]) -> None:
    """Labels onto a picture that was scaled by `scale` (x, y) from the label's own pixels."""
    draw = PIL.ImageDraw.Draw(picture)
    for outline in outlines:
        x1, y1, x2, y2 = outline.box
        corners = (
            np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2), (x1, y1)]) if outline.points is None else outline.points
        )
        _line(draw, corners * np.array(scale), outline.mark)


def _draw_cell(canvas: PIL.Image.Image, cell: SheetCell, at: tuple[int, int], size: tuple[int, int]) -> None:
    draw = PIL.ImageDraw.Draw(canvas)
    x, y = at
    if cell.picture is None:
        draw.rectangle((x, y, x + size[0] - 1, y + size[1] - 1), fill=(232, 232, 228))
    else:
        h, w = cell.picture.shape[:2]
        small = PIL.Image.fromarray(cell.picture).resize(size, PIL.Image.Resampling.LANCZOS)
        draw_outlines(small, cell.outlines, (size[0] / w, size[1] / h))
        canvas.paste(small, at)
    if cell.frame is not None and cell.frame.width:
        corners = np.array(
            [(x, y), (x + size[0] - 1, y), (x + size[0] - 1, y + size[1] - 1), (x, y + size[1] - 1), (x, y)]
        )
        _line(draw, corners, cell.frame)
    _text(draw, (x, y + size[1] + 2), cell.caption[0], 13, INK, size[0])
    _text(draw, (x, y + size[1] + 17), cell.caption[1], 13, QUIET, size[0])


def _legend_lines(legend: Sequence[Mark], width: int) -> list[list[tuple[int, Mark]]]:
    """Marks with their x, in as many lines as a sheet of this width needs."""
    lines: list[list[tuple[int, Mark]]] = []
    x = width
    for mark in legend:
        needed = 44 + int(_font(14).getlength(mark.word)) + 1
        if x + needed > width - GAP:
            lines.append([])
            x = GAP
        lines[-1].append((x, mark))
        x += needed + 35
    return lines


def _draw_legend(draw: PIL.ImageDraw.ImageDraw, line: Sequence[tuple[int, Mark]], top: int) -> None:
    for x, mark in line:
        _line(draw, np.array([(x, top + 11), (x + 36, top + 11)]), mark)
        _text(draw, (x + 44, top + 2), mark.word, 14, INK, 400)


def _line(draw: PIL.ImageDraw.ImageDraw, points: np.ndarray, mark: Mark) -> None:
    width = max(1, mark.width)
    if not mark.dash:
        draw.line([tuple(p) for p in points], fill=mark.colour, width=width)
        return
    for a, b in itertools.pairwise(points):
        length = float(np.hypot(*(b - a)))
        for start in np.arange(0, length, 2 * mark.dash):
            ends = a + (b - a) * np.array([[start], [min(start + mark.dash, length)]]) / max(length, 1e-9)
            draw.line([tuple(p) for p in ends], fill=mark.colour, width=width)


def _font(size: int) -> PIL.ImageFont.FreeTypeFont:
    font = PIL.ImageFont.load_default(size)
    assert isinstance(font, PIL.ImageFont.FreeTypeFont)
    return font


def _text(
    draw: PIL.ImageDraw.ImageDraw, at: tuple[int, int], text: str, size: int, colour: tuple[int, int, int], room: int
) -> None:
    font = _font(size)
    while text and font.getlength(text) > room:
        text = text[:-2].rstrip("…") + "…" if len(text) > 2 else ""
    draw.text(at, text, fill=colour, font=font)


VERDICT_LEGEND: tuple[Mark, ...] = (*VERDICTS.values(), STATUSES["rejected"])
