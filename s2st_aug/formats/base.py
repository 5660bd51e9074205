"""What the author of a dataset format writes against: a dataset's card, and `DatasetFormat`.

A format is a folder with one `DatasetFormat` object and one line in a registry (`s2st_aug.formats.registry`). Nobody
outside of the folder compares a format's name: what differs from format to format is a field here.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, Field

from s2st_aug.errors import LabelError
from s2st_aug.formats.loss_report import LossReport
from s2st_aug.formats.names import DISK_LIMIT, shortened
from s2st_aug.records.scene import Scene, SceneObject

_ORIGINAL = ".original"
"""what the name of an unchanged label file has more, beside the changed one"""


class ClassInfo(BaseModel):
    """One category: its name in the dataset, its number there, and what it is called elsewhere."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    name: str
    """its name in the dataset"""
    id: int | None = None
    """its number there; null: none [no unit]"""
    also: tuple[str, ...] = ()
    """other spellings met in the wild"""
    cityscapes: str | None = None
    """what Cityscapes calls it; null: nothing"""
    kitti: str | None = None
    """what KITTI calls it; null: nothing"""


class LabelTree(BaseModel):
    """One kind of label and where it lies: `{split}` is the split, `{stem}` the image's name, `*` any name."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    name: str
    """name of this kind of label"""
    kind: str
    """one of the format's `label_kinds`"""
    path: str
    """where its files lie below the root: `{split}` is the split, `{stem}` the image's name, `*` any name"""
    images: str | None = None
    """the image folder that goes with it; null: the card's"""


class Card(BaseModel):
    """A dataset's card (`datasets/<name>.yaml`)."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    name: str
    """name of the card, as `dataset.format` says it"""
    title: str
    """the dataset's full name"""
    licence: str
    """its licence, with its address"""
    terms: str
    """what the licence allows, in words"""
    where: str
    """where to get it"""
    adapter: str
    """a format of the registry, or `package.module:OBJECT`"""
    exif: str
    """whether an orientation tag of the images is applied, and why"""
    images: str
    """image folder below the root; `{split}` is the split"""
    splits: tuple[str, ...]
    """its splits"""
    labels: tuple[LabelTree, ...] = ()
    """kinds of labels that may be there"""
    classes: tuple[ClassInfo, ...] = ()
    """its categories"""
    source: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """image attribute to values that make a day source"""
    notes: str = ""
    """what else to know of it"""
    rescale_labels: bool = False
    """as `dataset.rescale_labels` of a run"""

    def category(self, name: str) -> ClassInfo | None:
        """The class of that name or other spelling, or None."""
        return next((c for c in self.classes if name == c.name or name in c.also), None)


@dataclass(frozen=True, slots=True)
class VariantNames:
    """The names of one variant in an export to the source's own format.

    >>> scene = Scene("train/b1/b1-0000001", "bdd100k_track", "train", "images/track/train/b1/b1-0000001.jpg")
    >>> variant_names(scene, "__night", ".jpg", by_video=True).image
    'images/track/train/b1__night/b1-0000001.jpg'
    """

    source: str  # the scene's own stem: what `{stem}` is in its label files
    stem: str  # the variant's
    mark: str  # what tells the one from the other
    image: str  # the variant's image, below the dataset's root
    below: str  # the same below the image folder, as label records spell it


def variant_names(scene: Scene, mark: str, suffix: str, *, tail: str = "", by_video: bool = False) -> VariantNames:
    """The variant's names: the mark ends the stem, or (`by_video`) the video's folder, so that a video stays whole.

    `tail` is what follows the stem in names of images (Cityscapes: `_leftImg8bit`), if it does; `suffix` is the
    variant's file type with its dot. Raises LabelError where the image's name does not end in the scene's stem.
    """
    source = scene.scene_id.removeprefix(f"{scene.split}/")
    base = scene.image.rpartition(".")[0]
    tail = tail if base.endswith(source + tail) else ""
    if not base.endswith(source + tail):
        raise LabelError(f"{scene.scene_id}: the image {scene.image} does not hold its name")
    folder = base[: len(base) - len(source + tail)].rstrip("/")
    video, slash, name = source.rpartition("/")
    stem = f"{video}{mark}/{name}" if by_video and slash else source + mark
    below = stem + tail + suffix
    return VariantNames(source, stem, mark, f"{folder}/{below}" if folder else below, below)


