"""Out in another format than the one that came in: what it can hold of every label, and a report of the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from s2st_aug.errors import LabelError, UsageError
from s2st_aug.export.context import ExportContext
from s2st_aug.export.held_out import held_out_scenes
from s2st_aug.export.images import orientation_tag, variant_suffix
from s2st_aug.formats import format_of, frame_of, read_objects
from s2st_aug.formats.base import Card, ClassList, ConvertedImage, DatasetFormat
from s2st_aug.formats.classes import common_class
from s2st_aug.formats.names import export_key, flat_names, marks_of, split_name
from s2st_aug.formats.references import split_reference
from s2st_aug.records.scene import UNKNOWN, Scene, SceneObject

_AREAS = frozenset({"direct", "alternative", "drivable area"})


def export_converted(context: ExportContext, target: DatasetFormat) -> None:
    """Every scene and variant in another format; a label that cannot be read costs its scene and is reported."""
    if target.conversion_writer is None:
        raise UsageError(f"other formats cannot be exported to {target.title}: it has no conversion_writer")
    scenes = list(context.scenes())
    _report_dataset(context, scenes)
    held_out = list(held_out_scenes(context, {scene.image for scene in scenes})) if context.options.with_val else []
    context = replace(context, classes=_class_list(context, scenes))
    context.held_out.update(Counter(split_name(scene.split) for scene in held_out))
    writer, names = target.conversion_writer(context), _names(context, held_out)
    every = list(names.values())
    context.marks.update(
        marks_of(context.selection.domains, target.mark, lambda m: (name + m for name in every), every, export_key)
    )
    for scene in [*scenes, *held_out]:
        real = _converted(context, scene, names[scene.scene_id], target, png_only=writer.png_only)
        if real is None:
            continue
        if scene.scene_id in context.selection.sources or scene.split != context.split:
            context.place_source(scene, writer.image_name(real), real.suffix)
            writer.add(real)
        for variant in context.selection.variants.get(scene.scene_id, ()):
            image = replace(
                real,
                mark=context.marks[variant.domain],
                suffix=".png" if writer.png_only else context.variant_suffix(scene),
                domain=variant.domain,
                ignored=variant.ignored,
                lost=variant.lost,
            )
            hidden = context.hidden(variant, target, real.objects)
            name = writer.image_name(image)
            context.place_variant(scene, variant, name, image.suffix, real.objects, hidden, as_source=False)
            writer.add(image)
    writer.finish()


def _report_dataset(context: ExportContext, scenes: list[Scene]) -> None:
    """What belongs to no scene, and so is given to no writer."""
    remarks = format_of(context.card).remarks
    for text in remarks(context.card, context.root, context.split, scenes) if remarks else ():
        context.losses.add("dataset", text, context.split)


def _converted(
    context: ExportContext, scene: Scene, stem: str, target: DatasetFormat, *, png_only: bool
) -> ConvertedImage | None:
    """The real image in the target's terms; None, and told in the report, where its labels cannot be read."""
    try:
        objects = read_objects(context.card, context.root, scene)
        size = frame_of(context.card, context.root, scene, objects).size
    except LabelError as error:
        context.losses.add("scene", f"its label cannot be read: {error}", scene.scene_id)
        return None
    context.refuse_other_labels(scene, objects)
    once = tuple(_once_each(context, scene, objects, target))
    turned = orientation_tag(context.root / scene.image) != 1  # it is written anew, as PNG or JPEG
    own = variant_suffix(scene.image, None) if turned else "." + scene.image.rpartition(".")[2]
    _report_source(context, scene, len(once), target)
    return ConvertedImage(
        stem=stem,
        mark="",
        suffix=".png" if png_only else own,
        size=size,
        objects=tuple(
            item if (name := context.classes.name(item.category)) == item.category else replace(item, category=name)
            for item in once
        ),
        attributes=scene.attributes,
        domain=None,
        ignored=frozenset(),
        lost=frozenset(),
        where=scene.scene_id,
        split=split_name(scene.split),
    )


