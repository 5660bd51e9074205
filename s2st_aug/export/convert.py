"""Out in another format than the one that came in: what the format can hold of every label, and a report of the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from s2st_aug.errors import LabelError
from s2st_aug.export.job import Job
from s2st_aug.export.selection import Variant
from s2st_aug.formats import load_card, read_objects
from s2st_aug.formats.cards import Card, ClassInfo
from s2st_aug.formats.cityscapes.labels import known
from s2st_aug.formats.label_images import stored_size, upright_size
from s2st_aug.records.scene import Scene, SceneObject

NOT_CARRIED = {
    "kitti": "alpha, the 3-D box and calibration",
    "coco": "fields beyond category, geometry and iscrowd (keypoints, captions, licences)",
    "cityscapes": "camera, disparity, vehicle and timestamp files; deleted polygons",
    "bdd100k": "fields beyond category, geometry, occluded, truncated and light colour (track ids, lane styles, curve types)",
    "yolo": "nothing beyond class and geometry is there",
}
_NOWHERE = (0.0, 0.0, 0.0, 0.0)
_AREAS = frozenset({"direct", "alternative", "drivable area"})


@dataclass(frozen=True, slots=True)
class Item:
    """One image of the export in the target's terms: a real one, or a variant with what its verdicts ask for."""

    stem: str  # of the target's file, without the variant's mark
    mark: str  # empty for a real image
    suffix: str
    size: tuple[int, int]  # width, height
    objects: tuple[SceneObject, ...]
    attributes: dict[str, str]
    domain: str | None
    ignored: frozenset[str]
    lost: frozenset[str]
    where: str  # the scene, for the report

    def is_ignored(self, item: SceneObject) -> bool:
        """Whether training should leave this label alone: by a verdict, or a crowd from the start."""
        return item.object_id in self.ignored or item.crowd


class Target(Protocol):
    """A writer of one format."""

    png_only: bool

    def image_name(self, item: Item) -> str:
        """Where the image goes."""
        ...

    def add(self, item: Item) -> None:
        """Its labels."""
        ...

    def finish(self) -> None:
        """What belongs to the data set as a whole."""
        ...


def export_converted(job: Job, target: str) -> None:
    """Every scene and variant of the job in another format; a label that cannot be read costs its scene and is reported."""
    writer = _targets()[target](job)
    for scene in job.scenes():
        try:
            objects, size = read_objects(job.card, job.root, scene), _size(job, scene)
        except LabelError as error:
            job.losses.add("scene", f"its label cannot be read: {error}", scene.scene_id)
            continue
        objects = tuple(_once_each(job, scene, objects, target))
        _report_source(job, scene, objects, target)
        if scene.scene_id in job.selection.sources:
            _real(job, writer, scene, objects, size)
        for variant in job.selection.variants.get(scene.scene_id, ()):
            _synthetic(job, writer, target, scene, variant, objects, size)
    writer.finish()


def _size(job: Job, scene: Scene) -> tuple[int, int]:
    return (upright_size if job.card.adapter == "yolo" else stored_size)(job.root / scene.image)


def _real(job: Job, writer: Target, scene: Scene, objects: tuple[SceneObject, ...], size: tuple[int, int]) -> None:
    suffix = ".png" if writer.png_only else "." + scene.image.rpartition(".")[2]
    item = Item(
        _stem(scene), "", suffix, size, objects, scene.attributes, None, frozenset(), frozenset(), scene.scene_id
    )
    job.place_source_as(scene, writer.image_name(item), suffix)
    writer.add(item)


def _synthetic(
    job: Job,
    writer: Target,
    target: str,
    scene: Scene,
    variant: Variant,
    objects: tuple[SceneObject, ...],
    size: tuple[int, int],
) -> None:
    suffix = ".png" if writer.png_only else job.suffix(scene)
    mark = job.mark(variant, target)
    item = Item(
        _stem(scene),
        mark,
        suffix,
        size,
        objects,
        scene.attributes,
        variant.domain,
        variant.ignored,
        variant.lost,
        scene.scene_id,
    )
    job.place_variant_as(scene, variant, writer.image_name(item), suffix)
    writer.add(item)


def _stem(scene: Scene) -> str:
    return scene.scene_id.removeprefix(f"{scene.split}/")


