"""The plan on disk, `.state/plan/*.parquet`: one row per batch. It fixes for good which images share a batch."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from s2st_aug.containment import first_outside, stays_below
from s2st_aug.errors import RunFolderError
from s2st_aug.images import sha256_bytes
from s2st_aug.records.scene import LabelKey, Scene
from s2st_aug.storage.run_folder import PLAN, RunFolder, parquet_bytes, read_part

PLAN_FILE = re.compile(r"/\d{5,}\.parquet$")
BATCHES_PER_FILE = 5_000  # what the driver holds at once while it plans

SCENE = pa.struct(
    [
        ("scene_id", pa.string()),
        ("dataset", pa.string()),
        ("split", pa.string()),
        ("image", pa.string()),
        ("label_file", pa.string()),
        ("label_key", pa.string()),
        ("attributes", pa.string()),  # JSON
        ("extra_files", pa.list_(pa.string())),
        ("label_file_sha256", pa.string()),
        ("size", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("sha256", pa.string()),
    ]
)
PLAN_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("attempt", pa.int32()),
        ("scenes", pa.list_(SCENE)),
        ("todo", pa.list_(pa.list_(pa.string()))),  # per scene: the domains still to do
    ]
)


@dataclass(frozen=True, slots=True)
class PlannedScene:
    """A scene with what was seen of its files when it was planned; `size` is None where the image was absent."""

    scene: Scene
    label_file_sha256: str | None
    size: int | None
    mtime_ns: int | None
    sha256: str | None = None  # only where sources were checked


@dataclass(frozen=True, slots=True)
class PlannedBatch:
    """The unit of work, of commit and of retry: scenes that share a batch, and the domains each still needs."""

    key: str
    scenes: tuple[PlannedScene, ...]
    todo: tuple[tuple[str, ...], ...]
    attempt: int = 1


def batch_key(plan_sha256: str, scenes: Sequence[PlannedScene]) -> str:
    """Names a batch by its plan and its scenes."""
    return sha256_bytes("\n".join([plan_sha256, *(s.scene.scene_id for s in scenes)]).encode())[:20]


def batches_to_table(batches: Iterable[PlannedBatch]) -> pa.Table:
    """One row per batch, of PLAN_SCHEMA."""
    rows = [
        {
            "key": b.key,
            "attempt": b.attempt,
            "scenes": [_scene_row(s) for s in b.scenes],
            "todo": [list(t) for t in b.todo],
        }
        for b in batches
    ]
    return pa.Table.from_pylist(rows, schema=PLAN_SCHEMA)


def table_to_batches(table: pa.Table) -> list[PlannedBatch]:
    """The inverse of `batches_to_table`; raises RunFolderError for a path outside of the dataset."""
    return [
        PlannedBatch(row["key"], tuple(map(_scene, row["scenes"])), tuple(map(tuple, row["todo"])), row["attempt"])
        for row in table.select(PLAN_SCHEMA.names).to_pylist()
    ]


def write_plan(run: RunFolder, batches: Iterable[PlannedBatch], *, first_file: int = 0) -> tuple[int, int]:
    """Plan files from a stream of batches; (number of files now, scenes written). Memory holds one file's batches."""
    scenes, number = 0, first_file
    for group in _chunks(batches, BATCHES_PER_FILE):
        run.store.write_many({f"{PLAN}/{number:05d}.parquet": parquet_bytes(batches_to_table(group))})
        scenes += sum(len(b.scenes) for b in group)
        number += 1
    return number, scenes


def plan_files(run: RunFolder) -> list[str]:
    """Names of the plan's files, in order; others' files are none."""
    return sorted(n for n in run.store.names(PLAN, deep=False) if PLAN_FILE.search(n))


def read_plan(run: RunFolder, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """The plan, one table per file; raises RunFolderError for a path outside of the dataset."""
    for name in plan_files(run):
        table = read_part(run.store, name, columns)
        if "scenes" in table.column_names:
            _refuse_outside(table["scenes"].combine_chunks().flatten(), f"{run.place}/{name}")
        yield table


def planned_scene_ids(run: RunFolder) -> pa.ChunkedArray:
    """Every planned scene's id, in the plan's order."""
    scenes = (table["scenes"].combine_chunks().flatten() for table in read_plan(run, ["scenes"]))
    return pa.chunked_array([s.field("scene_id") for s in scenes], type=pa.string())


def planned_scenes(run: RunFolder, wanted: Collection[str]) -> dict[str, Scene]:
    """The scenes of these ids as they were planned, with all their label files; what was never planned is left out."""
    ids = pa.array(sorted(wanted), pa.string())
    found: dict[str, Scene] = {}
    for table in read_plan(run, ["scenes"]):
        scenes = table["scenes"].combine_chunks().flatten()
        hits = scenes.filter(pc.is_in(scenes.field("scene_id"), value_set=ids))
        found |= {s.scene.scene_id: s.scene for s in map(_scene, hits.to_pylist())}
    return found


def _refuse_outside(scenes: pa.StructArray, where: str) -> None:
    extra = scenes.field("extra_files").flatten()
    for names in (scenes.field("image"), scenes.field("label_file"), extra):
        if (name := first_outside(names)) is not None:
            raise RunFolderError(f"{where}: the plan names {name!r}, outside of the dataset")


def _scene_row(planned: PlannedScene) -> dict[str, object]:
    scene = planned.scene
    return {
        "scene_id": scene.scene_id,
        "dataset": scene.dataset,
        "split": scene.split,
        "image": scene.image,
        "label_file": scene.label_file,
        "label_key": None if scene.label_key is None else str(scene.label_key),
        "attributes": _as_json(tuple(scene.attributes.items())),
        "extra_files": scene.extra_files,
        "label_file_sha256": planned.label_file_sha256,
        "size": planned.size,
        "mtime_ns": planned.mtime_ns,
        "sha256": planned.sha256,
    }


@lru_cache(4096)
def _as_json(attributes: tuple[tuple[str, str], ...]) -> str:
    return json.dumps(dict(attributes)) if attributes else ""


def _scene(row: dict[str, Any]) -> PlannedScene:
    key = LabelKey.parse(row["label_key"]) if row["label_key"] else None
    attributes = json.loads(row["attributes"]) if row["attributes"] else {}
    for name in (row["image"], row["label_file"] or row["image"], *(row["extra_files"] or ())):
        if not stays_below(name):
            raise RunFolderError(f"{row['scene_id']}: the plan names {name!r}, outside of the dataset")
    scene = Scene(
        row["scene_id"],
        row["dataset"],
        row["split"],
        row["image"],
        row["label_file"],
        key,
        attributes,
        tuple(row["extra_files"] or ()),
    )
    return PlannedScene(scene, row["label_file_sha256"], row["size"], row["mtime_ns"], row["sha256"])


def _chunks(batches: Iterable[PlannedBatch], size: int) -> Iterator[list[PlannedBatch]]:
    group: list[PlannedBatch] = []
    for batch in batches:
        group.append(batch)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
