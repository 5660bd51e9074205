"""`--with-val`: the dataset's held-out splits beside what is trained on, untouched."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator

from s2st_aug.errors import DatasetError
from s2st_aug.export.context import ExportContext
from s2st_aug.export.selection import HELD_OUT
from s2st_aug.formats import format_of, read_scenes
from s2st_aug.formats.names import split_name
from s2st_aug.formats.references import label_files
from s2st_aug.records.scene import Scene


def held_out_scenes(context: ExportContext, trained: Container[str]) -> Iterator[Scene]:
    """The scenes of every held-out split that is there; the run's own images (`trained`) are left out and reported."""
    run = {scene_id.partition("/")[2] for scene_id in context.selection.label_keys}
    for split in context.card.splits:
        if split not in HELD_OUT or split == context.split:
            continue
        try:
            scenes = list(read_scenes(context.card, context.root, split))
        except DatasetError:
            continue  # the dataset has no such split
        same_folder = format_of(context.card).split_folder(split) == format_of(context.card).split_folder(context.split)
        for scene in scenes:
            if scene.image in trained or (same_folder and scene.scene_id.partition("/")[2] in run):
                context.losses.add("held-out image", "the run trains on it: it is not held out", scene.scene_id)
            elif not (context.root / scene.image).is_file():
                context.losses.add("held-out image", "its file does not exist", scene.scene_id)
            else:
                yield scene


def copy_held_out(context: ExportContext, scenes: Iterable[Scene]) -> None:
    """Images and label files of held-out scenes as they are, and the lists that name them."""
    output, splits = context.output, dict[str, int]()
    files: dict[str, None] = {}
    for scene in scenes:
        splits[scene.split] = splits.get(scene.split, 0) + 1
        files |= dict.fromkeys([scene.image, *(path for path, _ in label_files(scene))])
    lists = format_of(context.card).split_files
    for split in splits:
        files |= dict.fromkeys(lists(context.root, split) if lists else ())
    for name in files:
        if name not in output.sha256:
            output.place(name, context.root / name)
    context.held_out.update({split_name(split): count for split, count in splits.items()})