def _report_source(job: Job, scene: Scene, objects: tuple[SceneObject, ...], target: str) -> None:
    if job.card.adapter != "yolo":
        job.losses.add(
            "fields", f"not carried into another format: {NOT_CARRIED[job.card.adapter]}", scene.scene_id, len(objects)
        )
    if target in ("cityscapes", "kitti", "yolo"):
        job.losses.add(
            "image attributes",
            f"{target} has none (weather, time of day, scene)",
            scene.scene_id,
            len(scene.attributes),
        )
    job.losses.add(
        "file", "extra label files are read where they hold labels, not copied", scene.scene_id, len(scene.extra_files)
    )


def _once_each(job: Job, scene: Scene, objects: tuple[SceneObject, ...], target: str) -> Iterator[SceneObject]:
    """Every thing in one form: where lists, masks and run lengths tell of the same things, the first in the card's order is taken.

    For Cityscapes it is the one with most outlines. A region of a class of things (semantic masks) is a crowd of them, and left out
    where the things themselves are told.
    """
    taken: dict[str, str] = {}
    if target == "cityscapes":
        outlined = Counter(
            _source_of(job, scene, o) for o in objects if o.kind in ("polygon", "mask") and _theme(o) == "things"
        )
        taken |= {"things": outlined.most_common(1)[0][0]} if outlined else {}
    for item in objects:
        theme, source = _theme(item), _source_of(job, scene, item)
        crowd = theme == "regions" and _is_thing_class(job.card, item.category)
        if item.kind == "box" and item.bbox == _NOWHERE:
            job.losses.add("label", "it has no geometry", scene.scene_id)
        elif taken.setdefault(theme, source) != source:
            job.losses.add(
                "other form", f"{theme} are taken from {taken[theme]}, not from {source} again", scene.scene_id
            )
        elif crowd and "things" in taken:
            job.losses.add(
                "other form",
                f"things are taken from {taken['things']}, not from their regions in {source}",
                scene.scene_id,
            )
        else:
            yield replace(item, crowd=True) if crowd else item


def _theme(item: SceneObject) -> str:
    """What a label tells of: lanes, drivable areas, regions (stuff), or things."""
    if item.kind == "polyline" or item.object_id.startswith("lane_mask/"):
        return "lanes"
    if item.category in _AREAS:
        return "areas"
    return "regions" if item.kind == "stuff" else "things"


def _source_of(job: Job, scene: Scene, item: SceneObject) -> str:
    """The label tree that an object came from: an extra file's objects carry its name before their id."""
    name, slash, _ = item.object_id.partition("/")
    if slash and (name == "panoptic" or any(tree.name == name for tree in job.card.labels)):
        return name
    return scene.label_file or "the label file"


def _is_thing_class(card: Card, category: str) -> bool:
    label = known(class_of(card, category).cityscapes or category)
    return label is not None and label.instances


def class_of(card: Card, category: str) -> ClassInfo:
    """The card's class of that category, or a bare one."""
    return card.category(category) or ClassInfo(name=category)


def translate(card: Card, category: str, target: Card) -> str:
    """The target's name for a category of the source: through the name that Cityscapes has for both; else its own."""
    if target.category(category):
        return target.category(category).name  # type: ignore[union-attr]
    common = class_of(card, category).cityscapes
    found = next((c.name for c in target.classes if common and c.cityscapes == common and c.id is not None), None)
    return found or category


def split_name(split: str) -> str:
    """What other formats call the split.

    >>> split_name("training")
    'train'
    """
    return {"training": "train"}.get(split, split)


def _targets() -> dict[str, Callable[[Job], Target]]:
    from s2st_aug.export.to_bdd100k import ToBdd100k
    from s2st_aug.export.to_cityscapes import ToCityscapes
    from s2st_aug.export.to_coco import ToCoco
    from s2st_aug.export.to_kitti import ToKitti
    from s2st_aug.export.to_yolo import ToYolo

    return {"bdd100k": ToBdd100k, "cityscapes": ToCityscapes, "coco": ToCoco, "kitti": ToKitti, "yolo": ToYolo}


def target_card(name: str) -> Card:
    """The shipped card of a target format."""
    return load_card(name)
