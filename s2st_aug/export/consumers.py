"""An export opened as those who train on it do: the same images, labels and classes, or it fails."""

from __future__ import annotations

from collections import Counter
from json.encoder import encode_basestring as quoted
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from s2st_aug.errors import CheckFailed, DatasetError, UnreadableImage
from s2st_aug.export.context import ExportContext
from s2st_aug.formats.base import Card, ConsumerView, DatasetFormat
from s2st_aug.formats.loss_report import LossReport
from s2st_aug.formats.names import DISK_LIMIT, shortened
from s2st_aug.images import read_photo


def open_as_consumer(context: ExportContext, target: DatasetFormat, card: Card) -> ConsumerView | None:
    """What the target's consumers find in the written folder; None where the format does not say how they look.

    What they would drop or misread of the source's own labels goes into the loss report. Raises CheckFailed where they
    do not find the images that were placed, or other numbers of labels than were written.
    """
    if target.open_export is None:
        return None
    try:
        view = target.open_export(card, context.output.partial, context.split)
    except (ValueError, LookupError, TypeError, AttributeError, OSError, RecursionError, DatasetError) as error:
        raise CheckFailed(
            f"the export cannot be opened as {target.title} ({type(error).__name__}: {error}); nothing was written"
        ) from None
    for why, where in view.complaints:
        context.losses.add("consumer", f"{target.title}'s loaders: {why}", where)
    _compare_images(context, target, view)
    _compare_labels(context, target, view)
    return view


def unreadable_sources(table: pa.Table, root: Path, losses: LossReport) -> frozenset[str]:
    """Scenes of which the run has no image and whose own cannot be opened: no trainer could open it either."""
    made = table.filter(pc.is_valid(table["image"]))["scene_id"].unique()
    failed = table.filter(pc.invert(pc.is_in(table["scene_id"], value_set=made)))
    found = set()
    for scene_id, image in dict(
        zip(failed["scene_id"].to_pylist(), failed["source_image"].to_pylist(), strict=True)
    ).items():
        try:
            read_photo(root / image, name=image)
        except UnreadableImage as error:
            found.add(scene_id)
            losses.add("image", f"it cannot be opened and is left out: {error}", scene_id)
    return frozenset(found)


def _compare_images(context: ExportContext, target: DatasetFormat, view: ConsumerView) -> None:
    placed, found = context.images.keys(), view.images.keys()
    for told, names in (("not found", placed - found), ("found, but not of this export", found - placed)):
        if names:
            raise CheckFailed(
                f"the export opened as {target.title}: of {len(placed)} images {len(names)} are {told}, the first"
                f" {min(names)}; nothing was written"
            )


def _compare_labels(context: ExportContext, target: DatasetFormat, view: ConsumerView) -> None:
    """Labels as the writer counted them; of a variant as many as of its source, fewer where none can be ignored."""
    real = {p.scene_id: view.images[name].total() for name, p in context.images.items() if p.source == "real"}
    for name, place in context.images.items():
        found = view.images[name].total()
        expected = context.labels.get(name, real.get(place.scene_id, found) if place.source != "real" else found)
        if found > expected or (found < expected and (target.holds_ignored or name in context.labels)):
            raise CheckFailed(
                f"the export opened as {target.title}: {name} has {found} labels, {expected} were written; nothing was"
                " left"
            )


def counts_on_disk(context: ExportContext, view: ConsumerView) -> dict[str, dict[str, object]]:
    """Images, labels by class and labels to ignore by domain, `source` for the real images."""
    images, ignored, classes = (
        Counter[str]({"source": 0}),
        Counter[str](),
        dict[str, Counter[str]]({"source": Counter()}),
    )
    own = {p.scene_id: view.ignored[name] for name, p in context.images.items() if p.source == "real"}
    for name, place in context.images.items():
        domain = "source" if place.source == "real" else place.source
        images[domain] += 1
        ignored[domain] += view.ignored[name] - own.get(place.scene_id, 0)
        classes.setdefault(domain, Counter()).update(view.images[name])
    return {
        d: {"images": images[d], "classes": dict(sorted(classes[d].items())), "ignored": ignored[d]}
        for d in sorted(images)
    }


def write_lists(context: ExportContext) -> None:
    """A list of images for each source at the top, and `metadata.jsonl` for the ImageFolder of Hugging Face datasets.

    `train_real.txt`, `train_night.txt`: one `./` name a line, as Ultralytics reads lists: shares within a batch can be
    fixed with them.
    """
    lists: dict[str, list[str]] = {}
    images = sorted(context.images.items())
    for name, place in images:
        lists.setdefault(place.source, []).append(name)
    for source, names in lists.items():
        listed = shortened(f"{context.split}_{source}", DISK_LIMIT - len(".txt"))
        context.output.write(f"{listed}.txt", "".join(f"./{name}\n" for name in names).encode())
    rows = (
        f'"file_name": {quoted(name)}, "scene_id": {quoted(p.scene_id)}, "source": {quoted(p.source)}'
        for name, p in images
    )
    context.output.write("metadata.jsonl", "".join(f"{{{row}}}\n" for row in rows).encode())
