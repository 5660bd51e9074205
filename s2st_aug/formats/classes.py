"""The vocabulary that all cards share: Cityscapes' table of classes (cityscapesscripts/helpers/labels.py)."""

from __future__ import annotations

from typing import NamedTuple

from s2st_aug.formats.base import Card, ClassInfo


class CityscapesClass(NamedTuple):
    """One class of Cityscapes: name, id, trainId, instances, colour."""

    name: str
    id: int
    train_id: int
    instances: bool
    color: tuple[int, int, int]


CITYSCAPES = (
    CityscapesClass("unlabeled", 0, 255, False, (0, 0, 0)),
    CityscapesClass("ego vehicle", 1, 255, False, (0, 0, 0)),
    CityscapesClass("rectification border", 2, 255, False, (0, 0, 0)),
    CityscapesClass("out of roi", 3, 255, False, (0, 0, 0)),
    CityscapesClass("static", 4, 255, False, (0, 0, 0)),
    CityscapesClass("dynamic", 5, 255, False, (111, 74, 0)),
    CityscapesClass("ground", 6, 255, False, (81, 0, 81)),
    CityscapesClass("road", 7, 0, False, (128, 64, 128)),
    CityscapesClass("sidewalk", 8, 1, False, (244, 35, 232)),
    CityscapesClass("parking", 9, 255, False, (250, 170, 160)),
    CityscapesClass("rail track", 10, 255, False, (230, 150, 140)),
    CityscapesClass("building", 11, 2, False, (70, 70, 70)),
    CityscapesClass("wall", 12, 3, False, (102, 102, 156)),
    CityscapesClass("fence", 13, 4, False, (190, 153, 153)),
    CityscapesClass("guard rail", 14, 255, False, (180, 165, 180)),
    CityscapesClass("bridge", 15, 255, False, (150, 100, 100)),
    CityscapesClass("tunnel", 16, 255, False, (150, 120, 90)),
    CityscapesClass("pole", 17, 5, False, (153, 153, 153)),
    CityscapesClass("polegroup", 18, 255, False, (153, 153, 153)),
    CityscapesClass("traffic light", 19, 6, False, (250, 170, 30)),
    CityscapesClass("traffic sign", 20, 7, False, (220, 220, 0)),
    CityscapesClass("vegetation", 21, 8, False, (107, 142, 35)),
    CityscapesClass("terrain", 22, 9, False, (152, 251, 152)),
    CityscapesClass("sky", 23, 10, False, (70, 130, 180)),
    CityscapesClass("person", 24, 11, True, (220, 20, 60)),
    CityscapesClass("rider", 25, 12, True, (255, 0, 0)),
    CityscapesClass("car", 26, 13, True, (0, 0, 142)),
    CityscapesClass("truck", 27, 14, True, (0, 0, 70)),
    CityscapesClass("bus", 28, 15, True, (0, 60, 100)),
    CityscapesClass("caravan", 29, 255, True, (0, 0, 90)),
    CityscapesClass("trailer", 30, 255, True, (0, 0, 110)),
    CityscapesClass("train", 31, 16, True, (0, 80, 100)),
    CityscapesClass("motorcycle", 32, 17, True, (0, 0, 230)),
    CityscapesClass("bicycle", 33, 18, True, (119, 11, 32)),
    CityscapesClass("license plate", -1, -1, False, (0, 0, 142)),
)
BY_NAME = {label.name: label for label in CITYSCAPES}
BY_ID = {label.id: label for label in CITYSCAPES}


def known(name: str) -> CityscapesClass | None:
    """The class of a polygon's name, or None; a group (`cargroup`) is its class's."""
    return BY_NAME.get(name) or BY_NAME.get(name.removesuffix("group"))


def class_of(card: Card, category: str) -> ClassInfo:
    """The card's class of that category, in any case of letters (`Car` in a dataset of one's own), or a bare one."""
    alike = category.strip().casefold()
    spelled = (c for c in card.classes if alike in (name.casefold() for name in (c.name, *c.also)))
    return card.category(category) or next(spelled, ClassInfo(name=category))


def common_class(card: Card, category: str) -> CityscapesClass | None:
    """What Cityscapes calls a category of the card, or None."""
    return known(class_of(card, category).cityscapes or category)


def translated(card: Card, category: str, target: Card) -> str:
    """The target's name for a category of the source: through the name that Cityscapes has for both; else its own."""
    own = target.category(category)
    if own is not None:
        return own.name
    common = class_of(card, category).cityscapes
    found = next((c.name for c in target.classes if common and c.cityscapes == common and c.id is not None), None)
    return found or category
