"""The labels that a run judged, held against those that its dataset has now.

A verdict names its label by id. Where labels were edited, added or numbered anew since, it would take the wrong one out
of training, and leave in the one that is lost.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from s2st_aug.records.scene import Scene, SceneObject

_SAME = 0.01  # pixels: boxes of one label, read twice


@dataclass(frozen=True, slots=True, eq=False)
class RunLabels:
    """Ids, categories and boxes of every label in the manifest, as flat columns; one row a scene, of those with labels.

    Scenes of which every row failed are not held: their labels were never judged.
    """

    offsets: np.ndarray
    ids: pa.Array
    categories: pa.Array
    boxes: np.ndarray  # n 4
    rows: dict[str, int]
    files: dict[str, str | None]  # scene -> SHA-256 of its label file when the run was planned
    _today: dict[str, str | None] = field(default_factory=dict)  # label file -> its hash now

    @classmethod
    def of(cls, table: pa.Table) -> RunLabels:
        """From a manifest with the columns of an export."""
        column = table["objects"].combine_chunks()
        lists = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        values = lists.values
        boxes = values.field("bbox").flatten().to_numpy(zero_copy_only=False).reshape(-1, 4)
        told = zip(table["scene_id"].to_pylist(), table["status"].to_pylist(), strict=True)
        rows = {scene_id: index for index, (scene_id, status) in enumerate(told) if status != "failed"}
        files = dict(zip(table["scene_id"].to_pylist(), table["label_sha256"].to_pylist(), strict=True))
        offsets = lists.offsets.to_numpy()
        return cls(offsets, values.field("object_id"), values.field("category"), boxes, rows, files)

    def file_changed(self, scene: Scene, root: Path) -> bool:
        """Whether the label file that holds the scene's records has other bytes than when the run was planned.

        False where the scene's own record is the whole file, whose hash its `label_key` has.
        """
        planned, name, key = self.files.get(scene.scene_id), scene.label_file, scene.label_key
        if planned is None or name is None or (key is not None and key.sha256 == planned):
            return False
        if name not in self._today:
            self._today[name] = _hash_of(root / name)
        return self._today[name] != planned

    def difference(self, scene_id: str, objects: Sequence[SceneObject]) -> str | None:
        """What is another label than the run judged, in words; None where all are the same, or none was judged."""
        row = self.rows.get(scene_id)
        if row is None:
            return None
        start, end = int(self.offsets[row]), int(self.offsets[row + 1])
        ids, categories = (column[start:end].to_pylist() for column in (self.ids, self.categories))
        judged = dict(zip(ids, zip(categories, self.boxes[start:end].tolist(), strict=True), strict=True))
        if len(judged) < end - start:  # an adapter of one's own gave two labels one id
            return None
        for item in objects:
            was = judged.pop(item.object_id, None)
            if was is None:
                return f"label {item.object_id!r} ({item.category}) was not there"
            category, box = was
            if category != item.category:
                return f"label {item.object_id!r} was {category!r}, it is {item.category!r}"
            if not all(map(_is_same, box, item.bbox)):
                return f"label {item.object_id!r} ({category}) lies elsewhere"
        return next((f"label {name!r} is gone" for name in judged), None)


def _is_same(was: float, now: float) -> bool:
    """Whether two coordinates are one, read twice; unknown ones (NaN) are. np.allclose takes seventy times as long."""
    return math.isclose(was, now, rel_tol=1e-6, abs_tol=_SAME) or (math.isnan(was) and math.isnan(now))


def _hash_of(path: Path) -> str | None:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
