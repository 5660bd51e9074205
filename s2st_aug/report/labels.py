"""The outlines of a scene's labels, read again from the source dataset: the manifest keeps boxes only."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from s2st_aug.errors import S2STError
from s2st_aug.formats import load_card, read_objects
from s2st_aug.records.scene import LabelKey, Scene
from s2st_aug.storage.run_folder import RunInfo

log = logging.getLogger(__name__)


def scene_of(row: dict[str, Any]) -> Scene:
    """The scene that a manifest row came from, by the row alone: its further label files stand in the plan."""
    key = LabelKey.parse(row["label_key"]) if row["label_key"] else None
    return Scene(row["scene_id"], row["dataset"], row["split"], row["source_image"], row["label_file"], key)


def source_outlines(info: RunInfo, scene: Scene) -> dict[str, tuple[np.ndarray, ...]]:
    """Object id to its outlines `n 2`; empty where the dataset cannot be read any more (logged)."""
    try:
        card = load_card(info.config["dataset"]["format"])
        return {o.object_id: o.outlines for o in read_objects(card, Path(info.dataset_root), scene)}
    except (S2STError, OSError, KeyError) as error:
        log.info("labels of %s are drawn as boxes: %s", scene.scene_id, error)
        return {}
