"""YOLO (detect and segment) with its data.yaml. Labels are fractions of the upright image, whose header is read."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from s2st_aug.errors import DatasetError, LabelError, NoImages
from s2st_aug.formats.base import Card
from s2st_aug.formats.geometry import outline_box
from s2st_aug.formats.json_stream import read_span
from s2st_aug.formats.label_images import upright_size
from s2st_aug.formats.names import IMAGE_SUFFIXES, LookAlikes, list_files, safe_name, stem_of
from s2st_aug.formats.pixels import NOWHERE
from s2st_aug.formats.text_lines import TextLine, text_lines
from s2st_aug.formats.tree import SPELLINGS, file_key, is_there
from s2st_aug.formats.values import coordinate
from s2st_aug.formats.yolo.names import ClassNames, class_names, data_file, data_yaml
from s2st_aug.records.scene import UNKNOWN, ObjectKind, Scene, SceneObject

_BOX, _SCORED = 4, 5
REMARKED = 200  # scenes whose files are looked at for what is amiss with a split
_SLACK = 0.01
"""of a fraction beyond 0 or 1, as Ultralytics allows"""


def read_scenes(card: Card, root: Path, split: str) -> Iterator[Scene]:
    """The images of a split; an image without a label file is a background image, and a scene without objects."""
    named, stems = bool(class_names(card, root).names), _stems(list(_images(card, root, split)))
    if not stems and (told := _named_places(root, split)):
        raise NoImages(f"{root}: no image lies where {told}")
    labels, alike = {label_of(image) for image in stems}, LookAlikes(root)
    for image, stem in stems.items():
        own = label_of(image)
        found = own if is_there(root / own) else None
        other = alike.of(own) if found is None else None
        if other is not None and other not in labels:
            raise DatasetError(
                f"{root / other}: differs from {own}, the label of {image}, only in case or Unicode form; rename one"
            )
        key = file_key(root / found) if found else None
        if key is not None and key.length and not named:
            raise DatasetError(
                f"{root}: no file names the classes of {found}; put `names` into data.yaml, or one name per line into"
                " classes.txt"
            )
        yield Scene(f"{split}/{stem}", card.name, split, image, found, key)


def _stems(images: list[tuple[str, str]]) -> dict[str, str]:
    """Each image once, to its scene's name: that below its own folder, the whole path where two folders share it.

    Raises DatasetError for two files that differ in their suffix alone: they would share one label file.
    """
    shared = Counter(stem_of(below) for below in dict(images).values())
    found: dict[str, str] = {}
    files: dict[str, str] = {}
    for image, below in images:
        stem = stem_of(below) if shared[stem_of(below)] == 1 else stem_of(image)
        if files.setdefault(stem, image) != image:
            raise DatasetError(
                f"data.yaml: {files[stem]} and {image} differ only in their suffix and share one label file;"
                " rename one of them"
            )
        found[image] = stem
    return found


def label_of(image: str) -> str:
    """Ultralytics' rule: the last folder `images` becomes `labels`, the suffix `.txt`."""
    parts = list(PurePosixPath(stem_of(image)).parts)
    places = [i for i, part in enumerate(parts[:-1]) if part == "images"]
    if places:
        parts[places[-1]] = "labels"
    return "/".join(parts) + ".txt"


def _images(card: Card, root: Path, split: str) -> Iterator[tuple[str, str]]:
    """Every image below the root, and its name below its own folder."""
    for place in places(root, split) or [usual_place(card, root, split)]:
        if place.endswith(".txt"):
            yield from ((name, name) for name in _listed(root, place))
        else:
            yield from ((f"{place}/{name}", name) for name in list_files(root / place, IMAGE_SUFFIXES))


def usual_place(card: Card, root: Path, split: str) -> str:
    """Where a split's images lie that data.yaml does not name: `images/train`, or Roboflow's `train/images`."""
    spelled = SPELLINGS.get(split, (split,))
    folders = [f"{card.images.format(split=name)}" for name in spelled] + [f"{name}/images" for name in spelled]
    return next((folder for folder in folders if (root / folder).is_dir()), folders[0])


