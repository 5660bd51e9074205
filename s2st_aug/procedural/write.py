"""Writes scenes to disk: one complete native tree per condition, and the table of what belongs together."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import cv2
import pyarrow as pa
import pyarrow.parquet as pq

from s2st_aug.errors import UsageError, did_you_mean
from s2st_aug.procedural import bdd100k, cityscapes
from s2st_aug.procedural.drawing import draw_street
from s2st_aug.procedural.files import PART, encode_png, write_bytes
from s2st_aug.procedural.labels import StreetImage, read_labels
from s2st_aug.procedural.render import render_drawn
from s2st_aug.procedural.sampling import sample_street
from s2st_aug.procedural.street import Street
from s2st_aug.procedural.surfaces import surfaces
from s2st_aug.records.domains import CONDITIONS, ConditionName

MARK = "scenes.json"
ALGORITHM = 4  # raised whenever the pixels of a scene change


class Tree(Protocol):
    """What a label format offers the writer."""

    def image_path(self, sample: StreetImage) -> str:
        """Where the sample's image lies, relative to the tree."""

    def add(self, sample: StreetImage, image: bytes, masks: dict[str, bytes], condition: ConditionName) -> None:
        """Write one sample."""

    def close(self) -> None:
        """Finish the label files."""


FORMATS: dict[str, tuple[Callable[[Path, tuple[str, ...]], Tree], Callable[[StreetImage], dict[str, bytes]]]] = {
    "bdd100k": (bdd100k.Bdd100kTree, bdd100k.mask_files),
    "cityscapes": (cityscapes.CityscapesTree, cityscapes.label_files),
}
FRAME_SECONDS = 0.2  # BDD100K's tracking sets run at five frames a second


@dataclass(frozen=True, slots=True)
class SceneRequest:
    """All that decides the files: the same request gives the same bytes."""

    count: int
    format: str
    conditions: tuple[str, ...]
    size: tuple[int, int]
    rng_key: int
    val_share: float = 0.2
    sequences: int = 0
    frames: int = 0

    def check(self) -> None:
        """Raises UsageError in one line for what cannot be rendered."""
        for condition in self.conditions:
            if condition not in CONDITIONS:
                raise UsageError(f"unknown condition {condition!r}{did_you_mean(condition, CONDITIONS)}")
        if self.format not in FORMATS:
            raise UsageError(f"unknown format {self.format!r}{did_you_mean(self.format, FORMATS)}")
        if not self.conditions or len(set(self.conditions)) != len(self.conditions):
            raise UsageError(f"expected one or more different conditions, got {','.join(self.conditions) or 'none'}")
        if min(self.count, self.sequences, self.frames) < 0:
            raise UsageError(
                "--count, --sequences and --frames must be 0 or more, "
                f"got {self.count}, {self.sequences}, {self.frames}"
            )
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
    sequences: int = 0,
    frames: int = 10,
    tell: Callable[[int], None] = lambda done: None,
) -> Path:
    """Write `count` scenes, and `sequences` of `frames` images each, under `out`; returns `out`.

    A finished folder of the same request is left as it is; a folder that a stopped run left is written anew.
    Raises UsageError for a request that makes no sense and for a folder that holds anything else.
    """
    request = SceneRequest(
        count, format, tuple(conditions), (size[0], size[1]), rng_key, val_share, sequences, frames if sequences else 0
    )
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


def _samples(request: SceneRequest) -> Iterator[tuple[Street, int, str, int]]:
    """Street, index, split and frame (0: no sequence) of every image, in the order of writing."""
    for index in range(request.count):
        yield (
            sample_street(request.rng_key, index, request.size),
            index,
            split_of(index, request.count, request.val_share),
            0,
        )
    for index in range(request.count, request.count + request.sequences):
        street = sample_street(request.rng_key, index, request.size)
        split = split_of(index - request.count, request.sequences, request.val_share)
        for frame in range(request.frames):
            yield street.after(FRAME_SECONDS * frame), index, split, frame + 1


def _write_all(out: Path, request: SceneRequest, tell: Callable[[int], None]) -> None:
    make_tree, make_masks = FORMATS[request.format]
    trees = {c: make_tree(out / c, ("train", "val")) for c in request.conditions}
    pairs = PairsTable(out / "pairs.parquet", request.conditions)
    for done, (street, index, split, frame) in enumerate(_samples(request), start=1):
        sample = _write_one(street, index, split, frame, trees, make_masks)
        pairs.add(sample, {c: f"{c}/{tree.image_path(sample)}" for c, tree in trees.items()})
        tell(done)
    for tree in trees.values():
        tree.close()
    pairs.close()
    write_bytes(out / MARK, _marker(request, complete=True))


def _write_one(
    street: Street,
    index: int,
    split: str,
    frame: int,
    trees: dict[str, Tree],
    make_masks: Callable[[StreetImage], dict[str, bytes]],
) -> StreetImage:
    drawn = draw_street(street)
    surface = surfaces(drawn)
    sample = StreetImage(street, read_labels(drawn), index, split, frame)
    masks = make_masks(sample)
    for condition, tree in trees.items():
        image = encode_png(render_drawn(drawn, surface, condition), photo=True)  # type: ignore[arg-type]
        tree.add(sample, image, masks, condition)  # type: ignore[arg-type]
    return sample


class PairsTable:
    """One row per image: where it lies in each condition's tree. Written in row groups, so memory stays level."""

    GROUP = 1000

    def __init__(self, path: Path, conditions: Sequence[str]) -> None:
        fields = [
            ("index", pa.int64()),
            ("frame", pa.int64()),
            ("name", pa.string()),
            ("split", pa.string()),
            ("scene", pa.string()),
        ]
        self.schema = pa.schema(fields + [(c, pa.string()) for c in conditions])
        self.path, self.part = path, path.with_name(path.name + PART)
        self.writer = pq.ParquetWriter(self.part, self.schema)
        self.rows: list[dict[str, str | int]] = []

    def add(self, sample: StreetImage, images: dict[str, str]) -> None:
        """Append a row."""
        street = sample.street
        self.rows.append(
            {
                "index": sample.index,
                "frame": sample.frame,
                "name": street.name,
                "split": sample.split,
                "scene": street.setting,
                **images,
            }
        )
        if len(self.rows) >= self.GROUP:
            self._flush()

    def _flush(self) -> None:
        self.writer.write_table(pa.Table.from_pylist(self.rows, schema=self.schema))
        self.rows.clear()

    def close(self) -> None:
        """Write the last rows and put the file in place."""
        if self.rows:
            self._flush()
        self.writer.close()
        self.part.replace(self.path)
