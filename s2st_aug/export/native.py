"""Out in the format that came in: images and labels side by side, the labels the source's own."""

from __future__ import annotations

from s2st_aug.errors import UsageError
from s2st_aug.export.context import ExportContext
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
            context.place_variant(scene, variant, names.image, suffix)
            writer.add_variant(scene, VariantEdit(variant.domain, names, variant.ignored, variant.lost))
    writer.finish()
