"""The published benchmark's test set: BDD100K's night images of val as a
COCO file with the categories of a training export.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from s2st_aug.errors import DatasetError, UsageError
from s2st_aug.formats import load_card, read_objects, read_scenes
from s2st_aug.records.scene import SceneObject

SIZE = (1280, 720)  # of every image of BDD100K


def write_night_val(root: Path, trained: Path, out: Path) -> int:
    """`out` in COCO form: real images alone, boxes as x y w h without the inclusive pixel, as the toolkit's; the number
    of images.

    `trained` is the annotations file of a `s2st-aug export --format coco`. Raises UsageError where it has no
    categories, DatasetError where `root` has no night image.
    """
    categories = _categories(trained)
    card = load_card("bdd100k")
    scenes = [s for s in read_scenes(card, root, "val") if s.attributes.get("timeofday") == "night"]
    if not scenes:
        raise DatasetError(f"{root}: no image of val has timeofday night")
    annotations = list(_annotations(((n, read_objects(card, root, s)) for n, s in enumerate(scenes, 1)), categories))
    sides = {"width": SIZE[0], "height": SIZE[1]}
    images = [{"id": number, "file_name": scene.image, **sides} for number, scene in enumerate(scenes, 1)]
    listed = [{"id": i, "name": name} for name, i in categories.items()]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"images": images, "annotations": annotations, "categories": listed}))
    return len(images)


def _categories(trained: Path) -> dict[str, int]:
    try:
        return {c["name"]: int(c["id"]) for c in json.loads(trained.read_text())["categories"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{trained}: expected a COCO file with categories ({type(error).__name__})") from None


def _annotations(
    scenes: Iterable[tuple[int, tuple[SceneObject, ...]]], categories: dict[str, int]
) -> Iterable[dict[str, Any]]:
    count = 0
    for image, objects in scenes:
        for one in objects:
            if one.kind == "box" and one.category in categories:
                count += 1
                x1, y1, x2, y2 = one.bbox
                own = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": int(one.crowd)}
                yield {"id": count, "image_id": image, "category_id": categories[one.category]} | own