def within_disk_limit(names: VariantNames, trees: tuple[LabelTree, ...]) -> VariantNames:
    """The same names, the part with the mark cut where it, or a label file that is called so, is too long for a disk.

    It then holds a hash of the source's stem before the mark.
    """
    most = DISK_LIMIT - len(_ORIGINAL)
    tail = _longest_tail(tuple(tree.path for tree in trees))
    if len(os.fsencode(names.image)) + tail <= most:
        return names
    part = next(part for part in reversed(names.stem.split("/")) if part.endswith(names.mark))
    tails = [found[len(part) :] for found in names.image.split("/") if found.startswith(part)]
    longest = most - max([tail, *(len(os.fsencode(found)) for found in tails)])
    if len(os.fsencode(part)) <= longest:
        return names
    room = longest - len(os.fsencode(names.mark))
    short = shortened(part.removesuffix(names.mark), room, names.source) + names.mark
    stem, image, below = (text.replace(part, short) for text in (names.stem, names.image, names.below))
    return replace(names, stem=stem, image=image, below=below)


@lru_cache(maxsize=16)
def _longest_tail(patterns: tuple[str, ...]) -> int:
    """Bytes of what follows the stem in names of label files, by the paths of their trees."""
    tails = [pattern.rpartition("{stem}")[2] for pattern in patterns if "{stem}" in pattern]
    return max(len(os.fsencode(tail)) for tail in [".json", *tails])


@dataclass(frozen=True, slots=True)
class VariantEdit:
    """What an export changes in a scene's labels for one variant: names, domain, labels that no longer hold."""

    domain: str
    names: VariantNames
    ignored: frozenset[str] = frozenset()  # ids of the objects that training has to leave out
    lost: frozenset[str] = frozenset()  # those of them that the variant shows no more


@dataclass(frozen=True, slots=True)
class ConvertedImage:
    """One image of a conversion in the target's terms: a real one, or a variant with what its verdicts ask for."""

    stem: str  # of the target's file, without the variant's mark: one name without folders, the same in every format
    mark: str  # empty for a real image
    suffix: str
    size: tuple[int, int]  # width, height
    objects: tuple[SceneObject, ...]
    attributes: dict[str, str]
    domain: str | None
    ignored: frozenset[str]
    lost: frozenset[str]
    where: str  # the scene, for the report
    split: str = "train"  # as formats other than KITTI call it

    def is_ignored(self, item: SceneObject) -> bool:
        """Whether training should leave this label alone: by a verdict, or a crowd from the start."""
        return item.object_id in self.ignored or item.crowd


@dataclass(frozen=True, slots=True)
class ClassList:
    """The classes that a conversion lists: those that the dataset declares, else those that it holds.

    `kinds` says what kinds of objects a class has in the data, where it declares none. `spelling` gives the one name
    for a class that the data spells in several ways.
    """

    names: tuple[str, ...] = ()
    kinds: dict[str, frozenset[str]] = field(default_factory=dict)
    spelling: dict[str, str] = field(default_factory=dict)

    def of(self, kinds: Iterable[str]) -> list[str]:
        """The classes in the dataset's order, without those that have no object of the kinds."""
        wanted = frozenset(kinds)
        return [name for name in self.names if name not in self.kinds or self.kinds[name] & wanted]

    def name(self, category: str) -> str:
        """What the export calls a category of the data."""
        return self.spelling.get(category, category)


@dataclass(slots=True)
class ConsumerView:
    """What programs that train on a format find in an exported folder, by their documented rules."""

    images: dict[str, Counter[str]] = field(default_factory=dict)  # below the folder -> labels by class, ignored too
    ignored: Counter[str] = field(default_factory=Counter)  # image -> labels that training leaves alone
    classes: tuple[str, ...] = ()  # that the export lists
    complaints: list[tuple[str, str]] = field(default_factory=list)  # what they would drop or misread, and where
    whole_labels: bool = True  # whether every label is counted, and once
    notes: list[str] = field(default_factory=list)  # what whoever trains has to know

    def add(self, image: str, labels: Iterable[str] | Counter[str], ignored: int = 0) -> None:
        """One image that was found, with the classes of its labels, one by one or counted."""
        if image in self.images:
            self.complaints.append(("listed twice", image))
        self.images[image] = Counter(labels)
        self.ignored[image] = ignored


class OutputFiles(Protocol):
    """The folder that an export writes, by POSIX names below it."""

    partial: Path  # where it is built
    sha256: dict[str, str]  # the names so far, with the hash of what is written ("" while it is under way)

    def write(self, name: str, data: bytes) -> None:
        """A file of its own bytes."""
        ...

    def place(self, name: str, source: str | Path, expected: str | None = None) -> None:
        """A copy of (or a link to) a file, which is there once the writer has finished."""
        ...

    def path(self, name: str) -> Path:
        """Where a file is to be written by hand; its folder is made."""
        ...


