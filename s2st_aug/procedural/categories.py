"""What a pixel can be, and its number in each label format."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Category:
    """A class with its names and numbers in BDD100K (det_20, ins_seg, pan_seg) and Cityscapes (name, id, train id)."""

    name: str
    cityscapes: str
    city_id: int
    train_id: int
    colour: tuple[int, int, int]
    pan_id: int
    det: str | None = None
    ins_id: int = 0
    has_instances: bool = False


# the order is the number in the category buffer
CATEGORIES: tuple[Category, ...] = (
    Category("sky", "sky", 23, 10, (70, 130, 180), 30),
    Category("road", "road", 7, 0, (128, 64, 128), 7),
    Category("sidewalk", "sidewalk", 8, 1, (244, 35, 232), 8),
    Category("terrain", "terrain", 22, 9, (152, 251, 152), 28),
    Category("building", "building", 11, 2, (70, 70, 70), 10),
    Category("wall", "wall", 12, 3, (102, 102, 156), 15),
    Category("fence", "fence", 13, 4, (190, 153, 153), 11),
    Category("pole", "pole", 17, 5, (153, 153, 153), 20),
    Category("traffic light", "traffic light", 19, 6, (250, 170, 30), 25, "traffic light", 0, True),
    Category("traffic sign", "traffic sign", 20, 7, (220, 220, 0), 26, "traffic sign", 0, True),
    Category("vegetation", "vegetation", 21, 8, (107, 142, 35), 29),
    Category("pedestrian", "person", 24, 11, (220, 20, 60), 31, "pedestrian", 1, True),
    Category("rider", "rider", 25, 12, (255, 0, 0), 32, "rider", 2, True),
    Category("car", "car", 26, 13, (0, 0, 142), 35, "car", 3, True),
    Category("truck", "truck", 27, 14, (0, 0, 70), 40, "truck", 4, True),
    Category("bus", "bus", 28, 15, (0, 60, 100), 34, "bus", 5, True),
    Category("motorcycle", "motorcycle", 32, 17, (0, 0, 230), 37, "motorcycle", 7, True),
    Category("bicycle", "bicycle", 33, 18, (119, 11, 32), 33, "bicycle", 8, True),
    Category("ego vehicle", "ego vehicle", 1, 255, (0, 0, 0), 2),
)
NUMBER: dict[str, int] = {c.name: i for i, c in enumerate(CATEGORIES)}
