"""Procedural scenes as training images: pictures alone, without labels, in one folder per condition."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import cv2

from s2st_aug.procedural.drawing import draw_street
from s2st_aug.procedural.render import render_drawn
from s2st_aug.procedural.sampling import sample_street
from s2st_aug.procedural.surfaces import surfaces
from s2st_aug.records.domains import CONDITIONS, ConditionName

log = logging.getLogger(__name__)
SIZES = ((640, 360), (480, 360))


def render_training_scenes(
    out: Path,
    count: int,
    *,
    rng_key: int,
    conditions: Sequence[ConditionName] = CONDITIONS,
    sizes: Sequence[tuple[int, int]] = SIZES,
) -> Path:
    """Write `out/<condition>/<scene>.png` for `count` scenes, their sizes in turn.

    Scenes that are there already are left.
    """
    for index in range(count):
        name = f"scene_{rng_key:03d}_{index:05d}.png"
        if all((out / condition / name).is_file() for condition in conditions):
            continue
        _render(out, name, conditions, rng_key, index, sizes[index % len(sizes)])
        if index % 50 == 0:
            log.info("training scenes: %d of %d", index, count)
    return out


def _render(
    out: Path, name: str, conditions: Sequence[ConditionName], rng_key: int, index: int, size: tuple[int, int]
) -> None:
    drawn = draw_street(sample_street(rng_key, index, size=size))
    surface = surfaces(drawn)
    for condition in conditions:
        path = out / condition / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{name}")
        image = render_drawn(drawn, surface, condition)[..., ::-1]
        cv2.imwrite(str(temporary), image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        temporary.replace(path)
