"""Out in the format that came in: the source's own tree, names with a mark, records spliced and not written anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath

import numpy as np

from s2st_aug.errors import LabelError
from s2st_aug.export.change import Change, marked_stem
from s2st_aug.export.edit_bdd100k import edit_frame
from s2st_aug.export.edit_cityscapes import edit_polygons, visible
from s2st_aug.export.edit_lines import edit_kitti, edit_yolo
from s2st_aug.export.edit_masks import masks_of, union, void
from s2st_aug.export.job import Job
from s2st_aug.export.listing import ListWriter, around
from s2st_aug.export.selection import Variant
from s2st_aug.formats import read_objects
from s2st_aug.formats.bdd100k import read as bdd100k
from s2st_aug.formats.cards import LabelTree
from s2st_aug.formats.json_stream import parse_record, read_span
from s2st_aug.formats.references import join_reference, split_reference
from s2st_aug.formats.tree import rename_in, tree_of
from s2st_aug.formats.yolo.read import label_of
from s2st_aug.records.scene import Scene

_MASKS = frozenset({"instance_mask", "panoptic_mask", "semantic_mask", "drivable_mask", "lane_mask"})
_ID_IMAGES = frozenset({"label_ids", "instance_ids", "train_ids", "color"})


def export_native(job: Job) -> None:
    """Every scene and variant of the job; raises CheckFailed where a file is not the one that the run was made from."""
    writer = _Native(job)
    for scene in job.scenes():
        writer.begin()
        if scene.scene_id in job.selection.sources:
            writer.source(scene)
        for variant in job.selection.variants.get(scene.scene_id, ()):
            writer.variant(scene, variant)
    writer.close()


class _Native:
    """Holds the lists that are open."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.lists: dict[str, ListWriter] = {}
        self._records: dict[str, bytes] = {}  # of the scene at hand: read once for the source and all variants

    def close(self) -> None:
        for writer in self.lists.values():
            writer.close()

    def begin(self) -> None:
        """A new scene."""
        self._records.clear()

    def _record(self, reference: str) -> bytes:
        if reference not in self._records:
            path, key = split_reference(reference)
            assert key is not None
            self._records[reference] = read_span(self.job.root / path, key)
        return self._records[reference]

    def _references(self, scene: Scene) -> list[str]:
        own = [join_reference(scene.label_file, scene.label_key)] if scene.label_file else []
        return [*own, *scene.extra_files]

    def source(self, scene: Scene) -> None:
        """The real image and its labels as they are."""
        self.job.place_source(scene, scene.image)
        for reference in self._references(scene):
            path, key = split_reference(reference)
            tree = self._tree(scene, path)
            if key is not None and tree is not None and tree.kind == "frames":
                self._list(path, path).append(self._record(reference))
            elif path not in self.job.output.sha256:
                self.job.output.place(path, self.job.root / path)

    def variant(self, scene: Scene, variant: Variant) -> None:
        """The synthetic image and its labels, changed where a verdict or the domain asks for it."""
        renaming = _Renaming.of(self.job, scene, variant)
        self.job.place_variant(scene, variant, renaming.image)
        change = Change(variant.domain, renaming.below, variant.ignored, variant.lost)
        for index, reference in enumerate(self._references(scene)):
            path, key = split_reference(reference)
            tree = self._tree(scene, path)
            if tree is None:
                self.job.losses.add("file", "no tree of the card names it", path)
            elif tree.kind == "frames" and key is not None:
                new = renaming.listed(path) if "*" in tree.path else path
                prefix = f"{tree.name}/" if index else ""
                data = self._record(reference)
                self._list(path, new).append(edit_frame(data, change, prefix, self._offset(scene, variant, index)))
            else:
                self._file(scene, variant, tree, path, renaming.file(tree, path), change)

    def _tree(self, scene: Scene, path: str) -> LabelTree | None:
        card = self.job.card
        found = tree_of(path, _folder_split(self.job, scene.split), card.labels)
        return card.labels[0] if found is None and card.adapter == "yolo" else found  # data.yaml may name any folder

    def _offset(self, scene: Scene, variant: Variant, index: int) -> int:
        """How many labels come before the record; asked for only where ids repeat."""
        if index == 0 or not any("#" in name for name in variant.ignored):
            return 0
        return sum(bdd100k.label_counts(self.job.card, self.job.root, scene)[:index])

    def _list(self, source: str, name: str) -> ListWriter:
        if name not in self.lists:
            self.lists[name] = ListWriter(self.job.output, name, *around(self.job.root / source, "frames"))
        return self.lists[name]

    def _file(self, scene: Scene, variant: Variant, tree: LabelTree, path: str, new: str, change: Change) -> None:
        edit = EDITORS.get(tree.kind)
        changed = (
            edit(self.job, scene, tree, path, change)
            if edit and (change.ignored or tree.kind == "frame_files")
            else None
        )
        if changed is None:
            self.job.output.place(new, self.job.root / path)
            return
        self.job.output.write(new, changed)
        if self.job.card.adapter == "cityscapes":
            self.job.output.place(_original(new), self.job.root / path)


