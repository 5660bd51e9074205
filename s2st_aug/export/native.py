"""Out in the format that came in: images and labels side by side, the labels the source's own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

from s2st_aug.errors import LabelError, UsageError
from s2st_aug.export.context import ExportContext
from s2st_aug.export.held_out import copy_held_out, held_out_scenes
from s2st_aug.formats import frame_of, read_objects
from s2st_aug.formats.base import DatasetFormat, VariantEdit, within_disk_limit
from s2st_aug.formats.names import marks_of
from s2st_aug.formats.references import label_files
from s2st_aug.records.scene import Scene


def export_native(context: ExportContext, format: DatasetFormat) -> None:
    """Every scene and variant; raises CheckFailed where a file is not the one that the run was made from."""
    if format.native_writer is None:
        raise UsageError(
            f"datasets in {format.title} form can be read, but not exported as such: it has no native_writer"
        )
    writer, scenes = format.native_writer(context), list(context.scenes())
    held_out = list(held_out_scenes(context, {scene.image for scene in scenes})) if context.options.with_val else []
    context.marks.update(_marks(context, format, scenes, held_out))
    for scene in scenes:
        variants = context.selection.variants.get(scene.scene_id, ())
        if not variants and not _reads(context, scene):
            continue
        _tell_scaled(context, scene)
        _refuse_relabelled(context, scene)
        if scene.scene_id in context.selection.sources:
            context.place_source(scene, scene.image)
            writer.add_source(scene)
        for variant in variants:
            suffix = context.variant_suffix(scene)
            names = format.variant_names(scene, context.marks[variant.domain], suffix)
            names = within_disk_limit(names, context.card.labels)
            needed = bool(variant.ignored) and not format.holds_ignored
            objects = read_objects(context.card, context.root, scene) if needed else ()
            context.place_variant(
                scene, variant, names.image, suffix, objects, context.hidden(variant, format, objects)
            )
            writer.add_variant(scene, VariantEdit(variant.domain, names, variant.ignored, variant.lost))
    copy_held_out(context, held_out)
    writer.finish()


def _marks(
    context: ExportContext, format: DatasetFormat, scenes: list[Scene], held_out: Iterable[Scene]
) -> dict[str, str]:
    """One mark for each domain, such that no variant is called as an image, a video or a label file that goes out is.

    An earlier export's variants have such names, where a run is over that export.
    """
    varied = [(scene, context.variant_suffix(scene)) for scene in scenes]

    def made(mark: str) -> Iterator[str]:
        for scene, suffix in varied:
            names = format.variant_names(scene, mark, suffix)
            yield from _places(names.image, names.stem, (f"{path}{mark}" for path in _own_label_files(scene)))
            video, before = names.stem.rpartition("/")[0], names.source.rpartition("/")[0]
            if video != before:
                yield f"video {video}"

    taken = set[str]()
    for scene in [*scenes, *held_out]:
        stem = scene.scene_id.removeprefix(f"{scene.split}/")
        taken.update([*_places(scene.image, stem, _own_label_files(scene)), f"video {stem.rpartition('/')[0]}"])
    return marks_of(context.selection.domains, format.mark, made, taken)


def _places(image: str, stem: str, label_files: Iterable[str]) -> Iterator[str]:
    """What must be a scene's own: the place of its image, its stem, its label files, all without a file type."""
    yield f"image {image.rpartition('.')[0]}"
    yield f"stem {stem}"
    yield from (f"label {path}" for path in label_files)


def _own_label_files(scene: Scene) -> Iterator[str]:
    """The label files that hold no record but this scene's, without their file types."""
    return (path.rpartition(".")[0] for path, key in label_files(scene) if key is None)


def _refuse_relabelled(context: ExportContext, scene: Scene) -> None:
    """Raises CheckFailed where labels that do not lie in the scene's own record are others than the run judged.

    They are read where a verdict names one of them, or where the file that holds them is another one.
    """
    labels, variants = context.selection.labels, context.selection.variants.get(scene.scene_id, ())
    if labels is None or not scene.extra_files or not variants:
        return
    if any(variant.ignored for variant in variants) or labels.file_changed(scene, context.root):
        with suppress(LabelError):  # it costs its writer no label that it carries as bytes
            context.refuse_other_labels(scene, read_objects(context.card, context.root, scene))


def _reads(context: ExportContext, scene: Scene) -> bool:
    """Whether the labels of an image of which the run has no variant can be believed; else it is left out, and told."""
    if scene.scene_id not in context.selection.failed:
        return True
    try:
        read_objects(context.card, context.root, scene)
    except LabelError as error:
        context.losses.add("scene", f"its label cannot be read: {error}", scene.scene_id)
        return False
    return True


def _tell_scaled(context: ExportContext, scene: Scene) -> None:
    """Labels that the run scaled to the image are the source's own here, of the size that they declare."""
    if context.card.rescale_labels and frame_of(context.card, context.root, scene).scale != (1.0, 1.0):
        why = "its labels declare another size than the image's, and are carried so: an export to another format scales"
        context.losses.add("declared size", why, scene.scene_id)
