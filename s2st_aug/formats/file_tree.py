"""Out in the format that came in, where a scene has label files of its own: the source's tree, names with a mark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from s2st_aug.formats.base import LabelTree, VariantEdit, VariantNames, WriteContext
from s2st_aug.formats.references import label_files
from s2st_aug.formats.tree import rename_in, tree_of
from s2st_aug.records.scene import LabelKey, Scene


class FileTreeWriter:
    """A native writer, one label file a scene and tree. A format overrides `edit_file`, and what else differs."""

    keeps_originals = False  # whether the unchanged label lies beside the changed one: `a_labelIds.original.png`

    def __init__(self, context: WriteContext) -> None:
        self.context = context

    def edit_file(self, scene: Scene, tree: LabelTree, path: str, edit: VariantEdit) -> bytes | None:
        """The bytes of a label file (`path`, below the root) for the variant; None carries the file as it is."""
        return None

    def tree_of(self, scene: Scene, path: str) -> LabelTree | None:
        """The tree of the card that a label file belongs to."""
        return tree_of(path, scene.split, self.context.card.labels)

    def new_name(self, tree: LabelTree, path: str, names: VariantNames) -> str:
        """What a label file is called for the variant: the stem in it becomes the variant's."""
        return rename_in(tree, path, names.source, names.stem)

    def finish(self) -> None:
        """Nothing belongs to the dataset as a whole."""

    def labels_of(self, scene: Scene) -> Iterator[tuple[str, LabelKey | None, LabelTree | None]]:
        """The scene's label files: path, the key of its record in a larger one, and the tree that it belongs to."""
        for path, key in label_files(scene):
            yield path, key, self.tree_of(scene, path)

    def add_source(self, scene: Scene) -> None:
        """The labels of a real image, as they are."""
        for path, key, tree in self.labels_of(scene):
            self.carry(scene, tree, path, key)

    def carry(self, scene: Scene, tree: LabelTree | None, path: str, key: LabelKey | None) -> None:
        """A label file of the real image, once."""
        if path not in self.context.output.sha256:
            self.context.output.place(path, self.context.root / path)

    def add_variant(self, scene: Scene, edit: VariantEdit) -> None:
        """The labels of a variant: files with its name."""
        for path, _, tree in self.labels_of(scene):
            self.put(scene, tree, path, edit)

    def put(self, scene: Scene, tree: LabelTree | None, path: str, edit: VariantEdit) -> None:
        """A label file of the variant, edited where its format says so."""
        if tree is None:
            self.context.losses.add("file", "no tree of the card names it", path)
            return
        new, changed = self.new_name(tree, path, edit.names), self.edit_file(scene, tree, path, edit)
        if changed is None:
            self.context.output.place(new, self.context.root / path)
            return
        self.context.output.write(new, changed)
        if self.keeps_originals:
            name = PurePosixPath(new)
            original = str(name.with_suffix(f".original{name.suffix}"))
            self.context.output.place(original, self.context.root / path)