def places(root: Path, split: str) -> list[str]:
    """The folders, or lists of files, that data.yaml names for a split, below the root; none where it is silent."""
    data = data_yaml(root)
    found = data.get(split, data.get("valid") if split == "val" else None) if data else None
    if found is None:
        return []
    base = str(data.get("path") or "")
    return [_below(root, base, str(place)) for place in (found if isinstance(found, list) else [found])]


def _named_places(root: Path, split: str) -> str:
    """What data.yaml says of a split, as half a sentence; empty where it is silent."""
    file, data = data_file(root), data_yaml(root)
    key = "valid" if split == "val" and "val" not in data else split
    return f"{file.name} looks for `{key}`: {data[key]!a:.200}" if file and data.get(key) is not None else ""


def split_files(root: Path, split: str) -> list[str]:
    """The lists of images that data.yaml names for a split."""
    return [place for place in places(root, split) if place.endswith(".txt") and (root / place).is_file()]


def listed_classes(card: Card, root: Path, scenes: list[Scene]) -> list[str]:
    """The dataset's classes by their numbers; none where the tree names none, whatever the card says."""
    return class_names(card, root).listed()


def _below(root: Path, base: str, place: str) -> str:
    """A place of data.yaml below the root, which may be named in full; Roboflow's leading `../` means the root."""
    for name in (f"{base}/{place}" if base and not Path(base).is_absolute() else place, place):
        clean = name.removeprefix(f"{root}/")
        while clean.startswith(("../", "./")):
            clean = clean.partition("/")[2]
        clean = safe_name(clean, "data.yaml")
        if (root / clean).exists():
            return clean
    return clean


def _listed(root: Path, place: str) -> list[str]:
    try:
        data = (root / place).read_bytes()
        lines = [line.text.decode("utf-8-sig").strip() for line in text_lines(data)]
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{root / place}: cannot be read: {error}") from None
    return [_listed_image(root, place, line) for line in lines if line]


def _listed_image(root: Path, place: str, line: str) -> str:
    """An image of a list, below the root: a leading `./` means the list's folder, as Ultralytics has it."""
    folder = place.rpartition("/")[0]
    name = line.removeprefix(f"{root}/").removeprefix("./")
    if folder and line.startswith("./"):
        beside = posixpath.normpath(f"{folder}/{name}")
        if not beside.startswith("..") and ((root / beside).is_file() or not (root / name).is_file()):
            name = beside
    return safe_name(name, place)


def read_objects(card: Card, root: Path, scene: Scene) -> tuple[SceneObject, ...]:
    """One object a line: a box of four fractions, a pose by its box, or a polygon of more.

    A line that is none of these is an unsound object. Raises LabelError where the image's size cannot be read.
    """
    if scene.label_file is None or scene.label_key is None:
        return ()
    lines = [line for line in text_lines(read_span(root / scene.label_file, scene.label_key)) if line.words]
    if not lines:
        return ()
    size, names, points = upright_size(root / scene.image), class_names(card, root), key_points(root)
    return tuple(_object(line, size, names, points) for line in lines)


def key_points(root: Path) -> tuple[int, int] | None:
    """`kpt_shape` of data.yaml, how many points of how many values a pose has; None where labels are no poses."""
    shape = data_yaml(root).get("kpt_shape")
    good = isinstance(shape, list) and len(shape) == 2 and all(type(n) is int and 0 < n < 10_000 for n in shape)
    return (shape[0], shape[1]) if good else None  # type: ignore[index]