def _names(context: ExportContext, held_out: list[Scene]) -> dict[str, str]:
    """Scene ids to names in the export: those of the run first, so that held-out images never change them."""
    run = {scene_id: scene_id.removeprefix(f"{context.split}/") for scene_id in context.selection.label_keys}
    flat = flat_names(run.values(), context.selection.domains)
    context.names.update({scene_id: flat[stem] for scene_id, stem in run.items()})
    others = {scene.scene_id: scene.scene_id.partition("/")[2] for scene in held_out}
    flat = flat_names(others.values(), context.selection.domains, context.names.values())
    return context.names | {scene_id: flat[stem] for scene_id, stem in others.items()}


def _class_list(context: ExportContext, scenes: list[Scene]) -> ClassList:
    """The classes that the dataset lists in its order; else those that its labels have, in the card's."""
    declare, card, kinds = format_of(context.card).class_names, context.card, context.selection.kinds
    declared = declare(card, context.root, scenes) if declare else []
    if declared:
        return ClassList(tuple(dict.fromkeys(declared)))
    alike: dict[str, list[str]] = {}
    for name in (n for n in kinds if n != UNKNOWN):  # as they appear: the scenes' own label files before the others
        known = card.category(name)
        alike.setdefault(known.name if known else name, []).append(name)
    order = {c.name: i for i, c in enumerate(card.classes)}
    ranked = [alike[key] for key in sorted(alike, key=lambda key: (order.get(key, len(order)), key))]
    return ClassList(
        names=tuple(names[0] for names in ranked),
        kinds={names[0]: frozenset().union(*(kinds[name] for name in names)) for names in ranked},
        spelling={name: names[0] for names in ranked for name in names},
    )


def _report_source(context: ExportContext, scene: Scene, labels: int, target: DatasetFormat) -> None:
    """What no writer is given of a scene, or the target has no place for."""
    losses, carried = context.losses, format_of(context.card).not_carried
    if carried is not None:
        losses.add("fields", f"not carried into another format: {carried}", scene.scene_id, labels)
    if not target.holds_image_attributes:
        why = f"{target.name} has none (weather, time of day, scene)"
        losses.add("image attributes", why, scene.scene_id, len(scene.attributes))
    others = {path for path, _ in map(split_reference, scene.extra_files)} - {scene.label_file}
    losses.add("file", "extra label files are read where they hold labels, not copied", scene.scene_id, len(others))


def _once_each(
    context: ExportContext, scene: Scene, objects: tuple[SceneObject, ...], target: DatasetFormat
) -> Iterator[SceneObject]:
    """Every thing in one form: of lists, masks and run lengths of the same things, the first in the card's order.

    For a target that prefers outlines it is the one with most of them. A region of a class of things (semantic masks)
    is a crowd of them, and left out where the things themselves are told.
    """
    taken: dict[str, str] = {}
    if target.prefers_outlines:
        outlined = [o for o in objects if o.kind in ("polygon", "mask") and theme(o) == "things"]
        counted = Counter(label_source(context.card, scene, item) for item in outlined)
        taken |= {"things": counted.most_common(1)[0][0]} if counted else {}
    for item in objects:
        about, source = theme(item), label_source(context.card, scene, item)
        common = common_class(context.card, item.category) if about == "regions" else None
        crowd = common is not None and common.instances
        why = None
        if item.unsound is not None and (item.category == UNKNOWN or item.bbox[2] <= item.bbox[0]):
            context.losses.add("label", "it has no class or no place that can be written", scene.scene_id)
            continue
        if taken.setdefault(about, source) != source:
            why = f"{about} are taken from {taken[about]}, not from {source} again"
        elif crowd and "things" in taken:
            why = f"things are taken from {taken['things']}, not from their regions in {source}"
        if why is not None:
            context.losses.add("other form", why, scene.scene_id)
        else:
            yield replace(item, crowd=True) if crowd else item


def theme(item: SceneObject) -> str:
    """What a label tells of: lanes, drivable areas, regions (stuff), or things."""
    if item.kind == "polyline" or item.object_id.startswith("lane_mask/"):
        return "lanes"
    if item.category in _AREAS:
        return "areas"
    return "regions" if item.kind == "stuff" else "things"


def label_source(card: Card, scene: Scene, item: SceneObject) -> str:
    """The label tree that an object came from: an extra file's objects carry its name before their id."""
    name, slash, _ = item.object_id.partition("/")
    if slash and (name == "panoptic" or any(tree.name == name for tree in card.labels)):
        return name
    return scene.label_file or "the label file"
