"""Writes scenes to disk: one complete native tree per condition, and the table of what belongs together."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import cv2
import pyarrow as pa
import pyarrow.parquet as pq

from s2st_aug.errors import UsageError, did_you_mean
from s2st_aug.records.domains import CONDITIONS, Condition
from s2st_aug.scenes import bdd100k
from s2st_aug.scenes.drawing import draw_street
from s2st_aug.scenes.files import encode_png, write_bytes
from s2st_aug.scenes.labels import Labels, read_labels
from s2st_aug.scenes.render import render_drawn
from s2st_aug.scenes.sampling import sample_street
from s2st_aug.scenes.street import Street
from s2st_aug.scenes.surfaces import surfaces

MARK = "scenes.json"
ALGORITHM = 1  # raised whenever the pixels of a scene change


class Tree(Protocol):
    """What a label format offers the writer."""

    def add(self, name: str, split: str, image: bytes, labels: Labels, masks: dict[str, bytes], street: Street, condition: Condition) -> None:
        """Write one scene."""

    def close(self) -> None:
        """Finish the label files."""


FORMATS: dict[str, tuple[Callable[[Path, tuple[str, ...]], Tree], Callable[[Labels], dict[str, bytes]]]] = {
    "bdd100k": (bdd100k.Bdd100kTree, bdd100k.mask_files),
}


@dataclass(frozen=True, slots=True)
class SceneRequest:
    """All that decides the files: the same request gives the same bytes."""

    count: int
    format: str
    conditions: tuple[str, ...]
    size: tuple[int, int]
    rng_key: int
    val_share: float = 0.2

    def check(self) -> None:
        """Raises UsageError in one line for what cannot be rendered."""
        for condition in self.conditions:
            if condition not in CONDITIONS:
                raise UsageError(f"unknown condition {condition!r}{did_you_mean(condition, CONDITIONS)}")
        if self.format not in FORMATS:
            raise UsageError(f"unknown format {self.format!r}{did_you_mean(self.format, FORMATS)}")
        if not self.conditions or len(set(self.conditions)) != len(self.conditions):
            raise UsageError(f"expected one or more different conditions, got {','.join(self.conditions) or 'none'}")
        if self.count < 0:
            raise UsageError(f"--count must be 0 or more, got {self.count}")
        if min(self.size) < 16 or max(self.size) > 8192:
            raise UsageError(f"--size must lie between 16x16 and 8192x8192, got {self.size[0]}x{self.size[1]}")
        if not 0 <= self.val_share <= 1:
            raise UsageError(f"the validation share must lie between 0 and 1, got {self.val_share}")


def write_scenes(
    out: Path,
    count: int,
    format: str = "bdd100k",
    conditions: Sequence[str] = ("day", "night", "rain"),
    size: tuple[int, int] = (1280, 720),
    rng_key: int = 0,
    *,
    val_share: float = 0.2,
    tell: Callable[[int], None] = lambda done: None,
) -> Path:
    """Write `count` scenes under `out`; a finished folder of the same request is left as it is. Returns `out`."""
    request = SceneRequest(count, format, tuple(conditions), tuple(size), rng_key, val_share)
    request.check()
    if _prepare(out, request):
        return out
    cv2.setNumThreads(1)
    _write_all(out, request, tell)
    return out


def _marker(request: SceneRequest, *, complete: bool) -> bytes:
    fields = json.loads(json.dumps(asdict(request)))
    return (json.dumps({"scenes": ALGORITHM, "complete": complete, "request": fields}, indent=1) + "\n").encode()


def _prepare(out: Path, request: SceneRequest) -> bool:
    """Whether nothing is left to do; raises UsageError for a folder that is not ours or holds other scenes."""
    mark = out / MARK
    if mark.is_file():
        found = mark.read_bytes()
        if found == _marker(request, complete=True):
            return True
        if found != _marker(request, complete=False):
            raise UsageError(f"{out} holds other scenes (its {MARK} differs from this request); choose another folder")
        return False
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"expected {out} to be empty or a folder of scenes, and found something else there")
    out.mkdir(parents=True, exist_ok=True)
    write_bytes(mark, _marker(request, complete=False))
    return False


def split_of(index: int, count: int, val_share: float) -> str:
    """The last `val_share` of the scenes, rounded, are `val`."""
    return "val" if index >= count - round(count * val_share) else "train"


def _write_all(out: Path, request: SceneRequest, tell: Callable[[int], None]) -> None:
    make_tree, make_masks = FORMATS[request.format]
    trees = {c: make_tree(out / c, ("train", "val")) for c in request.conditions}
    rows: list[dict[str, str | int]] = []
    for index in range(request.count):
        street = sample_street(request.rng_key, index, request.size)
        split = split_of(index, request.count, request.val_share)
        _write_one(street, split, trees, make_masks)
        rows.append({"index": index, "name": street.name, "split": split, "scene": street.setting})
        tell(index + 1)
    for tree in trees.values():
        tree.close()
    _write_pairs(out, rows, request)
    write_bytes(out / MARK, _marker(request, complete=True))


def _write_one(street: Street, split: str, trees: dict[str, Tree], make_masks: Callable[[Labels], dict[str, bytes]]) -> None:
    drawn = draw_street(street)
    surface = surfaces(drawn)
    labels = read_labels(drawn)
    masks = make_masks(labels)
    for condition, tree in trees.items():
        image = encode_png(render_drawn(drawn, surface, condition), photo=True)  # type: ignore[arg-type]
        tree.add(street.name, split, image, labels, masks, street, condition)  # type: ignore[arg-type]


def _write_pairs(out: Path, rows: list[dict[str, str | int]], request: SceneRequest) -> None:
    """One row per scene: where its image lies in each condition's tree."""
    columns = {key: [r[key] for r in rows] for key in ("index", "name", "split", "scene")}
    for condition in request.conditions:
        columns[condition] = [f"{condition}/images/100k/{r['split']}/{r['name']}.png" for r in rows]
    types = [("index", pa.int64()), *((k, pa.string()) for k in columns if k != "index")]
    table = pa.table(columns, schema=pa.schema(types))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    write_bytes(out / "pairs.parquet", sink.getvalue().to_pybytes())
