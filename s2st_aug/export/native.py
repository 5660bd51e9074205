"""Out in the format that came in: images and labels side by side, the labels the source's own."""

from __future__ import annotations

from s2st_aug.errors import UsageError
from s2st_aug.export.context import ExportContext
from s2st_aug.export.held_out import copy_held_out
from s2st_aug.formats import read_objects
from s2st_aug.formats.base import DatasetFormat, VariantEdit


def export_native(context: ExportContext, format: DatasetFormat) -> None:
    """Every scene and variant; raises CheckFailed where a file is not the one that the run was made from."""
    if format.native_writer is None:
        raise UsageError(
            f"datasets in {format.title} form can be read, but not exported as such: it has no native_writer"
        )
    writer = format.native_writer(context)
    for scene in context.scenes():
        if scene.scene_id in context.selection.sources:
            context.place_source(scene, scene.image)
            writer.add_source(scene)
        for variant in context.selection.variants.get(scene.scene_id, ()):
            suffix = context.variant_suffix(scene)
            names = format.variant_names(scene, format.mark(variant.domain), suffix)
            objects = read_objects(context.card, context.root, scene) if context.paints(variant, format) else ()
            context.place_variant(scene, variant, names.image, suffix, objects)
            writer.add_variant(scene, VariantEdit(variant.domain, names, variant.ignored, variant.lost))
    if context.with_val:
        copy_held_out(context)
    writer.finish()
