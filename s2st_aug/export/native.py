"""Out in the format that came in: images and labels side by side, the labels the source's own."""

from __future__ import annotations

from s2st_aug.errors import LabelError, UsageError
from s2st_aug.export.context import ExportContext
from s2st_aug.export.held_out import copy_held_out
from s2st_aug.formats import frame_of, read_objects
from s2st_aug.formats.base import DatasetFormat, VariantEdit
from s2st_aug.records.scene import Scene


def export_native(context: ExportContext, format: DatasetFormat) -> None:
    """Every scene and variant; raises CheckFailed where a file is not the one that the run was made from."""
    if format.native_writer is None:
        raise UsageError(
            f"datasets in {format.title} form can be read, but not exported as such: it has no native_writer"
        )
    writer = format.native_writer(context)
    for scene in context.scenes():
        variants = context.selection.variants.get(scene.scene_id, ())
        if not variants and not _reads(context, scene):
            continue
        _tell_scaled(context, scene)
        if scene.scene_id in context.selection.sources:
            context.place_source(scene, scene.image)
            writer.add_source(scene)
        for variant in variants:
            suffix = context.variant_suffix(scene)
            names = format.variant_names(scene, format.mark(variant.domain), suffix)
            needed = bool(variant.ignored) and not format.holds_ignored
            objects = read_objects(context.card, context.root, scene) if needed else ()
            context.place_variant(
                scene, variant, names.image, suffix, objects, context.hidden(variant, format, objects)
            )
            writer.add_variant(scene, VariantEdit(variant.domain, names, variant.ignored, variant.lost))
    if context.options.with_val:
        copy_held_out(context)
    writer.finish()


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
