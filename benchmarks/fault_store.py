"""Pictures of planted faults kept in a folder, a file a street: the checks can change without a picture made anew."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from benchmarks.fault_cases import Picture
from s2st_aug.records.scene import SceneObject


def write_pictures(path: Path, pictures: Iterable[Picture]) -> None:
    """All pictures of one street, written whole or not at all; a level is kept to within 0.07."""
    pictures = list(pictures)
    about = [
        {
            "fault": p.fault,
            "origin": p.origin,
            "translated": p.translated,
            "struck": [o.object_id for o in p.struck],
            "box": p.box,
            "kind": p.kind,
        }
        for p in pictures
    ]
    temporary = path.with_suffix(".part")
    with temporary.open("wb") as file:
        painted = np.array([p.painted for p in pictures], np.float16)
        np.savez_compressed(file, painted=painted, about=np.array(json.dumps(about)))
    temporary.replace(path)


def read_pictures(path: Path, objects: Iterable[SceneObject]) -> list[Picture]:
    """What `write_pictures` wrote of a street with these objects."""
    by_id = {o.object_id: o for o in objects}
    with np.load(path, allow_pickle=False) as stored:
        painted, about = stored["painted"].astype(np.float32), json.loads(str(stored["about"]))
    return [
        Picture(
            a["fault"],
            a["origin"],
            a["translated"],
            tuple(by_id[i] for i in a["struck"]),
            picture,
            None if a["box"] is None else tuple(a["box"]),
            a["kind"],
        )
        for a, picture in zip(about, painted, strict=True)
    ]
