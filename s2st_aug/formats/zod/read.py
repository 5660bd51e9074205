"""ZOD Frames: `single_frames/<id>` with a camera image and annotations of it; boxes are the points of GeoJSON features.

Told by the public development kit (https://github.com/zenseact/zod, zod/anno/object.py and zod/data_classes/info.py):
`trainval-frames-<version>.json` lists each split's frames with the paths of their files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from s2st_aug.errors import DatasetError, LabelError
from s2st_aug.formats.base import Card
from s2st_aug.formats.json_stream import ARRAY, Element, read_record, stream
from s2st_aug.formats.names import IMAGE_SUFFIXES, list_files, safe_name, unique, unique_ids
from s2st_aug.formats.pixels import NOWHERE
from s2st_aug.formats.tree import FilesByStem, file_key, tree_of
from s2st_aug.formats.values import plain_name, vertex
from s2st_aug.records.scene import UNKNOWN, LabelKey, Scene, SceneObject

LISTS = ("trainval-frames-full.json", "trainval-frames-mini.json")
OBJECTS = "object_detection.json"
PARTED = frozenset({"Vehicle", "VulnerableVehicle"})
"""classes whose type is told too: `Vehicle_Car`"""
_CLEAR = ("None", "Undefined", "Light", None)
"""of `occlusion_ratio`: what still counts as seen"""


@dataclass(frozen=True, slots=True)
class FrameInfo:
    """One frame of a split: its id and where its camera image is, below the root."""

    frame_id: str
    image: str


def read_scenes(card: Card, root: Path, split: str) -> Iterator[Scene]:
    """The frames that the list names for the split; without a list every folder is of `train`."""
    files, seen = FilesByStem.collect(card, root, split), set[str]()
    for info in frames(card, root, split):
        found = files.of(info.frame_id)
        own = next((file for file in found if file.endswith(f"/{OBJECTS}")), None)
        yield Scene(
            unique(f"{split}/{info.frame_id}", seen, "frames"),
            card.name,
            split,
            info.image,
            own,
            file_key(root / own) if own else None,
            {},
            tuple(file for file in found if file != own),
        )


def frames(card: Card, root: Path, split: str) -> Iterator[FrameInfo]:
    """Frames of a split with their image; raises DatasetError for a list that is none."""
    listed = next((name for name in LISTS if (root / name).is_file()), None)
    if listed is not None:
        for element in records(root / listed, split):
            yield info_of(element, listed)
    elif split == card.splits[0]:
        seen: set[str] = set()
        for name in list_files(root / card.images, IMAGE_SUFFIXES):
            frame = name.partition("/")[0]
            if "/camera_front" in f"/{name}" and frame not in seen:
                seen.add(frame)
                yield FrameInfo(safe_name(frame, card.images), f"{card.images}/{name}")


def records(path: Path, split: str) -> Iterator[Element]:
    """The records of a split in a list of frames."""
    yield from (e for e in stream(path) if e.array == split and e.value is not ARRAY)


def info_of(element: Element, file: str) -> FrameInfo:
    """Id and front image of a record, whose keys are in camel case or with underscores."""
    where = f"{file} at byte {element.start}"
    value = element.value if isinstance(element.value, dict) else {}
    frame = safe_name(value.get("id"), where)
    cameras = value.get("cameraFrames", value.get("camera_frames"))
    fronts = [shots for name, shots in cameras.items() if "front" in name] if isinstance(cameras, dict) else []
    shot = fronts[0][0] if fronts and isinstance(fronts[0], list) and fronts[0] else None
    if "/" in frame or not isinstance(shot, dict):
        raise DatasetError(f"{where}: expected a frame with an id and an image of its front camera")
    return FrameInfo(frame, safe_name(shot.get("filepath"), where))


def read_objects(card: Card, root: Path, scene: Scene) -> tuple[SceneObject, ...]:
    """One object a feature. Raises LabelError for a file that is no list of features."""
    found: list[SceneObject] = []
    own = (scene.label_file,) if scene.label_file else ()
    for index, path in enumerate([*own, *scene.extra_files]):
        tree = tree_of(path, scene.split, card.labels)
        if tree is not None and tree.kind == "objects":
            key = scene.label_key if path == scene.label_file else file_key(root / path)
            prefix = f"{tree.name}/" if index or not own else ""
            found += _features(root / path, key, path, prefix)
    return unique_ids(found)


def _features(path: Path, key: LabelKey | None, where: str, prefix: str) -> Iterator[SceneObject]:
    record = read_record(path, key or file_key(path), where)
    if not isinstance(record, list):
        raise LabelError(f"{where}: expected a list of features, found {type(record).__name__}")
    yield from (_object(feature, prefix + name_of(feature, index), index) for index, feature in enumerate(record))


def name_of(feature: Any, index: int) -> str:
    """What a feature's object is called: by its uuid, by its place without one."""
    said = feature.get("properties") if isinstance(feature, dict) else None
    return str(said.get("annotation_uuid", index)) if isinstance(said, dict) else str(index)


def _object(feature: Any, name: str, index: int) -> SceneObject:
    said = feature.get("properties") if isinstance(feature, dict) else None
    if not isinstance(said, dict):
        return SceneObject(name, "box", UNKNOWN, NOWHERE, unsound=f"feature {index}: it has no properties")
    given, part = plain_name(said.get("class")), plain_name(said.get("type"))
    category = f"{given}_{part}" if given in PARTED and part else given
    try:
        box, broken = _box(feature, f"feature {index}"), None if given else f"feature {index}: it has no class"
    except LabelError as error:
        box, broken = NOWHERE, str(error)
    return SceneObject(
        name,
        "box",
        category or UNKNOWN,
        box,
        crowd=is_left_out(said),
        occluded=said.get("occlusion_ratio") not in _CLEAR,
        unsound=broken,
    )


def is_left_out(said: dict[str, Any]) -> bool:
    """Whether the development kit leaves an object out of training: unclear, inconclusive, a reflection, a picture."""
    unclear = said.get("unclear") in (True, "True") or said.get("class") == "Inconclusive"
    return unclear or said.get("artificial") not in (None, "None", False)


def _box(feature: dict[str, Any], where: str) -> tuple[float, float, float, float]:
    """The box around a feature's points, as the development kit takes it."""
    geometry = feature.get("geometry")
    points = geometry.get("coordinates") if isinstance(geometry, dict) else None
    if not isinstance(points, list) or not points:
        raise LabelError(f"{where}: expected a geometry with coordinates")
    xs, ys = zip(*(vertex(point, where) for point in points), strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def folder_of(image: str, frame: str) -> tuple[str, str]:
    """What stands before and behind a frame's folder in the name of its image; raises LabelError without one."""
    parts = list(PurePosixPath(image).parts)
    if frame not in parts[:-1]:
        raise LabelError(f"{frame}: the image {image} does not lie in its folder")
    at = parts.index(frame)
    return "/".join(parts[:at]), "/".join(parts[at + 1 :])
