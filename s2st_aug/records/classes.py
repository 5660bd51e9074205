"""What a category means, however a dataset spells it: one name for a traffic light of BDD100K, COCO, KITTI or YOLO."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

_SPELLINGS = {
    "traffic light": ("traffic lights", "trafficlight", "trafficlights", "traffic signal", "stoplight"),
    "traffic sign": ("traffic signs", "trafficsign", "trafficsigns", "sign", "signs"),
    "person": ("persons", "people", "pedestrian", "pedestrians", "person sitting"),
    "rider": ("riders", "cyclist", "cyclists", "bicyclist", "motorcyclist", "biker"),
    "bicycle": ("bicycles", "bike", "bikes"),
    "motorcycle": ("motorcycles", "motor", "motorbike", "motorbikes"),
    "car": ("cars", "van", "vans", "vehicle", "vehicles"),
    "truck": ("trucks", "lorry", "caravan", "trailer"),
    "bus": ("buses", "coach"),
    "train": ("trains", "tram", "trams"),
    "pole": ("poles", "polegroup"),
    "lane": (
        "lanes", "lane divider", "crosswalk", "road curb", "single white", "single yellow", "single other",
        "double white", "double yellow", "double other",
    ),
}  # fmt: skip
_MEANS = {name: meaning for meaning, names in _SPELLINGS.items() for name in (meaning, *names)}
_LEVELS = r"--|(?<=\w)\.(?=\w)"  # what parts the levels of a taxonomy's names
_OURSELVES = "ego vehicle"  # the camera's own bonnet, which Cityscapes labels


@lru_cache(maxsize=4096)
def canonical_category(category: str) -> str:
    """One name for a category in whatever spelling: `traffic light`, `person`, `car` and the other keys of the table.

    A category that is none of them comes back in lower-case words. Camel case, `_`, `-` and `/` part words. The whole
    name decides, then its head (`lane/...`, `traffic light red`), then its last word (`other vehicle`, `stop sign`);
    of a taxonomy's name (`human.pedestrian.adult`, `object--traffic-light--front`), the last part that is known.
    """
    levels = re.split(_LEVELS, category)
    if len(levels) > 1:
        known = (canonical_category(level) for level in reversed(levels))
        return next((meaning for meaning in known if meaning in _SPELLINGS), canonical_category(" ".join(levels)))
    name = " ".join(re.findall(r"[a-z0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", category).lower()))
    words = name.removesuffix(" group").split()
    if not words or name == _OURSELVES or words[0] in ("area", "drivable"):
        return name
    tried = (" ".join(words), " ".join(words[:2]), words[0] if words[0] == "lane" else "", words[-1])
    return next((_MEANS[t] for t in tried if t in _MEANS), name)


def count_categories(categories: Iterable[str]) -> str:
    """`2 x rider, 6 x traffic light`, by name; empty for none."""
    return ", ".join(f"{number} x {name}" for name, number in sorted(Counter(categories).items()))
