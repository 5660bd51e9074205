"""Ten planted faults that the checks miss, the kinds in turn: the source, what is emitted, and what was painted.

S2ST_BENCH_KEEP=DIR python pipelines/draw_misses.py [--key 4] [--streets 0 1 2] [--out docs/images/misses.jpg] judges
the pictures of these streets that suite `faults` keeps in DIR, or makes them. Each row shows the place by day with its
label, the variant with the fault in it, and the picture before the detail step; its fault, condition and size are
printed, in the rows' order.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/ is not part of the installed package

from benchmarks.fault_cases import CHOSEN_KEY, LEAST_SIDE, place_of, side_of
from benchmarks.fault_scenes import SCENE_FAULTS
from benchmarks.fault_trials import SETTINGS, profile_of
from benchmarks.faults import pictures_of
from benchmarks.planted_faults import PAINTED_FAULTS
from s2st_aug.arrays import Image
from s2st_aug.diffusion.stable_diffusion import load_model
from s2st_aug.records.scene import SceneObject
from s2st_aug.validation.judge import judge

SHOWN, CELL = 10, 200  # misses, and px of a picture's side
AROUND = 0.8  # of an object's size that is shown around it


@dataclass(frozen=True, slots=True, eq=False)
class Miss:
    """A struck object that was kept, and the three pictures of it."""

    told: str
    fault: str
    row: Image


def misses(key: int, streets: Sequence[int]) -> Iterator[Miss]:
    """Every struck object of 16 px and more whose verdict is keep."""
    model = load_model("street-mini")
    for index in streets:
        place = place_of(key, index, model)
        for picture in pictures_of(place, signals_alone=False, with_model=False):
            if picture.fault not in (*SCENE_FAULTS, *PAINTED_FAULTS) or not picture.struck:
                continue
            done = place.emission.emitted(picture.painted, picture.origin)
            profile = profile_of(picture.origin)
            found = judge(place.day, done.variant, done.raw, place.emission.objects, profile, SETTINGS)
            kept = {o.object_id: o.evidence for o in found.objects if o.verdict == "keep"}
            for item in (o for o in picture.struck if o.object_id in kept and side_of(o) >= LEAST_SIDE):
                size = f"{item.bbox[2] - item.bbox[0]:.0f}x{item.bbox[3] - item.bbox[1]:.0f} px"
                told = f"{picture.fault}, {picture.origin}, {item.category}, {size}, evidence {kept[item.object_id]}"
                row = np.hstack([_cell(image, item) for image in (place.day, done.variant, done.raw)])
                yield Miss(told, picture.fault, row)


def _cell(image: Image, item: SceneObject) -> Image:
    """A square around an object, its box framed."""
    x1, y1, x2, y2 = item.bbox
    half = (0.5 + AROUND) * max(x2 - x1, y2 - y1)
    x, y = (x1 + x2) / 2 - half, (y1 + y2) / 2 - half
    k = CELL / (2 * half)
    cell = cv2.warpAffine(image, np.array([[k, 0, -k * x], [0, k, -k * y]]), (CELL, CELL), flags=cv2.INTER_CUBIC)
    corners = [round(k * (v - o)) for v, o in zip(item.bbox, (x, y, x, y), strict=True)]
    return np.asarray(cv2.rectangle(cell, corners[:2], corners[2:], (255, 255, 0), 1))


def chosen(every: Sequence[Miss]) -> list[Miss]:
    """Ten of them, the kinds in turn, and of each kind the first, the middle, the last."""
    by_kind: dict[str, list[Miss]] = {}
    for miss in every:
        by_kind.setdefault(miss.fault, []).append(miss)
    rounds = (
        some[place * (len(some) - 1) // 2] for place in (0, 1, 2) for some in by_kind.values() if len(some) > place
    )
    return [miss for _, miss in zip(range(SHOWN), rounds, strict=False)]


def main() -> None:
    """Judge, choose, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--key", type=int, default=CHOSEN_KEY)
    parser.add_argument("--streets", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("docs/images/misses.jpg"))
    a = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    some = chosen(list(misses(a.key, a.streets)))
    if not some:
        sys.exit("no fault was missed on these streets")
    print(*(f"{n}. {miss.told}" for n, miss in enumerate(some, 1)), sep="\n")
    half = (len(some) + 1) // 2
    columns = [np.vstack([m.row for m in part]) for part in (some[:half], some[half:]) if part]
    high = max(len(c) for c in columns)
    sheet = np.hstack([cv2.copyMakeBorder(c, 0, high - len(c), 0, 8, cv2.BORDER_CONSTANT) for c in columns])
    a.out.write_bytes(cv2.imencode(".jpg", sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes())


if __name__ == "__main__":
    main()
