"""A picture of why a variant was rejected: source and variant side by side, verdicts and false lights drawn on."""

from __future__ import annotations

import textwrap

import cv2
import numpy as np

from s2st_aug.arrays import Box, Image
from s2st_aug.records.scene import LINES
from s2st_aug.records.verdicts import Judgement
from s2st_aug.report.palette import VERDICTS

COLOURS = {name: mark.colour for name, mark in VERDICTS.items()} | {"made up": (204, 121, 167)}
PANEL = 640  # px, width of each of the two pictures
LINE = 18
SHOWN = 0.5  # score from which a hallucination is drawn


def draw_overlay(source: Image, variant: Image, judgement: Judgement) -> np.ndarray:
    """Source left, variant right, reasons below; objects framed by verdict, hallucinations in violet."""
    k = PANEL / source.shape[1]
    size = (PANEL, max(1, round(source.shape[0] * k)))
    panels = [
        cv2.resize(i, size, interpolation=cv2.INTER_AREA if k < 1 else cv2.INTER_LINEAR) for i in (source, variant)
    ]
    for item in sorted(judgement.objects, key=lambda o: o.verdict != "keep"):
        if item.kind not in LINES or item.verdict == "lost":  # what it is rejected for is always framed
            note = "" if item.verdict == "keep" else f"{item.category}: {(item.cause or '').replace('_', ' ')}"
            for panel, text in zip(panels, ("", note), strict=True):
                _frame(panel, item.bbox, k, item.verdict, text)
    for light in judgement.hallucinations:
        if light.score >= SHOWN:
            _frame(panels[1], light.bbox, k, "made up", f"{light.kind} {light.score:.2f}")
    return np.vstack([np.hstack(panels), _caption(judgement)])


def _frame(panel: Image, box: Box, k: float, colour: str, text: str) -> None:
    x1, y1, x2, y2 = (round(min(max(v * k, -1), 10 * PANEL)) for v in box)
    cv2.rectangle(panel, (x1, y1), (x2, y2), COLOURS[colour], 2 if text else 1)
    if text:
        width = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.4, 1)[0][0]
        at = max(min(x1, panel.shape[1] - width - 2), 2), max(y1 - 4, 12)
        cv2.putText(panel, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 3, cv2.LINE_AA)
        cv2.putText(panel, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.4, COLOURS[colour], 1, cv2.LINE_AA)


def _caption(judgement: Judgement) -> np.ndarray:
    measures = ", ".join(
        f"{name} {'null' if v is None else format(v, '.2f')}"
        for name, v in (
            ("structure", judgement.structure),
            ("raw", judgement.structure_raw),
            ("strength", judgement.strength),
        )
    )
    rows = [f"{judgement.status}   {measures}"]
    rows += [line for reason in judgement.reasons for line in textwrap.wrap(reason, 150)] or ["no reason against it"]
    strip = np.full((LINE * len(rows) + 8, 2 * PANEL, 3), 24, np.uint8)
    for i, row in enumerate(rows):
        text = row.encode("ascii", "replace").decode()
        cv2.putText(strip, text, (8, LINE * (i + 1)), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (235, 235, 235), 1, cv2.LINE_AA)
    return strip
