"""comma10k's masks read and written; its README (https://github.com/commaai/comma10k) is what says how.

`imgs/x.png` and `masks/x.png`; images whose name ends in 9 are validated on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from s2st_aug.errors import LabelError
from s2st_aug.formats.base import Card, ConsumerView, LabelTree, VariantEdit
from s2st_aug.formats.file_tree import FileTreeWriter
from s2st_aug.formats.geometry import mask_box
from s2st_aug.formats.json_stream import read_span
from s2st_aug.formats.label_images import read_label_image, repainted, stored_size, union_of, within
from s2st_aug.formats.names import IMAGE_SUFFIXES, list_files, stem_of
from s2st_aug.formats.tree import FilesByStem, file_key
from s2st_aug.records.scene import UNKNOWN, Scene, SceneObject

COLOURS = {
    0x402020: "road",
    0xFF0000: "lane markings",
    0x808060: "undrivable",
    0x00FF66: "movable",
    0xCC00FF: "my car",
}
EMPTY = frozenset({0x000000, 0xFFFFFF})
"""what earlier versions of the README call empty; a region to ignore is written so"""
OURSELVES = "my car"
HELD_OUT = "9"


def read_scenes(card: Card, root: Path, split: str) -> Iterator[Scene]:
    """The images of a split; where any has a mask, images without are left out."""
    masks = FilesByStem.collect(card, root, split)
    for name in list_files(root / card.images, IMAGE_SUFFIXES):
        stem = stem_of(name)
        own = next(iter(masks.of(stem)), None)
        if stem.endswith(HELD_OUT) == (split == "val") and (own or not masks.files):
            key = file_key(root / own) if own else None
            yield Scene(f"{split}/{stem}", card.name, split, f"{card.images}/{name}", own, key)


def read_objects(card: Card, root: Path, scene: Scene) -> tuple[SceneObject, ...]:
    """One region a colour; our own car is none. Raises LabelError for what is no colour mask."""
    if scene.label_file is None or scene.label_key is None:
        return ()
    read_span(root / scene.label_file, scene.label_key)
    pixels = read_label_image(root / scene.label_file)
    if pixels.ndim != 3 or pixels.shape[2] < 3 or pixels.dtype != np.uint8:
        raise LabelError(f"{scene.label_file}: expected an RGB mask, found shape {pixels.shape} of {pixels.dtype}")
    wide = pixels.astype(np.uint32)
    codes = wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
    return tuple(within(_regions(codes), scene.label_file))


def _regions(codes: np.ndarray) -> Iterator[SceneObject]:
    strange = np.zeros(codes.shape, bool)
    for code in np.unique(codes).tolist():
        mask, name = codes == code, COLOURS.get(code)
        if name is not None and name != OURSELVES:
            yield SceneObject(name, "stuff", name, mask_box(mask), mask=mask)
        elif name is None and code not in EMPTY:
            strange |= mask
    if strange.any():
        colour = f"#{int(codes[strange][0]):06x}"
        told = f"{int(strange.sum())} pixels are of no class's colour, the first {colour}"
        yield SceneObject("other", "stuff", UNKNOWN, mask_box(strange), mask=strange, unsound=told)


class MasksWriter(FileTreeWriter):
    """comma10k to comma10k: a region to ignore is empty (black)."""

    def edit_file(self, scene: Scene, tree: LabelTree, path: str, edit: VariantEdit) -> bytes | None:
        """The mask with the ignored regions black."""
        ignored = union_of(read_objects(self.context.card, self.context.root, scene), edit.ignored)
        if ignored is None:
            return None

        def paint(pixels: np.ndarray) -> None:
            pixels[..., :3][ignored] = 0

        return repainted(self.context.root / path, paint)


def open_export(card: Card, folder: Path, split: str) -> ConsumerView:
    """Images and masks of one name and one size. Raises ValueError for a mask that is missing or of another size."""
    view = ConsumerView(classes=tuple(COLOURS.values()), whole_labels=False)
    for scene in read_scenes(card, folder, split):
        sizes = {stored_size(folder / name) for name in (scene.image, scene.label_file) if name}
        if len(sizes) > 1:
            raise ValueError(f"{scene.label_file} is of another size than {scene.image}")
        view.add(scene.image, ())
    return view