class Placed(NamedTuple):
    """What an image of the export shows."""

    scene_id: str
    source: str  # `real`, or the domain


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteContext:
    """What a writer gets: the source dataset, the output folder, and the report of what the format cannot hold."""

    card: Card
    root: Path
    split: str
    output: OutputFiles
    losses: LossReport = field(default_factory=LossReport)
    classes: ClassList = field(default_factory=ClassList)
    held_out: dict[str, int] = field(default_factory=dict)  # other splits that go out too, as they are: images
    labels: dict[str, int] = field(default_factory=dict)  # image -> labels written, where a writer counts them
    images: dict[str, Placed] = field(default_factory=dict)  # of the split, below the export


class NativeWriter(Protocol):
    """Writes the labels of an export to the source's own format; images are placed by the export."""

    def add_source(self, scene: Scene) -> None:
        """The labels of a real image, as they are."""
        ...

    def add_variant(self, scene: Scene, edit: VariantEdit) -> None:
        """The labels of a variant: the source's, byte for byte but for what the edit asks."""
        ...

    def finish(self) -> None:
        """What belongs to the dataset as a whole; the names of all images are known by now."""
        ...


class ConversionWriter(Protocol):
    """Writes a dataset of another format as one of this format."""

    png_only: bool  # images go out as PNG, whatever the source's are

    def image_name(self, image: ConvertedImage) -> str:
        """Where the image goes."""
        ...

    def add(self, image: ConvertedImage) -> None:
        """Its labels; what they say that the format cannot hold goes into the loss report."""
        ...

    def finish(self) -> None:
        """What belongs to the dataset as a whole."""
        ...


def _mark(domain: str) -> str:
    return f"__{domain}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetFormat:
    """A dataset format: how it is read, and how a variant's labels are written.

    The first four fields must be given: such a dataset can be read, translated, checked and converted to other formats.
    With `native_writer` it can be exported as what it is, with `conversion_writer` other datasets can be exported to
    it.
    """

    name: str  # as a card's `adapter` and `export --format` spell it
    title: str  # as people spell it
    read_scenes: Callable[[Card, Path, str], Iterator[Scene]]
    """Card, root and split to the scenes, in a stable order and without opening an image. Raises DatasetError."""
    read_objects: Callable[[Card, Path, Scene], tuple[SceneObject, ...]]
    """Card, root and scene to its labels in source pixels. Raises LabelError."""

    label_kinds: frozenset[str] = frozenset()
    """What a card may call its label trees; empty: anything."""
    orientation: Literal["apply", "ignore"] = "ignore"
    """Whether labels are in the pixels as stored, or (`apply`) in the upright image's, after its EXIF orientation."""
    lists_name_images: bool = False
    """Whether label lists say which images there are: without their folder every row of a run would fail."""
    declared_size: Callable[[Card, Path, Scene], tuple[int, int] | None] | None = None
    """Card, root and scene to the width and height that its label file gives the image; None where it says nothing."""
    remarks: Callable[[Card, Path, str, Sequence[Scene]], Iterator[str]] | None = None
    """Card, root, split and its scenes to what is amiss with the split as a whole, one sentence each."""
    own_layout: bool = False
    """Whether files of the dataset say where its images and labels lie, and not the card alone."""
    labels_need_image: bool = False
    """Whether reading a scene's labels opens its image, for its size."""
    split_folder: Callable[[str], str] = str
    """A split to what `{split}` stands for in the card's paths."""

    mark: Callable[[str], str] = _mark
    """A domain to what the name of a variant has more than its source's: `__night`."""
    variant_names: Callable[[Scene, str, str], VariantNames] = variant_names
    """Scene, mark and the suffix of the variant's image file to the names of the variant."""
    native_writer: Callable[[WriteContext], NativeWriter] | None = None
    """It says how a lost label is written: KITTI's becomes DontCare, COCO's iscrowd, YOLO's line is left out."""

    holds_ignored: bool = True
    """Whether it can say that training should leave a label alone; YOLO cannot: the export asks what to do."""
    class_names: Callable[[Card, Path, list[Scene]], list[str]] | None = None
    """The classes that the dataset's own files list, in their order; None, or an empty list: they list none."""
    split_files: Callable[[Path, str], list[str]] | None = None
    """Lists of a split's images, below the root, which go along where the split is copied as it is."""
    open_export: Callable[[Card, Path, str], ConsumerView] | None = None
    """Card, exported folder and split to what its usual consumers find there. Raises ValueError, KeyError, OSError."""
    conversion_writer: Callable[[WriteContext], ConversionWriter] | None = None
    not_carried: str | None = None
    """What its label files say that no other format is given; None: nothing."""
    holds_image_attributes: bool = False
    """Whether it holds weather, time of day and scene of an image."""
    prefers_outlines: bool = False
    """Whether, of a thing that the source has in several forms, it takes the one with the most outlines."""