def _folder_split(job: Job, split: str) -> str:
    from s2st_aug.formats.kitti.read import folder_of

    return folder_of(split) if job.card.adapter == "kitti" else split


def _original(name: str) -> str:
    """Where the unchanged label lies beside the changed one: `a_gtFine_labelIds.original.png`."""
    path = PurePosixPath(name)
    return str(path.with_suffix(f".original{path.suffix}"))


class _Renaming:
    """The names of one variant."""

    def __init__(self, folder: str, stem: str, mark: str, *, video: bool, tail: str) -> None:
        self.stem, self.mark = stem, mark
        self.new = marked_stem(stem, mark, video=video)
        self.below = self.new + tail  # below the image folder
        self.image = f"{folder}/{self.below}" if folder else self.below

    @classmethod
    def of(cls, job: Job, scene: Scene, variant: Variant) -> _Renaming:
        """The scene's id holds the stem; what follows it in the image's name stays (`_leftImg8bit`)."""
        stem = scene.scene_id.removeprefix(f"{scene.split}/")
        base = scene.image.rpartition(".")[0]
        tail = "_leftImg8bit" if job.card.adapter == "cityscapes" else ""
        if not base.endswith(stem + tail):
            raise LabelError(f"{scene.scene_id}: the image {scene.image} does not hold its name")
        folder = base[: len(base) - len(stem + tail)].rstrip("/")
        return cls(
            folder,
            stem,
            job.mark(variant, job.card.adapter),
            video=job.card.adapter == "bdd100k",
            tail=tail + job.suffix(scene),
        )

    def listed(self, path: str) -> str:
        """A video's own label file."""
        stem, dot, suffix = path.rpartition(".")
        return f"{stem}{self.mark}{dot}{suffix}"

    def file(self, tree: LabelTree, path: str) -> str:
        """A label file of this scene alone: the stem in it becomes the variant's."""
        if tree.kind == "lines" and not path.endswith(
            f"{self.stem}.txt"
        ):  # YOLO's rule, where its lists name images in any folder
            return label_of(self.image)
        return rename_in(tree, path, self.stem, self.new)


Editor = Callable[[Job, Scene, LabelTree, str, Change], "bytes | None"]


def _frame_file(job: Job, scene: Scene, tree: LabelTree, path: str, change: Change) -> bytes:
    return edit_frame((job.root / path).read_bytes(), change)


def _mask(job: Job, scene: Scene, tree: LabelTree, path: str, change: Change) -> bytes | None:
    """A BDD100K mask with the pixels of its own ignored objects void."""
    own = frozenset(name for name in change.ignored if name.startswith(f"{tree.name}/"))
    ignored = union(masks_of(read_objects(job.card, job.root, scene), own)) if own else None
    return None if ignored is None else void(job.root / path, tree.kind, ignored)


def _polygons(job: Job, scene: Scene, tree: LabelTree, path: str, change: Change) -> bytes | None:
    if path != scene.label_file:  # the other of fine and coarse: its polygons have other numbers
        job.losses.add("polygons", "verdicts are on the scene's own label file; this one is carried as it is", path)
        return None
    return edit_polygons((job.root / path).read_bytes(), change.ignored)


def _id_image(job: Job, scene: Scene, tree: LabelTree, path: str, change: Change) -> bytes | None:
    """A Cityscapes label image with the pixels of ignored objects void."""
    ignored = _ignored_pixels(job, scene, change)
    return None if ignored is None or not ignored.any() else void(job.root / path, tree.kind, ignored)


def _ignored_pixels(job: Job, scene: Scene, change: Change) -> np.ndarray | None:
    from s2st_aug.formats.label_images import stored_size

    if scene.label_file is None or scene.label_key is None:
        return None
    if scene.label_file.endswith(".json"):
        record = parse_record(read_span(job.root / scene.label_file, scene.label_key), scene.label_file)
        return visible(record, change.ignored, stored_size(job.root / scene.image))
    return union(masks_of(read_objects(job.card, job.root, scene), change.ignored))


def _lines(job: Job, scene: Scene, tree: LabelTree, path: str, change: Change) -> bytes:
    data = (job.root / path).read_bytes()
    if job.card.adapter == "kitti":
        return edit_kitti(data, change.ignored)
    job.losses.add(
        "label", "YOLO has no region to ignore: the line of a lost object is left out", path, len(change.lost)
    )
    kept = len(change.ignored - change.lost)
    job.losses.add("verdict ignore", "YOLO has no region to ignore: the line stays", path, kept)
    return edit_yolo(data, change.lost)


EDITORS: dict[str, Editor] = {
    "frame_files": _frame_file,
    "polygons": _polygons,
    "lines": _lines,
    **dict.fromkeys(sorted(_MASKS), _mask),
    **dict.fromkeys(sorted(_ID_IMAGES), _id_image),
}
