"""What a push needs of a run: its rows, and their scenes' labels with shapes, read where the dataset still lies."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s2st_aug.errors import S2STError
from s2st_aug.formats import dataset_card, read_objects, read_scenes
from s2st_aug.records.scene import Scene, SceneObject
from s2st_aug.storage import RunFolder

log = logging.getLogger(__name__)
Row = dict[str, Any]  # a manifest row as plain values


@dataclass(frozen=True, slots=True, eq=False)
class ReviewScene:
    """One scene with its rows, and its labels with shapes; `objects` is empty where the dataset is gone."""

    scene_id: str
    source: Path
    objects: tuple[SceneObject, ...]
    rows: tuple[Row, ...]  # those with an image
    renders: dict[str, Path]  # condition -> the true render of a procedural scene


def fingerprint(run: RunFolder, row: Row) -> str:
    """Changes whenever what the reviewer sees of a row changes: a new gate, a moved folder, another image."""
    seen = {
        k: row[k] for k in ("image_sha256", "status", "reasons", "objects", "hallucinations", "structure", "strength")
    }
    return hashlib.sha256(json.dumps([str(run.path), seen], sort_keys=True).encode()).hexdigest()[:24]


def read_review_scenes(run: RunFolder, wanted: set[str]) -> Iterator[ReviewScene]:
    """Scenes that have a row among `wanted` variant ids, in the order of their ids."""
    by_scene: dict[str, list[Row]] = {}
    for row in run.read_manifest().to_pylist():
        if row["variant_id"] in wanted:
            by_scene.setdefault(row["scene_id"], []).append(row)
    labels = SceneLabels(run, {row["split"] for rows in by_scene.values() for row in rows})
    for scene_id in sorted(by_scene):
        rows = by_scene[scene_id]
        source = labels.root / rows[0]["source_image"]
        yield ReviewScene(
            scene_id, source, labels.of(scene_id), tuple(rows), _renders(labels.root, rows[0]["source_image"])
        )


class SceneLabels:
    """A dataset's labels by scene id; says once, and goes on with boxes alone, where they cannot be read."""

    def __init__(self, run: RunFolder, splits: set[str]):
        info = run.run_json()
        self.root = Path(info.dataset_root)
        self._scenes: dict[str, Scene] = {}
        try:
            self._card = dataset_card(info.config["dataset"])
            self._scenes = {s.scene_id: s for split in splits for s in read_scenes(self._card, self.root, split)}
        except (S2STError, KeyError) as error:
            log.warning("labels cannot be read with their shapes: %s", error)

    def of(self, scene_id: str) -> tuple[SceneObject, ...]:
        """The labels of a scene, or none."""
        scene = self._scenes.get(scene_id)
        try:
            return read_objects(self._card, self.root, scene) if scene else ()
        except S2STError as error:
            log.warning("%s: labels cannot be read with their shapes: %s", scene_id, error)
            return ()


def _renders(root: Path, image: str) -> dict[str, Path]:
    """Procedural scenes lie as `<out>/<condition>/`, with the same names in each and `pairs.parquet` beside them."""
    if not (root.parent / "pairs.parquet").is_file():
        return {}
    found = {folder.name: folder / image for folder in sorted(root.parent.iterdir()) if folder != root}
    return {name: path for name, path in found.items() if path.is_file()}