def _object(line: TextLine, size: tuple[int, int], names: ClassNames, points: tuple[int, int] | None) -> SceneObject:
    where = f"line {line.index + 1}"
    values, wrong = _values(line, where)
    category, unnamed = _category(line.words[0], names, where)
    kind, shapeless = ("box", wrong) if wrong else _form(values, points, where)
    unsound = (line.broken and f"{where}: {line.broken}") or shapeless or unnamed
    if shapeless:
        return SceneObject(str(line.index), "box", category, NOWHERE, unsound=unsound)
    if kind == "box":
        cx, cy, w, h = (float(v) for v in values[:_BOX] * np.asarray([*size, *size]))
        box = (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
        return SceneObject(str(line.index), "box", category, box, unsound=unsound)
    outline = values.reshape(-1, 2) * np.asarray(size, dtype=np.float64)
    return SceneObject(str(line.index), "polygon", category, outline_box((outline,)), (outline,), unsound=unsound)


def _values(line: TextLine, where: str) -> tuple[np.ndarray, str | None]:
    """The numbers after the class, and what is wrong with them."""
    try:
        return np.asarray([coordinate(word, where) for word in line.words[1:]]), None
    except LabelError as error:
        return np.zeros(0), str(error)


def _category(word: str, names: ClassNames, where: str) -> tuple[str, str | None]:
    """The class's name from its number, `1.0` too, as numpy writes and Ultralytics reads it; or why it has none."""
    try:
        value = float(word)
    except ValueError:
        value = -1.0
    if not (0 <= value < 1e9 and value == int(value)):
        return UNKNOWN, f"{where}: expected a class number, found {ascii(word)[:40]}"
    name = names.of(int(value))
    said = f"of the {len(names.names)} in {names.file or 'the card'}"
    return (name, None) if name else (UNKNOWN, f"{where}: class {int(value)} is none {said}")


def _form(values: np.ndarray, points: tuple[int, int] | None, where: str) -> tuple[ObjectKind, str | None]:
    """What a line draws, `box` or `polygon`, and what is wrong with its numbers."""
    count = len(values)
    pose = points is not None or _looks_like_pose(values)
    fractions = values[:_BOX] if pose or count <= _SCORED else values
    if count < _BOX:
        return "box", f"{where}: expected a class number and four fractions or more, found {count}"
    if not (fractions.min() >= -_SLACK and fractions.max() <= 1 + _SLACK):
        return "box", f"{where}: its numbers are no fractions of the image"
    if points is not None:
        fit = count in {_BOX, _SCORED} | {_BOX + points[0] * n for n in (points[1], 2, 3)}
        told = f"{where}: {count} numbers, kpt_shape {list(points)} asks for {_BOX + points[0] * points[1]}"
        return "box", None if fit else told
    if count <= _SCORED or pose:
        return "box", None
    return (
        "polygon",
        None if count % 2 == 0 else f"{where}: {count} numbers are no polygon, and data.yaml has no kpt_shape",
    )


def _looks_like_pose(values: np.ndarray) -> bool:
    """A box and then points of which every third value is a visibility (0, 1, 2), inside of it where they are seen."""
    rest = values[_BOX:]
    if len(values) <= _SCORED or len(rest) % 3 or len(rest) < 9:
        return False
    x, y, seen = rest[0::3], rest[1::3], rest[2::3]
    if not np.isin(seen, (0, 1, 2)).all() or not (seen == 2).any():
        return False
    cx, cy, w, h = values[:_BOX]
    near = (abs(x - cx) <= w) & (abs(y - cy) <= h)
    return bool(near[seen > 0].all())


def remarks(card: Card, root: Path, split: str, scenes: Sequence[Scene]) -> Iterator[str]:
    """What is amiss with names, and files that hold boxes and outlines, which Ultralytics reads as outlines alone."""
    if names := class_names(card, root).problem:
        yield names
    points, mixed, marked = key_points(root), [], []
    for scene in scenes[:REMARKED]:
        if scene.label_file is not None and scene.label_key is not None:
            data = read_span(root / scene.label_file, scene.label_key)
            counts = {len(line.words) > 1 + _SCORED for line in text_lines(data) if line.words}
            mixed += [scene.label_file] if len(counts) == 2 and points is None else []
            marked += [scene.label_file] if data.startswith(b"\xef\xbb\xbf") else []
    if marked:
        yield (
            f"{len(marked)} label files begin with a byte-order mark, the first {marked[0]}: Ultralytics drops their"
            " images"
        )
    if mixed:
        yield (
            f"{len(mixed)} label files hold boxes and outlines, the first {mixed[0]}: Ultralytics takes a box there for"
            " an outline of two points"
        )
